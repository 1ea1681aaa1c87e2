//! What people do with policies: push, check, bind, roll out and back, revoke; and what they ask about them.
//!
//! Whoever calls, by REST or by the command line, comes through here: here it is decided whether they may, whether the
//! policy may, and that both stand in the trail. What serves is changed in the store alone; the registries of all hosts
//! follow it.

use std::str::FromStr;
use std::sync::Arc;

use crate::access::{Action, Caller, Denied, Failure, Trail, Unrecorded, permit};
use crate::admission::{Admission, Refusal};
use crate::model::{
    BindingSpec, GenerationId, InvalidId, PolicyArtifact, PolicyDigest, PolicyName, PolicyPlace, PolicyScope,
    PolicyVersion, Signed, TenantId, bounded_text,
};
use crate::ports::{
    AccessStore, AddPolicyError, Clock, GenerationStore, PolicyFilter, PolicyStore, StoreError, SwapError,
};
use crate::runtime::{Limits, TooMuch};
use crate::signing::SignatureError;

mod authority;
mod binding;
mod busy;
mod catalogue;
mod gate;
mod readiness;
mod rollout;
mod rules;
mod sight;
mod swap;

pub use authority::{AuthorityChange, LimitChange};
pub use binding::{Bind, Bound, Examination};
pub use busy::Busy;
pub use catalogue::{NewPolicy, PolicyDetails, Pushed};
pub use gate::{SafetyGate, Scenarios, Unsafe};
pub use readiness::Replica;
pub use rollout::RolloutOrder;
pub use rules::ScopeRules;
pub use swap::{Effective, Revoked, RollBack, ScopeStatus};

/// What policies are compiled against.
pub const ABI: &str = "galaxy:rtmanager@0.1.0";

/// Longest reason, in bytes.
const REASON: usize = 1_024;
/// Policies read at a time.
const PAGE: u32 = 200;

/// The stores that this works on, and what examines components.
pub struct Parts {
    /// Components.
    pub policies: Arc<dyn PolicyStore>,
    /// What serves whom.
    pub generations: Arc<dyn GenerationStore>,
    /// Ceilings and keys.
    pub access: Arc<dyn AccessStore>,
    /// The trail of what was done.
    pub trail: Trail,
    /// Whether a component fits.
    pub admission: Admission,
    /// Whether it keeps the protocol.
    pub gate: Arc<dyn SafetyGate>,
    /// Whose policies are being examined.
    pub busy: Busy,
    /// What the host allows a run.
    pub limits: Limits,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Policies, and what people do with them. Clones share all.
#[derive(Clone)]
pub struct Policies(Arc<Parts>);

/// A policy, as people name it: `NAME@VERSION`, or its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyId {
    /// By the digest of its component.
    Digest(PolicyDigest),
    /// By what it is called.
    Version(PolicyName, PolicyVersion),
}

impl FromStr for PolicyId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.split_once('@') {
            Some((name, version)) => Ok(Self::Version(name.parse()?, version.parse()?)),
            None => text.parse().map(Self::Digest),
        }
    }
}

impl std::fmt::Display for PolicyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Version(name, version) => write!(f, "{name}@{version}"),
        }
    }
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It cannot be recorded.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
    /// There is no such thing, or it is not the caller's to see.
    #[error("there is no {0}")]
    NotFound(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Another policy of the scope is being examined.
    #[error("another policy of {0} is being examined; ask again when that is done")]
    Busy(PolicyScope),
    /// The component does not fit.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The component does not keep the protocol.
    #[error(transparent)]
    Unsafe(#[from] Unsafe),
    /// The component cannot be added.
    #[error(transparent)]
    Add(#[from] AddPolicyError),
    /// A limit is above the host's, or above the scope's ceiling.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Limits(Vec<TooMuch>),
    /// More is granted than the scope's ceiling allows.
    #[error("the ceiling of {scope} does not allow {beyond}")]
    Grants {
        /// The scope.
        scope: PolicyScope,
        /// What it does not allow.
        beyond: crate::model::Grants,
    },
    /// The scope takes signed policies only.
    #[error("{scope} takes signed policies only, and nobody it trusts has signed this one: {}", why(.causes))]
    Signature {
        /// The scope.
        scope: PolicyScope,
        /// Why none of the signatures counts.
        causes: Vec<SignatureError>,
    },
    /// A later version was current already.
    #[error(
        "{scope} has had {name} {mark}, and {version} is older; roll back to the generation that had it, or push it \
         under a later version"
    )]
    Downgrade {
        /// The scope.
        scope: PolicyScope,
        /// The policy.
        name: PolicyName,
        /// The one that was to be bound.
        version: PolicyVersion,
        /// The highest so far.
        mark: PolicyVersion,
    },
    /// The new generation may do more than the current one, and that was not accepted.
    #[error("this generation may do more than the one before: {0}; say that you accept it")]
    Authority(Box<AuthorityChange>),
    /// Some hosts are not ready to serve it.
    #[error(
        "generation {generation} is staged and does not serve, since not every host is ready: {}",
        waiting.join("; ")
    )]
    NotReady {
        /// The generation.
        generation: GenerationId,
        /// Which hosts, and what keeps each.
        waiting: Vec<String>,
    },
    /// The swap did not happen.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn why(causes: &[SignatureError]) -> String {
    match causes {
        [] => "there is no signature".to_owned(),
        causes => causes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}

