//! What one run costs: in a fresh sandboxed instance, in one that is used again, and natively through the same
//! import layer; and, for scale, the instantiation of an empty component from a pool.
//!
//! Absolute times drift on a shared machine, so the variants take turns in rotated order; read the differences
//! and ratios. CPU time is the kernel's account of this thread.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtmanager::adapters::memory::{ManualClock, MemoryEngine, MemoryStore, SeededRandomness};
use rtmanager::lifecycle::settle;
use rtmanager::metrics::Metrics;
use rtmanager::model::{Labels, LiveStatus, Outcome, PolicyDigest, Registration, RunId};
use rtmanager::ports::{Clock as _, ContainerEngine};
use rtmanager::runtime::{DEFAULT_POLICY, Execution, Job, Policy, Sandbox, SandboxOptions, Terms, WarmInstance};
use rtmanager::session::{Ports, RunContext, Session, SessionOptions};
use rtmanager_tests::mock_host::{ENGINE, IMAGE, container, request};
use rtmanager_tests::native;

const WARM_UP: usize = 500;
const ROUNDS: usize = 5_000;
const VARIANTS: [&str; 4] = ["empty instance from a pool", "native", "sandboxed, instance reused", "sandboxed, fresh"];

struct World {
    ports: Arc<Ports>,
    store: MemoryStore,
    engine: Arc<MemoryEngine>,
    clock: Arc<ManualClock>,
    options: Arc<SessionOptions>,
    digest: PolicyDigest,
    serial: u64,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = MemoryStore::default();
        let engine = Arc::new(MemoryEngine::new(clock.clone()));
        let port: Arc<dyn ContainerEngine> = engine.clone();
        let ports = Arc::new(Ports {
            records: store.records(),
            operations: store.operation_log(),
            leases: store.leases(clock.clone()),
            engines: BTreeMap::from([(ENGINE.parse().unwrap(), port)]),
            clock: clock.clone(),
            randomness: Arc::new(SeededRandomness::new(7)),
            metrics: Arc::new(Metrics::new().unwrap()),
        });
        let digest = PolicyDigest::of(DEFAULT_POLICY);
        Self { ports, store, engine, clock, options: Arc::default(), digest, serial: 0 }
    }

    /// A session for a stopped game of its own.
    async fn session(&mut self) -> Session {
        self.serial += 1;
        // A handful of games, so that the maps stay small; each is a new incarnation.
        let game = format!("game-{}", self.serial % 8);
        let id = container(self.serial);
        self.engine.create(&id, IMAGE, Labels::new());
        let registration = Registration {
            game_id: game.parse().unwrap(),
            tenant: "tenant-a".parse().unwrap(),
            engine: ENGINE.parse().unwrap(),
            status: LiveStatus::Stopped,
            container_id: Some(id),
            image_ref: Some(IMAGE.to_owned()),
            labels: None,
            started_at: None,
            stopped_at: None,
        };
        self.store.records().register(&registration, self.clock.now()).await.unwrap();
        let run = RunContext {
            run_id: RunId::from_bytes(u128::from(self.serial).to_be_bytes()),
            request: request(&game, "cli"),
            game: Some(registration.game_id),
            tenant: Some(registration.tenant),
            policy: rtmanager::model::PolicyRef {
                digest: self.digest.clone(),
                ..rtmanager_tests::contracts::fixture::policy()
            },
            started_at: self.clock.now(),
        };
        Session::new(self.ports.clone(), self.options.clone(), Duration::from_secs(30), run, None)
    }
}

fn check(execution: Execution) {
    let settled = settle(&execution.session, execution.answer);
    assert_eq!((settled.outcome, settled.error_code), (Outcome::Success, None));
}

/// An engine like the host's, and nothing to instantiate.
struct Empty {
    engine: wasmtime::Engine,
    pre: wasmtime::component::InstancePre<()>,
}

