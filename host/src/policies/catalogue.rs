//! The policies that there are: pushed, listed, shown, vouched for.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Error, PAGE, Policies, PolicyId, nearest};
use crate::access::{Action, Caller, Deed, permit};
use crate::admission::{Authority, Refusal};
use crate::model::{
    Grants, PolicyArtifact, PolicyDigest, PolicyName, PolicyPlace, PolicyScope, PolicyVersion, TenantId,
};
use crate::ports::PolicyFilter;
use crate::signing::{Envelope, Subject};

/// Components of one tenant.
const MOST_POLICIES: usize = 200;

/// A component that somebody wants in the store.
#[derive(Debug, Clone)]
pub struct NewPolicy {
    /// What to call it.
    pub name: PolicyName,
    /// Which version of that it is.
    pub version: PolicyVersion,
    /// Whose it is to be; none for the platform's.
    pub owner: Option<TenantId>,
    /// The component.
    pub component: Vec<u8>,
    /// What was signed of it.
    pub signatures: Vec<Envelope>,
}

/// A policy, and what is to be known of it before it is bound.
#[derive(Debug, Clone)]
pub struct PolicyDetails {
    /// What stands in the store.
    pub artifact: PolicyArtifact,
    /// What it imports and needs.
    pub authority: Authority,
    /// The keys that are said to have signed it, by their ids. Whether they did, and whom that counts for, is decided
    /// when it is bound.
    pub signers: Vec<String>,
}

/// A policy that is in the store now.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The policy.
    pub details: PolicyDetails,
    /// Whether it was not there before.
    pub is_new: bool,
}

impl Policies {
    /// Puts a component into the store, once it has been examined. Pushing the same again changes nothing.
    pub async fn push(&self, caller: &Caller, new: NewPolicy) -> Result<Pushed, Error> {
        permit(caller, &Action::PushPolicy(new.owner.clone()))?;
        let digest = PolicyDigest::of(&new.component);
        let deed = Deed::new("policy.push", format!("{}@{}", new.name, new.version))
            .with("digest", digest.as_str())
            .with("owner", new.owner.as_ref().map(|owner| owner.as_str().to_owned()))
            .with("signatures", new.signatures.len());
        let (desk, by) = (self.clone(), caller.actor.clone());
        let pushing = async move { desk.add(new, digest, by).await };
        let (artifact, authority, is_new) = self.0.trail.audited(caller, deed, pushing).await?;
        Ok(Pushed { details: self.described(artifact, authority).await?, is_new })
    }

    /// The largest component that is taken, in bytes.
    pub fn largest_component(&self) -> u64 {
        self.0.admission.component_bytes()
    }

    async fn add(
        &self,
        new: NewPolicy,
        digest: PolicyDigest,
        by: String,
    ) -> Result<(PolicyArtifact, Authority, bool), Error> {
        let owner = new.owner.clone().map_or(PolicyScope::Default, PolicyScope::Tenant);
        let _busy = self.0.busy.enter(&owner)?;
        self.check_room(&new).await?;
        let NewPolicy { name, version, owner, component, signatures } = new;
        let size = u64::try_from(component.len()).unwrap_or(u64::MAX);
        let component = Arc::<[u8]>::from(component);
        // What it may be granted is decided when it is bound.
        let admitted = self.0.admission.check(component.clone(), &Grants::all(), &self.0.limits).await?;
        let artifact =
            PolicyArtifact { digest, name, version, owner, size, pushed_at: self.0.clock.now(), pushed_by: by };
        let named = self.0.policies.named(&artifact.digest).await?;
        let is_new = !named.iter().any(|known| known.place() == artifact.place());
        let artifact = self.0.policies.add(&artifact, &component).await?;
        for envelope in signatures {
            let owner = artifact.owner.as_ref();
            self.0.policies.add_signature(owner, &artifact.digest, &envelope.to_json()).await?;
        }
        Ok((artifact, admitted.authority, is_new))
    }

    /// A tenant has room for so many components, and nobody's has more signatures than an envelope may have.
    async fn check_room(&self, new: &NewPolicy) -> Result<(), Error> {
        let Some(owner) = &new.owner else { return Ok(()) };
        let filter = PolicyFilter { visible_to: Some(owner.clone()), name: None };
        let (mut own, mut after) = (0, None);
        loop {
            let page = self.0.policies.list(&filter, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.place());
            own += page.iter().filter(|artifact| artifact.owner.as_ref() == Some(owner)).count();
            if own >= MOST_POLICIES {
                return Err(Error::Invalid(format!(
                    "{owner} has {MOST_POLICIES} policies in the store, which is the most"
                )));
            }
        }
    }

