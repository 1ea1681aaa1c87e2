//! The behaviour of the default policy, row by row, as the real component in the real host on memory adapters.

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
use rtmanager::model::{
    Author, ContainerId, ContainerState, Fence, Hold, LiveStatus, OperationEntry, Outcome, RuntimeRecord, Status,
};
use rtmanager::ports::{Clock as _, StatusChange};
use rtmanager_tests::captured_log::captured_log;
use rtmanager_tests::mock_host::{GAME, IMAGE, MockHost, container, labels, request};

fn host() -> MockHost {
    MockHost::builder().build()
}

/// What the caller and the log were told.
struct Told {
    result: OperationResult,
    entry: OperationEntry,
}

/// Cleans up the game, and checks what holds for every row: one entry, the policy's own, that says what the
/// caller was told; no record for a failure; the lease given back.
async fn clean_up(host: &MockHost) -> Told {
    let result = host.cleanup(GAME).await;
    let mut entries = host.entries();
    assert_eq!(entries.len(), 1, "one entry a run");
    let logged = entries.remove(0);
    assert_eq!(result.entry, Some(logged.id));
    let entry = logged.entry;
    assert_eq!(entry.run_id, result.run_id);
    assert_eq!((entry.outcome, &entry.error_code), (result.outcome, &result.error_code));
    assert_eq!((entry.author, &entry.fault), (Author::Policy, &None));
    assert_eq!((entry.game_id.as_str(), entry.op_kind.as_str()), (GAME, "cleanup_container"));
    assert_eq!((entry.op_source.as_str(), entry.source_ref.as_str()), ("cli", "ref-1"));
    assert_eq!(entry.actor.as_deref(), Some("tester"));
    assert_eq!(result.record.is_some(), result.outcome == Outcome::Success);
    assert!(host.no_lease_is_held(), "the lease was not given back");
    assert_no_entry_after_release(host);
    Told { result, entry }
}

fn assert_no_entry_after_release(host: &MockHost) {
    let calls = host.script.journal().calls();
    let released = calls.iter().position(|call| *call == Call::LeaseRelease);
    let appended = calls.iter().rposition(|call| *call == Call::LogAppend);
    if let Some(released) = released {
        assert!(appended < Some(released), "the entry comes before the release: {calls:?}");
    }
}

impl Told {
    fn fails_with(&self, code: &str) -> &Self {
        assert_eq!(self.result.outcome, Outcome::Failure);
        assert_eq!(self.result.error_code.as_ref().map(|code| code.as_str()), Some(code), "{:?}", self.result.message);
        assert!(self.result.message.as_deref().is_some_and(|message| !message.is_empty()));
        assert_eq!(self.result.message, self.entry.error_message);
        self
    }

    fn succeeds_with(&self, code: Option<&str>) -> &Self {
        assert_eq!(self.result.outcome, Outcome::Success, "{:?}", self.result);
        assert_eq!(self.result.error_code.as_ref().map(|code| code.as_str()), code);
        assert_eq!(self.result.message, None);
        self
    }

    fn entry_carries(&self, container: Option<&ContainerId>, image: Option<&str>) -> &Self {
        assert_eq!(self.entry.container_id.as_ref(), container);
        assert_eq!(self.entry.image_ref.as_deref(), image);
        self
    }
}

async fn assert_untouched(host: &MockHost, id: &ContainerId) {
    let record = host.record(GAME).await.unwrap().record;
    assert_eq!((record.status, record.container_id.as_ref()), (Status::Stopped, Some(id)));
    assert_eq!(record.removed_at, None);
}

#[tokio::test]
async fn a_blank_game_id_is_an_invalid_request_logged_as_received() {
    for blank in ["", "  ", "\u{a0}\t"] {
        let host = host();
        let result = host.lifecycle.cleanup(request(blank, "admin_rest")).await;
        assert_eq!(result.error_code.as_ref().map(|code| code.as_str()), Some("invalid_request"));
        let entries = host.entries();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].entry.op_source, "admin_rest");
        assert_eq!(entries[0].entry.game_id, blank.replace('\t', "\\t"), "as received, control characters escaped");
        assert_eq!(entries[0].entry.container_id, None);
        assert_eq!(host.script.journal().count(Call::LeaseTryAcquire), 0, "no lease is asked for");
        assert!(!host.metrics.render().unwrap().contains("rtmanager_lease_acquire_latency"), "no latency");
    }
}

