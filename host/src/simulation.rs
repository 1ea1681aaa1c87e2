//! Deterministic simulation: a real policy in the real host code (lifecycle, session, sweeper, recovery), on memory
//! adapters, in virtual time, with everything going wrong that can.
//!
//! A *history* is a [`Plan`] that follows from a seed: games in all states, two replicas with clocks of their own,
//! runs, sweeps and faults at any call of a port. The calls of all interleave as the seed has it, and every effect is
//! compared with the true state of the world. The same plan always gives the same calls and answers. What breaks an
//! [`Invariant`] is made as small as it gets and told as a timeline and a plan.
//!
//! The same machinery is the [gate](Simulator::gate) of a policy's admission: there it looks not only at what a policy
//! did but at what it tried, since the host denies most of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::adapters::memory::{MemoryEngine, MemoryStore};
use crate::metrics::{self, Metrics};
use crate::model::{Grants, LimitOverrides, PolicyDigest};
use crate::ports::{ContainerEngine, LeaseStore, OperationLog, RecordStore};
use crate::runtime::{
    CompiledCode, EngineFingerprint, Limits, LoadError, Policy, Sandbox, SandboxError, SandboxOptions,
};

mod actor;
mod clock;
mod conduct;
mod deeds;
mod deep_stack;
mod dice;
mod exhaustive;
mod fault;
mod gate;
mod generate;
mod history;
mod host;
mod invariant;
mod leases;
mod life;
mod orders;
mod plan;
mod report;
mod rest;
mod results;
mod scenario;
mod scenario_file;
mod setting;
mod shrink;
mod site;
mod sometimes;
mod versions;
mod witness;

pub(crate) use clock::VirtualClock;
pub(crate) use deep_stack::on_a_deep_stack;
pub use fault::Fault;
pub use gate::{GateError, GateReport};
pub use history::PlayError;
pub use host::SetupError;
pub use invariant::{Breach, Invariant};
pub(crate) use life::Life;
pub use plan::{Act, Contained, Deed, Game, Leases, Mishap, Plan, Recorded, Source, Step};
pub use report::{Counterexample, FaultCount, Reached, Report};
pub use scenario::InvalidScenario;
pub use scenario_file::Kept;
pub use sometimes::Sometimes;

use dice::mixed;
use history::{History, Stock, play};
use report::Sums;
use versions::Versions;

/// Runs of one history at the same time; those of dead processes stay until their limits end them.
const PLACES: u32 = 64;
/// What a processor spends in a millisecond of `limits.guest_time` at most, so that no policy is refused that would have
/// come to its end in time.
const FUEL_PER_MILLISECOND: u64 = 2_000_000;

/// The adapters behind the ports of a history.
#[derive(Clone)]
pub struct Adapters {
    /// Records.
    pub records: Arc<dyn RecordStore>,
    /// The operation log.
    pub operations: Arc<dyn OperationLog>,
    /// Leases.
    pub leases: Arc<dyn LeaseStore>,
    /// The engine.
    pub engine: Arc<dyn ContainerEngine>,
}

/// Puts something before these adapters; store and engine are the true ones.
pub type Bug = Arc<dyn Fn(&MemoryStore, &MemoryEngine, Adapters) -> Adapters + Send + Sync>;

/// Where bugs are planted, to prove that they are found.
#[derive(Clone, Default)]
pub struct Hooks {
    /// In the backends: what they do is seen as it truly is.
    pub behind: Option<Bug>,
    /// In the host: what it asks its ports for.
    pub before: Option<Bug>,
}

/// Is told of each history, once it is played; on any thread, in any order.
pub type Onlooker = Arc<dyn Fn() + Send + Sync>;

/// What to simulate.
#[derive(Clone)]
pub struct Options {
    /// So many histories.
    pub histories: u64,
    /// What they follow from.
    pub seed: u64,
    /// On so many threads, [`Simulator::THREADS`] at most, which changes nothing but the time it takes.
    pub threads: usize,
    /// The policy's settings.
    pub settings: BTreeMap<String, String>,
    /// How much less than the simulator's limits its runs may use.
    pub limits: LimitOverrides,
    /// What it may do.
    pub grants: Grants,
    /// So many plans are played at most to make a counterexample smaller.
    pub attempts: u32,
    /// Bugs, for proving the checks.
    pub hooks: Hooks,
    /// Whoever watches.
    pub onlooker: Option<Onlooker>,
}

