//! A whole host on memory adapters: the real sandbox, session and lifecycle, with a clock that the test
//! sets, faults that it plans and a journal that it reads.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rtmanager::adapters::memory::{ManualClock, MemoryEngine, MemoryStore, Script, SeededRandomness};
use rtmanager::lifecycle::{Lifecycle, OperationResult, Request};
use rtmanager::metrics::Metrics;
use rtmanager::model::{
    ContainerId, EngineName, GameId, Labels, LiveStatus, LoggedOperation, PolicyDigest, Registration, RuntimeRecord,
    Timestamp, TrackedRuntime,
};
use rtmanager::ports::{Clock as _, ContainerEngine, LeaseStore, OperationLog, PauseStore, RecordStore};
use rtmanager::registry::{Binding, Registry};
use rtmanager::runtime::{DEFAULT_POLICY, Limits, Policy, Sandbox, SandboxOptions};
use rtmanager::session::{Ports, SessionOptions};
use rtmanager::sweeper::{SweepOptions, Sweeper};

/// The game of most tests.
pub const GAME: &str = "game-1";
/// The engine of all records.
pub const ENGINE: &str = "local";
/// The image of all containers.
pub const IMAGE: &str = "registry.example/game:1";

/// The 64-digit container id that ends in `n`.
pub fn container(n: u64) -> ContainerId {
    format!("{n:064x}").parse().expect("64 hex digits")
}

/// The state of the world behind a host's ports. Clones share it.
#[derive(Clone)]
pub struct World {
    /// Wall and monotonic clock; starts in 2026.
    pub clock: Arc<ManualClock>,
    /// The store, without faults.
    pub store: MemoryStore,
    /// The engine, without faults.
    pub engine: Arc<MemoryEngine>,
}

/// The adapters behind the script of faults.
pub struct Backends {
    /// Records.
    pub records: Arc<dyn RecordStore>,
    /// The operation log.
    pub operations: Arc<dyn OperationLog>,
    /// Leases.
    pub leases: Arc<dyn LeaseStore>,
    /// The engine.
    pub engine: Arc<dyn ContainerEngine>,
}

type Wrap = Box<dyn FnOnce(&World, Backends) -> Backends + Send>;

/// Builds a [`MockHost`].
pub struct MockHostBuilder {
    policy: Vec<u8>,
    settings: BTreeMap<String, String>,
    limits: Limits,
    concurrent_runs: u32,
    options: SessionOptions,
    wraps: Vec<Wrap>,
    more_engines: BTreeMap<EngineName, Arc<dyn ContainerEngine>>,
}

impl MockHostBuilder {
    /// Runs this component instead of the default policy.
    pub fn policy(mut self, component: &[u8]) -> Self {
        self.policy = component.to_vec();
        self
    }

    /// A setting of the policy.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Other limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Fewer runs at the same time.
    pub fn concurrent_runs(mut self, runs: u32) -> Self {
        self.concurrent_runs = runs;
        self
    }

    /// Other lease times or labels.
    pub fn options(mut self, options: SessionOptions) -> Self {
        self.options = options;
        self
    }

    /// Puts something before the memory adapters, or before what an earlier call put there.
    pub fn wrap(mut self, wrap: impl FnOnce(&World, Backends) -> Backends + Send + 'static) -> Self {
        self.wraps.push(Box::new(wrap));
        self
    }

    /// One more engine, without faults.
    pub fn one_more_engine(mut self, name: &str, engine: Arc<dyn ContainerEngine>) -> Self {
        self.more_engines.insert(name.parse().expect("engine"), engine);
        self
    }

    /// Compiles the policy and puts the host together.
    pub fn build(self) -> MockHost {
        MockHost::new(self)
    }
}

/// The host, and everything a test looks at or turns.
pub struct MockHost {
    /// Wall and monotonic clock; starts in 2026.
    pub clock: Arc<ManualClock>,
    /// The store behind the ports, without faults.
    pub store: MemoryStore,
    /// The engine behind the port, without faults.
    pub engine: Arc<MemoryEngine>,
    /// Faults and journal of all ports.
    pub script: Script,
    /// The randomness behind the port.
    pub randomness: Arc<SeededRandomness>,
    /// What was measured.
    pub metrics: Arc<Metrics>,
    /// The ports as the host has them.
    pub ports: Arc<Ports>,
    /// Pauses as the host has them.
    pub pauses: Arc<dyn PauseStore>,
    /// Runs policies.
    pub lifecycle: Lifecycle,
}

impl MockHost {
    /// A host with the default policy.
    pub fn builder() -> MockHostBuilder {
        MockHostBuilder {
            policy: DEFAULT_POLICY.to_vec(),
            settings: BTreeMap::new(),
            limits: Limits::default(),
            concurrent_runs: SandboxOptions::default().concurrent_runs,
            options: SessionOptions::default(),
            wraps: Vec::new(),
            more_engines: BTreeMap::new(),
        }
    }

