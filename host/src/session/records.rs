//! The run's record: read, and changed from stopped to removed.

use std::time::Duration;

use super::op_log::RECEIVED_BYTES;
use super::{Error, Kind, Phase, Rule, Session, TimedOut};
use crate::model::{
    Begun, ContainerId, GameId, Grant, Intent, RuntimeRecord, SeenRecord, Status, Timestamp, TrackedRuntime,
    bounded_text,
};
use crate::ports::{CasError, RecordStore, Standing, StatusChange, StoreError};

/// What became of a change whose answer is lost is asked for at most so long,
const SETTLING_TIME: Duration = Duration::from_secs(5);
/// and again after each of these pauses, while the store does not answer.
const SETTLING_PAUSES: [Duration; 4] =
    [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];

impl Session {
    /// The record as it is now.
    pub async fn record(&mut self) -> Result<&RuntimeRecord, Error> {
        self.allowed(&Grant::RecordsGet)?;
        let found = self.read_record().await;
        self.note_record(&found);
        let taken = self.take_note(found?).map(|_| ());
        self.blur_if(taken.is_err());
        taken?;
        self.read.as_ref().map(|read| &read.record).ok_or(Error::NotFound)
    }

    async fn read_record(&mut self) -> Result<TrackedRuntime, Error> {
        let game = self.run.game.clone().ok_or(Error::NotFound)?;
        let begins = self.phase == Phase::Handle && self.begun.is_none() && self.holds_lease() && self.acting().is_ok();
        if begins { self.begin(game).await } else { self.load(game).await }
    }

    /// The record as it is now, for an effect that is about to be started: none is by a policy that was revoked.
    pub(super) async fn record_for_effect(&mut self) -> Result<&RuntimeRecord, Error> {
        let game = self.run.game.clone().ok_or(Error::NotFound)?;
        let (records, policy) = (self.ports.records.clone(), self.run.policy.clone());
        let read = self.call(Kind::Read, async move { records.get_for_effect(&game, &policy).await }).await;
        match found(read)? {
            (_, Standing::Revoked) => Err(Error::Denied(Rule::PolicyRevoked)),
            (tracked, Standing::Good) => {
                self.note_reread(&tracked.record);
                self.take_note(tracked)
            }
        }
    }

    /// For whoever looks on: the policy does not see this read.
    fn note_reread(&mut self, found: &RuntimeRecord) {
        if self.read.as_ref().is_none_or(|read| read.record != *found) {
            self.note(|note| note.changed_record = Some(Box::new(SeenRecord::from(found))));
        }
    }

    fn take_note(&mut self, found: TrackedRuntime) -> Result<&RuntimeRecord, Error> {
        if let Some(hold) = &found.cleanup.hold {
            let held = hold.is_active(self.now());
            self.note(|note| note.held = held);
        }
        // The policy was chosen by the tenant that the record had when the run began.
        if self.run.tenant.as_ref() != Some(&found.record.tenant) {
            return Err(Error::Internal("the record appeared or changed hands during the run; try again"));
        }
        // A game that was started and stopped again since it was offered has a retention of its own to wait for.
        if found.record.status == Status::Stopped
            && self.offered.as_ref().is_some_and(|offered| found.record.begins_anew(offered))
        {
            return Err(Error::Internal("the record changed since it was offered; try again"));
        }
        self.note_read(&found);
        Ok(&self.read.insert(found).record)
    }

    async fn load(&mut self, game: GameId) -> Result<TrackedRuntime, Error> {
        let records = self.ports.records.clone();
        let read = self.call(Kind::Read, async move { records.get(&game).await }).await;
        found(read)
    }

    /// The first read under the lease is at once the run's beginning: from here on the store knows of it.
    async fn begin(&mut self, game_id: GameId) -> Result<TrackedRuntime, Error> {
        let request = &self.run.request;
        let intent = Intent {
            run_id: self.run.run_id.clone(),
            game_id,
            op_source: bounded_text(&request.op_source, RECEIVED_BYTES),
            source_ref: bounded_text(&request.source_ref, RECEIVED_BYTES),
            actor: request.actor.as_ref().map(|actor| bounded_text(actor, RECEIVED_BYTES)),
            policy: self.run.policy.clone(),
            started_at: self.run.started_at,
            expires_at: self.now().saturating_add(self.options.lease.ttl),
        };
        let records = self.ports.records.clone();
        let begun = found(self.call(Kind::Effect, async move { records.begin_run(&intent).await }).await)?;
        Ok(self.begun.insert(begun).runtime.clone())
    }

    /// What the store answered when the run began.
    pub(super) fn begun(&self) -> Result<&Begun, Error> {
        self.begun.as_ref().ok_or(Error::Denied(Rule::RecordNotLoaded))
    }

    fn note_read(&mut self, found: &TrackedRuntime) {
        if self.phase == Phase::Review {
            return;
        }
        let record = &found.record;
        self.read_under_lease = self.holds_lease();
        self.found_removed = (record.status == Status::Removed).then(|| record.clone());
        let account = (record.container_id.clone(), record.image_ref.clone());
        if self.accounts.last() != Some(&account) {
            self.accounts.push(account);
        }
    }

    /// The record, if this run has read it as stopped, under its lease, and nobody holds it.
    pub(super) fn stopped_record(&self) -> Result<&RuntimeRecord, Error> {
        let read = self.read.as_ref().filter(|_| self.read_under_lease);
        let tracked = read.ok_or(Error::Denied(Rule::RecordNotLoaded))?;
        if tracked.record.status != Status::Stopped {
            return Err(Error::Denied(Rule::NotStopped));
        }
        if tracked.cleanup.hold.as_ref().is_some_and(|hold| hold.is_active(self.now())) {
            return Err(Error::Denied(Rule::Held));
        }
        Ok(&tracked.record)
    }

