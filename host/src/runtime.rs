//! The sandbox: one wasmtime engine for all policies, one fresh instance for each run.

use std::sync::Arc;

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

mod bindings;
mod compiled;
mod default_policy;
mod epoch;
mod execute;
mod fault;
mod imports;
mod limiter;
mod limits;
mod memories;
mod places;
pub(crate) mod processor;
mod rota;
mod settings;
mod shares;
mod stopwatch;
mod store;
mod trace;
mod trial;
mod turnstile;
mod warm;
mod wasi;

pub use compiled::{CompileEngine, CompiledCode, EngineFingerprint};
pub use default_policy::{DEFAULT_POLICY, DEFAULT_POLICY_SETTINGS};
pub use execute::{Advice, Answer, Candidate, Execution, Job, Terms, Verdict};
pub use limits::{Limits, TooMuch};
pub use settings::Settings;
pub use warm::WarmInstance;

use crate::model::{EngineName, PolicyDigest};
use bindings::LifecyclePolicyPre;
pub(crate) use limiter::{INSTANCES, MEMORIES, TABLES};
use places::Places;
use store::RunState;
use turnstile::Turnstile;

/// Keeps so many bytes of a finished run's pages for the next one, instead of giving them back to the kernel: what small
/// policies need. To take memory away that a run grew, and to give it to the next, every page that is kept there is
/// changed, and meanwhile no other run can be made.
const KEEP_RESIDENT: usize = 1 << 20;

/// How the sandbox is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxOptions {
    /// What bounds each run, where it is not given narrower limits of its own.
    pub limits: Limits,
    /// Runs at the same time; further ones wait for a place, at most as long as a run may take. A tenant takes half of
    /// them, and of what others have left; one in eight is for tenants that have none.
    pub concurrent_runs: u32,
    /// The engines among which half of these places are divided, for each to have some of its own.
    pub engines: Vec<EngineName>,
    /// Threads that run tasks, by default as many as tokio starts where there are two processors or more. Runs that
    /// compute for long, and those of tenants that have had more than others, have half of them.
    pub workers: u32,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        // See `main`, which starts two even where there is one processor.
        let workers = std::thread::available_parallelism().map_or(2, |workers| workers.get().max(2));
        let workers = u32::try_from(workers).unwrap_or(u32::MAX);
        Self { limits: Limits::default(), concurrent_runs: 64, engines: Vec::new(), workers }
    }
}

/// The sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly sandbox could not be set up: {0:#}")]
pub struct SandboxError(wasmtime::Error);

/// Why a component cannot serve as a policy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not a component, or uses what the sandbox turns off.
    #[error("this is not a component that the sandbox accepts: {0:#}")]
    Invalid(wasmtime::Error),
    /// It imports what is not there, or lacks an export of the contract.
    #[error("the component does not fit world galaxy:rtmanager/lifecycle-policy@0.1.0: {0:#}")]
    Misfit(wasmtime::Error),
    /// Its compiled code is of another engine, or damaged.
    #[error("the compiled code cannot be used: {0:#}")]
    Code(wasmtime::Error),
}

/// Compiles policies and runs them.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<RunState>,
    limits: Arc<Limits>,
    places: Arc<Places>,
    turnstile: Arc<Turnstile>,
    fuel: Option<u64>,
}

/// A compiled policy, ready for instantiation. Clones share the code.
#[derive(Clone)]
pub struct Policy {
    pre: LifecyclePolicyPre<RunState>,
    digest: PolicyDigest,
    limits: Arc<Limits>,
    places: Arc<Places>,
    turnstile: Arc<Turnstile>,
    fuel: Option<u64>,
}

impl Sandbox {
    /// Sets up the engine and starts its epoch ticker.
    pub fn new(options: SandboxOptions) -> Result<Self, SandboxError> {
        let sandbox = Self::metered(options, None)?;
        epoch::tick(sandbox.engine.weak()).map_err(|error| SandboxError(wasmtime::Error::from(error)))?;
        Ok(sandbox)
    }

    /// One whose runs repeat themselves, for simulations: a run is bounded by `fuel`, about an instruction a unit,
    /// instead of time, and the randomness of WASI follows from its run id.
    pub fn repeatable(options: SandboxOptions, fuel: u64) -> Result<Self, SandboxError> {
        Self::metered(options, Some(fuel))
    }

