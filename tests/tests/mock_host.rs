//! The mock host does what its plan says, and its journal says what was done.

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

use rtmanager::adapters::memory::{Call, Failure, ManualClock, MemoryEngine, MemoryStore, Script, SeededRandomness};
use rtmanager::model::{ContainerState, Labels, Removal, Status, Timestamp};
use rtmanager::ports::{CasError, Clock as _, ContainerEngine as _, EngineError, Randomness as _, StoreError};
use rtmanager_tests::contracts::fixture::{at, container, game, removal, stopped, token};

/// A store with the stopped game `g`, and its records under a script.
async fn scripted() -> (Script, MemoryStore) {
    let store = MemoryStore::default();
    store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    (Script::default(), store)
}

async fn status(store: &MemoryStore) -> Status {
    store.records().get(&game("g")).await.unwrap().unwrap().record.status
}

/// Whether a call never answers. Time is tokio's own and stands still but for this.
async fn hangs<T>(call: impl Future<Output = T>) -> bool {
    tokio::time::timeout(Duration::from_secs(3_600), call).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn each_failure_has_its_effect_or_none_and_its_answer_or_none() {
    let expected = [
        (Failure::Unavailable, Status::Stopped),
        (Failure::Corrupt, Status::Stopped),
        (Failure::LoseRequest, Status::Stopped),
        (Failure::LoseReply, Status::Removed),
        (Failure::Hang, Status::Stopped),
        (Failure::HangAfterEffect, Status::Removed),
        (Failure::Refuse, Status::Stopped),
    ];
    assert_eq!(expected.clone().map(|(failure, _)| failure), Failure::ALL);
    for (failure, after) in expected {
        let (script, store) = scripted().await;
        script.plan().fail(Call::RecordCompareAndSet, 1, failure);
        let records = script.records(store.records());
        let change = removal("g", 1);
        let call = records.compare_and_set(&change);
        match failure {
            Failure::Hang | Failure::HangAfterEffect => assert!(hangs(call).await),
            Failure::Unavailable => {
                assert!(matches!(call.await, Err(CasError::Store(StoreError::Unavailable(_)))));
            }
            Failure::Corrupt => assert!(matches!(call.await, Err(CasError::Store(StoreError::Corrupt(_))))),
            Failure::LoseRequest | Failure::LoseReply => {
                assert!(matches!(call.await, Err(CasError::Store(StoreError::Unknown(_)))));
            }
            Failure::Refuse => assert!(matches!(call.await, Err(CasError::Conflict))),
        }
        assert_eq!(status(&store).await, after, "{failure:?}");
    }
}

#[tokio::test]
async fn only_the_planned_call_fails() {
    let (script, store) = scripted().await;
    script.plan().fail(Call::RecordGet, 2, Failure::Unavailable);
    let records = script.records(store.records());
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(records.get(&game("g")).await.is_ok());
    }
    assert_eq!(answers, [true, false, true]);
}

#[tokio::test]
async fn a_call_fails_by_its_place_among_all_and_always_until_mended() {
    let (script, store) = scripted().await;
    let (records, leases) =
        (script.records(store.records()), script.leases(store.leases(Arc::new(ManualClock::default()))));
    script.plan().fail_at(1, Failure::Unavailable);
    assert!(records.ping().await.is_ok());
    assert!(leases.held_until(&game("g")).await.is_err());
    script.plan().fail_always(Call::RecordPing, Failure::Unavailable);
    assert!(records.ping().await.is_err() && records.ping().await.is_err());
    script.plan().mend();
    assert!(records.ping().await.is_ok());
}

