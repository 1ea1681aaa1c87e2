//! On whose terms a policy is rehearsed: on those of what serves the game's tenant, in whose place it runs.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::RehearsalError;
use crate::app::{Error, Stores};
use crate::config;
use crate::model::{Ceiling, Generation, GenerationId, Grants, LimitOverrides, PolicyDigest, PolicyScope, TenantId};
use crate::ports::StoreError;
use crate::registry::Binding;
use crate::runtime::{DEFAULT_POLICY, Policy};

/// The terms of a rehearsal.
#[derive(Debug, Clone)]
pub struct RehearsalTerms {
    /// What serves the tenant now, on whose terms the policy ran in its place.
    pub generation: GenerationId,
    /// Every setting that there was, by name.
    pub settings: BTreeMap<String, SettingOrigin>,
    /// What bounded the run, as far as that is less than the host allows.
    pub limits: LimitOverrides,
    /// What the policy might do; none for everything.
    pub grants: Option<Grants>,
}

/// Where a setting came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingOrigin {
    /// It is what serves the tenant that has it.
    Bound,
    /// That has it with another value.
    Overridden,
    /// That does not have it.
    Added,
    /// It is not granted, so the policy could not read it.
    NotGranted,
}

/// What serves a tenant.
pub(super) enum Serving {
    /// A generation in the store, and what its scope's ceiling allows.
    Stored(Box<Generation>, Option<Ceiling>),
    /// What the host's configuration binds.
    Configured(PolicyScope, GenerationId, BTreeMap<String, String>),
}

impl Serving {
    /// What the store and the configuration say, in the order in which a host goes by them. Nobody is known to be the
    /// tenant of a game without a record.
    pub(super) async fn now(stores: &Stores, tenant: Option<&TenantId>) -> Result<Self, RehearsalError> {
        if let Some(tenant) = tenant {
            let scope = PolicyScope::Tenant(tenant.clone());
            if let Some(own) = Self::stored(stores, &scope).await? {
                return Ok(own);
            }
            if let Some(policy) = stores.config.tenants.get(tenant) {
                return Ok(Self::configured(scope, policy)?);
            }
        }
        match Self::stored(stores, &PolicyScope::Default).await? {
            Some(everybodys) => Ok(everybodys),
            None => Ok(Self::configured(PolicyScope::Default, &stores.config.policy)?),
        }
    }

    async fn stored(stores: &Stores, scope: &PolicyScope) -> Result<Option<Self>, StoreError> {
        let state = stores.generations.state(scope).await?;
        let Some(current) = state.and_then(|state| state.current) else { return Ok(None) };
        Ok(Some(Self::Stored(Box::new(current), stores.access.effective_ceiling(scope).await?)))
    }

    fn configured(scope: PolicyScope, policy: &config::Policy) -> Result<Self, Error> {
        let digest = match &policy.path {
            None => PolicyDigest::of(DEFAULT_POLICY),
            Some(path) => {
                let read = fs::read(path).map_err(|source| Error::PolicyFile { path: path.clone(), source });
                PolicyDigest::of(&read?)
            }
        };
        let id = Binding::configured_id(&scope, &digest, &policy.settings);
        Ok(Self::Configured(scope, id, policy.settings.clone()))
    }

    pub(super) fn id(&self) -> GenerationId {
        match self {
            Self::Stored(generation, _) => generation.id(),
            Self::Configured(_, id, _) => id.clone(),
        }
    }

    /// What it was bound with. What the ceiling allows of that today is looked at in the run.
    pub(super) fn grants(&self) -> Grants {
        match self {
            Self::Stored(generation, _) => generation.spec.grants.clone(),
            Self::Configured(..) => Grants::all(),
        }
    }

    fn settings(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Stored(generation, _) => &generation.spec.settings,
            Self::Configured(_, _, settings) => settings,
        }
    }

    /// Another policy in its place; `own` settings win over those that it has.
    pub(super) fn replaced_by(&self, policy: Policy, own: &BTreeMap<String, String>) -> (Arc<Binding>, RehearsalTerms) {
        let mut settings = self.settings().clone();
        settings.extend(own.clone());
        let names: Vec<String> = settings.keys().cloned().collect();
        let host = policy.limits().clone();
        let binding = match self {
            Self::Stored(generation, ceiling) => Binding::in_place_of(generation, policy, settings, ceiling.as_ref()),
            Self::Configured(scope, ..) => Arc::new(Binding::configured(scope, policy, &settings)),
        };
        let grants = binding.grants.as_deref();
        let origin = |name: String| {
            let origin = self.origin(&name, own, grants);
            (name, origin)
        };
        let terms = RehearsalTerms {
            generation: self.id(),
            settings: names.into_iter().map(origin).collect(),
            limits: binding.terms.limits.below(&host),
            grants: grants.cloned(),
        };
        (binding, terms)
    }

    fn origin(&self, name: &str, own: &BTreeMap<String, String>, grants: Option<&Grants>) -> SettingOrigin {
        if grants.is_some_and(|grants| !grants.permits_setting(name)) {
            return SettingOrigin::NotGranted;
        }
        match (self.settings().get(name), own.get(name)) {
            (_, None) => SettingOrigin::Bound,
            (None, Some(_)) => SettingOrigin::Added,
            (Some(bound), Some(own)) if bound == own => SettingOrigin::Bound,
            (Some(_), Some(_)) => SettingOrigin::Overridden,
        }
    }
}

/// How long the tenant's ceiling has its runtimes kept at least.
pub(super) async fn retention(stores: &Stores, tenant: Option<&TenantId>) -> Result<Duration, StoreError> {
    let Some(tenant) = tenant else { return Ok(Duration::ZERO) };
    let ceiling = stores.access.effective_ceiling(&PolicyScope::Tenant(tenant.clone())).await?;
    Ok(ceiling.as_ref().map(Ceiling::retention).unwrap_or_default())
}