    fn metered(options: SandboxOptions, fuel: Option<u64>) -> Result<Self, SandboxError> {
        let engine = new_engine(&options, fuel.is_some()).map_err(SandboxError)?;
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker).map_err(SandboxError)?;
        let places = Places::new(options.concurrent_runs, &options.engines);
        let turnstile = Turnstile::new(options.workers);
        Ok(Self { engine, linker, limits: Arc::new(options.limits), places, turnstile, fuel })
    }

    /// Compiles a component and checks that it fits the contract.
    pub fn load(&self, component: &[u8]) -> Result<Policy, LoadError> {
        memories::at_most_one_each(component).map_err(LoadError::Invalid)?;
        let compiled = Component::new(&self.engine, component).map_err(LoadError::Invalid)?;
        self.policy(&compiled, PolicyDigest::of(component))
    }

    fn policy(&self, compiled: &Component, digest: PolicyDigest) -> Result<Policy, LoadError> {
        let pre = self.linker.instantiate_pre(compiled).map_err(LoadError::Misfit)?;
        Ok(Policy {
            pre: LifecyclePolicyPre::new(pre).map_err(LoadError::Misfit)?,
            digest,
            limits: self.limits.clone(),
            places: self.places.clone(),
            turnstile: self.turnstile.clone(),
            fuel: self.fuel,
        })
    }

    /// Instances, memories, tables and stacks that runs hold at this moment; none are counted without a pool.
    pub fn held(&self) -> u64 {
        let Some(pool) = self.engine.pooling_allocator_metrics() else { return 0 };
        let parts = [pool.memories(), pool.tables(), pool.stacks()].map(|count| count as u64);
        parts.into_iter().sum::<u64>().saturating_add(pool.component_instances()).saturating_add(pool.core_instances())
    }

    /// What bounds each run.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl Policy {
    /// The SHA-256 of the component.
    pub fn digest(&self) -> &PolicyDigest {
        &self.digest
    }

    /// The sandbox's limits: what a run gets, or at most gets.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// The same code, passing for another version of the policy.
    pub(crate) fn as_version(&self, digest: PolicyDigest) -> Self {
        Self { digest, ..self.clone() }
    }

    /// The same code, of which a run may spend so much fuel at most, where runs spend any.
    pub(crate) fn within_fuel(&self, most: u64) -> Self {
        Self { fuel: self.fuel.map(|fuel| fuel.min(most)), ..self.clone() }
    }

    /// The same code with places of its own, as another host has them.
    pub fn with_own_places(&self, concurrent_runs: u32) -> Self {
        // A simulation has the thread for itself, and takes no turns.
        let turnstile = Turnstile::new(u32::MAX);
        Self { places: Places::new(concurrent_runs, &[]), turnstile, ..self.clone() }
    }
}

/// Pooled instances; where the address space is too short for the pool, instances on demand.
fn new_engine(options: &SandboxOptions, by_fuel: bool) -> wasmtime::Result<Engine> {
    let mut config = base_config(&options.limits, by_fuel);
    let pool = pool(options);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).or_else(|error| {
        tracing::warn!(error = format!("{error:#}"), "no instance pool; instances are made on demand, which is slower");
        Engine::new(&base_config(&options.limits, by_fuel))
    })
}

fn base_config(limits: &Limits, by_fuel: bool) -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    let stack = usize::try_from(limits.stack_bytes).unwrap_or(usize::MAX);
    config
        .epoch_interruption(!by_fuel)
        .consume_fuel(by_fuel)
        .concurrency_support(false)
        .wasm_component_model(true)
        .wasm_threads(false)
        .wasm_memory64(false)
        // For the glue between the components of a composition, such as JavaScript comes as; a policy's own modules have
        // one at most, see `memories`.
        .wasm_multi_memory(true)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false)
        .max_wasm_stack(stack)
        // Room for host frames on the same fiber.
        .async_stack_size(stack.saturating_add(512 << 10))
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16))
        .memory_init_cow(true);
    config
}

fn pool(options: &SandboxOptions) -> PoolingAllocationConfig {
    let runs = options.concurrent_runs;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(runs)
        // Refused when loaded, and room for all of it in each run: no tenant's policy can starve another's.
        .max_core_instances_per_component(INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .total_core_instances(runs.saturating_mul(INSTANCES))
        .total_memories(runs.saturating_mul(MEMORIES))
        .total_tables(runs.saturating_mul(TABLES))
        .total_stacks(runs)
        .total_gc_heaps(0)
        .max_memory_size(usize::try_from(options.limits.memory_bytes).unwrap_or(usize::MAX))
        .table_elements(usize::try_from(options.limits.table_elements).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .pagemap_scan(wasmtime::Enabled::Auto)
        .max_unused_warm_slots(runs);
    pool
}
