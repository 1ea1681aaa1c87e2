//! A wall clock that was set makes ages that cannot be trusted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::model::{Pause, PauseCause, PauseScope, Timestamp};
use rtmanager::ports::{Clock as _, PauseStore, StoreError};
use rtmanager::sweeper::Sweeper;
use rtmanager_tests::mock_host::{GAME, MockHost, container};
use rtmanager_tests::sweeping::{DAY, RETENTION, sweep_options};
use tokio::sync::Notify;

use super::{dry_run, due_games, host, operators_pause, sweep};

/// A sweeper that has seen the clock when it was right, and a game that is not due by it.
async fn watching() -> (MockHost, Sweeper, Timestamp) {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    host.stopped(GAME, &container(1)).await;
    sweep(&sweeper).await;
    let right = host.clock.now();
    (host, sweeper, right)
}

#[tokio::test]
async fn a_jump_forward_removes_nothing_and_pauses_everything() {
    let (host, sweeper, right) = watching().await;
    host.clock.jump_to(right.saturating_add(RETENTION * 10));
    let swept = sweep(&sweeper).await;
    let pause = swept.report.paused.expect("paused");
    assert_eq!((&pause.scope, pause.cause), (&PauseScope::Global, PauseCause::ClockJump));
    insta::assert_snapshot!(pause.reason, @"the wall clock jumped forward by 6048000 s, so ages cannot be trusted; set it right, or confirm that it is right now with `rtmanager resume`");
    assert_eq!(host.pauses.pauses().await.unwrap(), [pause]);
    assert!(swept.items.is_empty() && host.has_container(&container(1)));
}

#[tokio::test]
async fn a_jump_back_pauses_everything() {
    let (host, sweeper, right) = watching().await;
    host.clock.jump_to(right.saturating_sub(DAY));
    let reason = sweep(&sweeper).await.report.paused.unwrap().reason;
    assert!(reason.starts_with("the wall clock jumped back by 86400 s"), "{reason}");
}

#[tokio::test]
async fn another_hosts_clock_that_is_right_again_confirms_no_other() {
    let (host, one, right) = watching().await;
    let other = host.successor(MockHost::builder()).sweeper(sweep_options());
    sweep(&other).await;
    let (jumped, later) = (right.saturating_add(RETENTION * 10), right.saturating_add(DAY));
    host.clock.jump_to(jumped);
    assert!(sweep(&one).await.report.paused.is_some() && sweep(&other).await.report.paused.is_some());
    // The other's is set right first; both hosts are on one clock here, so each looks at it in turn.
    host.advance(DAY);
    host.clock.jump_to(later);
    assert!(sweep(&other).await.report.paused.is_some(), "it did not set the pause, and lifts none");
    host.clock.jump_to(jumped.saturating_add(DAY));
    assert!(sweep(&one).await.report.paused.is_some(), "its clock is still wrong");
    host.clock.jump_to(later);
    assert!(sweep(&one).await.report.paused.is_none(), "it lifts its own");
    assert!(host.has_container(&container(1)));
}

#[tokio::test]
async fn it_goes_on_by_itself_once_the_clock_is_right_again() {
    let (host, sweeper, right) = watching().await;
    host.clock.jump_to(right.saturating_add(RETENTION * 10));
    sweep(&sweeper).await;
    host.advance(RETENTION);
    sweep(&sweeper).await;
    host.clock.jump_to(right.saturating_add(RETENTION));
    let swept = sweep(&sweeper).await;
    assert_eq!((swept.report.paused.as_ref(), swept.engine().removed), (None, 1));
    assert!(host.pauses.pauses().await.unwrap().is_empty());
}

#[tokio::test]
async fn resuming_confirms_that_the_clock_is_right_now() {
    let (host, sweeper, right) = watching().await;
    host.clock.jump_to(right.saturating_add(RETENTION));
    sweep(&sweeper).await;
    host.pauses.resume(&PauseScope::Global, host.clock.now()).await.unwrap();
    assert_eq!(sweep(&sweeper).await.engine().removed, 1);
    host.advance(DAY);
    assert_eq!(sweep(&sweeper).await.report.paused, None);
}