#[tokio::test]
async fn a_game_id_that_no_game_can_have_is_an_invalid_request_and_not_worth_a_retry() {
    for wrong in ["x".repeat(257), "a\nb".to_owned()] {
        let host = host();
        let result = host.lifecycle.cleanup(request(&wrong, "admin_rest")).await;
        assert_eq!(result.error_code.as_ref().map(|code| code.as_str()), Some("invalid_request"));
        assert!(result.message.unwrap().contains("256 bytes"));
        assert_eq!(host.entries().len(), 1);
        assert_eq!(host.script.journal().count(Call::LeaseTryAcquire), 0, "no lease is asked for");
    }
}

#[tokio::test]
async fn an_unknown_op_source_is_an_invalid_request_logged_as_received() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    let source = format!("cron\n{}", "x".repeat(10_000));
    let result = host.lifecycle.cleanup(request(GAME, &source)).await;
    assert_eq!(result.error_code.as_ref().map(|code| code.as_str()), Some("invalid_request"));
    let entry = &host.entries()[0].entry;
    assert!(entry.op_source.starts_with("cron\\nxxx") && entry.op_source.len() < 300, "bounded and escaped");
    assert_eq!(entry.game_id, GAME);
    assert_eq!(host.script.journal().count(Call::LeaseTryAcquire), 0);
    assert_untouched(&host, &container(1)).await;
}

#[tokio::test]
async fn a_failing_lease_store_is_service_unavailable() {
    for failure in [Failure::Unavailable, Failure::Corrupt, Failure::LoseRequest, Failure::LoseReply] {
        let host = host();
        host.stopped(GAME, &container(1)).await;
        host.script.plan().fail(Call::LeaseTryAcquire, 1, failure);
        clean_up(&host).await.fails_with("service_unavailable").entry_carries(None, None);
        assert_untouched(&host, &container(1)).await;
    }
}

#[tokio::test]
async fn without_randomness_there_is_no_lease() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    host.randomness.set_failing(true);
    clean_up(&host).await.fails_with("service_unavailable");
    assert_eq!(host.script.journal().count(Call::LeaseTryAcquire), 0);
}

#[tokio::test]
async fn a_lease_held_by_another_is_a_conflict() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    host.script.plan().fail(Call::LeaseTryAcquire, 1, Failure::Refuse);
    clean_up(&host).await.fails_with("conflict").entry_carries(None, None);
    assert_untouched(&host, &container(1)).await;
}

#[tokio::test]
async fn no_record_is_not_found() {
    let host = host();
    clean_up(&host).await.fails_with("not_found").entry_carries(None, None);
}

#[tokio::test]
async fn a_record_that_cannot_be_loaded_is_an_internal_error() {
    for failure in [Failure::Unavailable, Failure::Corrupt] {
        let host = host();
        host.stopped(GAME, &container(1)).await;
        host.script.plan().fail_always(Call::RecordGet, failure);
        clean_up(&host).await.fails_with("internal_error").entry_carries(None, None);
        assert_untouched(&host, &container(1)).await;
    }
}

#[tokio::test]
async fn a_removed_record_is_a_replay_that_changes_nothing() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    host.cleanup(GAME).await;
    let before = host.record(GAME).await;
    let replay = host.cleanup(GAME).await;
    assert_eq!((replay.outcome, replay.error_code.unwrap().as_str()), (Outcome::Success, "replay_no_op"));
    assert_eq!(host.record(GAME).await, before);
    assert_eq!(replay.record, before.map(|tracked| tracked.record));
    let entry = &host.entries()[1].entry;
    assert_eq!((entry.container_id.as_ref(), entry.image_ref.as_deref()), (None, Some(IMAGE)), "as in the record");
}

#[tokio::test]
async fn a_running_record_is_a_conflict_that_says_stop_it_first() {
    let host = host();
    host.register(GAME, LiveStatus::Running, Some(&container(1))).await;
    let told = clean_up(&host).await;
    told.fails_with("conflict").entry_carries(Some(&container(1)), Some(IMAGE));
    assert!(told.result.message.as_deref().unwrap().contains("stop it first"));
    assert_eq!(host.script.journal().count(Call::EngineInspect), 0);
}

