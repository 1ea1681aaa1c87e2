//! Runs that have begun: what stands in the store before a run's first effect, so that a host that dies leaves a trace.

use super::{ContainerId, EngineName, Fence, GameId, PolicyRef, RunId, TenantId, Timestamp, TrackedRuntime};

/// What a run says of itself before its first effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The run.
    pub run_id: RunId,
    /// Its game.
    pub game_id: GameId,
    /// Who asked, as received.
    pub op_source: String,
    /// The asking side's reference; empty if it has none.
    pub source_ref: String,
    /// Who was authenticated, if anybody was.
    pub actor: Option<String>,
    /// The policy that runs.
    pub policy: PolicyRef,
    /// Before validation.
    pub started_at: Timestamp,
    /// When its lease ends unless it is renewed: until then nobody else closes the run.
    pub expires_at: Timestamp,
}

/// A run that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Its fence.
    pub fence: Fence,
    /// The record and its cleanup state as it began.
    pub runtime: TrackedRuntime,
}

/// A run without an entry in the operation log: it is under way, or its host died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// What it said of itself.
    pub intent: Intent,
    /// Its fence.
    pub fence: Fence,
    /// Whose game it is; none if the record did not name a tenant.
    pub tenant: Option<TenantId>,
    /// The engine of the record as the run began; none if the record did not name one.
    pub engine: Option<EngineName>,
    /// The container of the record as the run began.
    pub container_id: Option<ContainerId>,
    /// The image reference of the record as the run began.
    pub image_ref: Option<String>,
    /// When it changed the record; none if it has not.
    pub committed_at: Option<Timestamp>,
}