#[tokio::test]
async fn a_lease_is_lost_when_the_plan_says_so() {
    let (script, store) = scripted().await;
    let leases = script.leases(store.leases(Arc::new(ManualClock::default())));
    script.plan().fail(Call::LeaseRenew, 1, Failure::Refuse);
    leases.try_acquire(&game("g"), &token(1), Duration::from_secs(9)).await.unwrap();
    assert!(!leases.renew(&game("g"), &token(1), Duration::from_secs(9)).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_journal_keeps_order_arguments_and_answers_and_no_token() {
    let (script, store) = scripted().await;
    let leases = script.leases(store.leases(Arc::new(ManualClock::default())));
    let records = script.records(store.records());
    script.plan().fail(Call::RecordCompareAndSet, 1, Failure::Hang);
    leases.try_acquire(&game("g"), &token(1), Duration::from_secs(9)).await.unwrap();
    assert!(hangs(records.compare_and_set(&removal("g", 1))).await);
    leases.release(&game("g"), &token(1)).await.unwrap();
    assert_eq!(script.journal().calls(), [Call::LeaseTryAcquire, Call::RecordCompareAndSet, Call::LeaseRelease]);
    let entries = script.journal().entries();
    assert_eq!(entries[0].answer.as_deref(), Some("Ok(true)"));
    assert_eq!((entries[1].arguments.as_str(), &entries[1].answer), ("g stopped->removed fence 1", &None));
    assert!(!format!("{entries:?}").contains(token(1).expose()));
    assert_eq!(script.journal().count(Call::LeaseRelease), 1);
}

#[tokio::test]
async fn randomness_repeats_its_seed_and_fails_when_told() {
    let draw = |seed| {
        let mut bytes = [0_u8; 20];
        SeededRandomness::new(seed).fill(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let source = Arc::new(SeededRandomness::new(1));
    let script = Script::default();
    script.plan().fail(Call::RandomnessFill, 2, Failure::Unavailable);
    let scripted = script.randomness(source.clone());
    let answers = [1, 2, 3].map(|_| scripted.fill(&mut [0; 4]).is_ok());
    assert_eq!(answers, [true, false, true]);
    source.set_failing(true);
    assert!(scripted.fill(&mut [0; 4]).is_err());
}

#[test]
fn a_clock_jump_moves_the_wall_and_not_the_monotonic_clock() {
    let clock = ManualClock::at(at(0));
    clock.advance(Duration::from_secs(5));
    assert_eq!((clock.now(), clock.monotonic()), (at(5), Duration::from_secs(5)));
    clock.jump_to(Timestamp::EPOCH);
    assert_eq!((clock.now(), clock.monotonic()), (Timestamp::EPOCH, Duration::from_secs(5)));
}

fn engine() -> MemoryEngine {
    let engine = MemoryEngine::new(Arc::new(ManualClock::at(at(0))));
    engine.create(&container(1), "game:1", Labels::new());
    engine
}

#[tokio::test]
async fn a_container_that_is_not_live_is_removed_once() {
    for state in [ContainerState::Created, ContainerState::Exited, ContainerState::Dead] {
        let engine = engine();
        engine.set_state(&container(1), state);
        assert_eq!(engine.remove(&container(1)).await.unwrap(), Removal::Removed);
        assert_eq!(engine.remove(&container(1)).await.unwrap(), Removal::AlreadyGone);
        assert_eq!(engine.inspect(&container(1)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_live_or_odd_container_is_refused_and_stays() {
    let odd = ContainerState::Other("improper".to_owned());
    for state in [ContainerState::Running, ContainerState::Paused, ContainerState::Restarting, odd] {
        let engine = engine();
        engine.set_state(&container(1), state.clone());
        match engine.remove(&container(1)).await {
            Err(EngineError::Refused(found)) => assert_eq!(found, state),
            other => panic!("{other:?}"),
        }
        assert_eq!(engine.containers(), [container(1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_by_another_is_waited_for() {
    let engine = engine();
    engine.set_state(&container(1), ContainerState::Removing);
    assert!(hangs(engine.remove(&container(1))).await);
    let waiting = tokio::spawn({
        let engine = engine.clone();
        async move { engine.remove(&container(1)).await }
    });
    tokio::task::yield_now().await;
    assert!(engine.vanish(&container(1)));
    assert_eq!(waiting.await.unwrap().unwrap(), Removal::AlreadyGone);
}

#[tokio::test(start_paused = true)]
async fn a_removal_goes_on_when_its_caller_hangs_up() {
    let engine = engine();
    engine.set_removal_time(Duration::from_secs(10));
    let id = container(1);
    let impatient = tokio::time::timeout(Duration::from_secs(1), engine.remove(&id));
    assert!(impatient.await.is_err());
    let found = engine.inspect(&container(1)).await.unwrap().unwrap();
    assert_eq!(found.state, ContainerState::Removing);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(engine.containers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_many_removals_at_once_one_removes_and_all_answer_when_it_is_gone() {
    let engine = engine();
    engine.set_removal_time(Duration::from_secs(10));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { (engine.remove(&container(1)).await.unwrap(), engine.containers()) })
        })
        .collect();
    let mut removed = 0;
    for task in tasks {
        let (removal, left) = task.await.unwrap();
        removed += usize::from(removal == Removal::Removed);
        assert!(left.is_empty());
    }
    assert_eq!(removed, 1);
}

#[tokio::test]
async fn labels_that_the_image_sets_to_the_same_value_do_not_count() {
    let labels = |pairs: &[(&str, &str)]| -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let engine = MemoryEngine::new(Arc::new(ManualClock::default()));
    engine.set_image_labels("spoof:1", labels(&[("owner", "us"), ("tier", "gold")]));
    engine.create(&container(1), "spoof:1", Labels::new());
    engine.create(&container(2), "spoof:1", labels(&[("owner", "us")]));
    engine.create(&container(3), "plain:1", labels(&[("owner", "us"), ("game", "g")]));
    engine.create(&container(4), "plain:1", labels(&[("owner", "them")]));
    let ours = [("owner".to_owned(), "us".to_owned())];
    let listed: Vec<_> =
        engine.list_labelled(&ours).await.unwrap().containers.into_iter().map(|found| found.id).collect();
    assert_eq!(listed, [container(3)]);
    let spoofed = engine.inspect(&container(1)).await.unwrap().unwrap();
    assert_eq!(spoofed.labels.get("tier").map(String::as_str), Some("gold"));
}

#[tokio::test]
async fn starting_and_stopping_are_dated_by_the_clock() {
    let clock = Arc::new(ManualClock::at(at(0)));
    let engine = MemoryEngine::new(clock.clone());
    engine.create(&container(1), "game:1", Labels::new());
    clock.advance(Duration::from_secs(1));
    assert!(engine.start(&container(1)));
    clock.advance(Duration::from_secs(1));
    assert!(engine.stop(&container(1), 137));
    let found = engine.inspect(&container(1)).await.unwrap().unwrap();
    assert_eq!((found.created_at, found.started_at, found.finished_at), (Some(at(0)), Some(at(1)), Some(at(2))));
    assert_eq!((found.state, found.exit_code), (ContainerState::Exited, Some(137)));
    assert!(!engine.start(&container(9)));
}

#[tokio::test]
async fn a_direct_write_raises_the_version_and_a_direct_deletion_leaves_no_record() {
    let (_, store) = scripted().await;
    let mut record = store.records().get(&game("g")).await.unwrap().unwrap().record;
    record.status = Status::Other("migrating".to_owned());
    store.write_directly(record);
    let written = store.records().get(&game("g")).await.unwrap().unwrap().record;
    assert_eq!((written.status.as_str(), written.version), ("migrating", 2));
    assert!(store.delete_directly(&game("g")));
    assert!(matches!(store.records().compare_and_set(&removal("g", 1)).await, Err(CasError::NotFound)));
}