    /// Adds what somebody signed of a component, for each owner of it whose policies the caller manages. Whether that
    /// counts is decided when it is bound.
    pub async fn sign(&self, caller: &Caller, digest: &PolicyDigest, envelope: &Envelope) -> Result<(), Error> {
        let seen = self.seen(caller, digest).await?;
        let owners: BTreeSet<_> = self.0.policies.named(digest).await?.into_iter().map(|policy| policy.owner).collect();
        let is_theirs = |owner: &Option<TenantId>| permit(caller, &Action::PushPolicy(owner.clone())).is_ok();
        let owners: Vec<_> = owners.into_iter().filter(is_theirs).collect();
        if owners.is_empty() {
            permit(caller, &Action::PushPolicy(seen.owner))?;
        }
        for owner in &owners {
            if self.0.policies.signatures(owner.as_ref(), digest).await?.len() >= Envelope::MOST_SIGNATURES {
                return Err(Error::Invalid(format!(
                    "policy {digest} has {} signatures, which is the most",
                    Envelope::MOST_SIGNATURES
                )));
            }
        }
        let deed = Deed::new("policy.sign", digest);
        let (desk, digest, envelope) = (self.clone(), digest.clone(), envelope.to_json());
        let signing = async move {
            for owner in &owners {
                desk.0.policies.add_signature(owner.as_ref(), &digest, &envelope).await?;
            }
            Ok::<_, Error>(())
        };
        self.0.trail.audited(caller, deed, signing).await
    }

    /// The policies that a caller can see, after this place.
    pub async fn list(
        &self,
        caller: &Caller,
        name: Option<PolicyName>,
        after: Option<&PolicyPlace>,
        limit: u32,
    ) -> Result<Vec<PolicyArtifact>, Error> {
        permit(caller, &Action::ReadPolicy(None))?;
        let filter = PolicyFilter { visible_to: caller.role.tenant().cloned(), name };
        // One more than a page has tells whether there is another.
        Ok(self.0.policies.list(&filter, after, limit.min(PAGE + 1)).await?)
    }

    /// The digest of a policy as people name it: by name and version, this owner's before the platform's.
    pub async fn find(
        &self,
        caller: &Caller,
        owner: Option<&TenantId>,
        policy: &PolicyId,
    ) -> Result<PolicyDigest, Error> {
        let (name, version) = match policy {
            PolicyId::Digest(digest) => return Ok(digest.clone()),
            PolicyId::Version(name, version) => (name, version),
        };
        let owner = caller.role.tenant().or(owner);
        permit(caller, &Action::ReadPolicy(owner.cloned()))?;
        let found = self.version(owner, name, version).await?;
        found.map(|artifact| artifact.digest).ok_or_else(|| Error::NotFound(format!("policy {policy}")))
    }

    /// One policy.
    pub async fn show(&self, caller: &Caller, digest: &PolicyDigest) -> Result<PolicyDetails, Error> {
        let artifact = self.seen(caller, digest).await?;
        self.details(artifact).await
    }

    /// One policy's component and signatures.
    pub async fn fetch(&self, caller: &Caller, digest: &PolicyDigest) -> Result<(Vec<u8>, Vec<String>), Error> {
        let seen = self.seen(caller, digest).await?;
        let signatures = self.0.policies.signatures(seen.owner.as_ref(), digest).await?;
        Ok((self.component(digest).await?, signatures))
    }

    /// What is another tenant's is as if it were not there.
    pub(super) async fn seen(&self, caller: &Caller, digest: &PolicyDigest) -> Result<PolicyArtifact, Error> {
        let mut named = self.0.policies.named(digest).await?;
        named.retain(|policy| permit(caller, &Action::ReadPolicy(policy.owner.clone())).is_ok());
        let any = named.first().cloned();
        let found = nearest(named, caller.role.tenant()).or(any);
        found.ok_or_else(|| Error::NotFound(format!("policy {digest}")))
    }

    async fn details(&self, artifact: PolicyArtifact) -> Result<PolicyDetails, Error> {
        let authority = authority(self.component(&artifact.digest).await?).await?;
        self.described(artifact, authority).await
    }

    async fn described(&self, artifact: PolicyArtifact, authority: Authority) -> Result<PolicyDetails, Error> {
        let envelopes = self.0.policies.signatures(artifact.owner.as_ref(), &artifact.digest).await?;
        let envelopes = envelopes.iter().filter_map(|text| Envelope::parse(text.as_bytes()).ok());
        let signers = envelopes.flat_map(|envelope| envelope.key_ids().map(str::to_owned).collect::<Vec<_>>());
        Ok(PolicyDetails { artifact, authority, signers: signers.collect() })
    }
}

/// What a component asks for. Parsing megabytes takes longer than a task may hold its thread.
pub(super) async fn authority(component: Vec<u8>) -> Result<Authority, Refusal> {
    tokio::task::spawn_blocking(move || Authority::of(&component)).await?
}

impl PolicyArtifact {
    /// What a signature must be about to count for it in a scope.
    pub(super) fn subject<'a>(&'a self, tenant: Option<&'a TenantId>) -> Subject<'a> {
        Subject { digest: &self.digest, name: &self.name, version: &self.version, abi: super::ABI, tenant }
    }
}
