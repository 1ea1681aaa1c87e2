//! Policies in memory.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::adapters::scope::known_as;
use crate::model::{PolicyArtifact, PolicyDigest};
use crate::ports::{AddPolicyError, PolicyFilter, PolicyStore, StoreError};

/// The policies of a [`MemoryStore`].
pub struct MemoryPolicies {
    store: MemoryStore,
}

impl MemoryPolicies {
    pub(super) fn new(store: MemoryStore) -> Self {
        Self { store }
    }
}

/// A component with all that is known of it.
pub(super) struct Stored {
    artifact: PolicyArtifact,
    component: Vec<u8>,
    signatures: Vec<String>,
}

/// Components by their digests.
pub(super) type Shelf = HashMap<PolicyDigest, Stored>;

#[async_trait]
impl PolicyStore for MemoryPolicies {
    async fn add(&self, artifact: &PolicyArtifact, component: &[u8]) -> Result<PolicyArtifact, AddPolicyError> {
        let mut state = self.store.lock();
        if let Some(known) = state.policies.get(&artifact.digest) {
            return match is_same(&known.artifact, artifact) {
                true => Ok(known.artifact.clone()),
                false => Err(AddPolicyError::KnownAs(known_as(&known.artifact, artifact.owner.as_ref()))),
            };
        }
        if let Some(taken) = state.policies.values().find(|known| is_same(&known.artifact, artifact)) {
            let PolicyArtifact { name, version, digest, .. } = taken.artifact.clone();
            return Err(AddPolicyError::VersionTaken { name, version, digest });
        }
        let stored = Stored { artifact: artifact.clone(), component: component.to_vec(), signatures: Vec::new() };
        state.policies.insert(artifact.digest.clone(), stored);
        Ok(artifact.clone())
    }

    async fn get(&self, digest: &PolicyDigest) -> Result<Option<PolicyArtifact>, StoreError> {
        Ok(self.store.lock().policies.get(digest).map(|known| known.artifact.clone()))
    }

    async fn component(&self, digest: &PolicyDigest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.store.lock().policies.get(digest).map(|known| known.component.clone()))
    }

    async fn list(
        &self,
        filter: &PolicyFilter,
        after: Option<&PolicyDigest>,
        limit: u32,
    ) -> Result<Vec<PolicyArtifact>, StoreError> {
        Ok(self.store.lock().listed(filter, after, limit))
    }

    async fn add_signature(&self, digest: &PolicyDigest, envelope: &str) -> Result<bool, StoreError> {
        let mut state = self.store.lock();
        let Some(known) = state.policies.get_mut(digest) else { return Ok(false) };
        if !known.signatures.iter().any(|signature| signature == envelope) {
            known.signatures.push(envelope.to_owned());
        }
        Ok(true)
    }

    async fn signatures(&self, digest: &PolicyDigest) -> Result<Vec<String>, StoreError> {
        Ok(self.store.lock().policies.get(digest).map(|known| known.signatures.clone()).unwrap_or_default())
    }
}

impl State {
    fn listed(&self, filter: &PolicyFilter, after: Option<&PolicyDigest>, limit: u32) -> Vec<PolicyArtifact> {
        let place = match after.map(|digest| self.policies.get(digest)) {
            None => None,
            Some(Some(known)) => Some(known.artifact.place()),
            Some(None) => return Vec::new(),
        };
        let known = self.policies.values().map(|known| &known.artifact);
        let mut wanted: Vec<_> =
            known.filter(|known| passes(filter, known) && place.is_none_or(|place| place < known.place())).collect();
        wanted.sort_by_key(|known| known.place());
        wanted.into_iter().take(limit as usize).cloned().collect()
    }
}

fn is_same(known: &PolicyArtifact, other: &PolicyArtifact) -> bool {
    known.place() == other.place()
}

fn passes(filter: &PolicyFilter, policy: &PolicyArtifact) -> bool {
    let is_visible = |tenant| policy.owner.as_ref().is_none_or(|owner| owner == tenant);
    filter.visible_to.as_ref().is_none_or(is_visible) && filter.name.as_ref().is_none_or(|name| *name == policy.name)
}
