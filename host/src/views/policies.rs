//! What is shown of policies and their generations.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

mod rollout;
mod rules;
mod status;

pub use rollout::{PolicyDivergence, PolicyRollout};
pub use rules::{PolicyCeiling, PolicyLimits, PolicyRules, PolicySigner};
pub use status::{PolicyEffective, PolicyHistoryEntry, PolicyReplica, PolicyStatus};

use super::{maybe, text};
use crate::admission::Authority;
use crate::model::{Generation, Grants, PolicyArtifact, Revocation, Signed};
use crate::policies::{AuthorityChange, Bound, Examination, PolicyDetails, Revoked, Scenarios};

/// A policy in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Policy {
    /// The SHA-256 of its component.
    pub digest: String,
    /// What it is called.
    pub name: String,
    /// Which version of that it is.
    pub version: String,
    /// The tenant whose it is; null for the platform's, which every tenant may be bound to.
    pub owner: Option<String>,
    /// In bytes.
    pub size: u64,
    /// When it was pushed.
    pub pushed_at: String,
    /// By whom.
    pub pushed_by: String,
}

/// A policy, and what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyDetail {
    /// The policy.
    #[serde(flatten)]
    pub policy: Policy,
    /// What it is compiled against.
    pub abi: String,
    /// What it imports, function by function.
    pub imports: Vec<String>,
    /// The grants that this takes.
    pub needs: Vec<String>,
    /// The keys that are said to have signed it, by their ids. Whether they did is decided when it is bound.
    pub signers: Vec<String>,
}

/// Who did something, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyAct {
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// One generation of a scope: component, settings, limits and grants together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyGeneration {
    /// Its name, such as `acme/7`.
    pub generation: String,
    /// Its number within the scope.
    pub number: u64,
    /// The SHA-256 of its component.
    pub policy_digest: String,
    /// What it reads through `wasi:config/store`.
    pub settings: BTreeMap<String, String>,
    /// How much less than the host allows it may use.
    pub limits: PolicyLimits,
    /// What it may import and do.
    pub grants: Vec<String>,
    /// Who staged it.
    pub staged: PolicyAct,
}

/// How what a generation may do differs from what another might.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyAuthority {
    /// Whether it may do anything that the other might not.
    pub widens: bool,
    /// Grants that it has and the other had not.
    pub gained: Vec<String>,
    /// Grants that the other had and it has not.
    pub lost: Vec<String>,
    /// Limits that differ.
    pub limits: Vec<PolicyLimitChange>,
}

/// A limit that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyLimitChange {
    /// Its name.
    pub limit: String,
    /// What it was.
    pub from: u64,
    /// What it becomes.
    pub to: u64,
}

/// A generation that was bound, or began to be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BoundPolicy {
    /// The generation.
    pub generation: PolicyGeneration,
    /// The number of the one that was current before; null if there was none.
    pub before: Option<u64>,
    /// How what it may do differs from what served the scope before.
    pub authority: PolicyAuthority,
    /// Safety scenarios that it passed.
    pub scenarios: u64,
    /// Hosts that have not loaded it yet, and what keeps each.
    pub behind: Vec<String>,
}

/// What binding a policy would come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyExamination {
    /// The policy.
    pub policy: Policy,
    /// What it imports, function by function.
    pub imports: Vec<String>,
    /// The grants that this takes.
    pub needs: Vec<String>,
    /// The grants that the generation would have.
    pub grants: Vec<String>,
    /// The limits that it would have.
    pub limits: PolicyLimits,
    /// How what it may do would differ from what serves the scope now.
    pub authority: PolicyAuthority,
    /// Safety scenarios that it passed.
    pub scenarios: u64,
}

/// A component that was examined without a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CheckedComponent {
    /// The SHA-256 of the component.
    pub digest: String,
    /// In bytes.
    pub size: u64,
    /// What it imports, function by function.
    pub imports: Vec<String>,
    /// The grants that this takes.
    pub needs: Vec<String>,
    /// Safety scenarios that it passed.
    pub scenarios: u64,
}

/// Two generations of a scope compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyDiff {
    /// The one.
    pub from: PolicyGeneration,
    /// The other.
    pub to: PolicyGeneration,
    /// How what the other may do differs.
    pub authority: PolicyAuthority,
}