#[tokio::test]
async fn a_stopped_record_with_a_live_container_is_a_conflict() {
    for state in [ContainerState::Running, ContainerState::Restarting, ContainerState::Paused] {
        let host = host();
        host.stopped(GAME, &container(1)).await;
        host.engine.set_state(&container(1), state);
        clean_up(&host).await.fails_with("conflict").entry_carries(Some(&container(1)), Some(IMAGE));
        assert_untouched(&host, &container(1)).await;
        assert!(host.has_container(&container(1)));
        assert_eq!(host.script.journal().count(Call::EngineRemove), 0);
    }
}

#[tokio::test]
async fn a_container_that_starts_between_look_and_removal_is_a_conflict() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    host.script.plan().fail(Call::EngineRemove, 1, Failure::Refuse);
    clean_up(&host).await.fails_with("conflict").entry_carries(Some(&container(1)), Some(IMAGE));
    assert_untouched(&host, &container(1)).await;
}

/// Somebody writes the record while the run looks at the container.
fn meanwhile_looking(host: &MockHost, write: impl Future<Output = ()> + Send + 'static) {
    host.script.plan().meanwhile(Call::EngineInspect, 1, write);
}

async fn assert_not_removed(host: &MockHost, id: &ContainerId) {
    assert!(host.has_container(id));
    assert_eq!(host.script.journal().count(Call::EngineRemove), 0);
}

#[tokio::test]
async fn a_hold_that_is_set_while_the_run_looks_keeps_the_container() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    let records = host.store.records();
    meanwhile_looking(&host, async move {
        let hold = Hold { reason: "evidence".to_owned(), actor: "tester".to_owned(), until: None };
        records.set_hold(&GAME.parse().unwrap(), Some(&hold)).await.unwrap();
    });
    clean_up(&host).await.fails_with("conflict").entry_carries(Some(&container(1)), Some(IMAGE));
    assert_not_removed(&host, &container(1)).await;
    assert_untouched(&host, &container(1)).await;
}

#[tokio::test]
async fn a_runtime_that_is_registered_while_the_run_looks_keeps_its_container() {
    for (status, id) in [(LiveStatus::Running, 1), (LiveStatus::Running, 2), (LiveStatus::Stopped, 2)] {
        let host = host();
        host.stopped(GAME, &container(1)).await;
        let registration = host.registration(GAME, status, Some(&container(id)));
        let (records, at) = (host.store.records(), host.clock.now());
        meanwhile_looking(&host, async move {
            records.register(&registration, at).await.unwrap();
        });
        clean_up(&host).await.fails_with("conflict").entry_carries(Some(&container(1)), Some(IMAGE));
        assert_not_removed(&host, &container(1)).await;
    }
}

#[tokio::test]
async fn a_record_that_vanishes_while_the_run_looks_is_not_found() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    let store = host.store.clone();
    meanwhile_looking(&host, async move {
        store.delete_directly(&GAME.parse().unwrap());
    });
    clean_up(&host).await.fails_with("not_found").entry_carries(Some(&container(1)), Some(IMAGE));
    assert_not_removed(&host, &container(1)).await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_before_the_removal_keeps_the_container() {
    for failure in [Failure::Unavailable, Failure::LoseRequest, Failure::LoseReply] {
        let host = host();
        host.stopped(GAME, &container(1)).await;
        host.script.plan().fail(Call::RecordGetForEffect, 1, failure);
        clean_up(&host).await.fails_with("service_unavailable").entry_carries(Some(&container(1)), Some(IMAGE));
        assert_not_removed(&host, &container(1)).await;
        assert_untouched(&host, &container(1)).await;
    }
}

#[tokio::test]
async fn a_record_that_another_run_removes_before_the_removal_is_a_replay() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    let other = host.successor(MockHost::builder());
    let (store, clock) = (host.store.clone(), host.clock.clone());
    host.script.plan().meanwhile(Call::RecordGetForEffect, 1, async move {
        let game = GAME.parse().unwrap();
        let record = store.records().get(&game).await.unwrap().unwrap().record;
        let (status, removed_at) = (Status::Removed, Some(clock.now()));
        store.write_directly(RuntimeRecord { status, removed_at, container_id: None, ..record });
        drop(other);
    });
    clean_up(&host).await.succeeds_with(Some("replay_no_op")).entry_carries(Some(&container(1)), Some(IMAGE));
}

