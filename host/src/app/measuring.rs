//! Policies, ready to have their costs measured: as hosts run them, and metered.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::nobodys_ports;
use crate::admission::Refusal;
use crate::compiler::{Compiler, LoadFailure, Purpose};
use crate::config::Config;
use crate::model::{ErrorChain, PolicyDigest, PolicyScope};
use crate::registry::Binding;
use crate::runtime::{Policy, Sandbox, Terms};
use crate::scenario::{Cost, Meter, Tester};
use crate::session::{Ports, Session};

/// A policy to be measured.
pub struct Measurable {
    /// Plays scenarios with the policy as hosts run it.
    pub as_served: Tester,
    /// The same with each instruction counted.
    pub metered: Tester,
    /// The component's size.
    pub component_bytes: usize,
    /// The size of its machine code, as it is loaded.
    pub code_bytes: usize,
    /// What compiling it took, its process included.
    pub compiling: Cost,
    terms: Terms,
    ports: Arc<Ports>,
}

impl Measurable {
    /// Compiles a policy, as it is served and metered.
    pub async fn prepare(
        config: &Config,
        component: Vec<u8>,
        settings: BTreeMap<String, String>,
    ) -> Result<Self, Refusal> {
        let unchecked = |error: &(dyn std::error::Error + 'static)| Refusal::Unchecked(ErrorChain(error).to_string());
        let sandbox = Sandbox::new(config.sandbox.clone()).map_err(|error| unchecked(&error))?;
        let (simulator, metered) = super::simulator(config, component.clone()).await?;
        let meter = Meter::start();
        let compiler = Compiler::new(config.admission.compiler.clone());
        let code = compiler.compile(&component, sandbox.fingerprint(), Purpose::Examination).await;
        let code = code.map_err(LoadFailure::from)?;
        let compiling = meter.stop();
        let policy = sandbox.load_compiled(PolicyDigest::of(&component), &code);
        let policy = policy.map_err(LoadFailure::from)?;
        let tester = |policy: Policy| Tester { simulator: simulator.clone(), policy, settings: settings.clone() };
        let terms = Binding::configured(&PolicyScope::Default, policy.clone(), &settings).terms;
        Ok(Self {
            as_served: tester(policy),
            metered: tester(metered),
            component_bytes: component.len(),
            code_bytes: code.as_bytes().len(),
            compiling,
            terms,
            ports: nobodys_ports().map_err(|error| unchecked(&error))?,
        })
    }

    /// One instance, of which nothing is asked. None if it does not come to be.
    pub async fn instantiate(&self) -> Option<Cost> {
        let policy = &self.as_served.policy;
        let session = Session::of_nobody(self.ports.clone(), policy.digest().clone());
        let meter = Meter::start();
        policy.try_out(session, self.terms.clone()).await.ok()?;
        Some(meter.stop())
    }
}