impl Empty {
    fn new() -> Self {
        let mut config = wasmtime::Config::new();
        config.allocation_strategy(wasmtime::InstanceAllocationStrategy::pooling());
        config.epoch_interruption(true).concurrency_support(false);
        let engine = wasmtime::Engine::new(&config).unwrap();
        let bytes = wat::parse_str("(component (core module $m (memory 1)) (core instance (instantiate $m)))").unwrap();
        let component = wasmtime::component::Component::new(&engine, bytes).unwrap();
        let pre = wasmtime::component::Linker::new(&engine).instantiate_pre(&component).unwrap();
        Self { engine, pre }
    }

    async fn instantiate(&self) {
        let mut store = wasmtime::Store::new(&self.engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        self.pre.instantiate_async(&mut store).await.unwrap();
    }
}

struct Timed {
    wall: Vec<Duration>,
    cpu: Duration,
}

/// What this thread has used of a processor.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(bench());
}

async fn bench() {
    let mut world = World::new();
    let sandbox = Sandbox::new(SandboxOptions::default()).unwrap();
    let policy = sandbox.load(DEFAULT_POLICY).unwrap();
    let settings = Arc::default();
    let mut warm = WarmInstance::new(&policy, world.session().await, Arc::clone(&settings)).await.unwrap();
    let empty = Empty::new();
    let mut timed: [Timed; 4] = std::array::from_fn(|_| Timed { wall: Vec::new(), cpu: Duration::ZERO });
    for round in 0..WARM_UP + ROUNDS {
        // The store in memory looks through all past removals; keep them few, so that caches stay warm.
        if round % 100 == 0 {
            world = World::new();
        }
        for turn in 0..VARIANTS.len() {
            let variant = (turn + round) % VARIANTS.len();
            let (session, spare) = (world.session().await, world.session().await);
            let (cpu, began) = (cpu_time(), Instant::now());
            let execution = run(variant, session, spare, &empty, &policy, &settings, &mut warm, &world).await;
            let (wall, cpu) = (began.elapsed(), cpu_time() - cpu);
            execution.into_iter().for_each(check);
            if round >= WARM_UP {
                timed[variant].wall.push(wall);
                timed[variant].cpu += cpu;
            }
        }
    }
    report(timed);
}

#[allow(clippy::too_many_arguments, reason = "what the variants work on")]
async fn run(
    variant: usize,
    session: Session,
    spare: Session,
    empty: &Empty,
    policy: &Policy,
    settings: &Arc<rtmanager::runtime::Settings>,
    warm: &mut WarmInstance,
    world: &World,
) -> Option<Execution> {
    match variant {
        0 => {
            empty.instantiate().await;
            None
        }
        1 => Some(native::execute(session)),
        2 => Some(warm.handle(session, spare).await),
        _ => Some(policy.execute(session, terms(policy, settings), Job::Handle, None, &world.ports.metrics).await),
    }
}

fn terms(policy: &Policy, settings: &Arc<rtmanager::runtime::Settings>) -> Terms {
    Terms { settings: settings.clone(), limits: policy.limits().clone() }
}

fn report(mut timed: [Timed; 4]) {
    for variant in &mut timed {
        variant.wall.sort_unstable();
    }
    let micros = |span: Duration| span.as_secs_f64() * 1e6;
    let at = |variant: &Timed, share: f64| micros(variant.wall[(variant.wall.len() as f64 * share) as usize]);
    let native = at(&timed[1], 0.5);
    println!("one run of the default policy on ports in memory, {ROUNDS} rounds, variants in turns");
    println!("{:<28} {:>9} {:>9} {:>11} {:>12} {:>9}", "", "p50 µs", "p99 µs", "CPU µs/run", "over native", "ratio");
    for (name, variant) in VARIANTS.iter().zip(&timed) {
        let p50 = at(variant, 0.5);
        println!(
            "{name:<28} {p50:>9.1} {:>9.1} {:>11.1} {:>+12.1} {:>9.2}",
            at(variant, 0.99),
            micros(variant.cpu) / ROUNDS as f64,
            p50 - native,
            p50 / native,
        );
    }
}
