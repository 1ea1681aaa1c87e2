//! The mock host: every port in memory, with a clock that the test sets, a plan of faults and a journal
//! of calls. It is what a policy's author tests against, and what `demo` uses where there is no engine.
//!
//! ```
//! # use std::sync::Arc;
//! use rtmanager::adapters::memory::{Call, Failure, ManualClock, MemoryStore, Script};
//!
//! let clock = Arc::new(ManualClock::default());
//! let store = MemoryStore::default();
//! let script = Script::default();
//! // The second compare-and-set has its effect, but its answer is lost.
//! script.plan().fail(Call::RecordCompareAndSet, 2, Failure::LoseReply);
//! let records = script.records(store.records());
//! let leases = script.leases(store.leases(clock.clone()));
//! // … run a policy over these, then read what it did:
//! assert!(script.journal().calls().is_empty());
//! ```
//!
//! Everything is deterministic: no system time, no system randomness, and no lock is held across an await.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod access;
mod audit;
mod bindings;
mod clock;
mod engine;
mod faults;
mod generations;
mod journal;
mod journals;
mod leases;
mod operation_log;
mod pauses;
mod policies;
mod randomness;
mod records;
mod runs;
mod script;
mod stage;

pub use access::MemoryAccess;
pub use audit::MemoryAudit;
pub use clock::ManualClock;
pub use engine::MemoryEngine;
pub use faults::{Failure, FaultPlan, Inject};
pub use generations::MemoryGenerations;
pub use journal::{Call, CallJournal, JournalEntry};
pub use journals::MemoryJournals;
pub use leases::MemoryLeases;
pub use operation_log::MemoryOperationLog;
pub use pauses::MemoryPauses;
pub use policies::MemoryPolicies;
pub use randomness::SeededRandomness;
pub use records::MemoryRecords;
pub use script::{Script, Staged};
pub use stage::{Answer, Stage, Subject};

use tokio::sync::Notify;

use crate::model::{
    AuditEntry, ContainerId, EngineName, EntryId, Fence, GameId, LoggedOperation, OpenRun, Pause, PauseScope,
    PolicyDigest, PolicyRef, RunId, RuntimeRecord, Timestamp, TrackedRuntime,
};
use crate::ports::{
    AccessStore, AuditLog, Claim, Clock, GenerationStore, JournalStore, LeaseStore, LeaseToken, OperationLog,
    PauseStore, PolicyStore, RecordStore,
};

/// One store in memory behind all store ports. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    /// Wakes whoever waits for a change of the epoch.
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<GameId, Row>,
    runs: BTreeMap<RunId, OpenRun>,
    last_fence: u64,
    removals: Vec<PastRemoval>,
    log: BTreeMap<EntryId, LoggedOperation>,
    entry_of_run: HashMap<RunId, EntryId>,
    last_entry: u64,
    leases: HashMap<GameId, leases::Slot>,
    pauses: BTreeMap<PauseScope, Pause>,
    allowances: Vec<Allowance>,
    /// Generations and components, by their texts.
    revoked: BTreeSet<String>,
    policies: policies::Shelf,
    bindings: bindings::Bindings,
    access: access::Rules,
    audit: Vec<AuditEntry>,
    journals: BTreeMap<RunId, journals::Kept>,
}

struct Row {
    tracked: TrackedRuntime,
    fence: Fence,
    claim: Option<Claim>,
}

impl Row {
    fn new(tracked: TrackedRuntime) -> Self {
        Self { tracked, fence: Fence(0), claim: None }
    }
}

/// A record that became `removed`.
struct PastRemoval {
    game: GameId,
    engine: EngineName,
    container: Option<ContainerId>,
    at: Timestamp,
    walk: Option<String>,
}

/// Removals allowed by resuming from the breaker.
struct Allowance {
    engine: EngineName,
    removals: u64,
    at: Timestamp,
}

impl MemoryStore {
    /// The records.
    pub fn records(&self) -> Arc<dyn RecordStore> {
        Arc::new(MemoryRecords::new(self.clone()))
    }

    /// The operation log.
    pub fn operation_log(&self) -> Arc<dyn OperationLog> {
        Arc::new(MemoryOperationLog::new(self.clone()))
    }

    /// The leases, whose time to live passes by `clock`.
    pub fn leases(&self, clock: Arc<dyn Clock>) -> Arc<dyn LeaseStore> {
        Arc::new(MemoryLeases::new(self.clone(), clock))
    }

    /// The pauses.
    pub fn pauses(&self) -> Arc<dyn PauseStore> {
        Arc::new(MemoryPauses::new(self.clone()))
    }

    /// The policies.
    pub fn policies(&self) -> Arc<dyn PolicyStore> {
        Arc::new(MemoryPolicies::new(self.clone()))
    }

    /// The generations.
    pub fn generations(&self) -> Arc<dyn GenerationStore> {
        Arc::new(MemoryGenerations::new(self.clone()))
    }

    /// Tokens, ceilings and trusted keys.
    pub fn access(&self) -> Arc<dyn AccessStore> {
        Arc::new(MemoryAccess::new(self.clone()))
    }