#[tokio::test]
async fn an_engine_that_fails_or_stays_silent_is_service_unavailable() {
    for call in [Call::EngineInspect, Call::EngineRemove] {
        for failure in [Failure::Unavailable, Failure::LoseRequest, Failure::LoseReply] {
            let host = host();
            host.stopped(GAME, &container(1)).await;
            host.script.plan().fail(call, 1, failure);
            clean_up(&host).await.fails_with("service_unavailable").entry_carries(Some(&container(1)), Some(IMAGE));
            assert_untouched(&host, &container(1)).await;
        }
    }
}

#[tokio::test]
async fn a_stopped_record_without_a_container_succeeds_without_the_engine() {
    let host = host();
    host.register(GAME, LiveStatus::Stopped, None).await;
    clean_up(&host).await.succeeds_with(None).entry_carries(None, Some(IMAGE));
    assert_eq!(host.record(GAME).await.unwrap().record.status, Status::Removed);
    let calls = host.script.journal().calls();
    assert!(!calls.contains(&Call::EngineInspect) && !calls.contains(&Call::EngineRemove));
}

#[tokio::test]
async fn a_lease_lost_before_the_removal_is_a_conflict_without_effect() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    let clock = host.clock.clone();
    host.script.plan().meanwhile(Call::EngineInspect, 1, async move { clock.advance(Duration::from_secs(61)) });
    clean_up(&host).await.fails_with("conflict").entry_carries(Some(&container(1)), Some(IMAGE));
    assert_eq!(host.script.journal().count(Call::EngineRemove), 0);
    assert_untouched(&host, &container(1)).await;
    assert!(host.has_container(&container(1)));
}

#[tokio::test]
async fn a_lease_lost_before_the_cas_is_a_conflict_without_further_effect() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    let clock = host.clock.clone();
    host.script.plan().meanwhile(Call::EngineRemove, 1, async move { clock.advance(Duration::from_secs(61)) });
    clean_up(&host).await.fails_with("conflict").entry_carries(Some(&container(1)), Some(IMAGE));
    assert_eq!(host.script.journal().count(Call::RecordCompareAndSet), 0);
    assert_untouched(&host, &container(1)).await;
}

#[tokio::test]
async fn a_lease_near_its_end_that_cannot_be_renewed_starts_nothing_new() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    let clock = host.clock.clone();
    // 56 of 60 s: within the margin of 5 s.
    host.script.plan().meanwhile(Call::EngineInspect, 1, async move { clock.advance(Duration::from_secs(56)) });
    host.script.plan().fail_always(Call::LeaseRenew, Failure::Unavailable);
    clean_up(&host).await.fails_with("conflict");
    assert_eq!(host.script.journal().count(Call::EngineRemove), 0);
    assert_untouched(&host, &container(1)).await;
}

#[tokio::test]
async fn a_lease_past_a_third_of_its_time_is_renewed_before_the_next_effect() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    let clock = host.clock.clone();
    host.script.plan().meanwhile(Call::EngineInspect, 1, async move { clock.advance(Duration::from_secs(30)) });
    clean_up(&host).await.succeeds_with(None);
    assert_eq!(host.script.journal().count(Call::LeaseRenew), 1);
}

/// Somebody else writes the record while the container is being removed.
fn meanwhile_another_writes(host: &MockHost, write: impl Future<Output = ()> + Send + 'static) {
    host.script.plan().meanwhile(Call::RecordCompareAndSet, 1, write);
}

#[tokio::test]
async fn a_cas_conflict_with_a_record_removed_by_another_is_a_replay_with_the_fresh_record() {
    let host = host();
    let stopped = host.stopped(GAME, &container(1)).await;
    let records = host.store.records();
    let at = host.clock.now();
    meanwhile_another_writes(&host, async move {
        let change = StatusChange {
            game_id: stopped.game_id,
            expected_status: Status::Stopped,
            expected_container: stopped.container_id,
            new_status: Status::Removed,
            at,
            run_id: "0".repeat(32).parse().unwrap(),
            fence: Fence(u64::MAX),
            policy: rtmanager_tests::contracts::fixture::policy(),
        };
        records.compare_and_set(&change).await.unwrap();
    });
    let told = clean_up(&host).await;
    told.succeeds_with(Some("replay_no_op")).entry_carries(Some(&container(1)), Some(IMAGE));
    let record = told.result.record.as_ref().unwrap();
    assert_eq!((&record.status, &record.container_id), (&Status::Removed, &None), "the fresh record");
}