    /// Compare-and-set of the record's status.
    pub async fn update_status(
        &mut self,
        expected_status: &Status,
        expected_container: Option<&str>,
        new_status: &Status,
    ) -> Result<(), Error> {
        self.allowed(&Grant::RecordsUpdateStatus)?;
        let updated = self.update_own(expected_status, expected_container, new_status).await;
        // The record is not what was read any more, or will not be.
        self.blur_if(updated == Err(Error::Conflict));
        self.blur_after(&updated);
        updated
    }

    async fn update_own(
        &mut self,
        expected_status: &Status,
        expected_container: Option<&str>,
        new_status: &Status,
    ) -> Result<(), Error> {
        self.acting()?;
        if (expected_status, new_status) != (&Status::Stopped, &Status::Removed) {
            return Err(Error::Denied(Rule::OnlyStoppedToRemoved));
        }
        let game_id = self.stopped_record()?.game_id.clone();
        let expected_container = self.proven_gone(expected_container)?;
        let fence = self.begun()?.fence;
        self.live_lease().await?;
        let change = StatusChange {
            game_id,
            expected_status: Status::Stopped,
            expected_container,
            new_status: Status::Removed,
            at: self.now(),
            run_id: self.run.run_id.clone(),
            fence,
            policy: self.run.policy.clone(),
        };
        match self.change(change).await {
            Ok(Ok(record)) => {
                self.won = Some(record);
                Ok(())
            }
            Ok(Err(error)) => Err(seen(&error)),
            Err(TimedOut) => Err(Error::OutcomeUnknown),
        }
    }

    /// A change whose answer is lost or late is settled under the run's fence.
    async fn change(&mut self, change: StatusChange) -> Result<Result<RuntimeRecord, CasError>, TimedOut> {
        let (records, sent) = (self.ports.records.clone(), change.clone());
        match self.call(Kind::Effect, async move { records.compare_and_set(&sent).await }).await {
            Ok(Err(CasError::Store(StoreError::Unknown(_)))) | Err(TimedOut) => {
                let (records, read) = (self.ports.records.clone(), self.stopped_record().ok().cloned());
                let settling = async move {
                    let at = settle(&*records, &change).await?;
                    let lost =
                        || CasError::Store(StoreError::Corrupt("the record that was changed is lost".to_owned()));
                    Ok(as_changed(read.ok_or_else(lost)?, at))
                };
                self.call_within(SETTLING_TIME, Kind::Effect, settling).await
            }
            answer => answer,
        }
    }

    /// No container needs no proof: the store checks that there is none.
    fn proven_gone(&self, container: Option<&str>) -> Result<Option<ContainerId>, Error> {
        let unproven = Error::Denied(Rule::AbsenceUnproven);
        let Some(container) = container else { return Ok(None) };
        let container: ContainerId = container.parse().map_err(|_| unproven)?;
        let engine = &self.stopped_record()?.engine;
        let proven = self.gone.iter().any(|(on, gone)| on == engine && *gone == container);
        if proven { Ok(Some(container)) } else { Err(unproven) }
    }
}

/// What a read of the record answered, as a policy sees it.
fn found<T>(read: Result<Result<Option<T>, StoreError>, TimedOut>) -> Result<T, Error> {
    match read {
        Ok(Ok(found)) => found.ok_or(Error::NotFound),
        Ok(Err(error)) => Err(match Error::from_store(&error, "loading the record") {
            // A read has no effect whose outcome could be unknown.
            Error::OutcomeUnknown => Error::Unavailable("the record store's answer was lost"),
            other => other,
        }),
        Err(TimedOut) => Err(Error::Unavailable("the record store did not answer within limits.import_time")),
    }
}

/// What a change to `removed` made of a record. It may have got another incarnation since, which is not this run's.
fn as_changed(record: RuntimeRecord, at: Timestamp) -> RuntimeRecord {
    RuntimeRecord {
        status: Status::Removed,
        container_id: None,
        removed_at: Some(at),
        last_op_at: at,
        version: record.version.saturating_add(1),
        ..record
    }
}

/// Gives up the run's right to change the record, after which what it has done to it is certain. Answers when the
/// change was made.
async fn settle(records: &dyn RecordStore, change: &StatusChange) -> Result<Timestamp, CasError> {
    let mut answer = made(records, change).await;
    for pause in SETTLING_PAUSES {
        if !answer.as_ref().is_err_and(StoreError::is_retryable) {
            break;
        }
        tokio::time::sleep(pause).await;
        answer = made(records, change).await;
    }
    let not_made = || StoreError::Unavailable("the change was not made, and cannot be any more".into());
    Err(CasError::Store(match answer {
        Ok(Some(at)) => return Ok(at),
        Ok(None) => not_made(),
        Err(StoreError::Unavailable(error)) => StoreError::Unknown(error),
        Err(error) => error,
    }))
}

/// When the run has made its change. If it has not, it cannot any more, should its change still be under way.
async fn made(records: &dyn RecordStore, change: &StatusChange) -> Result<Option<Timestamp>, StoreError> {
    let given_up = || StoreError::Corrupt(format!("run {} was closed by another host", change.run_id));
    let run = records.supersede_run(&change.run_id).await?.ok_or_else(given_up)?;
    Ok(run.committed_at)
}

fn seen(error: &CasError) -> Error {
    match error {
        CasError::Conflict => Error::Conflict,
        CasError::NotFound => Error::NotFound,
        CasError::Superseded => Error::LeaseLost,
        CasError::Held => Error::Denied(Rule::Held),
        CasError::Revoked => Error::Denied(Rule::PolicyRevoked),
        CasError::Store(error) => Error::from_store(error, "updating the record"),
    }
}
