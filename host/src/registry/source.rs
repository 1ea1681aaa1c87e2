//! Where compiled policies come from.

use async_trait::async_trait;

use crate::compiler::{LoadFailure, PolicyLoader};
use crate::model::PolicyDigest;
use crate::runtime::Policy;

/// Makes a policy of a component that is to serve.
#[async_trait]
pub trait PolicySource: Send + Sync {
    /// The policy of a component that was compiled before, if that is at hand: quick, whatever else is being compiled.
    async fn compiled(&self, _digest: &PolicyDigest) -> Option<Policy> {
        None
    }

    /// Compiles a component, or finds it compiled. Keeps no thread from other work while it does.
    async fn load(&self, component: Vec<u8>) -> Result<Policy, LoadFailure>;
}

#[async_trait]
impl PolicySource for PolicyLoader {
    async fn compiled(&self, digest: &PolicyDigest) -> Option<Policy> {
        Self::compiled(self, digest).await
    }

    async fn load(&self, component: Vec<u8>) -> Result<Policy, LoadFailure> {
        self.load_to_serve(&component).await
    }
}
