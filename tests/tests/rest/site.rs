//! A server on ports in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use rtmanager::access::{Caller, NewToken, Tokens, Trail};
use rtmanager::adapters::memory::{ManualClock, MemoryEngine, MemoryStore, Script};
use rtmanager::adapters::system_clock::SystemRandomness;
use rtmanager::admission::{Admission, ShapeLimits};
use rtmanager::api::{Server, Services};
use rtmanager::compiler::{Compiler, CompilerOptions, PolicyLoader};
use rtmanager::config::{Config, Loaded, Sources};
use rtmanager::lifecycle::Lifecycle;
use rtmanager::metrics::Metrics;
use rtmanager::model::{
    ContainerId, EntryId, ErrorCode, LiveStatus, OperationEntry, Outcome, PolicyScope, Registration, Role, RunId,
    Timestamp,
};
use rtmanager::orders::Orders;
use rtmanager::policies::{Parts, Policies};
use rtmanager::ports::{AuditLog, Clock};
use rtmanager::reconciler::{Options, Reconciler};
use rtmanager::registry::{Binding, Registry};
use rtmanager::runtime::{DEFAULT_POLICY, Limits, Policy, Sandbox, SandboxOptions};
use rtmanager::session::Ports;
use rtmanager_tests::scripted_gate::ScriptedGate;
use tokio_util::sync::CancellationToken;

use rtmanager_tests::http::Client;

pub const NOW: u64 = 1_769_860_800_000_000;

pub struct Site {
    pub client: Client,
    pub clock: Arc<ManualClock>,
    pub store: Arc<MemoryStore>,
    pub trail: Trail,
    pub tokens: Tokens,
    pub gate: Arc<ScriptedGate>,
    pub engine: Arc<MemoryEngine>,
    pub script: Script,
    pub reconciler: Arc<Reconciler>,
    pub shutdown: CancellationToken,
    pub served: tokio::task::JoinHandle<bool>,
    pub directory: tempfile::TempDir,
}

/// The container of a game.
pub fn container(game: &str) -> ContainerId {
    rtmanager::model::PolicyDigest::of(game.as_bytes()).as_str().parse().unwrap()
}