#[tokio::test]
async fn a_cas_conflict_with_a_new_incarnation_is_a_conflict_that_leaves_it_alone() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    let another = host.registration(GAME, LiveStatus::Running, Some(&container(2)));
    let (records, at) = (host.store.records(), host.clock.now());
    meanwhile_another_writes(&host, async move {
        records.register(&another, at).await.unwrap();
    });
    clean_up(&host).await.fails_with("conflict").entry_carries(Some(&container(1)), Some(IMAGE));
    let record = host.record(GAME).await.unwrap().record;
    assert_eq!((record.status, record.container_id), (Status::Running, Some(container(2))));
}

#[tokio::test]
async fn a_cas_whose_answer_is_lost_is_settled_by_reading_again() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    host.script.plan().fail(Call::RecordCompareAndSet, 1, Failure::LoseReply);
    clean_up(&host).await.succeeds_with(None).entry_carries(Some(&container(1)), Some(IMAGE));
}

#[tokio::test]
async fn a_cas_that_was_never_made_is_known_not_to_be_and_cannot_be_any_more() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    host.script.plan().fail(Call::RecordCompareAndSet, 1, Failure::LoseRequest);
    clean_up(&host).await.fails_with("internal_error").entry_carries(Some(&container(1)), Some(IMAGE));
    assert_eq!(host.record(GAME).await.unwrap().record.status, Status::Stopped);
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success, "a later run may");
}

#[tokio::test]
async fn a_record_that_vanishes_before_the_cas_is_not_found() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    let store = host.store.clone();
    meanwhile_another_writes(&host, async move {
        store.delete_directly(&GAME.parse().unwrap());
    });
    clean_up(&host).await.fails_with("not_found").entry_carries(Some(&container(1)), Some(IMAGE));
}

#[tokio::test]
async fn a_status_that_is_none_of_these_is_an_internal_error() {
    let host = host();
    let record = host.stopped(GAME, &container(1)).await;
    host.store.write_directly(RuntimeRecord { status: Status::Other("zombie".to_owned()), ..record });
    let told = clean_up(&host).await;
    told.fails_with("internal_error").entry_carries(None, None);
    assert!(told.result.message.as_deref().unwrap().contains("zombie"));
    assert!(host.has_container(&container(1)));
}

#[tokio::test]
async fn a_held_game_is_a_conflict() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    let hold = Hold { reason: "evidence".to_owned(), actor: "tester".to_owned(), until: None };
    host.store.records().set_hold(&GAME.parse().unwrap(), Some(&hold)).await.unwrap();
    clean_up(&host).await.fails_with("conflict").entry_carries(Some(&container(1)), Some(IMAGE));
    assert!(host.has_container(&container(1)));
    assert_untouched(&host, &container(1)).await;
}

#[tokio::test]
async fn a_container_that_is_labelled_as_anothers_is_never_removed() {
    for label in ["rtmanager.owner", "rtmanager.tenant", "rtmanager.game"] {
        let host = host();
        host.stopped(GAME, &container(1)).await;
        let mut labels = labels(GAME);
        labels.insert(label.to_owned(), "another".to_owned());
        host.engine.vanish(&container(1));
        host.engine.create(&container(1), IMAGE, labels);
        clean_up(&host).await.fails_with("conflict").entry_carries(Some(&container(1)), Some(IMAGE));
        assert!(host.has_container(&container(1)), "{label}");
        assert_untouched(&host, &container(1)).await;
    }
}

#[tokio::test]
async fn a_cas_that_fails_otherwise_is_an_internal_error() {
    for failure in [Failure::Unavailable, Failure::Corrupt, Failure::LoseRequest] {
        let host = host();
        host.stopped(GAME, &container(1)).await;
        host.script.plan().fail(Call::RecordCompareAndSet, 1, failure);
        clean_up(&host).await.fails_with("internal_error").entry_carries(Some(&container(1)), Some(IMAGE));
        assert_untouched(&host, &container(1)).await;
    }
}

