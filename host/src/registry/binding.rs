//! A policy with the terms on which it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::model::{BindingSpec, Ceiling, Generation, GenerationId, Grants, PolicyDigest, PolicyRef, PolicyScope};
use crate::runtime::{Limits, Policy, Settings, Terms};

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
    /// The settings that it was bound with, as texts.
    settings: Arc<BTreeMap<String, String>>,
}

impl Binding {
    /// What a host's configuration binds: with everything granted, and the host's own limits.
    pub fn configured(scope: &PolicyScope, policy: Policy, settings: &BTreeMap<String, String>) -> Self {
        let generation = Self::configured_id(scope, policy.digest(), settings);
        let terms = Terms { settings: Arc::new(variables(settings.iter())), limits: policy.limits().clone() };
        Self::of(policy, terms, None, generation, Arc::new(settings.clone()))
    }

    /// What a host's configuration binds by this component and these settings is called.
    pub fn configured_id(
        scope: &PolicyScope,
        digest: &PolicyDigest,
        settings: &BTreeMap<String, String>,
    ) -> GenerationId {
        let mut hash = Sha256::new();
        hash.update(digest.as_str());
        for text in settings.iter().flat_map(|(name, value)| [name, value]) {
            // Lengths keep ("ab", "c") apart from ("a", "bc").
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
        let mut hash = hex::encode(hash.finalize());
        hash.truncate(16);
        GenerationId::configured(scope, &hash)
    }

    /// A policy on the terms of a generation in the store, with these settings for the generation's, and no more than
    /// the ceiling allows. Called as what a file binds: no generation in the store is that.
    pub fn in_place_of(
        generation: &Generation,
        policy: Policy,
        settings: BTreeMap<String, String>,
        ceiling: Option<&Ceiling>,
    ) -> Arc<Self> {
        let called = Self::configured_id(&generation.scope, policy.digest(), &settings);
        let spec = BindingSpec { settings, ..generation.spec.clone() };
        let host = policy.limits().clone();
        let mut binding = Self::stored(&Generation { spec, ..generation.clone() }, policy, &host);
        binding.reference.generation = called;
        let binding = Arc::new(binding);
        ceiling.map_or_else(|| binding.clone(), |ceiling| binding.under(ceiling))
    }

    /// Bounds its runs by these limits, as far as they are narrower than the host's.
    #[must_use]
    pub fn within(mut self, limits: &Limits) -> Self {
        self.terms.limits = Arc::new(limits.at_most(self.policy.limits()));
        self
    }

    /// The same for a policy that may do only this; none for everything. Settings that are not granted are not there.
    #[must_use]
    pub fn granting(mut self, grants: Option<Grants>, settings: &BTreeMap<String, String>) -> Self {
        if let Some(grants) = grants {
            let granted = settings.iter().filter(|(name, _)| grants.permits_setting(name));
            self.terms.settings = Arc::new(variables(granted));
            self.grants = Some(Arc::new(grants));
        }
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
        Self::of(policy, terms, grants, generation.id(), Arc::new(spec.settings.clone()))
    }

    /// The same with no more than a ceiling allows today, whatever it allowed when this was bound. What cannot be denied
    /// to a run (clock, remarks, WASI) was decided then.
    pub(super) fn under(self: &Arc<Self>, ceiling: &Ceiling) -> Arc<Self> {
        let limits = self.terms.limits.narrowed(&ceiling.limits);
        let held = self.grants.as_deref();
        let grants = ceiling.grants.as_ref().map(|allowed| match held {
            Some(held) => held.intersection(allowed),
            None => Grants::all().intersection(allowed),
        });
        let keeps = |grants: &Grants| match held {
            Some(held) => held == grants,
            None => Grants::all().is_subset(grants),
        };
        if limits == *self.terms.limits && grants.as_ref().is_none_or(keeps) {
            return self.clone();
        }
        let settings = match &grants {
            Some(grants) => Arc::new(variables(self.settings.iter().filter(|(name, _)| grants.permits_setting(name)))),
            None => self.terms.settings.clone(),
        };
        Arc::new(Self {
            policy: self.policy.clone(),
            terms: Terms { settings, limits: Arc::new(limits) },
            grants: grants.map(Arc::new).or_else(|| self.grants.clone()),
            reference: self.reference.clone(),
            settings: self.settings.clone(),
        })
    }

    fn of(
        policy: Policy,
        terms: Terms,
        grants: Option<Arc<Grants>>,
        generation: GenerationId,
        settings: Arc<BTreeMap<String, String>>,
    ) -> Self {
        let reference = PolicyRef { generation, digest: policy.digest().clone() };
        Self { policy, terms, grants, reference, settings }
    }
}

fn variables<'s>(settings: impl Iterator<Item = (&'s String, &'s String)>) -> Settings {
    settings.map(|(name, value)| (name.clone(), value.clone())).collect()
}
