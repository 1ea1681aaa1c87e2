//! Containers become records: on the engine in memory for every case, on a real Docker Engine for the way there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rtmanager::adapters::memory::{Call as PortCall, Failure, ManualClock, MemoryEngine, MemoryStore, Script};
use rtmanager::discovery::{Discovery, DiscoveryError, DiscoveryOptions, DiscoveryReport, Finding};
use rtmanager::model::{
    Container, ContainerId, ContainerState, Fence, GameId, Hold, Labels, LiveStatus, Parked, Registration, Removal,
    RunId, RuntimeRecord, Status, Timestamp, TrackedRuntime,
};
use rtmanager::ownership::Ownership;
use rtmanager::ports::{Clock, ContainerEngine, Disposition, DueCursor, EngineError, Listing, StatusChange};
use rtmanager_tests::dockerd::{Dockerd, labels};
use rtmanager_tests::fake_engine::{Call, FakeEngine, Reply};

const DAY: Duration = Duration::from_secs(86_400);

struct World {
    clock: Arc<ManualClock>,
    engine: MemoryEngine,
    store: MemoryStore,
    discovery: Discovery,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
        let engine = MemoryEngine::new(clock.clone());
        let store = MemoryStore::default();
        let discovery = discovery(Arc::new(engine.clone()), &store, clock.clone(), "us");
        Self { clock, engine, store, discovery }
    }

    async fn pass(&self) -> DiscoveryReport {
        self.clock.advance(Duration::from_secs(60));
        self.discovery.run().await.unwrap()
    }

    /// A container of ours, made and not started.
    fn create(&self, digit: &str, tenant: &str, game: &str) -> ContainerId {
        self.clock.advance(Duration::from_secs(1));
        self.engine.create(&id(digit), "web:1", ours(tenant, game));
        id(digit)
    }

    /// A container of ours that ran and ended.
    fn exited(&self, digit: &str, tenant: &str, game: &str) -> ContainerId {
        let id = self.create(digit, tenant, game);
        self.rerun(&id);
        id
    }

    fn rerun(&self, id: &ContainerId) {
        self.clock.advance(Duration::from_secs(1));
        assert!(self.engine.start(id));
        self.clock.advance(Duration::from_secs(1));
        assert!(self.engine.stop(id, 0));
    }

    async fn tracked(&self, game: &str) -> TrackedRuntime {
        self.store.records().get(&game_id(game)).await.unwrap().expect("a record")
    }

    async fn record(&self, game: &str) -> RuntimeRecord {
        self.tracked(game).await.record
    }

    async fn is_offered(&self, game: &str) -> bool {
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

    async fn register(&self, change: impl FnOnce(&mut Registration)) -> RuntimeRecord {
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

    async fn set_removed(&self, game: &str) {
        let record = self.record(game).await;
        let change = StatusChange {
            game_id: record.game_id,
            expected_status: record.status,
            expected_container: record.container_id,
            new_status: Status::Removed,
            at: self.clock.now(),
            run_id: RunId::from_bytes([1; 16]),
            fence: Fence(1),
        };
        self.store.records().compare_and_set(&change).await.unwrap();
    }
}

/// The world's discovery with faults before store and engine.
fn scripted(world: &World) -> (Script, Discovery) {
    let script = Script::default();
    let (engine, records) = (script.engine(Arc::new(world.engine.clone())), script.records(world.store.records()));
    let ownership = Ownership { owner: "us".to_owned(), ..Ownership::default() };
    let options = DiscoveryOptions::new(ownership);
    let discovery = Discovery::new(engine, "main".parse().unwrap(), records, world.clock.clone(), options);
    (script, discovery)
}

fn discovery(engine: Arc<dyn ContainerEngine>, store: &MemoryStore, clock: Arc<dyn Clock>, owner: &str) -> Discovery {
    let ownership = Ownership { owner: owner.to_owned(), ..Ownership::default() };
    Discovery::new(engine, "main".parse().unwrap(), store.records(), clock, DiscoveryOptions::new(ownership))
}

fn id(digit: &str) -> ContainerId {
    digit.repeat(64).parse().unwrap()
}

fn game_id(game: &str) -> GameId {
    game.parse().unwrap()
}

fn ours(tenant: &str, game: &str) -> Labels {
    labels(&[("rtmanager.owner", "us"), ("rtmanager.tenant", tenant), ("rtmanager.game", game)])
}

fn reasons(findings: &[Finding]) -> Vec<(&str, &str)> {
    findings.iter().map(|finding| (&finding.container.as_str()[..1], finding.reason.as_str())).collect()
}

#[tokio::test]
async fn an_ended_container_becomes_a_stopped_record() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    let report = world.pass().await;
    assert_eq!(reasons(&report.registered), [("a", "now stopped")]);
    let engines = world.engine.inspect(&container).await.unwrap().unwrap();
    let record = world.record("g").await;
    assert_eq!((record.tenant.as_str(), record.engine.as_str()), ("t", "main"));
    assert_eq!((record.status, record.container_id), (Status::Stopped, Some(container)));
    assert_eq!((record.started_at, record.stopped_at), (engines.started_at, engines.finished_at));
    assert_eq!((record.image_ref.as_deref(), record.labels), (Some("web:1"), ours("t", "g")));
}

