//! What a sweep was asked for, and what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Census, ContainerId, EngineName, GameId, Pause, TenantId, Timestamp, TrackedRuntime};

/// One sweep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepRequest {
    /// Say what would be done and why, and do nothing.
    pub dry_run: bool,
    /// Only this engine.
    pub engine: Option<EngineName>,
    /// Engines that are not to be swept since their records may be outdated, and why.
    pub outdated: BTreeMap<EngineName, String>,
}

/// What became of one candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepItem {
    /// The game.
    pub game_id: GameId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its engine.
    pub engine: EngineName,
    /// Its container, as the sweeper read the record.
    pub container_id: Option<ContainerId>,
    /// When the platform stopped it.
    pub stopped_at: Option<Timestamp>,
    /// What became of it.
    pub decision: Decision,
    /// Why, for people.
    pub reason: String,
}

/// What can become of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Its container is gone and its record says so.
    Removed,
    /// It would be removed, if this were not a dry run, or if the breaker allowed one more removal.
    WouldRemove,
    /// The policy keeps it.
    Kept,
    /// An operator holds it.
    Held,
    /// Its tenant is paused.
    Paused,
    /// Somebody else was at work on it: its lease was held, or its record changed meanwhile. No failure of
    /// its own; the next sweep looks again.
    Busy,
    /// The cleanup, or the review, failed; it is tried again later.
    Failed,
    /// It failed too often and is out of the sweep.
    Parked,
}

/// What a sweep did on one engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineReport {
    /// The counts before the first removal.
    pub census: Census,
    /// The pause that kept the engine from being swept, or stopped it half way.
    pub paused: Option<Pause>,
    /// Candidates by what became of them.
    pub removed: u64,
    /// Would be removed, in a dry run or past the breaker's limit.
    pub would_remove: u64,
    /// Kept by the policy, held, of a paused tenant, or left to whoever was at work on them.
    pub kept: u64,
    /// Failed, to be tried again.
    pub failed: u64,
    /// Parked.
    pub parked: u64,
    /// What kept the engine from being swept or cut its walk short, other than a pause; what was not reached is left
    /// to the next sweep.
    pub error: Option<String>,
    /// The engine stopped answering half way.
    pub engine_gone: bool,
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// The pause that kept everything from being swept.
    pub paused: Option<Pause>,
    /// By engine.
    pub engines: BTreeMap<EngineName, EngineReport>,
}

/// Told of each candidate as soon as it is dealt with.
pub type Observer = Arc<dyn Fn(&SweepItem) + Send + Sync>;

impl EngineReport {
    pub(super) fn count(&mut self, decision: Decision) {
        let counter = match decision {
            Decision::Removed => &mut self.removed,
            Decision::WouldRemove => &mut self.would_remove,
            Decision::Kept | Decision::Held | Decision::Paused | Decision::Busy => &mut self.kept,
            Decision::Failed => &mut self.failed,
            Decision::Parked => &mut self.parked,
        };
        *counter = counter.saturating_add(1);
    }

    /// Candidates that were dealt with.
    pub(super) fn candidates(&self) -> u64 {
        self.removed + self.would_remove + self.kept + self.failed + self.parked
    }
}

impl SweepItem {
    pub(super) fn new(runtime: &TrackedRuntime, decision: Decision, reason: String) -> Self {
        let record = &runtime.record;
        Self {
            game_id: record.game_id.clone(),
            tenant: record.tenant.clone(),
            engine: record.engine.clone(),
            container_id: record.container_id.clone(),
            stopped_at: record.stopped_at,
            decision,
            reason,
        }
    }
}
