//! What the system needs from the world. The contract of each port stands on its trait; the contract
//! suites in `tests/` check every adapter against it.

use std::time::Duration;

use async_trait::async_trait;

use crate::model::{
    Census, CleanupState, Container, ContainerId, ContainerState, EngineName, EntryId, Fault, Fence, GameId, Hold,
    LoggedOperation, OperationEntry, Outcome, Parked, Pause, PauseCause, PauseScope, Registration, Removal, RunId,
    RuntimeRecord, Status, TenantId, Timestamp, TrackedRuntime,
};

/// A backend failed. What it said is for the platform's log, never for a policy.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Did not answer, or refused service; there was no effect. Worth trying again.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The call was sent and its answer was lost: it may have had its effect.
    #[error("the store's answer was lost")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Holds, or answered, something that it must not.
    #[error("the store is corrupt or of another version: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Corrupt(_))
    }
}

/// Why a compare-and-set of a record's status did not happen, or is not known to have.
#[derive(Debug, thiserror::Error)]
pub enum CasError {
    /// Status or container id are not the expected ones.
    #[error("the record is not in the expected state")]
    Conflict,
    /// There is no record.
    #[error("the record does not exist")]
    NotFound,
    /// The record has been written under a later lease.
    #[error("the record has seen a later lease than this run's")]
    Superseded,
    /// A hold is in force.
    #[error("the record is held")]
    Held,
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
    /// The run that writes, so that a store can journal it in the same transaction.
    pub run_id: RunId,
    /// The fence of the run's lease.
    pub fence: Fence,
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
        generation: Option<String>,
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

    /// Changes status if status and container are the expected ones, the record has seen no later
    /// fence, and no hold is in force at `change.at`. To `removed`: clears the container id, sets
    /// `removed_at` and `last_op_at` to `change.at`, clears the cleanup state except a hold, and remembers the
    /// container as removed. Grows the version by one. Answers the record as changed.
    /// To another status: sets `stopped_at` if that is `stopped`, and leaves container and (unless the status
    /// differs) cleanup state but a policy's wait alone.
    ///
    /// Checks in this order: existence, expected state, fence, hold.
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

    /// Writes what became of a candidate, unless its record has changed since `version`. Answers whether it was written.
    async fn dispose(&self, game: &GameId, version: u64, disposition: &Disposition) -> Result<bool, StoreError>;

    /// Ends every wait of the tenant that is the word of another generation than `generation`.
    /// Answers how many.
    async fn void_waits(&self, tenant: &TenantId, generation: &str) -> Result<u64, StoreError>;

    /// The tenants that have records.
    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError>;

    /// Sets (or with none lifts) the hold on a game. Answers whether the game has a record. Also ends its wait.
    async fn set_hold(&self, game: &GameId, hold: Option<&Hold>) -> Result<bool, StoreError>;

    /// Un-parks a game, forgetting its failures. Answers whether it was parked.
    async fn unpark(&self, game: &GameId) -> Result<bool, StoreError>;

    /// Counts for the breaker: `due` as of `floor` and `now`, recent from `window_start` to `now`: what is dated
    /// later was written while the wall clock was ahead. Removals of earlier incarnations count too.
    async fn census(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        window_start: Timestamp,
    ) -> Result<Census, StoreError>;

    /// Proves that the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// Which operations to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperationFilter {
    /// Only of this game.
    pub game: Option<String>,
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
    /// Only with this outcome. An entry with a fault beside it counts as a failure.
    pub outcome: Option<Outcome>,
    /// Only with this code, as the entry's or as its fault's.
    pub error_code: Option<String>,
    /// Only from this source.
    pub op_source: Option<String>,
    /// Only finished at or after this time.
    pub since: Option<Timestamp>,
    /// Only finished before this time.
    pub until: Option<Timestamp>,
}

/// The operation log: one entry a run.
#[async_trait]
pub trait OperationLog: Send + Sync {
    /// Appends an entry and answers its id. A run that has an entry keeps it: appending again answers the
    /// first entry's id and changes nothing.
    async fn append(&self, entry: &OperationEntry) -> Result<EntryId, StoreError>;

    /// Notes a fault beside an entry; the account itself stays. The first fault stands. An entry that is not
    /// there (any more) is no error.
    async fn note_fault(&self, entry: EntryId, fault: &Fault) -> Result<(), StoreError>;

    /// Entries from the newest to the oldest, before `before`.
    async fn list(
        &self,
        filter: &OperationFilter,
        before: Option<EntryId>,
        limit: u32,
    ) -> Result<Vec<LoggedOperation>, StoreError>;

    /// Deletes up to `limit` entries that finished before `before`, the oldest first. Answers how many. Ids are
    /// never used again. A lease that ended before then, of a game without a record, is forgotten with its fence.
    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// A lease's secret: 32 random bytes, base64url without padding. Never shown, logged or given to a policy.
#[derive(Clone, PartialEq, Eq)]
pub struct LeaseToken(String);

impl LeaseToken {
    /// Encodes random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        use base64::Engine as _;
        Self(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
    }