#[tokio::test]
async fn live_states_are_running_and_dead_is_stopped() {
    for (state, status) in [
        (ContainerState::Running, Status::Running),
        (ContainerState::Paused, Status::Running),
        (ContainerState::Restarting, Status::Running),
        (ContainerState::Dead, Status::Stopped),
    ] {
        let world = World::new();
        let container = world.exited("a", "t", "g");
        world.engine.set_state(&container, state.clone());
        world.pass().await;
        assert_eq!(world.record("g").await.status, status, "{state}");
    }
}

#[tokio::test]
async fn a_container_that_never_ran_is_stopped_since_it_was_made() {
    let world = World::new();
    let container = world.create("a", "t", "g");
    world.pass().await;
    let created_at = world.engine.inspect(&container).await.unwrap().unwrap().created_at;
    let record = world.record("g").await;
    assert_eq!((record.status, record.stopped_at), (Status::Stopped, created_at));
}

#[tokio::test]
async fn starts_and_stops_refresh_the_record() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.pass().await;
    world.engine.start(&container);
    let report = world.pass().await;
    assert_eq!(reasons(&report.refreshed), [("a", "now running")]);
    let running = world.record("g").await;
    assert_eq!((running.status, running.stopped_at), (Status::Running, None));
    world.engine.stop(&container, 1);
    assert_eq!(reasons(&world.pass().await.refreshed), [("a", "now stopped")]);
    let finished_at = world.engine.inspect(&container).await.unwrap().unwrap().finished_at;
    assert_eq!(world.record("g").await.stopped_at, finished_at);
}

#[tokio::test]
async fn nothing_new_writes_nothing() {
    let world = World::new();
    world.exited("a", "t", "g");
    world.pass().await;
    let before = world.tracked("g").await;
    let report = world.pass().await;
    assert_eq!(report, DiscoveryReport { unchanged: 1, ..DiscoveryReport::default() });
    assert_eq!(world.tracked("g").await, before);
}

#[tokio::test]
async fn the_platforms_stop_time_stands_until_the_container_runs_again() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.pass().await;
    let told: Timestamp = "2025-06-01T00:00:00Z".parse().unwrap();
    let known = world.record("g").await;
    world.store.write_directly(RuntimeRecord { stopped_at: Some(told), ..known });
    assert_eq!(world.pass().await.unchanged, 1);
    assert_eq!(world.record("g").await.stopped_at, Some(told));
    world.rerun(&container);
    assert_eq!(world.pass().await.refreshed.len(), 1);
    assert!(world.record("g").await.stopped_at.unwrap() > told);
}

