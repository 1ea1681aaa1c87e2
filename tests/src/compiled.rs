//! Compiles in the test's own process, each component once.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use rtmanager::compiler::LoadFailure;
use rtmanager::model::PolicyDigest;
use rtmanager::registry::PolicySource;
use rtmanager::runtime::{Policy, Sandbox, SandboxOptions};

/// What was compiled so far, and where.
pub struct Compiled {
    sandbox: Sandbox,
    policies: Mutex<BTreeMap<PolicyDigest, Policy>>,
}

impl Default for Compiled {
    fn default() -> Self {
        let options = SandboxOptions { concurrent_runs: 1, ..SandboxOptions::default() };
        Self { sandbox: Sandbox::new(options).unwrap(), policies: Mutex::default() }
    }
}

impl Compiled {
    /// The policy of this component.
    pub fn policy(&self, component: &[u8]) -> Policy {
        self.load_once(component).unwrap()
    }

    /// The components that anybody has asked for.
    pub fn digests(&self) -> Vec<PolicyDigest> {
        self.policies.lock().unwrap().keys().cloned().collect()
    }

    fn load_once(&self, component: &[u8]) -> Result<Policy, LoadFailure> {
        let digest = PolicyDigest::of(component);
        let mut policies = self.policies.lock().unwrap();
        if let Some(policy) = policies.get(&digest) {
            return Ok(policy.clone());
        }
        let policy = self.sandbox.load(component)?;
        policies.insert(digest, policy.clone());
        Ok(policy)
    }
}

#[async_trait]
impl PolicySource for Compiled {
    async fn load(&self, component: Vec<u8>) -> Result<Policy, LoadFailure> {
        self.load_once(&component)
    }
}