impl Default for Options {
    fn default() -> Self {
        let (settings, limits, hooks) = Default::default();
        let grants = Grants::all();
        Self { histories: 1_000, seed: 0, threads: 2, settings, limits, grants, attempts: 300, hooks, onlooker: None }
    }
}

/// Why there was nothing to simulate with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sandbox could not be set up.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The instruments could not be set up.
    #[error("a simulation measures as a server does, and could not begin")]
    Metrics(#[from] metrics::Error),
    /// A history could not be played.
    #[error(transparent)]
    Play(#[from] PlayError),
    /// A thread of the simulation panicked, which is a bug of the host.
    #[error("the host code panicked in a simulation: {0}")]
    Panicked(String),
}

/// Plays histories.
pub struct Simulator {
    sandbox: Sandbox,
}

impl Simulator {
    /// So much fuel, about an instruction a unit, a run may spend: enough for policies that bring an interpreter along,
    /// and spent in a tenth of a second or two.
    pub const FUEL: u64 = 200_000_000;
    /// The instance pool has places for so many threads.
    pub const THREADS: u32 = 4;

    /// Sets up a sandbox in which runs repeat themselves, with the usual limits.
    pub fn new(fuel: u64) -> Result<Self, SandboxError> {
        Self::within(fuel, Limits::default())
    }

    /// The same for a host with these limits.
    pub fn within(fuel: u64, limits: Limits) -> Result<Self, SandboxError> {
        let concurrent_runs = PLACES.saturating_mul(Self::THREADS);
        let options = SandboxOptions { concurrent_runs, limits, ..SandboxOptions::default() };
        Ok(Self { sandbox: Sandbox::repeatable(options, fuel)? })
    }

    /// What code depends on that [`Self::load_compiled`] takes.
    pub fn fingerprint(&self) -> EngineFingerprint {
        self.sandbox.fingerprint()
    }

    /// Loads what was compiled for simulations of the component with this digest.
    pub fn load_compiled(&self, digest: PolicyDigest, code: &CompiledCode) -> Result<Policy, LoadError> {
        self.sandbox.load_compiled(digest, code)
    }

    /// Compiles a policy for simulations.
    pub fn load(&self, component: &[u8]) -> Result<Policy, LoadError> {
        self.sandbox.load(component)
    }

    /// What runs hold of the sandbox at this moment: nothing between histories.
    pub fn held(&self) -> u64 {
        self.sandbox.held()
    }

    /// Plays histories until one breaks a rule.
    pub fn simulate(&self, policy: &Policy, options: &Options) -> Result<Report, Error> {
        let plan = |index| Plan::generate(mixed(options.seed, index));
        self.play_all(policy, options, options.histories, &plan)
    }

    /// So many plans [`Self::exhaust`] has to choose from.
    pub fn combinations(pairs: bool) -> u64 {
        let plans = if pairs { exhaustive::pairs().count() } else { exhaustive::singles().count() };
        plans as u64
    }

    /// Plays the plain course of a cleanup with every single fault at each of its calls or, if `pairs`, with every pair of
    /// faults, and nothing left to chance. If these are more than `options.histories`, so many of them, evenly chosen.
    pub fn exhaust(&self, policy: &Policy, options: &Options, pairs: bool) -> Result<Report, Error> {
        let plans: Vec<Plan> = if pairs { exhaustive::pairs().collect() } else { exhaustive::singles().collect() };
        let all = plans.len() as u64;
        let histories = all.min(options.histories.max(1));
        let plan = |index: u64| {
            let chosen = u128::from(index) * u128::from(all) / u128::from(histories);
            let plan = usize::try_from(chosen).ok().and_then(|chosen| plans.get(chosen)).cloned();
            plan.unwrap_or_else(|| Plan::generate(index))
        };
        self.play_all(policy, options, histories, &plan)
    }

    /// Plays one plan and tells all that happened, and what it broke.
    pub fn replay(&self, policy: &Policy, options: &Options, plan: &Plan) -> Result<(String, Vec<Breach>), Error> {
        let stock = self.stock(policy, options)?;
        let History { seen, breaches } = apart(|| play(&stock, plan))??;
        Ok((seen.timeline, breaches))
    }

    /// Plays the plans with these numbers, and counts.
    fn play_all(
        &self,
        policy: &Policy,
        options: &Options,
        histories: u64,
        plan: &(dyn Fn(u64) -> Plan + Sync),
    ) -> Result<Report, Error> {
        let began = std_now();
        let threads = options.threads.clamp(1, Self::THREADS as usize) as u64;
        let first_bad = AtomicU64::new(u64::MAX);
        let stocks = (0..threads).map(|_| self.stock(policy, options)).collect::<Result<Vec<_>, _>>()?;
        let played = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .zip(&stocks)
                .map(|(first, stock)| {
                    let (first_bad, onlooker) = (&first_bad, options.onlooker.as_deref());
                    let indices = (first..histories).step_by(threads as usize);
                    scope.spawn(move || silently(|| work(stock, indices, first_bad, plan, onlooker)))
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().map_err(panicked)).collect::<Result<Vec<_>, _>>()
        })?;
        let mut played = played.into_iter().collect::<Result<Vec<_>, _>>()?;
        let bad = Some(first_bad.load(Ordering::Relaxed)).filter(|bad| *bad < u64::MAX);
        let end = bad.map_or(histories, |bad| bad.saturating_add(1));
        let mut counted: Vec<Played> = played.drain(..).flatten().filter(|played| played.index < end).collect();
        counted.sort_by_key(|played| played.index);
        let (mut sums, mut trace) = (Sums::default(), Sha256::new());
        for Played { hash, faults, sometimes, .. } in &counted {
            trace.update(hash);
            sums.add(faults, sometimes);
        }
        let counterexample = match (bad, stocks.first()) {
            (Some(bad), Some(stock)) => apart(|| smallest(stock, plan(bad), options.attempts))??,
            _ => None,
        };
        Ok(Report {
            histories: counted.len() as u64,
            seed: options.seed,
            took: std_now().saturating_duration_since(began),
            trace_hash: hex::encode(trace.finalize()),
            faults: sums.faults(),
            sometimes: sums.sometimes(),
            counterexample: counterexample.map(Box::new),
        })
    }

    fn stock(&self, policy: &Policy, options: &Options) -> Result<Stock, Error> {
        let limits = self.sandbox.limits().narrowed(&options.limits);
        let guest_millis = u64::try_from(limits.guest_time.as_millis()).unwrap_or(u64::MAX);
        let fuel = guest_millis.saturating_mul(FUEL_PER_MILLISECOND);
        let policy = policy.with_own_places(PLACES).within_fuel(fuel);
        Ok(Stock {
            versions: Arc::new(Versions::new(&policy, options)),
            metrics: Arc::new(Metrics::new()?),
            limits,
            hooks: options.hooks.clone(),
        })
    }
}