#[tokio::test]
async fn a_container_that_vanished_is_left_to_cleanup() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.pass().await;
    let before = world.tracked("g").await;
    world.engine.vanish(&container);
    assert_eq!(world.pass().await, DiscoveryReport::default());
    assert_eq!(world.tracked("g").await, before);
}

#[tokio::test]
async fn a_container_that_is_being_removed_is_ignored() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.engine.set_state(&container, ContainerState::Removing);
    assert_eq!(world.pass().await, DiscoveryReport::default());
    assert_eq!(world.store.records().get(&game_id("g")).await.unwrap(), None);
}

#[tokio::test]
async fn containers_of_other_owners_are_not_looked_at() {
    let world = World::new();
    let mut theirs = ours("t", "g");
    theirs.insert("rtmanager.owner".to_owned(), "them".to_owned());
    world.engine.create(&id("a"), "web:1", theirs);
    world.engine.create(&id("b"), "web:1", Labels::new());
    assert_eq!(world.pass().await, DiscoveryReport::default());
}

#[tokio::test]
async fn an_image_cannot_claim_a_game_nor_a_tenant_nor_an_owner() {
    for spoofed in ["rtmanager.owner", "rtmanager.tenant", "rtmanager.game"] {
        let world = World::new();
        let mut own = ours("t", "g");
        let value = own.remove(spoofed).unwrap();
        world.engine.set_image_labels("evil:1", labels(&[(spoofed, &value)]));
        world.engine.create(&id("a"), "evil:1", own);
        let report = world.pass().await;
        assert_eq!(report.registered, [], "{spoofed}");
        assert_eq!(report.invalid.len(), 1, "{spoofed}: hidden without a word");
        assert_eq!(world.store.records().get(&game_id("g")).await.unwrap(), None, "{spoofed}");
    }
}

#[tokio::test]
async fn labels_that_cannot_be_used_are_reported() {
    let world = World::new();
    world.create("a", "t", " ");
    world.create("b", "not a tenant", "g");
    world.engine.create(&id("c"), "web:1", labels(&[("rtmanager.owner", "us"), ("rtmanager.tenant", "t")]));
    world.engine.create(&id("d"), "web:1", labels(&[("rtmanager.owner", "us"), ("rtmanager.game", "h")]));
    let odd = world.create("e", "t", "i");
    world.engine.set_state(&odd, ContainerState::Other("hibernating".to_owned()));
    let report = world.pass().await;
    let mut invalid = reasons(&report.invalid);
    invalid.sort_unstable();
    assert_eq!(
        invalid,
        [
            (
                "a",
                "game id \" \" is not valid: 1 to 256 bytes, not blank, without control characters, line separators and direction marks"
            ),
            (
                "b",
                "tenant \"not a tenant\" is not valid: 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-', starting with a \
                 letter or digit"
            ),
            ("c", "it has no label rtmanager.game of its own"),
            ("d", "it has no label rtmanager.tenant of its own"),
            ("e", "its state \"hibernating\" is none of a runtime's"),
        ]
    );
    assert_eq!(report, DiscoveryReport { invalid: report.invalid.clone(), ..DiscoveryReport::default() });
}

#[tokio::test]
async fn two_containers_that_claim_one_game_are_reported_and_neither_is_registered() {
    let world = World::new();
    world.exited("a", "t", "g");
    world.exited("b", "u", "g");
    let report = world.pass().await;
    let claimed_by = |digit: &str| format!("game g is claimed by container {} too", id(digit));
    assert_eq!(reasons(&report.conflicts), [("a", claimed_by("b").as_str()), ("b", claimed_by("a").as_str())]);
    assert_eq!(world.store.records().get(&game_id("g")).await.unwrap(), None);
}

#[tokio::test]
async fn a_record_stays_as_it_is_and_is_kept_from_the_sweeper_while_two_claim_its_game() {
    let world = World::new();
    let first = world.exited("a", "t", "g");
    world.pass().await;
    assert!(world.is_offered("g").await);
    let before = world.record("g").await;
    let second = world.exited("b", "t", "g");
    world.engine.start(&first);
    for _ in 0..3 {
        assert_eq!(world.pass().await.conflicts.len(), 2);
        assert_eq!(world.record("g").await, before);
        assert!(!world.is_offered("g").await);
        world.clock.advance(DAY / 2);
    }
    world.engine.stop(&first, 0);
    world.engine.vanish(&second);
    assert_eq!(world.pass().await.conflicts, []);
    assert!(world.is_offered("g").await);
}

