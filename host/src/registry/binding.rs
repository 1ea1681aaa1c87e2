//! A policy with the terms on which it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime_wasi_config::WasiConfigVariables;

use crate::model::{Generation, GenerationId, Grants, PolicyRef, PolicyScope};
use crate::runtime::{Limits, Policy, Terms};

/// A policy with the settings and limits that it runs with: what a scope is bound to.
pub struct Binding {
    /// The compiled policy.
    pub policy: Policy,
    /// Its settings, and what bounds its runs.
    pub terms: Terms,
    /// What it may import and do; none for everything.
    pub grants: Option<Arc<Grants>>,
    /// The generation, which names all of this together, and the component's digest. A wait that a policy asked for is
    /// void under another generation.
    pub reference: PolicyRef,
}

impl Binding {
    /// What a host's configuration binds: with everything granted, and the host's own limits.
    pub fn configured(scope: &PolicyScope, policy: Policy, settings: &BTreeMap<String, String>) -> Self {
        let mut hash = Sha256::new();
        hash.update(policy.digest().as_str());
        for text in settings.iter().flat_map(|(name, value)| [name, value]) {
            // Lengths keep ("ab", "c") apart from ("a", "bc").
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
        let mut hash = hex::encode(hash.finalize());
        hash.truncate(16);
        let generation = GenerationId::configured(scope, &hash);
        let terms = Terms { settings: Arc::new(variables(settings.iter())), limits: policy.limits().clone() };
        Self::of(policy, terms, None, generation)
    }

    /// Bounds its runs by these limits, as far as they are narrower than the host's.
    #[must_use]
    pub fn within(mut self, limits: &Limits) -> Self {
        self.terms.limits = Arc::new(limits.at_most(self.policy.limits()));
        self
    }

    /// What a generation in the store binds: the settings that it grants, and no more than the host allows.
    pub(super) fn stored(generation: &Generation, policy: Policy, host: &Limits) -> Self {
        let spec = &generation.spec;
        let granted = |(name, _): &(&String, &String)| spec.grants.permits_setting(name);
        let settings = Arc::new(variables(spec.settings.iter().filter(granted)));
        let terms = Terms { settings, limits: Arc::new(host.narrowed(&spec.limits)) };
        let all = Grants::all().is_subset(&spec.grants);
        let grants = (!all).then(|| Arc::new(spec.grants.clone()));
        Self::of(policy, terms, grants, generation.id())
    }

    fn of(policy: Policy, terms: Terms, grants: Option<Arc<Grants>>, generation: GenerationId) -> Self {
        let reference = PolicyRef { generation, digest: policy.digest().clone() };
        Self { policy, terms, grants, reference }
    }
}

fn variables<'s>(settings: impl Iterator<Item = (&'s String, &'s String)>) -> WasiConfigVariables {
    settings.map(|(name, value)| (name.clone(), value.clone())).collect()
}
