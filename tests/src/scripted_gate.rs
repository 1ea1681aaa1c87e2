//! A gate that lets policies through, but for those that it is told to refuse.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use rtmanager::model::{BindingSpec, PolicyDigest};
use rtmanager::policies::{SafetyGate, Scenarios, Unsafe};

/// How many histories it says that a policy came through.
pub const HISTORIES: u64 = 7;

/// A gate under a test's control.
#[derive(Debug, Default)]
pub struct ScriptedGate {
    refused: Mutex<BTreeMap<PolicyDigest, Unsafe>>,
}

impl ScriptedGate {
    /// From now on, this component does not pass.
    pub fn refuse(&self, component: &[u8], why: Unsafe) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(PolicyDigest::of(component), why);
    }
}

#[async_trait]
impl SafetyGate for ScriptedGate {
    async fn examine(&self, component: &[u8], _: &BindingSpec) -> Result<Scenarios, Unsafe> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = refused.get(&PolicyDigest::of(component)).cloned();
        refused.map_or(Ok(Scenarios { histories: HISTORIES }), Err)
    }
}