#[tokio::test]
async fn a_conflict_that_ends_without_news_gives_the_game_back_and_keeps_its_failures() {
    let world = World::new();
    world.exited("a", "t", "g");
    world.pass().await;
    let backoff = Disposition::Wait {
        until: world.clock.now(),
        reason: "service_unavailable".to_owned(),
        generation: None,
        failed_attempts: 2,
    };
    let version = world.record("g").await.version;
    assert!(world.store.records().dispose(&game_id("g"), version, &backoff).await.unwrap());
    let second = world.exited("b", "t", "g");
    world.pass().await;
    assert!(!world.is_offered("g").await);
    world.engine.vanish(&second);
    assert_eq!(world.pass().await.unchanged, 1);
    assert!(world.is_offered("g").await);
    assert_eq!(world.tracked("g").await.cleanup.failed_attempts, 2);
}

#[tokio::test]
async fn a_conflict_shortens_no_wait_and_unparks_nothing() {
    let world = World::new();
    world.exited("a", "t", "g");
    world.pass().await;
    let version = world.record("g").await.version;
    let until = world.clock.now().saturating_add(DAY * 30);
    let wait =
        Disposition::Wait { until, reason: "policy".to_owned(), generation: Some("1".to_owned()), failed_attempts: 0 };
    world.store.records().dispose(&game_id("g"), version, &wait).await.unwrap();
    world.exited("b", "t", "g");
    world.pass().await;
    assert_eq!(world.tracked("g").await.cleanup.wait_until, Some(until));
    let parked = Parked { at: world.clock.now(), reason: "failed".to_owned() };
    let park = Disposition::Park { parked: parked.clone(), failed_attempts: 9 };
    world.store.records().dispose(&game_id("g"), version, &park).await.unwrap();
    world.pass().await;
    assert_eq!(world.tracked("g").await.cleanup.parked, Some(parked));
}

#[tokio::test]
async fn an_unlabelled_container_of_the_record_claims_the_game_no_less() {
    let world = World::new();
    world.engine.create(&id("a"), "web:1", Labels::new());
    world.register(|registration| registration.container_id = Some(id("a"))).await;
    world.exited("b", "t", "g");
    let report = world.pass().await;
    let reason = format!("the game's record has container {}, which still exists", id("a"));
    assert_eq!(reasons(&report.conflicts), [("b", reason.as_str())]);
    assert_eq!(world.record("g").await.container_id, Some(id("a")));
    assert!(!world.is_offered("g").await);
}

#[tokio::test]
async fn a_new_container_takes_the_place_of_one_that_is_gone() {
    let world = World::new();
    world.register(|registration| registration.container_id = Some(id("a"))).await;
    let container = world.exited("b", "t", "g");
    assert_eq!(reasons(&world.pass().await.refreshed), [("b", "now stopped")]);
    assert_eq!(world.record("g").await.container_id, Some(container));
}

#[tokio::test]
async fn a_record_of_another_tenant_is_reported_and_neither_overwritten_nor_kept() {
    let world = World::new();
    let before = world.register(|registration| registration.tenant = "u".parse().unwrap()).await;
    world.exited("a", "t", "g");
    let report = world.pass().await;
    assert_eq!(reasons(&report.conflicts), [("a", "the game's record belongs to tenant u")]);
    assert_eq!(world.record("g").await, before);
    assert!(world.is_offered("g").await, "a claim by another tenant must not keep a game from its cleanup");
}

#[tokio::test]
async fn a_conflict_among_other_tenants_keeps_no_game() {
    let world = World::new();
    world.register(|registration| registration.tenant = "u".parse().unwrap()).await;
    world.exited("a", "t", "g");
    world.exited("b", "t", "g");
    assert_eq!(world.pass().await.conflicts.len(), 2);
    assert!(world.is_offered("g").await);
}

