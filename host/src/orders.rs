//! What operators order, by REST or by command: each order is permitted, recorded in the trail, and carried out.

use std::sync::Arc;

use crate::access::{Action, Caller, Deed, Denied, Failure, Trail, Unrecorded, permit};
use crate::lifecycle::{Lifecycle, OperationResult};
use crate::model::{
    ErrorCode, GameId, Hold, OpSource, Outcome, Pause, PauseCause, PauseScope, Registration, Request, RuntimeRecord,
    Timestamp, bounded_text,
};
use crate::ports::{Clock, PauseStore, RecordStore, RegisterError, StoreError};

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The trail cannot be written.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
    /// The game has no record.
    #[error("game {:?} has no record", bounded_text(.0.as_str(), 80))]
    NoRecord(GameId),
    /// The registration was refused.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure for Error {
    fn code(&self) -> &str {
        match self {
            Self::Denied(_) => "forbidden",
            Self::Unrecorded(_) => "service_unavailable",
            Self::NoRecord(_) => "not_found",
            Self::Register(RegisterError::Store(error)) | Self::Store(error) => error.code(),
            Self::Register(_) => "conflict",
        }
    }

    fn may_have_happened(&self) -> bool {
        match self {
            Self::Register(RegisterError::Store(error)) | Self::Store(error) => error.may_have_happened(),
            _ => false,
        }
    }
}

/// A cleanup that failed, or was never begun.
enum CleanupError {
    Unrecorded(Unrecorded),
    Failed(Box<OperationResult>),
}

impl From<Unrecorded> for CleanupError {
    fn from(error: Unrecorded) -> Self {
        Self::Unrecorded(error)
    }
}

impl Failure for CleanupError {
    fn code(&self) -> &str {
        match self {
            Self::Unrecorded(_) => "service_unavailable",
            Self::Failed(result) => result.error_code.as_ref().unwrap_or(&ErrorCode::INTERNAL_ERROR).as_str(),
        }
    }
}

/// Carries out orders on the stores.
#[derive(Clone)]
pub struct Orders {
    records: Arc<dyn RecordStore>,
    pauses: Arc<dyn PauseStore>,
    trail: Trail,
    clock: Arc<dyn Clock>,
}

impl Orders {
    /// Orders about these records and pauses.
    pub fn new(
        records: Arc<dyn RecordStore>,
        pauses: Arc<dyn PauseStore>,
        trail: Trail,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { records, pauses, trail, clock }
    }

    /// Registers or refreshes a runtime.
    pub async fn register(&self, caller: &Caller, registration: Registration) -> Result<RuntimeRecord, Error> {
        permit(caller, &Action::ChangeRuntimes)?;
        let deed = Deed::new("runtime.register", &registration.game_id)
            .with("tenant", registration.tenant.as_str())
            .with("engine", registration.engine.as_str())
            .with("container_id", registration.container_id.as_ref().map(ToString::to_string));
        let (records, at) = (self.records.clone(), self.clock.now());
        self.trail.audited(caller, deed, async move { Ok(records.register(&registration, at).await?) }).await
    }

    /// Has a game cleaned up, for the game, source and reference of the request.
    pub async fn clean_up(
        &self,
        lifecycle: &Lifecycle,
        caller: &Caller,
        game_id: String,
        source: OpSource,
        source_ref: String,
    ) -> Result<OperationResult, Error> {
        permit(caller, &Action::ChangeRuntimes)?;
        let deed = Deed::new("runtime.cleanup", &game_id).with("request", source_ref.as_str());
        let actor = Some(caller.actor.clone());
        let request = Request { game_id, op_source: source.as_str().to_owned(), source_ref, actor };
        let lifecycle = lifecycle.clone();
        let cleaning = async move {
            let result = lifecycle.cleanup(request).await;
            if result.outcome == Outcome::Success { Ok(result) } else { Err(CleanupError::Failed(result.into())) }
        };
        match self.trail.audited(caller, deed, cleaning).await {
            Ok(result) => Ok(result),
            Err(CleanupError::Failed(result)) => Ok(*result),
            Err(CleanupError::Unrecorded(error)) => Err(error.into()),
        }
    }

    /// Keeps a game from any cleanup, in the caller's name.
    pub async fn hold(
        &self,
        caller: &Caller,
        game: &GameId,
        reason: String,
        until: Option<Timestamp>,
    ) -> Result<(), Error> {
        let deed = Deed::new("runtime.hold", game).with("reason", reason.as_str());
        let deed = deed.with("until", until.map(|until| until.to_string()));
        self.set_hold(caller, game, deed, Some(Hold { reason, actor: caller.actor.clone(), until })).await
    }

    /// Lifts a hold. Lifting none is no error.
    pub async fn unhold(&self, caller: &Caller, game: &GameId) -> Result<(), Error> {
        self.set_hold(caller, game, Deed::new("runtime.unhold", game), None).await
    }

    async fn set_hold(&self, caller: &Caller, game: &GameId, deed: Deed, hold: Option<Hold>) -> Result<(), Error> {
        permit(caller, &Action::ChangeRuntimes)?;
        let (records, game) = (self.records.clone(), game.clone());
        let setting = async move {
            let found = records.set_hold(&game, hold.as_ref()).await?;
            if found { Ok(()) } else { Err(Error::NoRecord(game)) }
        };
        self.trail.audited(caller, deed, setting).await
    }

    /// Brings a parked game back into the sweep. Answers whether it was parked.
    pub async fn unpark(&self, caller: &Caller, game: &GameId) -> Result<bool, Error> {
        permit(caller, &Action::ChangeRuntimes)?;
        let (records, unparked) = (self.records.clone(), game.clone());
        let unparking = async move {
            match records.unpark(&unparked).await? {
                true => Ok(true),
                // Either it has no record, or it is not parked.
                false => records.get(&unparked).await?.map(|_| false).ok_or(Error::NoRecord(unparked)),
            }
        };
        self.trail.audited(caller, Deed::new("runtime.unpark", game), unparking).await
    }

    /// Pauses a scope. Answers the pause that is asked for, and whether it was set: one in force stays.
    pub async fn pause(&self, caller: &Caller, scope: PauseScope, reason: String) -> Result<(Pause, bool), Error> {
        permit(caller, &Action::Pause)?;
        let deed = Deed::new("sweeper.pause", &scope).with("reason", reason.as_str());
        let (actor, at) = (caller.actor.clone(), self.clock.now());
        let pause = Pause { scope, cause: PauseCause::Operator, reason, actor, at };
        let (pauses, asked) = (self.pauses.clone(), pause.clone());
        let is_new =
            self.trail.audited(caller, deed, async move { Ok::<_, Error>(pauses.pause(&asked).await?) }).await?;
        Ok((pause, is_new))
    }

    /// Lifts the pause of a scope, if there is one, and answers it.
    pub async fn resume(&self, caller: &Caller, scope: &PauseScope) -> Result<Option<Pause>, Error> {
        permit(caller, &Action::Pause)?;
        let (pauses, lifted, at) = (self.pauses.clone(), scope.clone(), self.clock.now());
        let resuming = async move { Ok(pauses.resume(&lifted, at).await?) };
        self.trail.audited(caller, Deed::new("sweeper.resume", scope), resuming).await
    }
}