#[tokio::test]
async fn all_well_removes_the_container_then_changes_the_record() {
    let host = host();
    let before = host.stopped(GAME, &container(1)).await;
    host.advance(Duration::from_secs(60));
    let told = clean_up(&host).await;
    told.succeeds_with(None).entry_carries(Some(&container(1)), Some(IMAGE));
    assert!(!host.has_container(&container(1)));
    let record = host.record(GAME).await.unwrap().record;
    assert_eq!(told.result.record.as_ref(), Some(&record));
    assert_eq!((&record.status, &record.container_id), (&Status::Removed, &None));
    assert_eq!(record.removed_at, Some(record.last_op_at));
    assert!(record.last_op_at > before.last_op_at && record.version > before.version);
    let calls = host.script.journal().calls();
    let place = |call| calls.iter().position(|made| *made == call).unwrap();
    assert!(place(Call::EngineRemove) < place(Call::RecordCompareAndSet));
    assert!(told.entry.started_at <= told.entry.finished_at);
}

#[tokio::test]
async fn a_container_that_is_gone_already_is_a_plain_success() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    host.engine.vanish(&container(1));
    clean_up(&host).await.succeeds_with(None).entry_carries(Some(&container(1)), Some(IMAGE));
    assert_eq!(host.script.journal().count(Call::EngineRemove), 0);
}

#[tokio::test]
async fn a_log_that_fails_does_not_change_the_outcome() {
    for failure in [Failure::Unavailable, Failure::Corrupt] {
        let host = host();
        host.stopped(GAME, &container(1)).await;
        host.script.plan().fail(Call::LogAppend, 1, failure);
        let result = host.cleanup(GAME).await;
        assert_eq!((result.outcome, result.error_code, result.entry), (Outcome::Success, None, None));
        assert!(host.metrics.render().unwrap().contains("rtmanager_operation_entries_lost_total 1"));
        assert!(host.no_lease_is_held());
    }
}

#[tokio::test]
async fn a_release_that_fails_does_not_change_the_outcome() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    host.script.plan().fail(Call::LeaseRelease, 1, Failure::Unavailable);
    let (guard, log) = captured_log();
    let result = host.cleanup(GAME).await;
    drop(guard);
    assert_eq!((result.outcome, result.error_code), (Outcome::Success, None));
    assert!(host.metrics.render().unwrap().contains("rtmanager_lease_release_failures_total 1"));
    let log = log.text();
    let warning = log.lines().find(|line| line.contains("the lease was not released")).unwrap();
    assert!(warning.contains("WARN") && warning.contains(GAME), "{warning}");
}

#[tokio::test(start_paused = true)]
async fn a_release_that_hangs_has_five_seconds_of_its_own() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    host.script.plan().fail(Call::LeaseRelease, 1, Failure::Hang);
    let began = tokio::time::Instant::now();
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success);
    assert_eq!(began.elapsed().as_secs(), 5, "though one call may take 30 s");
}

#[tokio::test]
async fn asking_for_a_lease_is_measured_whether_it_is_acquired_held_or_fails() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    host.script.plan().fail(Call::LeaseTryAcquire, 1, Failure::Refuse);
    host.script.plan().fail(Call::LeaseTryAcquire, 2, Failure::Unavailable);
    for _ in 0..3 {
        host.cleanup(GAME).await;
    }
    host.lifecycle.cleanup(request("", "cli")).await;
    let metrics = host.metrics.render().unwrap();
    for result in ["held", "failed", "acquired"] {
        let counted = format!("rtmanager_lease_acquire_latency_seconds_count{{result=\"{result}\"}} 1\n");
        assert!(metrics.contains(&counted), "{counted} is not in {metrics}");
    }
}

#[tokio::test]
async fn a_game_id_is_used_as_given() {
    let host = host();
    host.stopped(" game 1 ", &container(1)).await;
    assert_eq!(host.cleanup("game 1").await.error_code.unwrap().as_str(), "not_found");
    assert_eq!(host.cleanup(" game 1 ").await.outcome, Outcome::Success);
}
