//! The engine's events bring a pass forward, and are never missed for long.

use std::sync::Arc;
use std::time::Duration;

use rtmanager::adapters::memory::{ManualClock, MemoryEngine, MemoryStore};
use rtmanager::model::{Labels, LiveStatus, Status};
use rtmanager::ownership::Ownership;
use rtmanager::reconciler::{Options, Reconciler};
use tokio::task::JoinHandle;

use super::world::{game_id, id, ours};

/// Far longer than any test waits.
const INTERVAL: Duration = Duration::from_secs(3_600);

struct Watched {
    engine: MemoryEngine,
    store: MemoryStore,
    clock: Arc<ManualClock>,
    reconciler: Arc<Reconciler>,
    passes: JoinHandle<()>,
}

impl Watched {
    fn new(discovers: bool) -> Self {
        let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
        let (engine, store) = (MemoryEngine::new(clock.clone()), MemoryStore::default());
        let own = Options::new(Ownership { owner: "us".to_owned(), ..Ownership::default() });
        let options = Options { discovers, ..own };
        let (name, port) = ("main".parse().unwrap(), Arc::new(engine.clone()));
        let reconciler = Arc::new(Reconciler::new(port, name, store.records(), clock.clone(), options));
        let runner = reconciler.clone();
        let passes = tokio::spawn(async move { runner.run_for_ever(|| INTERVAL).await });
        Self { engine, store, clock, reconciler, passes }
    }

    async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        for _ in 0..600 {
            if is_so().await {
                return;
            }
            assert!(!self.passes.is_finished(), "nothing looks any more");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not within 30 s: {what}; {:?}", self.reconciler.standing());
    }

    async fn until_watched(&self) {
        self.until("the engine is followed", async || self.engine.watchers() == 1).await;
        // The pass that makes up for what happened while the stream was being opened.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }

    async fn until_status(&self, wanted: Option<Status>) {
        let records = self.store.records();
        let status = async || records.get(&game_id("g")).await.unwrap().map(|row| row.record.status);
        self.until(&format!("the record says {wanted:?}"), async || status().await == wanted).await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.passes.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_by_hand_is_in_the_record_long_before_the_next_look() {
    let watched = Watched::new(true);
    watched.until_watched().await;
    watched.engine.create(&id("a"), "web:1", ours("t", "g"));
    watched.until_status(Some(Status::Stopped)).await;
    watched.clock.advance(Duration::from_secs(1));
    watched.engine.start(&id("a"));
    watched.until_status(Some(Status::Running)).await;
    watched.engine.vanish(&id("a"));
    watched.until_status(Some(Status::Stopped)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_cut_is_opened_again_and_what_was_missed_is_looked_for() {
    let watched = Watched::new(true);
    watched.until_watched().await;
    watched.engine.cut_watchers();
    watched.engine.create(&id("a"), "web:1", ours("t", "g"));
    watched.until_status(Some(Status::Stopped)).await;
    watched.until_watched().await;
    watched.engine.start(&id("a"));
    watched.until_status(Some(Status::Running)).await;
}

#[tokio::test(start_paused = true)]
async fn without_discovery_only_containers_of_records_are_heeded_and_they_need_no_labels() {
    let watched = Watched::new(false);
    watched.until_watched().await;
    watched.engine.create(&id("a"), "web:1", Labels::new());
    watched.engine.start(&id("a"));
    let registration = rtmanager::model::Registration {
        game_id: game_id("g"),
        tenant: "t".parse().unwrap(),
        engine: "main".parse().unwrap(),
        status: LiveStatus::Running,
        container_id: Some(id("a")),
        image_ref: None,
        labels: None,
        started_at: None,
        stopped_at: None,
    };
    use rtmanager::ports::Clock as _;
    watched.store.records().register(&registration, watched.clock.now()).await.unwrap();
    let looked_at = |watched: &Watched| watched.reconciler.standing().findings.map(|(at, _)| at);
    // Until everything of the first container is heard.
    tokio::time::sleep(Duration::from_secs(2)).await;
    watched.clock.advance(Duration::from_secs(1));
    let before = looked_at(&watched);
    watched.engine.create(&id("b"), "web:1", Labels::new());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(looked_at(&watched), before, "a container that is nobody's brings no pass forward");
    watched.engine.stop(&id("a"), 0);
    watched.until_status(Some(Status::Stopped)).await;
}

#[tokio::test(start_paused = true)]
async fn a_hint_finds_its_record_wherever_the_walk_over_all_stands() {
    let watched = Watched::new(false);
    watched.until_watched().await;
    let records = watched.store.records();
    // More records than four passes look at come before the one in question.
    for n in 0..9_000 {
        records.register(&stopped(&format!("f-{n:05}"), None), "2026-01-01T00:00:00Z".parse().unwrap()).await.unwrap();
    }
    watched.engine.create(&id("a"), "web:1", Labels::new());
    watched.engine.start(&id("a"));
    watched.engine.stop(&id("a"), 0);
    records.register(&stopped("g", Some(id("a"))), "2026-01-01T00:00:00Z".parse().unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    watched.clock.advance(Duration::from_secs(120));
    watched.engine.start(&id("a"));
    watched.until_status(Some(Status::Running)).await;
}

fn stopped(game: &str, container_id: Option<rtmanager::model::ContainerId>) -> rtmanager::model::Registration {
    rtmanager::model::Registration {
        game_id: game_id(game),
        tenant: "t".parse().unwrap(),
        engine: "main".parse().unwrap(),
        status: LiveStatus::Stopped,
        container_id,
        image_ref: None,
        labels: None,
        started_at: None,
        stopped_at: None,
    }
}

#[tokio::test(start_paused = true)]
async fn many_events_are_looked_at_together() {
    use rtmanager::adapters::memory::{Call, Script};
    let clock = Arc::new(ManualClock::default());
    let (engine, store, script) = (MemoryEngine::new(clock.clone()), MemoryStore::default(), Script::default());
    let options = Options::new(Ownership { owner: "us".to_owned(), ..Ownership::default() });
    let port = script.engine(Arc::new(engine.clone()));
    let reconciler = Reconciler::new(port, "main".parse().unwrap(), store.records(), clock, options);
    let busy = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = script.journal().count(Call::EngineListLabelled);
        engine.create(&id("a"), "web:1", ours("t", "g"));
        for _ in 0..1_000 {
            engine.start(&id("a"));
            engine.stop(&id("a"), 0);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        script.journal().count(Call::EngineListLabelled) - before
    };
    let looks = tokio::select! {
        () = reconciler.run_for_ever(|| INTERVAL) => unreachable!("it goes on for ever"),
        looks = busy => looks,
    };
    assert!((1..=2).contains(&looks), "{looks} passes for two thousand events");
}
