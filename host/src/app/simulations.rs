//! Simulators with a policy in them: for the safety scenarios of its admission, and for its author. The policy's code is
//! compiled in the cage, as that of policies that serve.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::adapters::system_clock::SystemRandomness;
use crate::admission::{Refusal, look_at};
use crate::compiler::{Compiler, CompilerOptions, LoadFailure, Purpose};
use crate::config::Config;
use crate::model::{BindingSpec, ErrorChain, PolicyDigest};
use crate::policies::{SafetyGate, Scenarios, Unsafe};
use crate::ports::Randomness as _;
use crate::runtime::{Limits, Policy};
use crate::simulation::{GateError, Options, Simulator};

/// After so long no further history is begun. Those without faults, and those with each single fault, are played in any
/// case.
const BUDGET: Duration = Duration::from_secs(1);
/// A policy that takes longer all the same, since it spends all its fuel in every run, is not let through.
const LIMIT: Duration = Duration::from_secs(120);

/// A simulator and a component in it, for whoever wrote that; what it is allowed does not matter.
pub async fn simulator(config: &Config, component: Vec<u8>) -> Result<(Arc<Simulator>, Policy), Refusal> {
    let shape = config.admission.shape.clone();
    let looked_at = tokio::task::spawn_blocking(move || (look_at(&component, &shape), component));
    let (authority, component) = looked_at.await?;
    authority?;
    Simulations::new(config).load(&component).await
}

/// Plays histories of policies.
pub(super) struct Simulations {
    compiler: Compiler,
    /// The host's.
    limits: Limits,
    /// Made when it is first needed: it reserves room for instances.
    simulator: OnceLock<Arc<Simulator>>,
    /// One policy at a time: a simulation takes a processor.
    place: Arc<Semaphore>,
}

impl Simulations {
    /// Begins nothing yet.
    pub(super) fn new(config: &Config) -> Self {
        let compiler = CompilerOptions { repeatable: true, ..config.admission.compiler.clone() };
        let (compiler, limits) = (Compiler::new(compiler), config.sandbox.limits.clone());
        Self { compiler, limits, simulator: OnceLock::new(), place: Arc::new(Semaphore::new(1)) }
    }

    fn simulator(&self) -> Result<Arc<Simulator>, Refusal> {
        if let Some(simulator) = self.simulator.get() {
            return Ok(simulator.clone());
        }
        let made = Simulator::within(Simulator::FUEL, self.limits.clone());
        let made = made.map_err(|error| Refusal::Unchecked(ErrorChain(&error).to_string()))?;
        Ok(self.simulator.get_or_init(|| Arc::new(made)).clone())
    }

    /// Compiles a policy and loads it.
    async fn load(&self, component: &[u8]) -> Result<(Arc<Simulator>, Policy), Refusal> {
        let (simulator, digest) = (self.simulator()?, PolicyDigest::of(component));
        let code = self
            .compiler
            .compile(component, simulator.fingerprint(), Purpose::Examination)
            .await
            .map_err(LoadFailure::from)?;
        let into = simulator.clone();
        let policy = tokio::task::spawn_blocking(move || into.load_compiled(digest, &code)).await?;
        Ok((simulator, policy.map_err(LoadFailure::from)?))
    }
}

#[async_trait]
impl SafetyGate for Simulations {
    async fn examine(&self, component: &[u8], bound: &BindingSpec) -> Result<Scenarios, Unsafe> {
        // The semaphore is never closed. The place is the simulation's, which goes on though nobody waits for it.
        let place = self.place.clone().acquire_owned().await.ok();
        let (simulator, policy) = self.load(component).await.map_err(unfit)?;
        let bound = bound.clone();
        let playing = tokio::task::spawn_blocking(move || {
            let _place = place;
            play(&simulator, &policy, bound)
        });
        match tokio::time::timeout(LIMIT, playing).await {
            Ok(played) => played.map_err(|error| unchecked(&error))?,
            Err(_) => Err(Unsafe::Policy {
                what: format!("its safety scenarios take longer than {} s", LIMIT.as_secs()),
                scenario: "those without any fault".to_owned(),
            }),
        }
    }
}

fn play(simulator: &Simulator, policy: &Policy, bound: BindingSpec) -> Result<Scenarios, Unsafe> {
    let mut seed = [0; 8];
    // So that nobody can write a policy that behaves in these histories only.
    SystemRandomness.fill(&mut seed).map_err(|error| Unsafe::Unchecked(error.to_string()))?;
    let BindingSpec { settings, limits, grants, .. } = bound;
    let options = Options { settings, limits, grants, seed: u64::from_le_bytes(seed), ..Options::default() };
    match simulator.gate(policy, &options, BUDGET) {
        Ok(report) => Ok(Scenarios { histories: report.histories }),
        Err(GateError::Refused(found)) => {
            Err(Unsafe::Policy { what: format!("{}: {}", found.sentence, found.what), scenario: found.timeline })
        }
        Err(GateError::Error(error)) => Err(unchecked(&error)),
    }
}

/// That it compiles at all was seen before; counting what it spends makes its code larger.
fn unfit(refusal: Refusal) -> Unsafe {
    match refusal {
        Refusal::Unchecked(why) => Unsafe::Unchecked(why),
        refusal => Unsafe::Policy { what: format!("it cannot be simulated: {refusal}"), scenario: String::new() },
    }
}

fn unchecked(error: &(dyn std::error::Error + 'static)) -> Unsafe {
    Unsafe::Unchecked(ErrorChain(error).to_string())
}