    fn new(mut builder: MockHostBuilder) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_780_000_000_000_000)));
        let store = MemoryStore::default();
        let engine = Arc::new(MemoryEngine::new(clock.clone()));
        let script = Script::default();
        let randomness = Arc::new(SeededRandomness::new(7));
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let world = World { clock: clock.clone(), store: store.clone(), engine: engine.clone() };
        let memory = Backends {
            records: store.records(),
            operations: store.operation_log(),
            leases: store.leases(clock.clone()),
            engine: engine.clone(),
        };
        let wraps = std::mem::take(&mut builder.wraps);
        let behind = wraps.into_iter().fold(memory, |behind, wrap| wrap(&world, behind));
        let mut engines = std::mem::take(&mut builder.more_engines);
        engines.insert(ENGINE.parse().expect("engine"), script.engine(behind.engine));
        let ports = Arc::new(Ports {
            records: script.records(behind.records),
            operations: script.operation_log(behind.operations),
            leases: script.leases(behind.leases),
            engines,
            clock: clock.clone(),
            randomness: randomness.clone(),
            metrics: metrics.clone(),
        });
        let lifecycle = lifecycle(ports.clone(), builder);
        let pauses = script.pauses(store.pauses());
        Self { clock, store, engine, script, randomness, metrics, ports, pauses, lifecycle }
    }

    /// A sweeper of this host.
    pub fn sweeper(&self, options: SweepOptions) -> Sweeper {
        Sweeper::new(self.ports.clone(), self.pauses.clone(), self.lifecycle.clone(), options)
    }

    /// Another host on the same ports: what a process finds that starts after this one has died, or a
    /// tenant after a change of its policy.
    pub fn successor(&self, builder: MockHostBuilder) -> Self {
        Self {
            clock: self.clock.clone(),
            store: self.store.clone(),
            engine: self.engine.clone(),
            script: self.script.clone(),
            randomness: self.randomness.clone(),
            metrics: self.metrics.clone(),
            ports: self.ports.clone(),
            pauses: self.pauses.clone(),
            lifecycle: lifecycle(self.ports.clone(), builder),
        }
    }

    /// Registers a stopped runtime with a container that has ended.
    pub async fn stopped(&self, game: &str, container: &ContainerId) -> RuntimeRecord {
        self.engine.create(container, IMAGE, labels(game));
        self.engine.start(container);
        self.engine.stop(container, 0);
        self.register(game, LiveStatus::Stopped, Some(container)).await
    }

    /// Registers a runtime, past every fault and journal.
    pub async fn register(&self, game: &str, status: LiveStatus, container: Option<&ContainerId>) -> RuntimeRecord {
        let registration = self.registration(game, status, container);
        self.store.records().register(&registration, self.clock.now()).await.expect("registered")
    }

    /// What the platform says when it registers a runtime.
    pub fn registration(&self, game: &str, status: LiveStatus, container: Option<&ContainerId>) -> Registration {
        Registration {
            game_id: game.parse().expect("game id"),
            tenant: "tenant-a".parse().expect("tenant"),
            engine: ENGINE.parse().expect("engine"),
            status,
            container_id: container.cloned(),
            image_ref: Some(IMAGE.to_owned()),
            labels: None,
            started_at: None,
            stopped_at: None,
        }
    }

    /// Cleans up a game by the command line's name.
    pub async fn cleanup(&self, game: &str) -> OperationResult {
        self.lifecycle.cleanup(request(game, "cli")).await
    }

    /// The record as it is, past every fault and journal.
    pub async fn record(&self, game: &str) -> Option<TrackedRuntime> {
        let game: GameId = game.parse().expect("game id");
        self.store.records().get(&game).await.expect("readable")
    }

    /// All entries, oldest first, past every fault and journal.
    pub fn entries(&self) -> Vec<LoggedOperation> {
        self.store.logged()
    }

    /// Whether every lease was given back or has run out.
    pub fn no_lease_is_held(&self) -> bool {
        self.store.leases_held(self.clock.now()) == 0
    }

    /// Whether the engine still has the container.
    pub fn has_container(&self, id: &ContainerId) -> bool {
        self.engine.containers().contains(id)
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, span: Duration) {
        self.clock.advance(span);
    }
}

/// The labels of a container of ours.
pub fn labels(game: &str) -> Labels {
    [("rtmanager.owner", "rtmanager"), ("rtmanager.tenant", "tenant-a"), ("rtmanager.game", game)]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A request as a caller sends it.
pub fn request(game: &str, op_source: &str) -> Request {
    Request {
        game_id: game.to_owned(),
        op_source: op_source.to_owned(),
        source_ref: "ref-1".to_owned(),
        actor: Some("tester".to_owned()),
    }
}

fn lifecycle(ports: Arc<Ports>, builder: MockHostBuilder) -> Lifecycle {
    let policy = compiled(
        SandboxOptions {
            limits: builder.limits.clone(),
            concurrent_runs: builder.concurrent_runs,
            engines: ports.engines.keys().cloned().collect(),
        },
        &builder.policy,
    );
    let registry = Arc::new(Registry::new(Binding::new(policy, &builder.settings), []));
    Lifecycle::new(ports, registry, builder.options, builder.limits.import_time).expect("randomness at start")
}

/// A compiled policy under these limits. Tests put hosts together by the hundred, so one sandbox serves all
/// that share their limits, and a policy is compiled once for each.
fn compiled(options: SandboxOptions, component: &[u8]) -> Policy {
    static SANDBOXES: LazyLock<Mutex<Vec<Arc<Compiled>>>> = LazyLock::new(Mutex::default);
    let mut sandboxes = SANDBOXES.lock().unwrap_or_else(PoisonError::into_inner);
    let known = sandboxes.iter().find(|known| known.options == options).cloned();
    let shared = known.unwrap_or_else(|| {
        let sandbox = Sandbox::new(options.clone()).expect("a sandbox");
        let fresh = Arc::new(Compiled { options, sandbox, policies: Mutex::default() });
        sandboxes.push(fresh.clone());
        fresh
    });
    drop(sandboxes);
    let mut policies = shared.policies.lock().unwrap_or_else(PoisonError::into_inner);
    let digest = PolicyDigest::of(component);
    if let Some(policy) = policies.iter().find(|policy| *policy.digest() == digest) {
        return policy.clone();
    }
    let policy = shared.sandbox.load(component).expect("the policy fits the world");
    policies.push(policy.clone());
    policy
}

struct Compiled {
    options: SandboxOptions,
    sandbox: Sandbox,
    policies: Mutex<Vec<Policy>>,
}
