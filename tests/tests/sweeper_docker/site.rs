//! A host on a real engine and a file of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rtmanager::adapters::sqlite::{SqliteOptions, SqliteStore};
use rtmanager::adapters::system_clock::{SystemClock, SystemRandomness};
use rtmanager::lifecycle::Lifecycle;
use rtmanager::metrics::Metrics;
use rtmanager::model::{
    ContainerId, EngineName, Labels, LiveStatus, OperationEntry, PolicyScope, Registration, TrackedRuntime,
};
use rtmanager::ownership::Ownership;
use rtmanager::ports::{ContainerEngine, OperationFilter, PauseStore};
use rtmanager::registry::{Binding, Registry};
use rtmanager::runtime::{DEFAULT_POLICY, Sandbox, SandboxOptions};
use rtmanager::session::{Ports, SessionOptions};
use rtmanager::sweeper::{SweepOptions, Sweeper};
use rtmanager_tests::dockerd::{Dockerd, labels};

/// The engine of all records.
pub(crate) const ENGINE: &str = "local";

pub(crate) struct Site {
    pub(crate) ports: Arc<Ports>,
    pub(crate) ownership: Ownership,
    pauses: Arc<dyn PauseStore>,
    pub(crate) lifecycle: Lifecycle,
    _sandbox: Sandbox,
    _dir: tempfile::TempDir,
}

impl Site {
    /// With an owner label that no other site has, since tests share an engine.
    pub(crate) async fn new(dockerd: &Dockerd) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let owner = format!("sweeper-{}-{now}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let ownership = Ownership { owner, ..Ownership::default() };
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("rtmanager.db"), SqliteOptions::default()).await.unwrap();
        let clock = Arc::new(SystemClock);
        let engine: Arc<dyn ContainerEngine> = Arc::new(dockerd.engine());
        let ports = Arc::new(Ports {
            records: store.records(),
            operations: store.operation_log(),
            leases: store.leases(clock.clone()),
            engines: BTreeMap::from([(ENGINE.parse::<EngineName>().unwrap(), engine)]),
            clock,
            randomness: Arc::new(SystemRandomness),
            metrics: Arc::new(Metrics::new().unwrap()),
        });
        let options = SandboxOptions::default();
        let import_time = options.limits.import_time;
        let sandbox = Sandbox::new(options).unwrap();
        let policy = sandbox.load(DEFAULT_POLICY).unwrap();
        let registry =
            Arc::new(Registry::new(Binding::configured(&PolicyScope::Default, policy, &BTreeMap::new()), []));
        let session = SessionOptions { ownership: ownership.clone(), ..SessionOptions::default() };
        let lifecycle = Lifecycle::new(ports.clone(), registry, session, import_time).unwrap();
        Self { ports, ownership, pauses: store.pauses(), lifecycle, _sandbox: sandbox, _dir: dir }
    }

    pub(crate) fn sweeper(&self, options: SweepOptions) -> Sweeper {
        Sweeper::new(self.ports.clone(), self.pauses.clone(), self.lifecycle.clone(), options)
    }

    /// The labels of a container of ours.
    pub(crate) fn labels(&self, game: &str) -> Labels {
        labels(&[
            ("rtmanager.owner", &self.ownership.owner),
            ("rtmanager.tenant", "tenant-a"),
            ("rtmanager.game", game),
        ])
    }

    /// Registers a runtime; one that is stopped has been so for `age`.
    pub(crate) async fn register(&self, game: &str, status: LiveStatus, id: Option<&ContainerId>, age: Duration) {
        let now = self.ports.clock.now();
        let registration = Registration {
            game_id: game.parse().unwrap(),
            tenant: "tenant-a".parse().unwrap(),
            engine: ENGINE.parse().unwrap(),
            status,
            container_id: id.cloned(),
            image_ref: None,
            labels: None,
            started_at: None,
            stopped_at: (status == LiveStatus::Stopped).then(|| now.saturating_sub(age)),
        };
        self.ports.records.register(&registration, now).await.unwrap();
    }

    pub(crate) async fn record(&self, game: &str) -> TrackedRuntime {
        self.ports.records.get(&game.parse().unwrap()).await.unwrap().expect("a record")
    }

    pub(crate) async fn entries(&self, game: &str) -> Vec<OperationEntry> {
        let filter = OperationFilter { game: Some(game.to_owned()), ..OperationFilter::default() };
        let logged = self.ports.operations.list(&filter, None, 1_000).await.unwrap();
        logged.into_iter().map(|logged| logged.entry).collect()
    }

    /// Whether no lease on the game is held.
    pub(crate) async fn is_free(&self, game: &str) -> bool {
        self.ports.leases.held_until(&game.parse().unwrap()).await.unwrap().is_none()
    }
}
