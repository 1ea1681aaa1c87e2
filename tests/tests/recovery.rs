//! Runs that end half way (by a trap, a limit, a hung backend, a caller that hangs up) leave a lease that is
//! free, an entry that says so, and a job that the next run finishes.

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

use async_trait::async_trait;
use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::model::{Author, ContainerId, GameId, Outcome, Removal, Status};
use rtmanager::ports::{ContainerEngine, EngineError, LeaseStore, LeaseToken, StoreError};
use rtmanager::recovery::Recovery;
use rtmanager::runtime::Limits;
use rtmanager_tests::captured_log::captured_log;
use rtmanager_tests::hostile::{hostile, run, run_over_stopped};
use rtmanager_tests::mock_host::{Backends, GAME, MockHost, container, request};
use rtmanager_tests::tapped::{EngineTap, LeaseTap, Tapped};
use tokio::sync::Notify;

/// The default policy finishes what another left half done.
async fn assert_the_default_policy_finishes(host: &MockHost, code: &str) {
    let told = run(&host.successor(MockHost::builder())).await;
    assert_eq!((told.result.outcome, told.code()), (Outcome::Success, code));
    assert!(!host.has_container(&container(1)));
    let record = host.record(GAME).await.unwrap().record;
    assert_eq!((record.status, record.container_id), (Status::Removed, None));
}

#[tokio::test]
async fn a_trap_at_any_step_leaves_the_job_to_be_finished() {
    for (mode, container_is_there, status, code_of_next) in [
        ("trap-before-lease", true, Status::Stopped, "-"),
        ("trap-under-lease", true, Status::Stopped, "-"),
        ("trap-after-load", true, Status::Stopped, "-"),
        ("trap-after-remove", false, Status::Stopped, "-"),
        ("trap-after-update", false, Status::Removed, "replay_no_op"),
    ] {
        let (host, told) = run_over_stopped(hostile(mode)).await;
        told.host_says("policy_trap");
        assert_eq!(host.has_container(&container(1)), container_is_there, "{mode}");
        assert_eq!(told.result.removed_container, (!container_is_there).then(|| container(1)), "{mode}");
        assert_eq!(host.record(GAME).await.unwrap().record.status, status, "{mode}");
        let had_read = host.script.journal().count(Call::RecordBeginRun) > 0;
        assert_eq!(told.entry.container_id, had_read.then(|| container(1)), "{mode}");
        assert_the_default_policy_finishes(&host, code_of_next).await;
    }
}

