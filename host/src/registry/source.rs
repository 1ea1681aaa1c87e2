//! Where compiled policies come from.

use async_trait::async_trait;

use crate::compiler::{LoadFailure, PolicyLoader};
use crate::runtime::Policy;

/// Makes a policy of a component.
#[async_trait]
pub trait PolicySource: Send + Sync {
    /// Compiles a component, or finds it compiled. Keeps no thread from other work while it does.
    async fn load(&self, component: Vec<u8>) -> Result<Policy, LoadFailure>;
}

#[async_trait]
impl PolicySource for PolicyLoader {
    async fn load(&self, component: Vec<u8>) -> Result<Policy, LoadFailure> {
        Self::load(self, &component).await
    }
}