    /// For the lease store only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LeaseToken(…)")
    }
}

/// Leases on games, with a time to live.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// Takes the lease if nobody holds it (or the holder's time to live has passed), and answers its
    /// fence, which is greater than that of every earlier lease on the game. None if it is held.
    ///
    /// A lease that ends later than twice `ttl` from now was taken while the wall clock was ahead; it counts as
    /// ended, or else it would block the game until the clock gets there. So holders' times to live differ at most twofold.
    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<Option<Fence>, StoreError>;

    /// Extends the lease to `ttl` from now. False if `token` does not hold it any more, be it that its time to
    /// live has passed and nobody has taken it since.
    async fn renew(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError>;

    /// Ends the lease if `token` holds it; otherwise does nothing.
    async fn release(&self, game: &GameId, token: &LeaseToken) -> Result<(), StoreError>;

    /// Until when somebody holds the lease; none if nobody does.
    async fn held_until(&self, game: &GameId) -> Result<Option<Timestamp>, StoreError>;
}

/// Pauses of the sweeper, and the allowances given by resuming from a breaker.
#[async_trait]
pub trait PauseStore: Send + Sync {
    /// Pauses a scope. A pause in force stays as it is, but an operator's replaces that for a clock jump, which
    /// would end by itself. Answers whether this one was set.
    async fn pause(&self, pause: &Pause) -> Result<bool, StoreError>;

    /// Lifts a pause and answers it. If its cause was the breaker, allows that many removals
    /// beyond the limit on that engine, dated `at`.
    async fn resume(&self, scope: &PauseScope, at: Timestamp) -> Result<Option<Pause>, StoreError>;

    /// The same, but only if the pause in force has this cause.
    async fn resume_if(
        &self,
        scope: &PauseScope,
        cause: PauseCause,
        at: Timestamp,
    ) -> Result<Option<Pause>, StoreError>;

    /// The pauses in force, by scope.
    async fn pauses(&self) -> Result<Vec<Pause>, StoreError>;
}

/// Why an engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The container is live, or in another state in which it cannot be removed.
    #[error("the engine refused: the container is {0}")]
    Refused(ContainerState),
    /// Did not answer or failed; nothing is known to have changed.
    #[error("the container engine is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request was sent, and neither its answer nor looking again told what became of it.
    #[error("what became of the container is unknown")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The containers that carry the labels asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Those that carry them by themselves.
    pub containers: Vec<Container>,
    /// Those that the engine lists, and of which it does not say, or denies, that the labels are their own.
    pub passed_over: Vec<PassedOver>,
}

/// A container that is listed and not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Which.
    pub id: ContainerId,
    /// Why, for people.
    pub reason: String,
}

impl PassedOver {
    /// An image gives it a label that has to be its own.
    pub fn by_image(id: ContainerId) -> Self {
        Self { id, reason: "its image sets the labels that it is listed by, so they do not count".to_owned() }
    }
}

/// A container engine. Never kills, never acts on a name or a prefix.
#[async_trait]
pub trait ContainerEngine: Send + Sync {
    /// The container, or none if it does not exist.
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError>;

    /// Removes a container that is not live, and answers only when it is gone. One that is gone
    /// already, or that somebody else is removing, is no error.
    ///
    /// `Refused` if it is live. After a lost answer it looks again, and answers `Unknown` only if that fails.
    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError>;

    /// The same for a container that the caller has just inspected, which spares a second look before it.
    async fn remove_seen(&self, seen: &Container) -> Result<Removal, EngineError> {
        self.remove(&seen.id).await
    }

    /// All containers, in any state, that carry each of `labels` (name and value) set on the container
    /// itself: a label that its image sets to the same value does not count, and is not among the
    /// labels answered either. One container that cannot be described does not keep the others from being listed;
    /// an engine that does not answer any more is an error.
    async fn list_labelled(&self, labels: &[(String, String)]) -> Result<Listing, EngineError>;

    /// Proves that the engine answers.
    async fn ping(&self) -> Result<(), EngineError>;
}

/// Time, as the system sees it.
pub trait Clock: Send + Sync {
    /// The wall clock. It can be set, so it can jump.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment; never jumps.
    fn monotonic(&self) -> Duration;
}

/// Randomness from the system; fails rather than repeat itself.
pub trait Randomness: Send + Sync {
    /// Fills `buffer`.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomnessError>;
}

/// The system gave no randomness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the system's randomness failed: {0}")]
pub struct RandomnessError(pub String);

impl CleanupState {
    /// Whether the game may be offered at `now` as far as this state goes.
    pub fn is_offered(&self, now: Timestamp) -> bool {
        self.parked.is_none() && self.wait_until.is_none_or(|until| until <= now)
    }
}
