//! A whole host on memory adapters: the real sandbox, session and lifecycle, with a clock that the test
//! sets, faults that it plans and a journal that it reads.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rtmanager::access::Trail;
use rtmanager::adapters::memory::{ManualClock, MemoryEngine, MemoryStore, Script, SeededRandomness};
use rtmanager::app::scratch_stores;
use rtmanager::compiler::LoadFailure;
use rtmanager::lifecycle::{Lifecycle, OperationResult, Request};
use rtmanager::metrics::Metrics;
use rtmanager::model::{
    ContainerId, EngineName, GameId, Labels, LiveStatus, LoggedOperation, PolicyDigest, PolicyScope, Registration,
    RuntimeRecord, TenantId, Timestamp, TrackedRuntime,
};
use rtmanager::ports::{Clock as _, ContainerEngine, LeaseStore, OperationLog, PauseStore, RecordStore};
use rtmanager::registry::{Binding, PolicySource, Registry, Stores, Watcher};
use rtmanager::runtime::{DEFAULT_POLICY, Limits, LoadError, Policy, Sandbox, SandboxOptions};
use rtmanager::session::{Ports, SessionOptions};
use rtmanager::sweeper::{SweepOptions, Sweeper};

/// The game of most tests.
pub const GAME: &str = "game-1";
/// The engine of all records.
pub const ENGINE: &str = "local";
/// The image of all containers.
pub const IMAGE: &str = "registry.example/game:1";

/// More than there are places. Suites share sandboxes, and so would share turns between the runtimes of their tests: a
/// clock that is stopped would run on while a test waits for another one.
const WORKERS: u32 = 10_000;

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
    workers: u32,
    options: SessionOptions,
    wraps: Vec<Wrap>,
    more_engines: BTreeMap<EngineName, Arc<dyn ContainerEngine>>,
    tenants: Vec<TenantPolicy>,
    follows_store: bool,
}

/// What one tenant has in place of the host's policy.
pub struct TenantPolicy {
    /// Whose.
    pub tenant: &'static str,
    /// The component.
    pub policy: &'static [u8],
    /// Its settings.
    pub settings: Vec<(&'static str, &'static str)>,
    /// What bounds its runs, as far as that is narrower than the host's limits.
    pub limits: Limits,
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

