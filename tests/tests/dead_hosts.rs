//! A host dies at every step of a run, before and after the step's effect. A neighbour must close the run truthfully,
//! touch nothing itself, and the next run must finish the job.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::time::Duration;

use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::lifecycle::OperationResult;
use rtmanager::model::{Author, LoggedOperation, Outcome, Status};
use rtmanager::recovery::{Recovery, RecoveryReport};
use rtmanager_tests::captured_log::captured_log;
use rtmanager_tests::mock_host::{ENGINE, GAME, IMAGE, MockHost, container};
use tokio::runtime::Runtime;

const PAST_TTL: Duration = Duration::from_secs(61);
const CLOSED_NOTHING: RecoveryReport = RecoveryReport { completed: 0, abandoned: 0, waiting: 0 };

async fn stopped_game() -> MockHost {
    let host = MockHost::builder().build();
    host.stopped(GAME, &container(1)).await;
    host
}

fn neighbour(host: &MockHost) -> MockHost {
    host.successor(MockHost::builder())
}

async fn recover(host: &MockHost) -> RecoveryReport {
    Recovery::new(host.ports.clone(), Duration::ZERO).run().await.unwrap()
}

/// Runs a cleanup until it hangs at its call number `place`, and kills its host there.
fn dies_at(host: &MockHost, place: usize, failure: Failure) {
    host.script.plan().fail_at(place, failure);
    let process = Runtime::new().unwrap();
    let lifecycle = host.lifecycle.clone();
    process.spawn(async move { lifecycle.cleanup(rtmanager_tests::mock_host::request(GAME, "cli")).await });
    let hangs = || {
        let entries = host.script.journal().entries();
        entries.get(place).is_some_and(|entry| entry.answer.is_none())
    };
    for _ in 0..2_000 {
        if hangs() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(hangs(), "the run never got to its call {place}");
    // An effect is in the world as soon as the call hangs after it: memory answers at once.
    std::thread::sleep(Duration::from_millis(5));
    process.shutdown_background();
    host.script.plan().mend();
}

fn by_recovery(entries: &[LoggedOperation]) -> Vec<&LoggedOperation> {
    entries.iter().filter(|logged| logged.entry.author == Author::Recovery).collect()
}

#[test]
fn at_every_step_a_neighbour_closes_the_run_truthfully_and_the_next_run_finishes_the_job() {
    let runtime = Runtime::new().unwrap();
    let course = runtime.block_on(async {
        let host = stopped_game().await;
        host.cleanup(GAME).await;
        host.script.journal().calls()
    });
    for (place, call) in course.iter().enumerate() {
        for failure in [Failure::Hang, Failure::HangAfterEffect] {
            let history = format!("{failure:?} at {place}, {call}");
            let host = runtime.block_on(stopped_game());
            dies_at(&host, place, failure);
            runtime.block_on(closed_truthfully(&host, &history));
        }
    }
}

async fn closed_truthfully(host: &MockHost, history: &str) {
    let next = neighbour(host);
    assert_eq!(recover(&next).await, CLOSED_NOTHING, "{history}: not before its lease has ended");
    host.advance(PAST_TTL);
    let (open, record, containers) = (host.store.open_runs(), host.record(GAME).await, host.engine.containers());
    let effects = |host: &MockHost| {
        let effects = [Call::EngineRemove, Call::RecordCompareAndSet];
        effects.map(|call| host.script.journal().count(call))
    };
    let before = effects(host);
    let report = recover(&next).await;
    assert_eq!((report.completed + report.abandoned) as usize, open.len(), "{history}");
    assert_eq!(effects(host), before, "{history}: recovery has effects");
    assert_eq!((host.record(GAME).await, host.engine.containers()), (record.clone(), containers.clone()), "{history}");
    let entries = host.entries();
    let removed = record.unwrap().record.status == Status::Removed;
    for open in &open {
        let logged = entries.iter().find(|logged| logged.entry.run_id == open.intent.run_id).unwrap();
        let entry = &logged.entry;
        assert_eq!((entry.author, entry.fence), (Author::Recovery, Some(open.fence)), "{history}");
        assert_eq!((&entry.container_id, entry.image_ref.as_deref()), (&Some(container(1)), Some(IMAGE)), "{history}");
        assert_eq!((entry.op_source.as_str(), entry.source_ref.as_str()), ("cli", "ref-1"), "{history}");
        assert_eq!(entry.outcome, if removed { Outcome::Success } else { Outcome::Failure }, "{history}");
        let message = entry.error_message.as_deref().unwrap_or_default();
        let told = if removed {
            ""
        } else if containers.is_empty() {
            "is gone"
        } else {
            "is still there"
        };
        assert!(message.contains(told), "{history}: {message:?} does not say {told:?}");
    }
    assert_eq!(host.store.open_runs(), [], "{history}");
    assert_eq!(recover(&next).await, CLOSED_NOTHING, "{history}: once is enough");
    let finished = next.cleanup(GAME).await;
    assert_eq!(finished.outcome, Outcome::Success, "{history}: {finished:?}");
    assert!(!host.has_container(&container(1)), "{history}");
    assert_eq!(host.record(GAME).await.unwrap().record.status, Status::Removed, "{history}");
    assert!(host.no_lease_is_held(), "{history}");
    assert_eq!(host.store.open_runs(), [], "{history}");
}

/// A run whose change is overtaken by a neighbour that takes its host for dead.
async fn taken_for_dead(host: &MockHost) -> OperationResult {
    let (next, store) = (neighbour(host), host.clock.clone());
    host.script.plan().meanwhile(Call::RecordCompareAndSet, 1, async move {
        store.advance(PAST_TTL);
        assert_eq!(recover(&next).await.abandoned, 1);
    });
    host.cleanup(GAME).await
}

#[tokio::test]
async fn a_run_that_was_taken_for_dead_changes_nothing_any_more() {
    let host = stopped_game().await;
    let result = taken_for_dead(&host).await;
    assert_eq!((result.outcome, result.error_code.unwrap().as_str()), (Outcome::Failure, "conflict"));
    assert_eq!(host.record(GAME).await.unwrap().record.status, Status::Stopped);
    let entries = host.entries();
    assert_eq!((entries.len(), by_recovery(&entries).len()), (1, 1), "the neighbour's account stands");
    assert_eq!(entries[0].entry.error_code.as_ref().unwrap().as_str(), "run_abandoned");
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success);
}

