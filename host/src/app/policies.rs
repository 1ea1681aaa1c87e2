//! What people do with policies, put together; and what examines a component where there is no store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::simulations::Simulations;
use super::{Error, Stores, loading};
use crate::adapters::memory::MemoryStore;
use crate::adapters::system_clock::{SystemClock, SystemRandomness};
use crate::admission::{Admission, Refusal};
use crate::compiler::PolicyLoader;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::model::{BindingSpec, Grants, LimitOverrides, PolicyDigest};
use crate::policies::{Busy, Parts, Policies, SafetyGate, Unsafe};
use crate::runtime::Sandbox;
use crate::session::Ports;
use crate::views::CheckedComponent;

/// Why a component did not pass.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// It does not fit.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It does not keep the protocol.
    #[error(transparent)]
    Unsafe(#[from] Unsafe),
}

impl Rejection {
    /// Whether this says nothing of the component.
    pub fn is_of_host(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_of_host(),
            Self::Unsafe(cause) => matches!(cause, Unsafe::Unchecked(_)),
        }
    }
}

/// For commands, which run no policy but to examine it.
pub fn policies(stores: &Stores) -> Result<Policies, Error> {
    let ports = stores.ports(BTreeMap::new(), Arc::new(Metrics::new()?));
    let loader = loading::loader(&stores.config, Sandbox::new(stores.config.sandbox.clone())?);
    on(stores, loader, Arc::new(ports))
}

/// On stores that are open.
pub(super) fn on(stores: &Stores, loader: PolicyLoader, ports: Arc<Ports>) -> Result<Policies, Error> {
    Ok(Policies::new(Parts {
        policies: stores.policies.clone(),
        generations: stores.generations.clone(),
        access: stores.access.clone(),
        trail: stores.trail(),
        admission: Admission::new(stores.config.admission.shape.clone(), loader, ports),
        gate: Arc::new(Simulations::new(&stores.config)),
        busy: Busy::default(),
        limits: stores.config.sandbox.limits.clone(),
        clock: stores.clock.clone(),
    }))
}

/// Examines a component without any store: what it would meet on any host with these limits, whoever binds it.
pub async fn check_component(
    config: &Config,
    component: Vec<u8>,
    settings: BTreeMap<String, String>,
) -> Result<Result<CheckedComponent, Rejection>, Error> {
    let loader = loading::uncached(config, Sandbox::new(config.sandbox.clone())?);
    let admission = Admission::new(config.admission.shape.clone(), loader, nobodys_ports()?);
    let gate = Simulations::new(config);
    let (digest, limits) = (PolicyDigest::of(&component), LimitOverrides::default());
    let bound = BindingSpec { digest, called: None, settings, limits, grants: Grants::all() };
    Ok(examined(&admission, &gate, config, component, &bound).await)
}

async fn examined(
    admission: &Admission,
    gate: &dyn SafetyGate,
    config: &Config,
    component: Vec<u8>,
    bound: &BindingSpec,
) -> Result<CheckedComponent, Rejection> {
    let admitted = admission.check(component.clone(), &bound.grants, &config.sandbox.limits).await?;
    let scenarios = gate.examine(&component, bound).await?;
    Ok(CheckedComponent::new(&component, &admitted.authority, &scenarios))
}

/// A world in which there is nothing, for the one instance by which admission tries a component.
pub(super) fn nobodys_ports() -> Result<Arc<Ports>, Error> {
    let (store, clock) = (MemoryStore::default(), Arc::new(SystemClock));
    Ok(Arc::new(Ports {
        records: store.records(),
        operations: store.operation_log(),
        leases: store.leases(clock.clone()),
        engines: BTreeMap::new(),
        clock,
        randomness: Arc::new(SystemRandomness),
        metrics: Arc::new(Metrics::new()?),
    }))
}