/// A configuration whose files are in `directory`.
pub fn config(directory: &tempfile::TempDir, flags: &[(&str, &str)]) -> Config {
    let path = |name: &str| directory.path().join(name).display().to_string();
    let mut all = vec![
        ("http.listen".to_owned(), format!("unix:{}", path("api.sock"))),
        ("http.token_file".to_owned(), path("api.token")),
        ("store.path".to_owned(), path("unused.db")),
    ];
    all.extend(flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    Loaded::from_sources(&Sources { flags: all, ..Sources::default() }).unwrap().config
}

/// Of all sites: there are hundreds.
static LOADER: LazyLock<PolicyLoader> = LazyLock::new(|| {
    let program = env!("CARGO_BIN_EXE_rtmanager-cli").into();
    let compiler = Compiler::new(CompilerOptions { program, ..CompilerOptions::default() });
    let sandbox = Sandbox::new(SandboxOptions { concurrent_runs: 4, ..SandboxOptions::default() }).unwrap();
    PolicyLoader::new(sandbox, compiler, None)
});

/// The same of what runs there.
static SANDBOX: LazyLock<(Sandbox, Policy)> = LazyLock::new(|| {
    let sandbox = Sandbox::new(config(&tempfile::tempdir().unwrap(), &[]).sandbox).unwrap();
    let policy = sandbox.load(DEFAULT_POLICY).unwrap();
    (sandbox, policy)
});

/// What people do with policies, on this store.
fn policies(store: &MemoryStore, trail: &Trail, ports: Arc<Ports>, gate: Arc<ScriptedGate>) -> Policies {
    Policies::new(Parts {
        busy: Default::default(),
        policies: store.policies(),
        generations: store.generations(),
        access: store.access(),
        trail: trail.clone(),
        clock: ports.clock.clone(),
        admission: Admission::new(ShapeLimits::default(), LOADER.clone(), ports),
        gate,
        limits: Limits::default(),
    })
}

impl Site {
    pub async fn open() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(flags: &[(&str, &str)]) -> Self {
        Self::ticking(flags, None).await
    }

    /// With a clock of its own for the handlers.
    pub async fn ticking(flags: &[(&str, &str)], other_clock: Option<Arc<dyn Clock>>) -> Self {
        let store = Arc::new(MemoryStore::default());
        let audit = store.audit();
        Self::on(store, audit, flags, other_clock).await
    }

    /// Whose trail goes to what is made of its own log.
    pub async fn logging_to(log: impl FnOnce(Arc<dyn AuditLog>) -> Arc<dyn AuditLog>, flags: &[(&str, &str)]) -> Self {
        let store = Arc::new(MemoryStore::default());
        let audit = log(store.audit());
        Self::on(store, audit, flags, None).await
    }

    /// Whose trail goes to this log.
    pub async fn audited_by(audit: Arc<dyn AuditLog>) -> Self {
        Self::on(Arc::default(), audit, &[], None).await
    }

    async fn on(
        store: Arc<MemoryStore>,
        audit: Arc<dyn AuditLog>,
        flags: &[(&str, &str)],
        other_clock: Option<Arc<dyn Clock>>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = config(&directory, flags);
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(NOW)));
        let script = Script::default();
        let engine = Arc::new(MemoryEngine::new(clock.clone()));
        let ports = Arc::new(Ports {
            records: script.records(store.records()),
            operations: script.operation_log(store.operation_log()),
            leases: script.leases(store.leases(clock.clone())),
            engines: BTreeMap::from([("local".parse().unwrap(), script.engine(engine.clone()))]),
            clock: other_clock.unwrap_or_else(|| clock.clone()),
            randomness: script.randomness(Arc::new(SystemRandomness)),
            metrics: Arc::new(Metrics::new().unwrap()),
        });
        let policy = SANDBOX.1.clone();
        let registry =
            Arc::new(Registry::new(Binding::configured(&PolicyScope::Default, policy, &BTreeMap::new()), []));
        let import_time = config.sandbox.limits.import_time;
        let options = Options { discovers: config.discovery.enabled, ..Options::new(config.session.ownership.clone()) };
        let (name, looked_at) = ("local".parse().unwrap(), ports.engines.values().next().unwrap().clone());
        let (records, wall) = (ports.records.clone(), clock.clone());
        let reconciler = Arc::new(Reconciler::new(looked_at, name, records, wall, options));
        let trail = Trail::new(audit, clock.clone());
        let tokens = Tokens::new(store.access(), trail.clone(), clock.clone(), ports.randomness.clone());
        let pauses = script.pauses(store.pauses());
        let gate = Arc::new(ScriptedGate::default());
        let policies = policies(&store, &trail, ports.clone(), gate.clone());
        let services = Services {
            orders: Orders::new(ports.records.clone(), pauses.clone(), trail.clone(), ports.clock.clone()),
            tokens: tokens.clone(),
            trail: trail.clone(),
            policies,
            journals: store.journals(),
            reconcilers: BTreeMap::from([("local".parse().unwrap(), reconciler.clone())]),
            lifecycle: Lifecycle::new(ports.clone(), registry, config.session.clone(), import_time).unwrap(),
            ports,
            pauses,
            config: Arc::new(config),
        };
        let server = Server::bind(&services.config.http, &SystemRandomness).await.unwrap();
        let client = Client::of(server.listen());
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(server.run(Arc::new(services), shutdown.clone()));
        Self { client, clock, store, trail, tokens, gate, engine, script, reconciler, shutdown, served, directory }
    }

    pub fn token(&self) -> String {
        let token = std::fs::read_to_string(self.directory.path().join("api.token")).unwrap();
        format!("Bearer {}", token.trim_end())
    }

    /// The header of a new token of this role.
    pub async fn bearer(&self, name: &str, role: Role) -> String {
        let new = NewToken { name: name.parse().unwrap(), role, expires_at: None };
        let (_, secret) = self.tokens.create(&Caller::admin("cli:uid=7"), new).await.unwrap();
        format!("Bearer {}", secret.expose())
    }

    pub fn is_unix(&self) -> bool {
        matches!(self.client, Client::Unix(_))
    }

    /// A stopped game, `days` ago.
    pub async fn stopped(&self, game: &str, days: u64) {
        self.stopped_of("acme", game, days).await;
    }

    /// The same of this tenant.
    pub async fn stopped_of(&self, tenant: &str, game: &str, days: u64) {
        let now = Timestamp::from_micros(NOW);
        let stopped_at = now.saturating_sub(std::time::Duration::from_secs(days * 86_400));
        let container = container(game);
        let labels = [("rtmanager.owner", "rtmanager"), ("rtmanager.tenant", tenant), ("rtmanager.game", game)];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        self.engine.create(&container, "img:1", labels);
        self.engine.start(&container);
        self.engine.stop(&container, 0);
        let registration = Registration {
            game_id: game.parse().unwrap(),
            tenant: tenant.parse().unwrap(),
            engine: "local".parse().unwrap(),
            status: LiveStatus::Stopped,
            container_id: Some(container),
            image_ref: Some("img:1".to_owned()),
            labels: None,
            started_at: None,
            stopped_at: Some(stopped_at),
        };
        self.store.records().register(&registration, now).await.unwrap();
    }

    pub async fn logged(&self, game: &str, code: Option<ErrorCode>) -> EntryId {
        self.logged_of("acme", game, code).await
    }

    /// The same of this tenant.
    pub async fn logged_of(&self, tenant: &str, game: &str, code: Option<ErrorCode>) -> EntryId {
        let count = u8::try_from(self.store.logged().len()).unwrap();
        let at = Timestamp::from_micros(NOW);
        let entry = OperationEntry {
            run_id: RunId::from_bytes([count; 16]),
            game_id: game.to_owned(),
            tenant: Some(tenant.parse().unwrap()),
            op_kind: "cleanup_container".to_owned(),
            op_source: "admin_rest".to_owned(),
            source_ref: "req-1".to_owned(),
            actor: Some("token".to_owned()),
            image_ref: Some("img:1".to_owned()),
            container_id: None,
            outcome: if code.is_some() { Outcome::Failure } else { Outcome::Success },
            error_message: code.as_ref().map(|code| format!("failed with {code}")),
            error_code: code,
            started_at: at,
            finished_at: at,
            policy: rtmanager_tests::contracts::fixture::policy(),
            fence: Some(rtmanager::model::Fence(7)),
            author: rtmanager::model::Author::Policy,
            fault: None,
        };
        self.store.operation_log().append(&entry).await.unwrap()
    }
}