/// One history that was played, as far as it is counted.
struct Played {
    index: u64,
    hash: [u8; 32],
    faults: BTreeMap<(Fault, crate::adapters::memory::Call), u64>,
    sometimes: BTreeMap<Sometimes, u64>,
}

fn work(
    stock: &Stock,
    indices: impl Iterator<Item = u64>,
    first_bad: &AtomicU64,
    plan: &(dyn Fn(u64) -> Plan + Sync),
    onlooker: Option<&(dyn Fn() + Send + Sync)>,
) -> Result<Vec<Played>, PlayError> {
    let mut all = Vec::new();
    for index in indices.take_while(|index| *index < first_bad.load(Ordering::Relaxed)) {
        let History { seen, breaches } = play(stock, &plan(index))?;
        if !breaches.is_empty() {
            first_bad.fetch_min(index, Ordering::Relaxed);
        }
        let (hash, sometimes) = (Sha256::digest(&seen.timeline).into(), seen.witness.reached().clone());
        all.push(Played { index, hash, faults: seen.felt, sometimes });
        if let Some(onlooker) = onlooker {
            onlooker();
        }
    }
    Ok(all)
}

/// None if the plan breaks nothing after all.
fn smallest(stock: &Stock, plan: Plan, attempts: u32) -> Result<Option<Counterexample>, PlayError> {
    let seed = plan.seed;
    let Some(first) = play(stock, &plan)?.breaches.into_iter().next() else { return Ok(None) };
    let (plan, history) = shrink::shrink(stock, plan, first.invariant, attempts)?;
    let same = history.breaches.iter().find(|breach| breach.invariant == first.invariant);
    Ok(Some(Counterexample::new(same.unwrap_or(&first), seed, plan, history.seen.timeline)))
}

/// What a simulated host logs concerns nobody.
fn silently<T>(work: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), work)
}

/// On a thread of its own, since a history has a runtime of its own and the caller may be in another.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    std::thread::scope(|scope| scope.spawn(|| silently(work)).join().map_err(panicked))
}

fn panicked(payload: Box<dyn std::any::Any + Send>) -> Error {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    Error::Panicked(text.unwrap_or_else(|| "without a message".to_owned()))
}

/// Real time, however virtual that of the histories is.
fn std_now() -> Instant {
    Instant::now()
}