#[tokio::test]
async fn a_record_with_a_container_on_another_engine_is_reported_and_kept() {
    let world = World::new();
    world
        .register(|registration| {
            registration.engine = "other".parse().unwrap();
            registration.container_id = Some(id("a"));
        })
        .await;
    world.exited("b", "t", "g");
    let report = world.pass().await;
    let reason = format!("the game's record has container {} on engine other", id("a"));
    assert_eq!(reasons(&report.conflicts), [("b", reason.as_str())]);
    assert!(!world.is_offered("g").await);
}

#[tokio::test]
async fn a_status_of_the_platforms_own_is_left_alone() {
    let world = World::new();
    let registered = world.register(|_| ()).await;
    world.store.write_directly(RuntimeRecord { status: Status::from_text("migrating"), ..registered });
    world.exited("a", "t", "g");
    let report = world.pass().await;
    assert_eq!(reasons(&report.conflicts), [("a", "the game's record has status \"migrating\", the platform's own")]);
    assert_eq!(world.record("g").await.status, Status::from_text("migrating"));
}

#[tokio::test]
async fn a_removed_game_begins_anew_with_a_new_container() {
    let world = World::new();
    let first = world.exited("a", "t", "g");
    world.pass().await;
    world.engine.vanish(&first);
    world.set_removed("g").await;
    let second = world.exited("b", "t", "g");
    assert_eq!(reasons(&world.pass().await.registered), [("b", "now stopped")]);
    let record = world.record("g").await;
    assert_eq!((record.status, record.container_id, record.removed_at), (Status::Stopped, Some(second), None));
}

#[tokio::test]
async fn a_container_that_was_removed_by_the_record_and_exists_is_reported() {
    let world = World::new();
    world.exited("a", "t", "g");
    world.pass().await;
    world.set_removed("g").await;
    let report = world.pass().await;
    let reason = format!("container {} of this game was removed; register the container of a new incarnation", id("a"));
    assert_eq!(reasons(&report.conflicts), [("a", reason.as_str())]);
    assert_eq!(world.record("g").await.status, Status::Removed);
}

/// Cleanup is faster than discovery: what has just been listed is removed, and the record says so.
struct CleanedUpMeanwhile {
    engine: MemoryEngine,
    world: World,
}

#[async_trait]
impl ContainerEngine for CleanedUpMeanwhile {
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        self.engine.inspect(id).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError> {
        self.engine.remove(id).await
    }

    async fn list_labelled(&self, labels: &[(String, String)]) -> Result<Listing, EngineError> {
        let listed = self.engine.list_labelled(labels).await?;
        for container in &listed.containers {
            self.engine.remove(&container.id).await?;
        }
        self.world.set_removed("g").await;
        Ok(listed)
    }

    async fn ping(&self) -> Result<(), EngineError> {
        self.engine.ping().await
    }
}

#[tokio::test]
async fn a_container_cleaned_up_since_it_was_listed_is_no_conflict() {
    let world = World::new();
    world.exited("a", "t", "g");
    world.pass().await;
    let (store, clock) = (world.store.clone(), world.clock.clone());
    let engine = CleanedUpMeanwhile { engine: world.engine.clone(), world };
    let report = discovery(Arc::new(engine), &store, clock, "us").run().await.unwrap();
    assert_eq!(report, DiscoveryReport::default());
    let record = store.records().get(&game_id("g")).await.unwrap().unwrap().record;
    assert_eq!((record.status, record.container_id), (Status::Removed, None));
}

#[tokio::test]
async fn a_pass_without_an_answer_of_the_engine_changes_nothing() {
    let fake = FakeEngine::start();
    fake.on(Call::List, [Reply::CutBody]);
    let (store, clock) = (MemoryStore::default(), Arc::new(ManualClock::default()));
    let failed = discovery(Arc::new(fake.engine()), &store, clock, "us").run().await;
    assert!(matches!(failed, Err(DiscoveryError::Engine(EngineError::Unavailable(_)))), "{failed:?}");
    assert_eq!(store.records().tenants().await.unwrap(), []);
}