#[tokio::test]
async fn drift_within_the_tolerance_is_no_jump() {
    let (host, sweeper, _) = watching().await;
    for _ in 0..10 {
        host.advance(DAY);
        host.clock.jump_to(host.clock.now().saturating_add(Duration::from_secs(299)));
        assert_eq!(sweep(&sweeper).await.report.paused, None);
    }
}

#[tokio::test]
async fn a_pause_that_could_not_be_stored_is_not_taken_for_one_that_was_lifted() {
    let (host, sweeper, right) = watching().await;
    host.clock.jump_to(right.saturating_add(RETENTION));
    host.script.plan().fail(Call::PauseSet, 1, Failure::Unavailable);
    let observer = std::sync::Arc::new(|_: &rtmanager::sweeper::SweepItem| {});
    assert!(sweeper.sweep(&Default::default(), observer).await.is_err());
    assert!(sweep(&sweeper).await.report.paused.is_some());
    assert!(host.has_container(&container(1)));
}

#[tokio::test]
async fn a_jump_during_an_operators_pause_is_no_more_confirmed_by_ending_that() {
    let (host, sweeper, right) = watching().await;
    host.pauses.pause(&operators_pause(&host, PauseScope::Global)).await.unwrap();
    host.clock.jump_to(right.saturating_add(RETENTION));
    assert_eq!(sweep(&sweeper).await.report.paused.unwrap().cause, PauseCause::Operator);
    host.pauses.resume(&PauseScope::Global, host.clock.now()).await.unwrap();
    assert_eq!(sweep(&sweeper).await.report.paused.unwrap().cause, PauseCause::ClockJump);
    assert!(host.has_container(&container(1)));
}

#[tokio::test]
async fn a_dry_run_tells_of_a_jump_but_neither_pauses_nor_confirms() {
    let (host, sweeper, right) = watching().await;
    host.clock.jump_to(right.saturating_add(RETENTION));
    assert_eq!(dry_run(&sweeper).await.report.paused.unwrap().cause, PauseCause::ClockJump);
    assert!(host.pauses.pauses().await.unwrap().is_empty());
    assert_eq!(sweep(&sweeper).await.report.paused.unwrap().cause, PauseCause::ClockJump);
    assert!(host.has_container(&container(1)));
}

#[tokio::test]
async fn a_pause_for_a_jump_outlives_the_process_that_set_it() {
    let (host, sweeper, right) = watching().await;
    host.clock.jump_to(right.saturating_add(RETENTION));
    sweep(&sweeper).await;
    let restarted = host.successor(MockHost::builder());
    let sweeper = restarted.sweeper(sweep_options());
    for _ in 0..2 {
        assert_eq!(sweep(&sweeper).await.report.paused.unwrap().cause, PauseCause::ClockJump);
    }
    restarted.pauses.resume(&PauseScope::Global, restarted.clock.now()).await.unwrap();
    assert_eq!(sweep(&sweeper).await.engine().removed, 1);
}

#[tokio::test]
async fn the_log_is_not_pruned_by_a_clock_that_jumped() {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 3).await;
    assert_eq!(sweep(&sweeper).await.engine().removed, 3);
    let right = host.clock.now();
    host.clock.jump_to(right.saturating_add(RETENTION * 10));
    assert_eq!(sweeper.prune_log(DAY, 100).await.unwrap(), 0, "before any sweep notices");
    sweep(&sweeper).await;
    let restarted = host.successor(MockHost::builder()).sweeper(sweep_options());
    for sweeper in [&sweeper, &restarted] {
        assert_eq!(sweeper.prune_log(DAY, 100).await.unwrap(), 0, "while the pause for it stands");
    }
    assert_eq!(host.entries().len(), 3);

    host.pauses.resume(&PauseScope::Global, host.clock.now()).await.unwrap();
    sweep(&sweeper).await;
    assert_eq!(sweeper.prune_log(DAY, 2).await.unwrap(), 2, "the clock is confirmed");
    assert_eq!((sweeper.prune_log(DAY, 2).await.unwrap(), host.entries().len()), (1, 0));
}

