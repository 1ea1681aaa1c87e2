//! Which policy serves which tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime_wasi_config::WasiConfigVariables;

use crate::model::TenantId;
use crate::runtime::Policy;

/// A policy with the settings it runs with: what a tenant is bound to.
pub struct Binding {
    /// The compiled policy.
    pub policy: Policy,
    /// What it reads through `wasi:config/store`.
    pub settings: Arc<WasiConfigVariables>,
    /// Names policy and settings together. A wait that a policy asked for is void under another generation.
    pub generation: String,
}

impl Binding {
    /// Binds a policy to its settings.
    pub fn new(policy: Policy, settings: &BTreeMap<String, String>) -> Self {
        let mut hash = Sha256::new();
        hash.update(policy.digest().as_str());
        for text in settings.iter().flat_map(|(name, value)| [name, value]) {
            // Lengths keep ("ab", "c") apart from ("a", "bc").
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
        let mut generation = hex::encode(hash.finalize());
        generation.truncate(16);
        let settings = Arc::new(settings.iter().map(|(name, value)| (name.clone(), value.clone())).collect());
        Self { policy, settings, generation }
    }
}

/// The bindings in force: the tenants' own, and one for everybody else.
pub struct Registry {
    fallback: Arc<Binding>,
    tenants: BTreeMap<TenantId, Arc<Binding>>,
}

impl Registry {
    /// Tenants without a binding of their own get `fallback`.
    pub fn new(fallback: Binding, tenants: impl IntoIterator<Item = (TenantId, Binding)>) -> Self {
        let tenants = tenants.into_iter().map(|(tenant, binding)| (tenant, Arc::new(binding))).collect();
        Self { fallback: Arc::new(fallback), tenants }
    }

    /// The binding that serves a tenant; that of everybody else while the tenant is not known.
    pub fn binding(&self, tenant: Option<&TenantId>) -> Arc<Binding> {
        tenant.and_then(|tenant| self.tenants.get(tenant)).unwrap_or(&self.fallback).clone()
    }
}