    /// As many threads as a real host has; runs that compute take turns for half of them.
    pub fn real_workers(mut self) -> Self {
        self.workers = SandboxOptions::default().workers;
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

    /// Gives a tenant a policy of its own, in the same sandbox.
    pub fn tenant(mut self, policy: TenantPolicy) -> Self {
        self.tenants.push(policy);
        self
    }

    /// Serves what the store binds, once its watcher has looked. The policy of this builder is what a file binds.
    pub fn following_store(mut self) -> Self {
        self.follows_store = true;
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
    /// Which policy serves whom.
    pub registry: Arc<Registry>,
    /// Follows the store, when told to.
    pub watcher: Arc<Watcher>,
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
            workers: WORKERS,
            options: SessionOptions::default(),
            wraps: Vec::new(),
            more_engines: BTreeMap::new(),
            tenants: Vec::new(),
            follows_store: false,
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
        let pauses = script.pauses(store.pauses());
        let Parts { registry, watcher, lifecycle } = parts(ports.clone(), &store, "host-1", builder);
        Self { clock, store, engine, script, randomness, metrics, ports, pauses, registry, watcher, lifecycle }
    }

    /// A sweeper of this host.
    pub fn sweeper(&self, options: SweepOptions) -> Sweeper {
        Sweeper::new(self.ports.clone(), self.pauses.clone(), self.lifecycle.clone(), options)
    }

    /// Another host on the same ports: what a process finds that starts after this one has died, or a
    /// tenant after a change of its policy.
    pub fn successor(&self, builder: MockHostBuilder) -> Self {
        let Parts { registry, watcher, lifecycle } = parts(self.ports.clone(), &self.store, "host-2", builder);
        Self {
            clock: self.clock.clone(),
            store: self.store.clone(),
            engine: self.engine.clone(),
            script: self.script.clone(),
            randomness: self.randomness.clone(),
            metrics: self.metrics.clone(),
            ports: self.ports.clone(),
            pauses: self.pauses.clone(),
            registry,
            watcher,
            lifecycle,
        }
    }

    /// Registers a stopped runtime with a container that has ended.
    pub async fn stopped(&self, game: &str, container: &ContainerId) -> RuntimeRecord {
        self.engine.create(container, IMAGE, labels(game));
        self.engine.start(container);
        self.engine.stop(container, 0);
        self.register(game, LiveStatus::Stopped, Some(container)).await
    }

    /// The same for a game of another tenant.
    pub async fn stopped_of(&self, tenant: &str, game: &str, container: &ContainerId) -> RuntimeRecord {
        let mut labels = labels(game);
        labels.insert("rtmanager.tenant".to_owned(), tenant.to_owned());
        self.engine.create(container, IMAGE, labels);
        self.engine.start(container);
        self.engine.stop(container, 0);
        let tenant = tenant.parse().expect("tenant");
        let registration = Registration { tenant, ..self.registration(game, LiveStatus::Stopped, Some(container)) };
        self.store.records().register(&registration, self.clock.now()).await.expect("registered")
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

struct Parts {
    registry: Arc<Registry>,
    watcher: Arc<Watcher>,
    lifecycle: Lifecycle,
}

fn parts(ports: Arc<Ports>, store: &MemoryStore, replica: &str, builder: MockHostBuilder) -> Parts {
    let options = SandboxOptions {
        limits: builder.limits.clone(),
        concurrent_runs: builder.concurrent_runs,
        workers: builder.workers,
        engines: ports.engines.keys().cloned().collect(),
    };
    let policy = compiled(&options, &builder.policy).expect("the policy fits the world");
    let fallback = Binding::configured(&PolicyScope::Default, policy, &builder.settings);
    let tenants = builder.tenants.into_iter().map(|TenantPolicy { tenant, policy, settings, limits }| {
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let tenant: TenantId = tenant.parse().expect("tenant");
        let policy = compiled(&options, policy).expect("the policy fits the world");
        let binding = Binding::configured(&PolicyScope::Tenant(tenant.clone()), policy, &settings).within(&limits);
        (tenant, binding)
    });
    let registry = Registry::new(fallback, tenants);
    let registry = Arc::new(if builder.follows_store { registry.unread() } else { registry });
    let stores = Stores {
        generations: store.generations(),
        policies: store.policies(),
        access: store.access(),
        trail: Trail::new(store.audit(), ports.clock.clone()),
        clock: ports.clock.clone(),
    };
    let (source, metrics) = (Arc::new(Compiler(options)), ports.metrics.clone());
    let watcher = Watcher::new(stores, source, registry.clone(), metrics, replica.to_owned());
    watcher.speak();
    let nowhere = Arc::new(Metrics::new().expect("metrics"));
    let scratch = (scratch_stores(), nowhere);
    let import_time = builder.limits.import_time;
    let lifecycle = Lifecycle::with_shadows(ports, registry.clone(), builder.options, import_time, scratch);
    Parts { registry, watcher, lifecycle: lifecycle.expect("randomness at start") }
}

/// Compiles what the store binds, each once for all tests of a process.
struct Compiler(SandboxOptions);

#[async_trait]
impl PolicySource for Compiler {
    async fn load(&self, component: Vec<u8>) -> Result<Policy, LoadFailure> {
        Ok(compiled(&self.0, &component)?)
    }
}

/// A compiled policy under these limits. Tests put hosts together by the hundred, so one sandbox serves all
/// that share their limits, and a policy is compiled once for each.
fn compiled(options: &SandboxOptions, component: &[u8]) -> Result<Policy, LoadError> {
    static SANDBOXES: LazyLock<Mutex<Vec<Arc<Compiled>>>> = LazyLock::new(Mutex::default);
    let mut sandboxes = SANDBOXES.lock().unwrap_or_else(PoisonError::into_inner);
    let known = sandboxes.iter().find(|known| known.options == *options).cloned();
    let shared = known.unwrap_or_else(|| {
        let sandbox = Sandbox::new(options.clone()).expect("a sandbox");
        let fresh = Arc::new(Compiled { options: options.clone(), sandbox, policies: Mutex::default() });
        sandboxes.push(fresh.clone());
        fresh
    });
    drop(sandboxes);
    let mut policies = shared.policies.lock().unwrap_or_else(PoisonError::into_inner);
    let digest = PolicyDigest::of(component);
    if let Some(policy) = policies.iter().find(|policy| *policy.digest() == digest) {
        return Ok(policy.clone());
    }
    let policy = shared.sandbox.load(component)?;
    policies.push(policy.clone());
    Ok(policy)
}

struct Compiled {
    options: SandboxOptions,
    sandbox: Sandbox,
    policies: Mutex<Vec<Policy>>,
}
