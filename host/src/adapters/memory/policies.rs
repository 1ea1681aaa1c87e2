//! Policies in memory.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;

use super::MemoryStore;
use crate::model::{PolicyArtifact, PolicyDigest, PolicyPlace, TenantId};
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

/// Components, and all that they are called.
#[derive(Default)]
pub(super) struct Shelf {
    components: HashMap<PolicyDigest, Vec<u8>>,
    named: BTreeMap<PolicyPlace, PolicyArtifact>,
    signatures: HashMap<(Option<TenantId>, PolicyDigest), Vec<String>>,
}

#[async_trait]
impl PolicyStore for MemoryPolicies {
    async fn add(&self, artifact: &PolicyArtifact, component: &[u8]) -> Result<PolicyArtifact, AddPolicyError> {
        let shelf = &mut self.store.lock().policies;
        if let Some(known) = shelf.named.get(&artifact.place()) {
            let PolicyArtifact { name, version, digest, .. } = known.clone();
            return match digest == artifact.digest {
                true => Ok(known.clone()),
                false => Err(AddPolicyError::VersionTaken { name, version, digest }),
            };
        }
        shelf.components.entry(artifact.digest.clone()).or_insert_with(|| component.to_vec());
        shelf.named.insert(artifact.place(), artifact.clone());
        Ok(artifact.clone())
    }

    async fn named(&self, digest: &PolicyDigest) -> Result<Vec<PolicyArtifact>, StoreError> {
        let state = self.store.lock();
        Ok(state.policies.named.values().filter(|known| known.digest == *digest).cloned().collect())
    }

    async fn component(&self, digest: &PolicyDigest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.store.lock().policies.components.get(digest).cloned())
    }

    async fn list(
        &self,
        filter: &PolicyFilter,
        after: Option<&PolicyPlace>,
        limit: u32,
    ) -> Result<Vec<PolicyArtifact>, StoreError> {
        let state = self.store.lock();
        let later = state.policies.named.iter().filter(|(place, _)| after.is_none_or(|after| after < *place));
        let wanted = later.map(|(_, policy)| policy).filter(|policy| passes(filter, policy));
        Ok(wanted.take(limit as usize).cloned().collect())
    }

    async fn add_signature(
        &self,
        owner: Option<&TenantId>,
        digest: &PolicyDigest,
        envelope: &str,
    ) -> Result<bool, StoreError> {
        let shelf = &mut self.store.lock().policies;
        if !shelf.named.values().any(|known| known.digest == *digest && known.owner.as_ref() == owner) {
            return Ok(false);
        }
        let signatures = shelf.signatures.entry((owner.cloned(), digest.clone())).or_default();
        if !signatures.iter().any(|signature| signature == envelope) {
            signatures.push(envelope.to_owned());
        }
        Ok(true)
    }

    async fn signatures(&self, owner: Option<&TenantId>, digest: &PolicyDigest) -> Result<Vec<String>, StoreError> {
        let place = (owner.cloned(), digest.clone());
        Ok(self.store.lock().policies.signatures.get(&place).cloned().unwrap_or_default())
    }
}

impl Shelf {
    pub(super) fn has(&self, digest: &PolicyDigest) -> bool {
        self.components.contains_key(digest)
    }
}

fn passes(filter: &PolicyFilter, policy: &PolicyArtifact) -> bool {
    filter.visible_to.as_ref().is_none_or(|tenant| policy.is_open_to(Some(tenant)))
        && filter.name.as_ref().is_none_or(|name| *name == policy.name)
}