#[tokio::test]
async fn a_run_whose_lease_is_held_is_left_alone_however_long_it_takes() {
    let host = stopped_game().await;
    let (next, clock) = (neighbour(&host), host.clock.clone());
    host.script.plan().meanwhile(Call::EngineRemove, 1, async move {
        // Renewed meanwhile, as the session does by real time.
        clock.advance(PAST_TTL);
        let (game, token) = (GAME.parse().unwrap(), rtmanager::ports::LeaseToken::from_bytes([3; 32]));
        assert!(next.store.leases(clock).try_acquire(&game, &token, PAST_TTL).await.unwrap());
        assert_eq!(recover(&next).await, RecoveryReport { waiting: 1, ..CLOSED_NOTHING });
    });
    host.cleanup(GAME).await;
    assert_eq!(by_recovery(&host.entries()).len(), 0);
}

#[tokio::test]
async fn an_entry_that_could_not_be_written_is_written_later() {
    let (guard, log) = captured_log();
    let host = stopped_game().await;
    host.script.plan().fail_always(Call::LogAppend, Failure::Unavailable);
    let result = host.cleanup(GAME).await;
    assert_eq!((result.outcome, result.entry), (Outcome::Success, None), "a failing log changes no outcome");
    host.script.plan().mend();
    host.advance(PAST_TTL);
    assert_eq!(recover(&host).await, RecoveryReport { completed: 1, ..CLOSED_NOTHING });
    drop(guard);
    let log = log.text();
    let lost = log.lines().find(|line| line.contains("an entry could not be appended")).unwrap();
    let fence = host.entries()[0].entry.fence.unwrap().0;
    for field in [
        format!("run_id={}", result.run_id),
        format!("game_id={GAME}"),
        "tenant=\"tenant-a\"".to_owned(),
        "op_kind=cleanup_container op_source=cli".to_owned(),
        format!("fence={fence}"),
        "source_ref=ref-1 actor=\"tester\"".to_owned(),
        format!("image_ref=\"{IMAGE}\" container_id=\"{}\" outcome=\"success\"", container(1)),
        "started_at=".to_owned(),
        "policy_digest=".to_owned(),
    ] {
        assert!(lost.contains(&field), "{lost:?} does not name {field}");
    }
    let entries = host.entries();
    assert_eq!((entries.len(), entries[0].entry.outcome), (1, Outcome::Success));
    assert_eq!((&entries[0].entry.run_id, entries[0].entry.author), (&result.run_id, Author::Recovery));
}