#[tokio::test]
async fn a_trap_after_the_entry_stands_beside_it_and_the_job_is_done() {
    let (host, told) = run_over_stopped(hostile("trap-after-append")).await;
    told.stands_beside("policy_trap", Outcome::Success, None);
    assert_the_default_policy_finishes(&host, "replay_no_op").await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_learns_that_a_backend_hangs_and_its_run_ends() {
    for (call, nth, answer) in [
        (Call::LeaseTryAcquire, 1, "outcome-unknown"),
        (Call::RecordBeginRun, 1, "unavailable(the record store did not answer within limits.import_time)"),
        (Call::EngineInspect, 1, "unavailable(the container engine did not answer within limits.import_time)"),
        (Call::EngineRemove, 1, "outcome-unknown"),
    ] {
        for failure in [Failure::Hang, Failure::HangAfterEffect] {
            let host = hostile("honest").build();
            host.stopped(GAME, &container(1)).await;
            host.script.plan().fail(call, nth, failure);
            run(&host).await.reports(answer);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_hangs_is_settled_and_the_policy_learns_what_became_of_it() {
    let host = hostile("honest").build();
    host.stopped(GAME, &container(1)).await;
    host.script.plan().fail(Call::RecordCompareAndSet, 1, Failure::Hang);
    run(&host).await.reports("unavailable(the store is not available)");
    let host = hostile("honest").build();
    host.stopped(GAME, &container(1)).await;
    host.script.plan().fail(Call::RecordCompareAndSet, 1, Failure::HangAfterEffect);
    let told = run(&host).await;
    assert_eq!((told.result.outcome, told.code()), (Outcome::Success, "-"));
}

#[tokio::test(start_paused = true)]
async fn a_policy_learns_that_its_entry_may_stand_when_the_answer_to_it_is_lost_or_late() {
    for (failure, answer) in [
        (Failure::LoseReply, "outcome-unknown"),
        (Failure::LoseRequest, "outcome-unknown"),
        (Failure::HangAfterEffect, "outcome-unknown"),
        (Failure::Hang, "outcome-unknown"),
        (Failure::Unavailable, "unavailable(the operation log did not take it)"),
    ] {
        let host = hostile("two-entries").build();
        host.stopped(GAME, &container(1)).await;
        host.script.plan().fail(Call::LogAppend, 1, failure);
        let result = host.cleanup(GAME).await;
        assert_eq!(result.message, Some(format!("{answer}, denied(one-entry-a-run)")), "{failure:?}");
        assert!(host.no_lease_is_held());
    }
}

/// A run whose time is up in the middle of any call, before or after the call's effect.
#[tokio::test(start_paused = true)]
async fn run_time_ends_a_run_in_the_middle_of_any_call() {
    let limits = Limits { import_time: Duration::from_secs(300), ..Limits::default() };
    let calls = [
        (Call::LeaseTryAcquire, 1),
        (Call::RecordGetForEffect, 1),
        (Call::EngineInspect, 1),
        (Call::EngineRemove, 1),
        (Call::RecordCompareAndSet, 1),
    ];
    for (call, nth) in calls {
        for failure in [Failure::Hang, Failure::HangAfterEffect] {
            let host = MockHost::builder().limits(limits.clone()).build();
            host.stopped(GAME, &container(1)).await;
            host.script.plan().fail(call, nth, failure);
            run(&host).await.host_says("policy_run_timeout").names("limits.run_time (120000 ms)");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_no_longer_for_its_place_than_a_run_may_take() {
    let limits = Limits { import_time: Duration::from_secs(300), ..Limits::default() };
    let host = MockHost::builder().limits(limits).concurrent_runs(1).build();
    host.stopped(GAME, &container(1)).await;
    host.script.plan().fail_always(Call::LeaseTryAcquire, Failure::Hang);
    let later = || async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        host.cleanup(GAME).await
    };
    let (first, second, third) = tokio::join!(host.cleanup(GAME), later(), later());
    let mut queued = [second, third].map(|result| (result.error_code.unwrap().to_string(), result.message.unwrap()));
    queued.sort();
    assert_eq!(first.error_code.unwrap().as_str(), "policy_run_timeout");
    assert_eq!([&*queued[0].0, &*queued[1].0], ["policy_run_timeout", "policy_unavailable"], "one came to its turn");
    assert!(queued[1].1.contains("120000 ms") && queued[1].1.contains("limits.concurrent_runs"), "{}", queued[1].1);
    assert_eq!(host.entries().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn run_time_that_ends_an_append_stands_beside_the_entry_if_there_is_one() {
    let limits = Limits { import_time: Duration::from_secs(300), ..Limits::default() };
    for failure in [Failure::Hang, Failure::HangAfterEffect] {
        let host = MockHost::builder().limits(limits.clone()).build();
        host.stopped(GAME, &container(1)).await;
        host.script.plan().fail(Call::LogAppend, 1, failure);
        run(&host).await.stands_beside("policy_run_timeout", Outcome::Success, None);
    }
}

#[tokio::test]
async fn a_fault_stands_beside_an_entry_whose_answer_was_lost() {
    for failure in [Failure::LoseReply, Failure::LoseRequest, Failure::Unavailable] {
        let host = hostile("trap-after-append").build();
        host.stopped(GAME, &container(1)).await;
        host.script.plan().fail(Call::LogAppend, 1, failure);
        run(&host).await.stands_beside("policy_trap", Outcome::Success, None);
    }
}

#[tokio::test]
async fn a_run_goes_on_when_its_caller_hangs_up() {
    let host = MockHost::builder().build();
    host.stopped(GAME, &container(1)).await;
    let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (removing, released) = (reached.clone(), go_on.clone());
    host.script.plan().meanwhile(Call::EngineRemove, 1, async move {
        removing.notify_one();
        released.notified().await;
    });
    let lifecycle = host.lifecycle.clone();
    let caller = tokio::spawn(async move { lifecycle.cleanup(request(GAME, "admin_rest")).await });
    reached.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert!(!host.no_lease_is_held(), "in the middle of its work");
    go_on.notify_one();
    assert!(host.lifecycle.drain(Duration::from_secs(60)).await, "the run did not end");
    assert_eq!(host.record(GAME).await.unwrap().record.status, Status::Removed);
    let entries = host.entries();
    assert_eq!(
        (entries.len(), entries[0].entry.outcome, entries[0].entry.author),
        (1, Outcome::Success, Author::Policy)
    );
    assert!(host.no_lease_is_held());
}

/// An adapter with a bug of its own.
struct Panics<P: ?Sized>(Arc<P>);

#[async_trait]
impl EngineTap for Panics<dyn ContainerEngine> {
    fn inner(&self) -> &Arc<dyn ContainerEngine> {
        &self.0
    }

    async fn remove(&self, _: &ContainerId) -> Result<Removal, EngineError> {
        panic!("a bug in an adapter")
    }
}

#[async_trait]
impl LeaseTap for Panics<dyn LeaseStore> {
    fn inner(&self) -> &Arc<dyn LeaseStore> {
        &self.0
    }

    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        assert!(game.as_str() != GAME, "a bug in an adapter");
        self.0.try_acquire(game, token, ttl).await
    }
}

#[tokio::test]
async fn a_panic_after_the_run_has_begun_leaves_its_entry_to_recovery_which_looks() {
    let bug = |_: &_, behind: Backends| Backends { engine: Arc::new(Tapped(Panics(behind.engine))), ..behind };
    let host = MockHost::builder().wrap(bug).build();
    host.stopped(GAME, &container(1)).await;
    let (guard, log) = captured_log();
    let result = host.cleanup(GAME).await;
    drop(guard);
    assert_eq!(result.error_code.unwrap().as_str(), "internal_error");
    assert!(log.text().contains("the host failed during a run"));
    assert_eq!(host.entries().len(), 0, "nobody knows yet what the run has done");
    host.advance(Duration::from_secs(61));
    let report = Recovery::new(host.ports.clone(), Duration::ZERO).run().await.unwrap();
    assert_eq!(report.abandoned, 1);
    let entry = &host.entries()[0].entry;
    assert_eq!((&entry.run_id, entry.author), (&result.run_id, Author::Recovery));
    assert_eq!(entry.container_id, Some(container(1)));
    assert!(entry.error_message.as_deref().unwrap().contains("is still there"));
}

#[tokio::test]
async fn a_panic_in_an_adapter_ends_one_run_and_is_reported() {
    let bug = |_: &_, behind: Backends| Backends { leases: Arc::new(Tapped(Panics(behind.leases))), ..behind };
    let host = MockHost::builder().wrap(bug).build();
    host.stopped(GAME, &container(1)).await;
    let (guard, log) = captured_log();
    let result = host.cleanup(GAME).await;
    drop(guard);
    assert_eq!(result.error_code.unwrap().as_str(), "internal_error");
    let log = log.text();
    let loss = log.lines().find(|line| line.contains("the host failed during a run")).unwrap();
    for field in [result.run_id.as_str(), GAME, "cli", "ref-1"] {
        assert!(loss.contains(field), "{loss} does not name {field}");
    }
    let entry = &host.entries()[0].entry;
    assert_eq!((&entry.run_id, entry.author, entry.outcome), (&result.run_id, Author::Host, Outcome::Failure));
    assert_eq!(entry.error_code.as_ref().unwrap().as_str(), "internal_error");
    assert_eq!(entry.tenant.as_ref().unwrap().as_str(), "tenant-a");
    assert!(host.metrics.render().unwrap().contains("rtmanager_operation_entries_lost_total 1"));
    assert_eq!(host.cleanup("game-2").await.error_code.unwrap().as_str(), "not_found", "the host goes on");
    host.advance(Duration::from_secs(61));
    assert!(host.no_lease_is_held(), "the lease ends by its time to live");
}
