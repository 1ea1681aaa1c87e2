//! What people do with policies, on given stores: as the host has it, but that every policy passes the safety scenarios,
//! which ask no store and take their time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rtmanager::adapters::system_clock::SystemRandomness;
use rtmanager::admission::Admission;
use rtmanager::app::Stores;
use rtmanager::compiler::{CodeCache, Compiler, PolicyLoader};
use rtmanager::metrics::Metrics;
use rtmanager::model::LimitOverrides;
use rtmanager::policies::{Bind, Busy, Parts, Policies, PolicyId};
use rtmanager::runtime::Sandbox;
use rtmanager::session::Ports;

use crate::scripted_gate::ScriptedGate;

/// With the cache and the compiler of the stores' configuration.
pub fn policies(stores: &Stores) -> anyhow::Result<Policies> {
    let config = &stores.config;
    let cache = config.admission.code_cache.as_ref().context("a cache")?;
    let cache = CodeCache::open(cache, Arc::new(SystemRandomness))?;
    let sandbox = Sandbox::new(config.sandbox.clone())?;
    let loader = PolicyLoader::new(sandbox, Compiler::new(config.admission.compiler.clone()), Some(cache));
    let ports = Ports {
        records: stores.records.clone(),
        operations: stores.operations.clone(),
        leases: stores.leases.clone(),
        engines: BTreeMap::new(),
        clock: stores.clock.clone(),
        randomness: Arc::new(SystemRandomness),
        metrics: Arc::new(Metrics::new()?),
    };
    Ok(Policies::new(Parts {
        policies: stores.policies.clone(),
        generations: stores.generations.clone(),
        access: stores.access.clone(),
        trail: stores.trail(),
        admission: Admission::new(config.admission.shape.clone(), loader, Arc::new(ports)),
        gate: Arc::new(ScriptedGate::default()),
        busy: Busy::default(),
        limits: config.sandbox.limits.clone(),
        clock: stores.clock.clone(),
    }))
}

/// Whatever it may do, and whichever hosts are behind.
pub fn bind(policy: PolicyId) -> Bind {
    Bind {
        policy,
        settings: BTreeMap::new(),
        limits: LimitOverrides::default(),
        grants: None,
        reason: "a test".to_owned(),
        expected: None,
        accept_authority: true,
        patience: Duration::ZERO,
        leave_behind: true,
    }
}
