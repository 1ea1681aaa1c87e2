//! The versions of a policy between which a history swaps, and the generations that bind them.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::Options;
use super::host::SetupError;
use super::site::Site;
use crate::compiler::{CompileError, LoadFailure};
use crate::model::{BindingSpec, Generation, PolicyArtifact, PolicyDigest, PolicyScope, Signed};
use crate::ports::{Clock as _, SwapKind};
use crate::registry::{Binding, PolicySource};
use crate::runtime::Policy;

/// The scope that serves all games of a history.
pub(super) const SCOPE: PolicyScope = PolicyScope::Default;
/// What stands in the store for the components. The last one is there for when the others are revoked.
const COMPONENTS: [&[u8]; 3] = [b"a version", b"another version", b"a version that is never revoked"];

/// The same code under digests of its own: what a run does tells nothing of its version, what it says of itself all.
pub(super) struct Versions {
    policies: BTreeMap<PolicyDigest, Policy>,
    /// As they follow each other.
    order: Vec<PolicyDigest>,
    options: Options,
}

impl Versions {
    pub(super) fn new(policy: &Policy, options: &Options) -> Self {
        let order: Vec<_> = COMPONENTS.iter().map(|component| PolicyDigest::of(component)).collect();
        let policies = order.iter().map(|digest| (digest.clone(), policy.as_version(digest.clone()))).collect();
        Self { policies, order, options: options.clone() }
    }

    /// What a host would serve without a store; it is never asked to.
    pub(super) fn fallback(&self) -> Option<Binding> {
        let policy = self.policies.values().next()?.clone();
        Some(Binding::configured(&SCOPE, policy, &BTreeMap::new()))
    }

    /// The version that comes after one, of those that are not revoked.
    pub(super) fn after(&self, current: Option<&PolicyDigest>, is_revoked: impl Fn(&str) -> bool) -> PolicyDigest {
        let mut fit = self.order.iter().filter(|digest| Some(*digest) != current && !is_revoked(digest.as_str()));
        let last = || self.order.last().cloned().unwrap_or_else(|| PolicyDigest::of(b""));
        fit.next().cloned().unwrap_or_else(last)
    }

    /// Whether a version may be revoked: one of them has to be left.
    pub(super) fn may_be_revoked(&self, digest: &PolicyDigest) -> bool {
        self.order.last() != Some(digest)
    }

    fn spec(&self, digest: PolicyDigest) -> BindingSpec {
        let Options { settings, limits, grants, .. } = self.options.clone();
        BindingSpec { digest, called: None, settings, limits, grants }
    }
}

#[async_trait]
impl PolicySource for Versions {
    async fn load(&self, component: Vec<u8>) -> Result<Policy, LoadFailure> {
        let found = self.policies.get(&PolicyDigest::of(&component)).cloned();
        found.ok_or_else(|| CompileError::Rejected("no version of this simulation".to_owned()).into())
    }
}

/// Puts the versions into the store, and binds the first.
pub(super) async fn publish(site: &Site) -> Result<(), SetupError> {
    let policies = site.store.policies();
    for (minor, component) in COMPONENTS.iter().enumerate() {
        let artifact = PolicyArtifact {
            digest: PolicyDigest::of(component),
            name: "simulated".parse()?,
            version: format!("1.{minor}.0").parse()?,
            owner: None,
            size: component.len() as u64,
            pushed_at: site.clock.now(),
            pushed_by: "operator".to_owned(),
        };
        policies.add(&artifact, component).await?;
    }
    let first = site.versions.after(None, |_| false);
    bind(site, None, first).await.map(drop)
}

/// Stages a generation with that version, and makes it current.
pub(super) async fn bind(
    site: &Site,
    expected: Option<u64>,
    digest: PolicyDigest,
) -> Result<Option<Generation>, SetupError> {
    let (generations, signed) = (site.store.generations(), signed(site));
    let generation = generations.stage(&SCOPE, &site.versions.spec(digest), &signed).await?;
    site.seen().witness.staged(&generation);
    generations.swap(&SCOPE, expected, generation.number, SwapKind::Bind, None, &signed).await?;
    Ok(Some(generation))
}

/// Whoever does things with policies in a history.
pub(super) fn signed(site: &Site) -> Signed {
    Signed { at: site.clock.now(), actor: "operator".to_owned(), reason: "case 8".to_owned() }
}