#[test]
fn a_run_waits_for_an_engine_that_does_not_answer() {
    let runtime = Runtime::new().unwrap();
    let host = runtime.block_on(stopped_game());
    dies_at(&host, 4, Failure::Hang);
    runtime.block_on(async {
        host.advance(PAST_TTL);
        host.script.plan().fail_always(Call::EngineInspect, Failure::Unavailable);
        assert_eq!(recover(&host).await, RecoveryReport { waiting: 1, ..CLOSED_NOTHING });
        assert!(host.metrics.render().unwrap().contains("rtmanager_overdue_runs 1"));
        host.script.plan().mend();
        assert_eq!(recover(&host).await, RecoveryReport { abandoned: 1, ..CLOSED_NOTHING });
        let metrics = host.metrics.render().unwrap();
        assert!(metrics.contains("rtmanager_overdue_runs 0"), "{metrics}");
        assert!(metrics.contains("rtmanager_recovered_runs_total{result=\"abandoned\"} 1"), "{metrics}");
    });
}

#[test]
fn a_container_that_is_still_there_is_looked_at_again_once_nothing_can_be_under_way() {
    let runtime = Runtime::new().unwrap();
    let host = runtime.block_on(stopped_game());
    dies_at(&host, 5, Failure::Hang);
    runtime.block_on(async {
        host.advance(PAST_TTL);
        let recovery = Recovery::new(host.ports.clone(), Duration::from_secs(30));
        assert_eq!(recovery.run().await.unwrap(), RecoveryReport { waiting: 1, ..CLOSED_NOTHING });
        host.advance(Duration::from_secs(29));
        assert_eq!(recovery.run().await.unwrap(), RecoveryReport { waiting: 1, ..CLOSED_NOTHING });
        // What the run had sent has its effect after all.
        host.engine.vanish(&container(1));
        host.advance(Duration::from_secs(1));
        assert_eq!(recovery.run().await.unwrap(), RecoveryReport { abandoned: 1, ..CLOSED_NOTHING });
        assert!(host.entries()[0].entry.error_message.as_deref().unwrap().contains("its container is gone"));
    });
}

#[test]
fn a_process_that_runs_once_closes_what_began_long_ago_without_waiting() {
    let runtime = Runtime::new().unwrap();
    let host = runtime.block_on(stopped_game());
    dies_at(&host, 5, Failure::Hang);
    runtime.block_on(async {
        let once = || Recovery::new(host.ports.clone(), Duration::from_secs(30));
        host.advance(Duration::from_secs(60 * 60));
        assert_eq!(once().run().await.unwrap().waiting, 1);
        host.advance(Duration::from_secs(60 * 60));
        assert_eq!(once().run().await.unwrap().abandoned, 1);
    });
}

#[test]
fn the_engine_of_a_run_that_is_given_up_is_to_be_swept_soon_and_once() {
    let runtime = Runtime::new().unwrap();
    let host = runtime.block_on(stopped_game());
    dies_at(&host, 4, Failure::Hang);
    runtime.block_on(async {
        host.advance(PAST_TTL);
        let recovery = Recovery::new(host.ports.clone(), Duration::from_secs(30));
        assert!(recovery.take_freed().is_empty());
        assert_eq!(recovery.run().await.unwrap().waiting, 1, "its container is there");
        assert_eq!(recovery.take_freed().into_iter().collect::<Vec<_>>(), [ENGINE.parse().unwrap()]);
        recovery.run().await.unwrap();
        assert!(recovery.take_freed().is_empty());
    });
}

#[test]
fn a_run_on_an_engine_that_is_no_longer_configured_is_closed_and_says_so() {
    let runtime = Runtime::new().unwrap();
    let host = runtime.block_on(stopped_game());
    dies_at(&host, 4, Failure::Hang);
    runtime.block_on(async {
        host.advance(PAST_TTL);
        let ports = rtmanager::session::Ports {
            records: host.ports.records.clone(),
            operations: host.ports.operations.clone(),
            leases: host.ports.leases.clone(),
            engines: Default::default(),
            clock: host.ports.clock.clone(),
            randomness: host.ports.randomness.clone(),
            metrics: host.ports.metrics.clone(),
        };
        let report = Recovery::new(std::sync::Arc::new(ports), Duration::ZERO).run().await.unwrap();
        assert_eq!(report, RecoveryReport { abandoned: 1, ..CLOSED_NOTHING });
        let message = host.entries()[0].entry.error_message.clone().unwrap();
        assert!(message.contains(&format!("engine {ENGINE} is not configured")), "{message}");
    });
}

#[test]
fn two_neighbours_close_a_run_once() {
    let runtime = Runtime::new().unwrap();
    let host = runtime.block_on(stopped_game());
    dies_at(&host, 4, Failure::Hang);
    runtime.block_on(async {
        host.advance(PAST_TTL);
        let (one, other) = (neighbour(&host), neighbour(&host));
        let (here, there) = tokio::join!(recover(&one), recover(&other));
        assert!((1..=2).contains(&(here.abandoned + there.abandoned)), "{here:?} {there:?}");
        assert_eq!(host.entries().len(), 1);
    });
}
