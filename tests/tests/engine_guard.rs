//! An engine under guard: how much it is asked at once, when it is left alone, and that one which hangs holds up
//! nobody else's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::sync::Arc;
use std::time::Duration;

use rtmanager::adapters::memory::{Call, Failure, ManualClock, MemoryEngine, Script};
use rtmanager::guarded::{CircuitOpen, CircuitOptions, GuardOptions, GuardedEngine};
use rtmanager::metrics::Metrics;
use rtmanager::ports::{ContainerEngine, EngineError};
use rtmanager_tests::mock_host::{IMAGE, container, labels};
use tokio::task::JoinHandle;

#[path = "engine_guard/breaking.rs"]
mod breaking;
#[path = "engine_guard/circuit.rs"]
mod circuit;
#[path = "engine_guard/limit.rs"]
mod limit;
#[path = "engine_guard/neighbours.rs"]
mod neighbours;
#[path = "engine_guard/queueing.rs"]
mod queueing;

const COOLDOWN: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(5);
/// Failures in a row that open a circuit.
const FAILURES: u32 = 3;

fn options(max_concurrency: usize) -> GuardOptions {
    let circuit = CircuitOptions { failures: FAILURES, cooldown: COOLDOWN };
    GuardOptions { max_concurrency, circuit, patience: PATIENCE }
}

/// A guarded engine in memory with two ended containers, 1 and 2, and a live one, 3.
struct Guarded {
    clock: Arc<ManualClock>,
    /// Faults and journal of what is behind the guard.
    script: Script,
    metrics: Arc<Metrics>,
    engine: Arc<GuardedEngine>,
}

impl Guarded {
    fn new(max_concurrency: usize) -> Self {
        let (clock, script) = (Arc::new(ManualClock::default()), Script::default());
        let memory = MemoryEngine::new(clock.clone());
        for n in 1..=3 {
            memory.create(&container(n), IMAGE, labels("g"));
            memory.start(&container(n));
        }
        memory.stop(&container(1), 0);
        memory.stop(&container(2), 0);
        let metrics = Arc::new(Metrics::new().unwrap());
        let behind = script.engine(Arc::new(memory));
        let name = "local".parse().unwrap();
        let engine = GuardedEngine::new(name, behind, options(max_concurrency), clock.clone(), metrics.clone());
        Self { clock, script, metrics, engine: Arc::new(engine) }
    }

    /// Calls that reached the engine.
    fn made(&self, call: Call) -> usize {
        self.script.journal().count(call)
    }

    fn breaks(&self, calls: &[Call], failure: Failure) {
        calls.iter().for_each(|call| self.script.plan().fail_always(*call, failure));
    }

    async fn inspect(&self) -> Result<(), EngineError> {
        self.engine.inspect(&container(1)).await.map(|_| ())
    }

    fn inspect_meanwhile(&self) -> JoinHandle<Result<(), EngineError>> {
        let engine = self.engine.clone();
        tokio::spawn(async move { engine.inspect(&container(1)).await.map(|_| ()) })
    }

    /// An inspection that hangs until its caller gives up, after so long.
    async fn given_up_after(&self, waited: Duration) {
        let call = self.inspect_meanwhile();
        let made = self.made(Call::EngineInspect);
        until(|| self.made(Call::EngineInspect) > made).await;
        self.clock.advance(waited);
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }

    /// Fails often enough for the circuit to open.
    async fn broken(&self) {
        self.breaks(&[Call::EngineInspect, Call::EnginePing], Failure::Unavailable);
        for _ in 0..FAILURES {
            assert!(!is_left_alone(&self.inspect().await));
        }
        assert!(self.is_open());
    }

    /// Whether the engine is left alone just now; does not ask it.
    fn is_open(&self) -> bool {
        self.metrics.render().unwrap().contains("rtmanager_engine_circuit{engine=\"local\",state=\"open\"} 1")
    }
}

/// Whether a call was answered without asking the engine.
fn is_left_alone<T>(answer: &Result<T, EngineError>) -> bool {
    matches!(answer, Err(EngineError::Unavailable(source)) if source.downcast_ref::<CircuitOpen>().is_some())
}

/// Lets other tasks go on until something is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if is_so() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to that");
}