#[tokio::test]
async fn a_container_that_is_another_games_is_reported() {
    let world = World::new();
    world
        .register(|registration| {
            registration.game_id = game_id("other");
            registration.container_id = Some(id("a"));
        })
        .await;
    world.exited("a", "t", "g");
    let report = world.pass().await;
    let reason = format!("container {} belongs to game other", id("a"));
    assert_eq!(reasons(&report.conflicts), [("a", reason.as_str())]);
}

#[tokio::test]
async fn a_hold_survives_all_of_it() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.pass().await;
    let hold = Hold { reason: "evidence".to_owned(), actor: "ann".to_owned(), until: None };
    world.store.records().set_hold(&game_id("g"), Some(&hold)).await.unwrap();
    world.rerun(&container);
    world.pass().await;
    world.exited("b", "t", "g");
    world.pass().await;
    assert_eq!(world.tracked("g").await.cleanup.hold, Some(hold));
}

#[tokio::test]
async fn containers_of_a_real_engine_become_records() {
    let dockerd = Dockerd::shared().await;
    let owner = format!("discovery-{}-{}", std::process::id(), std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos());
    let with_owner = |tenant: &str, game: &str| {
        labels(&[("rtmanager.owner", &owner), ("rtmanager.tenant", tenant), ("rtmanager.game", game)])
    };
    let running = dockerd.running(&with_owner("t", "runs")).await;
    let exited = dockerd.exited(&with_owner("t", "ended")).await;
    let created = dockerd.created(&with_owner("u", "made")).await;
    let image = dockerd.image_with_labels(&owner, &labels(&[("rtmanager.game", "spoofed")])).await;
    let spoofed = dockerd.exited_of(&image, &labels(&[("rtmanager.owner", &owner), ("rtmanager.tenant", "t")])).await;
    for _ in 0..2 {
        dockerd.created(&with_owner("t", "twice")).await;
    }

    let (store, clock) = (MemoryStore::default(), Arc::new(ManualClock::at("2030-01-01T00:00:00Z".parse().unwrap())));
    let discovery = discovery(Arc::new(dockerd.engine()), &store, clock, &owner);
    let report = discovery.run().await;
    dockerd.discard(&running).await;
    let report = report.unwrap();

    assert_eq!((report.registered.len(), report.conflicts.len()), (3, 2));
    assert_eq!(report.invalid.iter().map(|finding| &finding.container).collect::<Vec<_>>(), [&spoofed]);
    let records = store.records();
    for (game, container, status) in
        [("runs", running, Status::Running), ("ended", exited, Status::Stopped), ("made", created, Status::Stopped)]
    {
        let record = records.get(&game_id(game)).await.unwrap().unwrap().record;
        assert_eq!((record.container_id, record.status), (Some(container), status));
        assert_eq!(record.stopped_at.is_some(), game != "runs");
    }
}

#[tokio::test]
async fn a_corrupt_record_is_reported_and_the_others_are_discovered() {
    let world = World::new();
    for (digit, game) in [("a", "1"), ("b", "2"), ("c", "3")] {
        world.exited(digit, "t", game);
    }
    let (script, discovery) = scripted(&world);
    script.plan().fail(PortCall::RecordGet, 1, Failure::Corrupt);
    let report = discovery.run().await.unwrap();
    let reason = "the store is corrupt or of another version: injected by the fault plan";
    assert_eq!(reasons(&report.invalid), [("a", reason)]);
    assert_eq!(reasons(&report.registered), [("b", "now stopped"), ("c", "now stopped")]);
}