impl Failure for Error {
    fn code(&self) -> &str {
        match self {
            Self::Denied(_) => "forbidden",
            Self::NotFound(_) | Self::Swap(SwapError::NotFound(_)) => "not_found",
            Self::Invalid(_) | Self::Limits(_) | Self::Grants { .. } => "invalid_request",
            Self::Busy(_) => "busy",
            Self::Refused(refusal) if refusal.is_of_host() => "service_unavailable",
            Self::Refused(_) => "policy_refused",
            Self::Unsafe(Unsafe::Policy { .. }) => "policy_unsafe",
            Self::Unsafe(Unsafe::Unchecked(_)) => "service_unavailable",
            Self::Add(AddPolicyError::VersionTaken { .. }) => "conflict",
            Self::Signature { .. } => "signature_required",
            Self::Downgrade { .. } | Self::Swap(SwapError::Downgrade { .. }) => "version_too_low",
            Self::Authority(_) => "authority_not_accepted",
            Self::NotReady { .. } => "not_ready",
            Self::Swap(SwapError::Conflict { .. } | SwapError::Revoked(_) | SwapError::Rollout(_)) => "conflict",
            Self::Unrecorded(_) => "service_unavailable",
            Self::Add(AddPolicyError::Store(error)) | Self::Swap(SwapError::Store(error)) | Self::Store(error) => {
                error.code()
            }
        }
    }

    fn may_have_happened(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Unknown(_))
                | Self::Swap(SwapError::Store(StoreError::Unknown(_)))
                | Self::Add(AddPolicyError::Store(StoreError::Unknown(_)))
        )
    }
}

impl Policies {
    /// On these stores.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Finds a policy that a scope may be bound to.
    async fn artifact(&self, scope: &PolicyScope, policy: &PolicyId) -> Result<PolicyArtifact, Error> {
        let found = match policy {
            PolicyId::Digest(digest) => nearest(self.0.policies.named(digest).await?, scope.tenant()),
            PolicyId::Version(name, version) => self.version(scope.tenant(), name, version).await?,
        };
        found.ok_or_else(|| Error::NotFound(format!("policy {policy} that {scope} may be bound to")))
    }

    /// The policy of what is bound: as it was called then, or else what its component is called; none if the scope may
    /// not be bound to it (any more).
    async fn policy_of(&self, scope: &PolicyScope, spec: &BindingSpec) -> Result<Option<PolicyArtifact>, StoreError> {
        let named = self.0.policies.named(&spec.digest).await?;
        let is_it = |policy: &PolicyArtifact| match &spec.called {
            Some((name, version)) => (&policy.name, &policy.version) == (name, version),
            None => true,
        };
        let so_called = named.iter().filter(|policy| is_it(policy)).cloned().collect();
        Ok(nearest(so_called, scope.tenant()).or_else(|| nearest(named, scope.tenant())))
    }

    /// A tenant's own before the platform's of the same name and version.
    async fn version(
        &self,
        tenant: Option<&TenantId>,
        name: &PolicyName,
        version: &PolicyVersion,
    ) -> Result<Option<PolicyArtifact>, StoreError> {
        let filter = PolicyFilter { visible_to: tenant.cloned(), name: Some(name.clone()) };
        let (mut found, mut after): (Option<PolicyArtifact>, Option<PolicyPlace>) = (None, None);
        loop {
            let page = self.0.policies.list(&filter, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.place());
            let mut named = page.into_iter().filter(|artifact| artifact.version == *version);
            if let Some(better) = named.rfind(|artifact| artifact.is_open_to(tenant)) {
                found = Some(better);
            }
        }
    }

    /// The component under a digest, which it has.
    async fn component(&self, digest: &PolicyDigest) -> Result<Vec<u8>, Error> {
        let bytes = self.0.policies.component(digest).await?;
        let bytes = bytes.ok_or_else(|| Error::NotFound(format!("component {digest}")))?;
        if PolicyDigest::of(&bytes) != *digest {
            return Err(
                StoreError::Corrupt(format!("policy_components: what is under {digest} has another digest")).into()
            );
        }
        Ok(bytes)
    }

    fn signed(&self, caller: &Caller, reason: &str) -> Result<Signed, Error> {
        let reason = reason.trim();
        if !(1..=REASON).contains(&reason.len()) {
            return Err(Error::Invalid(format!("reason must be 1 to {REASON} bytes")));
        }
        let (at, reason) = (self.0.clock.now(), bounded_text(reason, REASON));
        Ok(Signed { at, actor: caller.actor.clone(), reason })
    }
}

/// Of what a component is called what a tenant may be bound to: its own before the platform's, and what stands later in
/// lists before what stands earlier.
fn nearest(named: Vec<PolicyArtifact>, tenant: Option<&TenantId>) -> Option<PolicyArtifact> {
    let open = named.into_iter().filter(|policy| policy.is_open_to(tenant));
    open.max_by_key(|policy| (policy.owner.is_some(), policy.place()))
}

/// Whether a caller may see a scope at all: another tenant's is as if it were not there.
fn may_see(caller: &Caller, scope: &PolicyScope) -> Result<(), Error> {
    permit(caller, &Action::ReadPolicies(scope.clone())).map_err(|denied| match sight::is_anothers(caller, scope) {
        true => Error::NotFound(format!("tenant {scope}")),
        false => denied.into(),
    })
}

/// Whether a caller may change what serves a scope.
fn may_change(caller: &Caller, scope: &PolicyScope) -> Result<(), Error> {
    may_see(caller, scope)?;
    Ok(permit(caller, &Action::ChangePolicies(scope.clone()))?)
}