#[tokio::test]
async fn a_jump_is_noticed_by_pruning_even_if_there_was_no_sweep_yet() {
    let (host, _, right) = watching().await;
    host.cleanup(GAME).await;
    let fresh = host.successor(MockHost::builder()).sweeper(sweep_options());
    assert_eq!(fresh.prune_log(DAY, 100).await.unwrap(), 0);
    host.clock.jump_to(right.saturating_add(RETENTION));
    assert_eq!((fresh.prune_log(DAY, 100).await.unwrap(), host.entries().len()), (0, 1));
}

#[tokio::test]
async fn an_operators_pause_during_a_jump_outlives_it_and_its_end_confirms_no_clock() {
    let (host, sweeper, right) = watching().await;
    host.clock.jump_to(right.saturating_add(RETENTION));
    sweep(&sweeper).await;
    assert!(host.pauses.pause(&operators_pause(&host, PauseScope::Global)).await.unwrap());
    assert_eq!(sweep(&sweeper).await.report.paused.unwrap().cause, PauseCause::Operator);
    host.clock.jump_to(right);
    assert_eq!(sweep(&sweeper).await.report.paused.unwrap().cause, PauseCause::Operator);
    host.clock.jump_to(right.saturating_add(RETENTION));
    host.pauses.resume(&PauseScope::Global, host.clock.now()).await.unwrap();
    assert_eq!(sweep(&sweeper).await.report.paused.unwrap().cause, PauseCause::ClockJump);
    assert!(host.has_container(&container(1)));
}

/// Pauses of which one reading, once armed, is answered late.
struct AnsweredLate {
    inner: Arc<dyn PauseStore>,
    armed: AtomicBool,
    go: Notify,
}

#[async_trait]
impl PauseStore for AnsweredLate {
    async fn pause(&self, pause: &Pause) -> Result<bool, StoreError> {
        self.inner.pause(pause).await
    }

    async fn resume(&self, scope: &PauseScope, at: Timestamp) -> Result<Option<Pause>, StoreError> {
        self.inner.resume(scope, at).await
    }

    async fn resume_if(
        &self,
        scope: &PauseScope,
        cause: PauseCause,
        at: Timestamp,
    ) -> Result<Option<Pause>, StoreError> {
        self.inner.resume_if(scope, cause, at).await
    }

    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        let pauses = self.inner.pauses().await;
        if self.armed.swap(false, Ordering::SeqCst) {
            self.go.notified().await;
        }
        pauses
    }
}

#[tokio::test]
async fn of_sweeps_that_begin_side_by_side_none_takes_anothers_pause_for_one_that_was_lifted() {
    let host = host();
    let pauses =
        Arc::new(AnsweredLate { inner: host.pauses.clone(), armed: AtomicBool::new(false), go: Notify::new() });
    let sweeper = Sweeper::new(host.ports.clone(), pauses.clone(), host.lifecycle.clone(), sweep_options());
    host.stopped(GAME, &container(1)).await;
    sweep(&sweeper).await;
    host.clock.jump_to(host.clock.now().saturating_add(RETENTION * 10));
    pauses.armed.store(true, Ordering::SeqCst);
    let sweeps: Vec<_> = (0..2)
        .map(|_| {
            let sweeper = sweeper.clone();
            tokio::spawn(async move { sweep(&sweeper).await })
        })
        .collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    pauses.go.notify_one();
    for swept in sweeps {
        let paused = swept.await.unwrap().report.paused;
        assert_eq!(paused.map(|pause| pause.cause), Some(PauseCause::ClockJump));
    }
    assert!(host.has_container(&container(1)));
}
