//! The sandbox: one wasmtime engine for all policies, one fresh instance for each run.

use std::sync::Arc;

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

mod bindings;
mod default_policy;
mod epoch;
mod execute;
mod fault;
mod imports;
mod limiter;
mod limits;
mod places;
mod stopwatch;
mod store;
mod warm;
mod wasi;

pub use default_policy::{DEFAULT_POLICY, DEFAULT_POLICY_SETTINGS};
pub use execute::{Advice, Answer, Candidate, Execution, Job, Verdict};
pub use limits::Limits;
pub use warm::WarmInstance;

use crate::model::{EngineName, PolicyDigest};
use bindings::LifecyclePolicyPre;
use limiter::{INSTANCES, MEMORIES, TABLES};
use places::Places;
use store::RunState;

/// Keeps the pages of a finished run for the next one, instead of giving them back to the kernel.
const KEEP_RESIDENT: usize = 16 << 20;

/// How the sandbox is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxOptions {
    /// What bounds each run.
    pub limits: Limits,
    /// Runs at the same time; further ones wait for a place, at most as long as a run may take.
    pub concurrent_runs: u32,
    /// The engines among which half of these places are divided, for each to have some of its own.
    pub engines: Vec<EngineName>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), concurrent_runs: 64, engines: Vec::new() }
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
}

/// Compiles policies and runs them.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<RunState>,
    limits: Arc<Limits>,
    places: Arc<Places>,
}

/// A compiled policy, ready for instantiation. Clones share the code.
#[derive(Clone)]
pub struct Policy {
    pre: LifecyclePolicyPre<RunState>,
    digest: PolicyDigest,
    limits: Arc<Limits>,
    places: Arc<Places>,
}

impl Sandbox {
    /// Sets up the engine and starts its epoch ticker.
    pub fn new(options: SandboxOptions) -> Result<Self, SandboxError> {
        let engine = new_engine(&options).map_err(SandboxError)?;
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker).map_err(SandboxError)?;
        epoch::tick(engine.weak()).map_err(|error| SandboxError(wasmtime::Error::from(error)))?;
        let places = Places::new(options.concurrent_runs, &options.engines);
        Ok(Self { engine, linker, limits: Arc::new(options.limits), places })
    }

    /// Compiles a component and checks that it fits the contract.
    pub fn load(&self, component: &[u8]) -> Result<Policy, LoadError> {
        let compiled = Component::new(&self.engine, component).map_err(LoadError::Invalid)?;
        let pre = self.linker.instantiate_pre(&compiled).map_err(LoadError::Misfit)?;
        Ok(Policy {
            pre: LifecyclePolicyPre::new(pre).map_err(LoadError::Misfit)?,
            digest: PolicyDigest::of(component),
            limits: self.limits.clone(),
            places: self.places.clone(),
        })
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
}

/// Pooled instances; where the address space is too short for the pool, instances on demand.
fn new_engine(options: &SandboxOptions) -> wasmtime::Result<Engine> {
    let mut config = base_config(&options.limits);
    let pool = pool(options);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).or_else(|error| {
        tracing::warn!(error = format!("{error:#}"), "no instance pool; instances are made on demand, which is slower");
        Engine::new(&base_config(&options.limits))
    })
}

fn base_config(limits: &Limits) -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    let stack = usize::try_from(limits.stack_bytes).unwrap_or(usize::MAX);
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .wasm_component_model(true)
        .wasm_threads(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
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
