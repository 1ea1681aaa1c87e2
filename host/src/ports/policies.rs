//! Policies in the store: components, and what is signed of them.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{PolicyArtifact, PolicyDigest, PolicyName, PolicyPlace, PolicyVersion, TenantId};

/// Why a policy was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddPolicyError {
    /// The name and version are another component's.
    #[error("{name} {version} is {digest} already; a version never changes, so give the new component another one")]
    VersionTaken {
        /// The name.
        name: PolicyName,
        /// The version.
        version: PolicyVersion,
        /// The component that has them.
        digest: PolicyDigest,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which policies to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyFilter {
    /// Only what this tenant may bind: its own and the platform's.
    pub visible_to: Option<TenantId>,
    /// Only of this name.
    pub name: Option<PolicyName>,
}

/// Policies by their digests. What is there stays as it is.
///
/// Every method is atomic.
#[async_trait]
pub trait PolicyStore: Send + Sync {
    /// Adds a component. Adding the same once more, under the same name, version and owner, changes nothing. Name and
    /// version are unique within an owner. The same component may be added under several names, versions and owners, which
    /// do not know of one another. Answers what stands in the store.
    async fn add(&self, artifact: &PolicyArtifact, component: &[u8]) -> Result<PolicyArtifact, AddPolicyError>;

    /// All that a component was added as, in the order of lists; nothing if it is not there.
    async fn named(&self, digest: &PolicyDigest) -> Result<Vec<PolicyArtifact>, StoreError>;

    /// The component's bytes, if it is there. Whoever uses them checks that they have the digest.
    async fn component(&self, digest: &PolicyDigest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Policies by name, then version, then owner (the platform's first), after this place, at which there may be none.
    async fn list(
        &self,
        filter: &PolicyFilter,
        after: Option<&PolicyPlace>,
        limit: u32,
    ) -> Result<Vec<PolicyArtifact>, StoreError>;

    /// Adds what somebody signed of an owner's component, as text. Adding the same once more changes nothing. False if
    /// that owner has no such component.
    async fn add_signature(
        &self,
        owner: Option<&TenantId>,
        digest: &PolicyDigest,
        envelope: &str,
    ) -> Result<bool, StoreError>;

    /// What was signed of an owner's component, oldest first.
    async fn signatures(&self, owner: Option<&TenantId>, digest: &PolicyDigest) -> Result<Vec<String>, StoreError>;
}
