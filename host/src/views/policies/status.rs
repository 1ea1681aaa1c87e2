//! What serves a scope, and what happened to it.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Policy, PolicyAct, PolicyCeiling, PolicyGeneration, PolicyLimits, PolicyRollout};
use crate::model::{PolicyChange, PolicyScope};
use crate::policies::{Replica, ScopeStatus};
use crate::views::text;

/// What serves a scope.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyStatus {
    /// The tenant, or `*` for tenants without a binding of their own.
    pub scope: String,
    /// What serves it; null if it has no binding of its own, and is served as the default scope or the hosts' files say.
    pub current: Option<PolicyGeneration>,
    /// The policy of the current generation.
    pub policy: Option<Policy>,
    /// What a rollback goes back to.
    pub previous: Option<PolicyGeneration>,
    /// What is rolled out, or was staged and never bound.
    pub staged: Option<PolicyGeneration>,
    /// The rollout under way.
    pub rollout: Option<PolicyRollout>,
    /// Of these generations, the numbers of those that were revoked.
    pub revoked: Vec<u64>,
    /// The hosts that are alive, and what each serves the scope with.
    pub replicas: Vec<PolicyReplica>,
    /// What the scope's ceiling allows, be it its own or everybody's.
    pub ceiling: PolicyCeiling,
    /// What the current generation may do today: what it was bound with, cut to the ceiling.
    pub effective: Option<PolicyEffective>,
    /// Why what the store says of the scope cannot be read; hosts keep to what they serve.
    pub problem: Option<String>,
}

/// What a generation may do today.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyEffective {
    /// What bounds its runs, as far as that is less than what each host allows.
    pub limits: PolicyLimits,
    /// What it may import and do.
    pub grants: Vec<String>,
}

/// What one host says of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyReplica {
    /// The host.
    pub replica: String,
    /// The generation it serves the scope with; null if it has said nothing of it yet.
    pub serves: Option<String>,
    /// The numbers of further generations that it has loaded.
    pub ready: Vec<u64>,
    /// Why it cannot serve what it should.
    pub problem: Option<String>,
    /// When it said so.
    pub at: Option<String>,
}

/// One line of a scope's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyHistoryEntry {
    /// Its place in the history.
    pub id: u64,
    /// `bound`, `rolled_back`, `rollout_started`, `promoted`, `rollout_ended`, `revoked` or `unbound`.
    pub event: String,
    /// The generation that was current before.
    pub from: Option<u64>,
    /// The generation that it is about.
    pub to: Option<u64>,
    /// Who, when and why.
    #[serde(flatten)]
    pub act: PolicyAct,
}

impl PolicyStatus {
    /// Of a scope.
    pub fn new(scope: &PolicyScope, status: &ScopeStatus) -> Self {
        let state = status.state.as_ref();
        let generation = |found: Option<&crate::model::Generation>| found.map(PolicyGeneration::from);
        Self {
            scope: text(scope),
            current: generation(state.and_then(|state| state.current.as_ref())),
            policy: status.artifact.as_ref().map(Policy::from),
            previous: generation(state.and_then(|state| state.previous.as_ref())),
            staged: generation(state.and_then(|state| state.staged.as_ref())),
            rollout: state.and_then(|state| state.rollout.as_ref()).map(PolicyRollout::from),
            revoked: state.map(|state| state.revoked.clone()).unwrap_or_default(),
            replicas: status.replicas.iter().map(PolicyReplica::from).collect(),
            ceiling: (&status.ceiling).into(),
            effective: status.effective.as_ref().map(|effective| PolicyEffective {
                limits: (&effective.limits).into(),
                grants: effective.grants.iter().map(text).collect(),
            }),
            problem: status.problem.clone(),
        }
    }
}

impl From<&Replica> for PolicyReplica {
    fn from(replica: &Replica) -> Self {
        let said = replica.serving.as_ref();
        Self {
            replica: replica.name.clone(),
            serves: said.map(|said| text(&said.generation)),
            ready: said.map(|said| said.ready.clone()).unwrap_or_default(),
            problem: said.and_then(|said| said.problem.clone()),
            at: said.map(|said| text(&said.at)),
        }
    }
}

impl From<&PolicyChange> for PolicyHistoryEntry {
    fn from(change: &PolicyChange) -> Self {
        Self {
            id: change.id,
            event: change.event.as_str().to_owned(),
            from: change.from,
            to: change.to,
            act: (&change.signed).into(),
        }
    }
}
