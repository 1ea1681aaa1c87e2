//! Stores and engines that fail, and others at work at the same time.

use std::sync::Arc;

use async_trait::async_trait;
use rtmanager::adapters::memory::{Call as PortCall, Failure, ManualClock, MemoryEngine, MemoryStore};
use rtmanager::model::{Container, ContainerId, Labels, LiveStatus, Registration, Removal, RuntimeRecord, Status};
use rtmanager::ports::{Clock as _, ContainerEngine, EngineError, Listing};
use rtmanager::reconciler::{Error, Reconciler, Report};
use rtmanager_tests::fake_engine::{Call, FakeEngine, Reply};

use super::world::{World, game_id, id, reasons, reconciler, scripted};

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
    let report = reconciler(Arc::new(engine), &store, clock, "us").run().await.unwrap();
    assert_eq!(report, Report::default());
    let record = store.records().get(&game_id("g")).await.unwrap().unwrap().record;
    assert_eq!((record.status, record.container_id), (Status::Removed, None));
}

#[tokio::test]
async fn a_pass_without_an_answer_of_the_engine_changes_nothing() {
    let fake = FakeEngine::start();
    fake.on(Call::List, [Reply::CutBody]);
    let (store, clock) = (MemoryStore::default(), Arc::new(ManualClock::default()));
    let failed = reconciler(Arc::new(fake.engine()), &store, clock, "us").run().await;
    assert!(matches!(failed, Err(Error::Engine(EngineError::Unavailable(_)))), "{failed:?}");
    assert_eq!(store.records().tenants().await.unwrap(), []);
}

#[tokio::test]
async fn a_corrupt_record_is_reported_and_the_others_are_discovered() {
    let world = World::new();
    for (digit, game) in [("a", "1"), ("b", "2"), ("c", "3")] {
        world.exited(digit, "t", game);
    }
    let (script, reconciler) = scripted(&world);
    script.plan().fail(PortCall::RecordGet, 1, Failure::Corrupt);
    let report = reconciler.run().await.unwrap();
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
    let (script, reconciler) = scripted(&world);
    script.plan().fail(PortCall::EngineInspect, 1, Failure::Unavailable);
    let report = reconciler.run().await.unwrap();
    assert_eq!(reasons(&report.invalid), [("a", "the engine does not describe the container of the game's record")]);
    assert_eq!(reasons(&report.registered), [("b", "now stopped")]);
}

#[tokio::test]
async fn a_store_or_an_engine_that_is_away_ends_the_pass() {
    let world = World::new();
    world.engine.create(&id("c"), "web:1", Labels::new());
    world.register(|registration| registration.container_id = Some(id("c"))).await;
    world.exited("a", "t", "g");
    let (script, reconciler) = scripted(&world);
    script.plan().fail(PortCall::RecordGet, 1, Failure::Unavailable);
    assert!(matches!(reconciler.run().await, Err(Error::Store(_))));
    script.plan().fail_always(PortCall::EngineInspect, Failure::Unavailable);
    script.plan().fail_always(PortCall::EnginePing, Failure::Unavailable);
    assert!(matches!(reconciler.run().await, Err(Error::Engine(_))));
}

#[tokio::test]
async fn a_record_that_changed_while_it_was_judged_is_left_to_the_next_pass() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.pass().await;
    world.rerun(&container);
    let before = world.record("g").await;
    let (script, reconciler) = scripted(&world);
    let (store, engine, now) = (world.store.clone(), world.engine.clone(), world.clock.now());
    let platforms = RuntimeRecord { status: Status::Running, stopped_at: None, version: before.version + 1, ..before };
    let started = platforms.clone();
    script.plan().meanwhile(PortCall::RecordRegister, 1, async move {
        engine.start(&id("a"));
        store.write_directly(RuntimeRecord { started_at: Some(now), ..started });
    });
    let report = reconciler.run().await.unwrap();
    assert_eq!((report.refreshed.len(), report.unchanged), (0, 1), "{report:?}");
    assert_eq!(world.record("g").await.status, Status::Running, "the newer word stands");
}

#[tokio::test]
async fn a_record_that_the_platform_makes_or_changes_at_the_last_moment_stands() {
    for is_new in [true, false] {
        let world = World::new();
        let container = world.exited("a", "t", "g");
        if !is_new {
            world.pass().await;
            world.rerun(&container);
        }
        let (script, reconciler) = scripted(&world);
        let (records, now) = (world.store.records(), world.clock.now());
        let platforms = Registration {
            game_id: game_id("g"),
            tenant: "t".parse().unwrap(),
            engine: "main".parse().unwrap(),
            status: LiveStatus::Running,
            container_id: Some(id("b")),
            image_ref: Some("web:2".to_owned()),
            labels: None,
            started_at: Some(now),
            stopped_at: None,
        };
        script.plan().meanwhile(PortCall::RecordRegister, 1, async move {
            records.register(&platforms, now).await.unwrap();
        });
        let report = reconciler.run().await.unwrap();
        assert_eq!((report.registered.len(), report.conflicts.len()), (0, 0));
        assert_eq!(world.record("g").await.container_id, Some(id("b")), "is_new {is_new}");
    }
}

#[tokio::test]
async fn a_pass_waits_for_another_that_is_under_way() {
    let world = World::new();
    world.exited("a", "t", "g");
    let (script, reconciler) = scripted(&world);
    let reconciler = Arc::new(reconciler);
    let (open, gate) = tokio::sync::oneshot::channel::<()>();
    script.plan().meanwhile(PortCall::EngineListLabelled, 1, async move { gate.await.unwrap() });
    let pass = |reconciler: Arc<Reconciler>| tokio::spawn(async move { reconciler.run().await.unwrap() });
    let first = pass(reconciler.clone());
    tokio::task::yield_now().await;
    let second = pass(reconciler);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished(), "two at a time");
    open.send(()).unwrap();
    assert_eq!((first.await.unwrap().registered.len(), second.await.unwrap().unchanged), (1, 1));
}
