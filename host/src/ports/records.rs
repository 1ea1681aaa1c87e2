//! The platform's records, and what rtmanager keeps beside them.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{
    Begun, Census, ContainerId, EngineName, Fence, GameId, GenerationId, Hold, Intent, OpenRun, Parked, PolicyRef,
    Registration, RunId, RuntimeRecord, Status, TenantId, Timestamp, TrackedRuntime,
};

/// Why a compare-and-set of a record's status did not happen, or is not known to have.
#[derive(Debug, thiserror::Error)]
pub enum CasError {
    /// Status or container id are not the expected ones.
    #[error("the record is not in the expected state")]
    Conflict,
    /// There is no record.
    #[error("the record does not exist")]
    NotFound,
    /// A later run has begun on the game, or this one was given up for dead.
    #[error("the record has a later fence than this run's")]
    Superseded,
    /// A hold is in force.
    #[error("the record is held")]
    Held,
    /// The run's policy was revoked.
    #[error("the run's policy was revoked")]
    Revoked,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a registration was refused.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The game belongs to another tenant.
    #[error("game belongs to tenant {0}; a game never changes its tenant")]
    OtherTenant(TenantId),
    /// `removed` is final for its container.
    #[error("container {0} of this game was removed; register the container of a new incarnation")]
    ContainerRemoved(ContainerId),
    /// The container belongs to another game's record.
    #[error("container {container} belongs to game {game}")]
    ContainerTaken {
        /// The container.
        container: ContainerId,
        /// The game that has it.
        game: GameId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The one change of status that a run makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChange {
    /// Which record.
    pub game_id: GameId,
    /// The status it must have.
    pub expected_status: Status,
    /// The container it must have; none means "no container".
    pub expected_container: Option<ContainerId>,
    /// The status it shall have.
    pub new_status: Status,
    /// The time of the change: `last_op_at`, and `removed_at` if the new status is `removed`.
    pub at: Timestamp,
    /// The run that writes.
    pub run_id: RunId,
    /// The run's fence.
    pub fence: Fence,
    /// The run's policy.
    pub policy: PolicyRef,
}

/// Whether a policy may have effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Good,
    /// Its generation or its component was revoked.
    Revoked,
}

/// Which records to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only on this engine.
    pub engine: Option<EngineName>,
    /// Only in this status.
    pub status: Option<Status>,
}

/// Where a walk over due rows stands: fresh rows first, by the time they stopped, then rows whose wait
/// is over, by the end of the wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DueCursor {
    /// After this row among those without a wait.
    Fresh(Timestamp, GameId),
    /// At the start of those with a wait.
    WaitedStart,
    /// After this row among those with a wait.
    Waited(Timestamp, GameId),
}

impl DueCursor {
    /// After this row.
    pub fn after(row: &TrackedRuntime) -> Self {
        let game = row.record.game_id.clone();
        match row.cleanup.wait_until {
            Some(until) => Self::Waited(until, game),
            None => Self::Fresh(row.record.stopped_at.unwrap_or_default(), game),
        }
    }
}

/// One walk's claim on the rows that it is about to offer, so that walks of other hosts pass them over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Names the walk; unique.
    pub walk: String,
    /// When the claim ends by itself, should its host die.
    pub until: Timestamp,
}

/// A page of due rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePage {
    /// The rows, in the order of the walk.
    pub rows: Vec<TrackedRuntime>,
    /// Where the next page starts; none at the end.
    pub next: Option<DueCursor>,
}

/// What the sweeper writes beside a record after it has dealt with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Not to be offered before `until`.
    Wait {
        /// The end of the wait.
        until: Timestamp,
        /// Why, for `explain`.
        reason: String,
        /// The policy generation whose word it is; none for backoff and holds, which outlive a swap.
        generation: Option<GenerationId>,
        /// Failures in a row to store with it.
        failed_attempts: u32,
    },
    /// Taken out of the sweep.
    Park {
        /// Since when and why.
        parked: Parked,
        /// Failures in a row.
        failed_attempts: u32,
    },
    /// Back to the start: no wait, no failures, not parked.
    Clear,
}

/// The platform's records, and what rtmanager keeps beside them.
///
/// Every method is atomic. Records may be written by others at any time, through the store's tables.
#[async_trait]
pub trait RecordStore: Send + Sync {
    /// The record of a game, if it has one.
    async fn get(&self, game: &GameId) -> Result<Option<TrackedRuntime>, StoreError>;

    /// The record of a game, if it has one, and whether a policy has been revoked, both as of one moment.
    async fn get_for_effect(
        &self,
        game: &GameId,
        policy: &PolicyRef,
    ) -> Result<Option<(TrackedRuntime, Standing)>, StoreError>;

    /// Writes a run's intent and issues its fence, greater than every fence before it: from now on the store knows
    /// of the run until its entry is appended, and refuses changes by earlier runs on the game. Answers the record
    /// as well, or none, and writes nothing, if the game has none. Once for each run; doing it again begins anew.
    async fn begin_run(&self, intent: &Intent) -> Result<Option<Begun>, StoreError>;