#[tokio::test]
async fn a_record_whose_container_cannot_be_described_is_reported_and_the_others_are_discovered() {
    let world = World::new();
    world.engine.create(&id("c"), "web:1", Labels::new());
    world.register(|registration| registration.container_id = Some(id("c"))).await;
    world.exited("a", "t", "g");
    world.exited("b", "t", "h");
    let (script, discovery) = scripted(&world);
    script.plan().fail(PortCall::EngineInspect, 1, Failure::Unavailable);
    let report = discovery.run().await.unwrap();
    assert_eq!(reasons(&report.invalid), [("a", "the engine does not describe the container of the game's record")]);
    assert_eq!(reasons(&report.registered), [("b", "now stopped")]);
}

#[tokio::test]
async fn a_store_or_an_engine_that_is_away_ends_the_pass() {
    let world = World::new();
    world.engine.create(&id("c"), "web:1", Labels::new());
    world.register(|registration| registration.container_id = Some(id("c"))).await;
    world.exited("a", "t", "g");
    let (script, discovery) = scripted(&world);
    script.plan().fail(PortCall::RecordGet, 1, Failure::Unavailable);
    assert!(matches!(discovery.run().await, Err(DiscoveryError::Store(_))));
    script.plan().fail_always(PortCall::EngineInspect, Failure::Unavailable);
    script.plan().fail_always(PortCall::EnginePing, Failure::Unavailable);
    assert!(matches!(discovery.run().await, Err(DiscoveryError::Engine(_))));
}

#[tokio::test]
async fn a_running_container_that_vanished_leaves_a_stopped_record() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.engine.start(&container);
    world.engine.create(&id("b"), "web:1", Labels::new());
    world
        .register(|unlabelled| {
            (unlabelled.game_id, unlabelled.status) = (game_id("still-there"), LiveStatus::Running);
            unlabelled.container_id = Some(id("b"));
        })
        .await;
    world.pass().await;
    assert_eq!(world.record("g").await.status, Status::Running);
    world.engine.vanish(&container);
    assert_eq!(reasons(&world.pass().await.refreshed), [("a", "gone, so now stopped")]);
    let record = world.record("g").await;
    assert_eq!((record.status, record.container_id), (Status::Stopped, Some(container)));
    assert_eq!((record.stopped_at, record.labels), (Some(world.clock.now()), ours("t", "g")));
    assert!(world.is_offered("g").await);
    assert_eq!(world.record("still-there").await.status, Status::Running);
    assert_eq!(world.pass().await, DiscoveryReport::default());
}

#[tokio::test]
async fn a_record_that_changed_while_it_was_judged_is_left_to_the_next_pass() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.pass().await;
    world.rerun(&container);
    let before = world.record("g").await;
    let (script, discovery) = scripted(&world);
    let (store, engine, now) = (world.store.clone(), world.engine.clone(), world.clock.now());
    let platforms = RuntimeRecord { status: Status::Running, stopped_at: None, version: before.version + 1, ..before };
    let started = platforms.clone();
    script.plan().meanwhile(PortCall::RecordGet, 2, async move {
        engine.start(&id("a"));
        store.write_directly(RuntimeRecord { started_at: Some(now), ..started });
    });
    let report = discovery.run().await.unwrap();
    assert_eq!((report.refreshed.len(), report.unchanged), (0, 1), "{report:?}");
    assert_eq!(world.record("g").await.status, Status::Running, "the newer word stands");
}

#[tokio::test]
async fn a_pass_waits_for_another_that_is_under_way() {
    let world = World::new();
    world.exited("a", "t", "g");
    let (script, discovery) = scripted(&world);
    let discovery = Arc::new(discovery);
    let (open, gate) = tokio::sync::oneshot::channel::<()>();
    script.plan().meanwhile(PortCall::EngineListLabelled, 1, async move { gate.await.unwrap() });
    let pass = |discovery: Arc<Discovery>| tokio::spawn(async move { discovery.run().await.unwrap() });
    let first = pass(discovery.clone());
    tokio::task::yield_now().await;
    let second = pass(discovery);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished(), "two at a time");
    open.send(()).unwrap();
    assert_eq!((first.await.unwrap().registered.len(), second.await.unwrap().unchanged), (1, 1));
}
