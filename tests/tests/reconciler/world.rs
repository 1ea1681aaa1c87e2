//! One engine and one store in memory, with a reconciler between them that closes nothing.

use std::sync::Arc;
use std::time::Duration;

use rtmanager::adapters::memory::{ManualClock, MemoryEngine, MemoryStore, Script};
use rtmanager::model::{
    ContainerId, Fence, GameId, Labels, LiveStatus, Registration, RunId, RuntimeRecord, Status, TrackedRuntime,
};
use rtmanager::ownership::Ownership;
use rtmanager::ports::{Clock, ContainerEngine, DueCursor, StatusChange};
use rtmanager::reconciler::{Finding, Options, Reconciler, Report};
use rtmanager_tests::dockerd::labels;

pub const DAY: Duration = Duration::from_secs(86_400);

pub struct World {
    pub clock: Arc<ManualClock>,
    pub engine: MemoryEngine,
    pub store: MemoryStore,
    pub reconciler: Reconciler,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
        let engine = MemoryEngine::new(clock.clone());
        let store = MemoryStore::default();
        let reconciler = reconciler(Arc::new(engine.clone()), &store, clock.clone(), "us");
        Self { clock, engine, store, reconciler }
    }

    pub async fn pass(&self) -> Report {
        self.clock.advance(Duration::from_secs(60));
        self.reconciler.run().await.unwrap()
    }

    /// A container of ours, made and not started.
    pub fn create(&self, digit: &str, tenant: &str, game: &str) -> ContainerId {
        self.clock.advance(Duration::from_secs(1));
        self.engine.create(&id(digit), "web:1", ours(tenant, game));
        id(digit)
    }

    /// A container of ours that ran and ended.
    pub fn exited(&self, digit: &str, tenant: &str, game: &str) -> ContainerId {
        let id = self.create(digit, tenant, game);
        self.rerun(&id);
        id
    }

    pub fn rerun(&self, id: &ContainerId) {
        self.clock.advance(Duration::from_secs(1));
        assert!(self.engine.start(id));
        self.clock.advance(Duration::from_secs(1));
        assert!(self.engine.stop(id, 0));
    }

    pub async fn tracked(&self, game: &str) -> TrackedRuntime {
        self.store.records().get(&game_id(game)).await.unwrap().expect("a record")
    }

    pub async fn record(&self, game: &str) -> RuntimeRecord {
        self.tracked(game).await.record
    }

    pub async fn is_offered(&self, game: &str) -> bool {
        let now = self.clock.now();
        let records = self.store.records();
        let (mut after, mut offered) = (None::<DueCursor>, Vec::new());
        loop {
            let page = records.due(&"main".parse().unwrap(), now, now, after.as_ref(), 100).await.unwrap();
            offered.extend(page.rows.into_iter().map(|row| row.record.game_id));
            after = page.next;
            if after.is_none() {
                return offered.contains(&game_id(game));
            }
        }
    }

    pub async fn register(&self, change: impl FnOnce(&mut Registration)) -> RuntimeRecord {
        let mut registration = Registration {
            game_id: game_id("g"),
            tenant: "t".parse().unwrap(),
            engine: "main".parse().unwrap(),
            status: LiveStatus::Stopped,
            container_id: None,
            image_ref: None,
            labels: None,
            started_at: None,
            stopped_at: None,
        };
        change(&mut registration);
        self.store.records().register(&registration, self.clock.now()).await.unwrap()
    }

    pub async fn set_removed(&self, game: &str) {
        let record = self.record(game).await;
        let change = StatusChange {
            game_id: record.game_id,
            expected_status: record.status,
            expected_container: record.container_id,
            new_status: Status::Removed,
            at: self.clock.now(),
            run_id: RunId::from_bytes([1; 16]),
            fence: Fence(1),
            policy: rtmanager_tests::contracts::fixture::policy(),
        };
        self.store.records().compare_and_set(&change).await.unwrap();
    }
}

/// The world's reconciler with faults before store and engine.
pub fn scripted(world: &World) -> (Script, Reconciler) {
    let script = Script::default();
    let (engine, records) = (script.engine(Arc::new(world.engine.clone())), script.records(world.store.records()));
    let ownership = Ownership { owner: "us".to_owned(), ..Ownership::default() };
    let options = Options::new(ownership);
    let reconciler = Reconciler::new(engine, "main".parse().unwrap(), records, world.clock.clone(), options);
    (script, reconciler)
}

pub fn reconciler(
    engine: Arc<dyn ContainerEngine>,
    store: &MemoryStore,
    clock: Arc<dyn Clock>,
    owner: &str,
) -> Reconciler {
    let ownership = Ownership { owner: owner.to_owned(), ..Ownership::default() };
    Reconciler::new(engine, "main".parse().unwrap(), store.records(), clock, Options::new(ownership))
}

pub fn id(digit: &str) -> ContainerId {
    digit.repeat(64).parse().unwrap()
}

pub fn game_id(game: &str) -> GameId {
    game.parse().unwrap()
}

pub fn ours(tenant: &str, game: &str) -> Labels {
    labels(&[("rtmanager.owner", "us"), ("rtmanager.tenant", tenant), ("rtmanager.game", game)])
}

pub fn reasons(findings: &[Finding]) -> Vec<(&str, &str)> {
    findings.iter().map(|finding| (&finding.container.as_str()[..1], finding.reason.as_str())).collect()
}