    /// Gives up a run: a change by it is refused from now on, though it be under way. Answers what stands of it, with
    /// the change that it has made, if any; or none if it never began or has its entry. Once that is answered, what
    /// the run has done to its record is certain. Other runs on the game are not disturbed.
    async fn supersede_run(&self, run: &RunId) -> Result<Option<OpenRun>, StoreError>;

    /// Runs without an entry whose lease ended at or before `now` unless it was renewed, by that time and then by
    /// fence; after a run that ended its lease then and has that fence.
    async fn overdue_runs(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, Fence)>,
        limit: u32,
    ) -> Result<Vec<OpenRun>, StoreError>;

    /// Changes status if status and container are the expected ones, the record has no later
    /// fence, and no hold is in force at `change.at`. To `removed`: clears the container id, sets
    /// `removed_at` and `last_op_at` to `change.at`, clears the cleanup state except a hold, and remembers the
    /// container as removed. Grows the version by one. Answers the record as changed. In the same transaction, notes
    /// the change with the run's intent.
    /// To another status: sets `stopped_at` if that is `stopped`, and leaves container and (unless the status
    /// differs) cleanup state but a policy's wait alone. A change of status ends a walk's claim on the row.
    ///
    /// Refused if the change's policy, generation or component, was revoked before: a revocation that was answered
    /// holds for every change that is asked for later.
    ///
    /// Checks in this order: existence, expected state, fence, hold, revocation.
    async fn compare_and_set(&self, change: &StatusChange) -> Result<RuntimeRecord, CasError>;

    /// Makes or refreshes a record; idempotent: registering what stands there already changes nothing
    /// but `last_op_at`, and not the version.
    ///
    /// A new container for a removed game starts a new incarnation: created and started anew, removed never.
    /// A change of status, container or stop time voids the wait, failures and parking; any other change voids a
    /// policy's wait (one with a generation); a hold stays. Within one
    /// container, image and times that are not told stay as they are; but a new start after the known stop, or a new
    /// container, without a stop time counts as stopped `at`. What a registration makes of a record is
    /// [`Registration::apply`].
    async fn register(&self, registration: &Registration, at: Timestamp) -> Result<RuntimeRecord, RegisterError>;

    /// The same, only if the record's version is still `version`, none meaning that the game has no record. None if it
    /// is not; then nothing is written, and nothing refused.
    async fn register_if(
        &self,
        version: Option<u64>,
        registration: &Registration,
        at: Timestamp,
    ) -> Result<Option<RuntimeRecord>, RegisterError>;

    /// Records by game id, in byte order, after `after`.
    async fn list(
        &self,
        filter: &RecordFilter,
        after: Option<&GameId>,
        limit: u32,
    ) -> Result<Vec<TrackedRuntime>, StoreError>;

    /// The record that has this container, if any.
    async fn by_container(&self, container: &ContainerId) -> Result<Option<RuntimeRecord>, StoreError>;

    /// The next due rows of an engine: stopped at or before `floor` and not started since, not parked, and with no wait
    /// or one that ended at or before `now`. Reads no row that is not due, however many there are.
    async fn due(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        after: Option<&DueCursor>,
        limit: u32,
    ) -> Result<DuePage, StoreError>;

    /// The same for a walk that is going to offer them: claims the rows that it answers, and passes over those that
    /// another walk has claimed and whose claim has not ended at `now`. Of two walks at once, one gets a row.
    async fn claim_due(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        after: Option<&DueCursor>,
        limit: u32,
        claim: &Claim,
    ) -> Result<DuePage, StoreError>;

    /// Ends what is left of a walk's claims.
    async fn release_claims(&self, walk: &str) -> Result<(), StoreError>;

    /// Forgets claims that ended at or before `now` without being released, since the host that walked them has died,
    /// and answers the engines on which rows among them are still stopped. So one host of several is told.
    async fn end_abandoned_claims(&self, now: Timestamp) -> Result<Vec<EngineName>, StoreError>;

    /// Writes what became of a candidate, unless its record has changed since `version`, and ends its claim. Answers
    /// whether it was written.
    async fn dispose(&self, game: &GameId, version: u64, disposition: &Disposition) -> Result<bool, StoreError>;

    /// Ends every wait of the tenant that is the word of another generation than those that serve it now.
    /// Answers how many.
    async fn void_waits(&self, tenant: &TenantId, serving: &[GenerationId]) -> Result<u64, StoreError>;

    /// The tenants that have records.
    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError>;

    /// Sets (or with none lifts) the hold on a game. Answers whether the game has a record. Also ends its wait.
    async fn set_hold(&self, game: &GameId, hold: Option<&Hold>) -> Result<bool, StoreError>;

    /// Un-parks a game, forgetting its failures. Answers whether it was parked.
    async fn unpark(&self, game: &GameId) -> Result<bool, StoreError>;

    /// Counts for the breaker: `due` as of `floor` and `now`, recent from `window_start` to `now`: what is dated
    /// later was written while the wall clock was ahead. Removals of earlier incarnations count too. `removed_by_walk`
    /// are those of the recent that `walk` had claimed, and `claimed` the rows that other walks have claimed as of `now`.
    async fn census(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        window_start: Timestamp,
        walk: &str,
    ) -> Result<Census, StoreError>;

    /// Proves that the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}