/// What a revocation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyRevocation {
    /// The generation or digest that is revoked.
    pub revoked: String,
    /// Scopes whose current generation this is: nothing is removed for them until they are rolled back or bound anew.
    pub unserved: Vec<String>,
}

pub(super) fn grants(grants: &Grants) -> Vec<String> {
    grants.iter().map(ToString::to_string).collect()
}

fn imports(authority: &Authority) -> Vec<String> {
    authority.imports.iter().cloned().collect()
}

impl From<&PolicyArtifact> for Policy {
    fn from(artifact: &PolicyArtifact) -> Self {
        Self {
            digest: text(&artifact.digest),
            name: text(&artifact.name),
            version: text(&artifact.version),
            owner: maybe(&artifact.owner),
            size: artifact.size,
            pushed_at: text(&artifact.pushed_at),
            pushed_by: artifact.pushed_by.clone(),
        }
    }
}

impl From<&PolicyDetails> for PolicyDetail {
    fn from(details: &PolicyDetails) -> Self {
        Self {
            policy: (&details.artifact).into(),
            abi: crate::policies::ABI.to_owned(),
            imports: imports(&details.authority),
            needs: grants(&details.authority.needs),
            signers: details.signers.clone(),
        }
    }
}

impl From<&Signed> for PolicyAct {
    fn from(signed: &Signed) -> Self {
        Self { at: text(&signed.at), actor: signed.actor.clone(), reason: signed.reason.clone() }
    }
}

impl From<&Generation> for PolicyGeneration {
    fn from(generation: &Generation) -> Self {
        let spec = &generation.spec;
        Self {
            generation: text(&generation.id()),
            number: generation.number,
            policy_digest: text(&spec.digest),
            settings: spec.settings.clone(),
            limits: (&spec.limits).into(),
            grants: grants(&spec.grants),
            staged: (&generation.staged).into(),
        }
    }
}

impl From<&AuthorityChange> for PolicyAuthority {
    fn from(change: &AuthorityChange) -> Self {
        let limit = |change: &crate::policies::LimitChange| PolicyLimitChange {
            limit: change.limit.to_owned(),
            from: change.from,
            to: change.to,
        };
        Self {
            widens: change.widens(),
            gained: grants(&change.gained),
            lost: grants(&change.lost),
            limits: change.limits.iter().map(limit).collect(),
        }
    }
}

impl From<&Bound> for BoundPolicy {
    fn from(bound: &Bound) -> Self {
        Self {
            generation: (&bound.generation).into(),
            before: bound.before,
            authority: (&bound.change).into(),
            scenarios: bound.scenarios.histories,
            behind: bound.behind.clone(),
        }
    }
}

impl From<&Examination> for PolicyExamination {
    fn from(examined: &Examination) -> Self {
        Self {
            policy: (&examined.artifact).into(),
            imports: imports(&examined.authority),
            needs: grants(&examined.authority.needs),
            grants: grants(&examined.spec.grants),
            limits: (&examined.spec.limits).into(),
            authority: (&examined.change).into(),
            scenarios: examined.scenarios.histories,
        }
    }
}

impl CheckedComponent {
    /// Of a component that passed.
    pub fn new(component: &[u8], authority: &Authority, scenarios: &Scenarios) -> Self {
        Self {
            digest: crate::model::PolicyDigest::of(component).to_string(),
            size: u64::try_from(component.len()).unwrap_or(u64::MAX),
            imports: imports(authority),
            needs: grants(&authority.needs),
            scenarios: scenarios.histories,
        }
    }
}

impl From<&(Generation, Generation, AuthorityChange)> for PolicyDiff {
    fn from((from, to, change): &(Generation, Generation, AuthorityChange)) -> Self {
        Self { from: from.into(), to: to.into(), authority: change.into() }
    }
}

impl From<&Revoked> for PolicyRevocation {
    fn from(revoked: &Revoked) -> Self {
        let subject = match &revoked.revocation {
            Revocation::Generation(generation) => text(generation),
            Revocation::Component(digest) => text(digest),
        };
        Self { revoked: subject, unserved: revoked.unserved.iter().map(ToString::to_string).collect() }
    }
}