    /// The trail.
    pub fn audit(&self) -> Arc<dyn AuditLog> {
        Arc::new(MemoryAudit::new(self.clone()))
    }

    /// The journals of runs.
    pub fn journals(&self) -> Arc<dyn JournalStore> {
        Arc::new(MemoryJournals::new(self.clone()))
    }

    /// Writes a record as a platform does that goes past rtmanager: whatever the record says, with a
    /// version of its own. A stop, a new container or a new start without a new stop time is dated `last_op_at`.
    /// A change of status, container or stop time voids wait, failures and parking; any voids a policy's wait.
    pub fn write_directly(&self, record: RuntimeRecord) {
        self.lock().write_directly(record);
    }

    /// Puts a record there with all that is kept beside it, in place of what was there.
    pub fn put(&self, tracked: TrackedRuntime) {
        self.lock().rows.insert(tracked.record.game_id.clone(), Row::new(tracked));
    }

    /// Shows a game's record so from now on. Runs that have begun on it go on.
    pub fn show(&self, tracked: TrackedRuntime) {
        let mut state = self.lock();
        let game = tracked.record.game_id.clone();
        match state.rows.get_mut(&game) {
            Some(row) => row.tracked = tracked,
            None => drop(state.rows.insert(game, Row::new(tracked))),
        }
    }

    /// Gives a game's lease to somebody, whoever holds it.
    pub fn lend(&self, game: &GameId, to: LeaseToken, until: Timestamp) {
        self.lock().leases.insert(game.clone(), leases::Slot::new(to, until));
    }

    /// Deletes a record, as only a platform can. Answers whether there was one.
    pub fn delete_directly(&self, game: &GameId) -> bool {
        self.lock().rows.remove(game).is_some()
    }

    /// Revokes a component, as the store that a platform's other hosts share does: whether or not it is in this one.
    pub fn revoke_directly(&self, component: &PolicyDigest) {
        self.lock().revoked.insert(component.to_string());
    }

    /// The whole operation log, oldest first.
    pub fn logged(&self) -> Vec<LoggedOperation> {
        self.lock().log.values().cloned().collect()
    }

    /// Runs without an entry: none, once all runs have ended and their entries were taken.
    pub fn open_runs(&self) -> Vec<OpenRun> {
        self.lock().runs.values().cloned().collect()
    }

    /// The record as it is.
    pub fn record(&self, game: &GameId) -> Option<TrackedRuntime> {
        self.lock().rows.get(game).map(|row| row.tracked.clone())
    }

    /// Who holds a game's lease, or held it last without giving it back, and until when.
    pub fn lease(&self, game: &GameId) -> Option<(LeaseToken, Timestamp)> {
        self.lock().leases.get(game).map(|slot| slot.holder())
    }

    /// Forgets a lease, as a failover does.
    pub fn forget_lease(&self, game: &GameId) {
        self.lock().leases.remove(game);
    }

    /// How many rows walks have claimed at `now`: none, once all walks have ended.
    pub fn claims_held(&self, now: Timestamp) -> usize {
        let state = self.lock();
        state.rows.values().filter(|row| row.claim.as_ref().is_some_and(|claim| now < claim.until)).count()
    }

    /// How many leases are held at `now`: none, once all runs have ended.
    pub fn leases_held(&self, now: Timestamp) -> usize {
        self.lock().leases.values().filter(|slot| slot.is_held(now)).count()
    }

    /// No lock is held while anything can panic half way through a change, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_revoked(&self, policy: &PolicyRef) -> bool {
        self.revoked.contains(policy.generation.as_str()) || self.revoked.contains(policy.digest.as_str())
    }

    fn write_directly(&mut self, mut record: RuntimeRecord) {
        let Some(row) = self.rows.get_mut(&record.game_id) else {
            let tracked = TrackedRuntime { cleanup: Default::default(), record };
            self.rows.insert(tracked.record.game_id.clone(), Row::new(tracked));
            return;
        };
        if record.lacks_stop_time(&row.tracked.record) {
            record.stopped_at = Some(record.last_op_at);
        }
        record.version = row.tracked.record.version.saturating_add(1);
        row.tracked.cleanup.outlive(&row.tracked.record, &record);
        let earlier = std::mem::replace(&mut row.tracked.record, record.clone());
        let claim = row.claim.clone();
        self.note_removal(&earlier, &record, claim);
    }

    /// Remembers a change to `removed`: for the breaker, and because it is final for the container.
    fn note_removal(&mut self, earlier: &RuntimeRecord, later: &RuntimeRecord, claim: Option<Claim>) {
        use crate::model::Status::Removed;
        if earlier.status == Removed || later.status != Removed {
            return;
        }
        self.removals.push(PastRemoval {
            game: later.game_id.clone(),
            engine: later.engine.clone(),
            container: earlier.container_id.clone(),
            at: later.removed_at.unwrap_or(later.last_op_at),
            walk: claim.map(|claim| claim.walk),
        });
    }
}
