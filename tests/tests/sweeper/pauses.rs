//! Holds, pauses and dry runs.

use std::time::Duration;

use rtmanager::adapters::memory::Call;
use rtmanager::model::{Hold, PauseScope};
use rtmanager::ports::Clock as _;
use rtmanager::sweeper::{Decision, SweepRequest};
use rtmanager_tests::mock_host::{ENGINE, MockHost, container};
use rtmanager_tests::sweeping::{DAY, Swept, sweep_options};

use super::{dry_run, due_games, host, operators_pause, reviewing, sweep};

fn hold(until: Option<rtmanager::model::Timestamp>) -> Hold {
    Hold { reason: "evidence".to_owned(), actor: "alice".to_owned(), until }
}

async fn set_hold(host: &MockHost, hold: Option<&Hold>) {
    assert!(host.ports.records.set_hold(&"game-00001".parse().unwrap(), hold).await.unwrap());
}

#[tokio::test]
async fn a_held_game_is_reported_once_and_swept_when_the_hold_is_lifted() {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 2).await;
    set_hold(&host, Some(&hold(None))).await;
    let swept = sweep(&sweeper).await;
    assert_eq!(swept.decisions(), [("game-00001", Decision::Held), ("game-00002", Decision::Removed)]);
    let held = swept.items.iter().find(|item| item.decision == Decision::Held).unwrap();
    assert_eq!(held.reason, "held by alice: evidence");
    assert!(sweep(&sweeper).await.items.is_empty(), "out of the walk while it is held");
    set_hold(&host, None).await;
    assert_eq!(sweep(&sweeper).await.games(Decision::Removed), ["game-00001"]);
}

#[tokio::test]
async fn a_hold_ends_by_itself() {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 1).await;
    let until = host.clock.now().saturating_add(DAY);
    set_hold(&host, Some(&hold(Some(until)))).await;
    assert_eq!(sweep(&sweeper).await.games(Decision::Held).len(), 1);
    host.advance(DAY - Duration::from_micros(1));
    assert!(sweep(&sweeper).await.items.is_empty());
    host.advance(Duration::from_micros(1));
    assert_eq!(sweep(&sweeper).await.games(Decision::Removed).len(), 1);
}

#[tokio::test]
async fn nothing_is_swept_while_everything_is_paused() {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 2).await;
    host.pauses.pause(&operators_pause(&host, PauseScope::Global)).await.unwrap();
    let swept = sweep(&sweeper).await;
    assert_eq!(swept.report.paused.unwrap().reason, "maintenance");
    assert!(swept.items.is_empty() && swept.report.engines.is_empty());
    host.pauses.resume(&PauseScope::Global, host.clock.now()).await.unwrap();
    assert_eq!(sweep(&sweeper).await.engine().removed, 2);
}

#[tokio::test]
async fn a_paused_engine_is_not_swept() {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 2).await;
    let scope = PauseScope::Engine(ENGINE.parse().unwrap());
    host.pauses.pause(&operators_pause(&host, scope.clone())).await.unwrap();
    let swept = sweep(&sweeper).await;
    assert!(swept.items.is_empty() && swept.engine().paused.is_some());
    assert_eq!(swept.engine().census.due, 2, "the backlog is told");
    host.pauses.resume(&scope, host.clock.now()).await.unwrap();
    assert_eq!(sweep(&sweeper).await.engine().removed, 2);
}

#[tokio::test]
async fn a_paused_tenants_games_are_kept_and_asked_about_as_soon_as_it_is_resumed() {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 2).await;
    let scope = PauseScope::Tenant("tenant-a".parse().unwrap());
    host.pauses.pause(&operators_pause(&host, scope.clone())).await.unwrap();
    for _ in 0..2 {
        assert_eq!(sweep(&sweeper).await.games(Decision::Paused).len(), 2);
    }
    host.pauses.resume(&scope, host.clock.now()).await.unwrap();
    assert_eq!(sweep(&sweeper).await.engine().removed, 2);
}

#[tokio::test]
async fn a_pause_stops_a_sweep_that_is_under_way() {
    for scope in [PauseScope::Global, PauseScope::Engine(ENGINE.parse().unwrap())] {
        let host = host();
        due_games(&host, 9).await;
        let (pauses, pause) = (host.store.pauses(), operators_pause(&host, scope));
        let expected = pause.clone();
        host.script.plan().meanwhile(Call::RecordClaimDue, 2, async move {
            pauses.pause(&pause).await.unwrap();
        });
        let swept = sweep(&host.sweeper(sweep_options())).await;
        assert_eq!(swept.engine().paused, Some(expected));
        assert_eq!(swept.engine().removed, 6, "the page that was read is ended");
    }
}

#[tokio::test]
async fn only_the_engine_that_was_asked_for_is_swept() {
    let host = host();
    due_games(&host, 1).await;
    let other = SweepRequest { engine: Some("other".parse().unwrap()), ..SweepRequest::default() };
    let swept = Swept::by(&host.sweeper(sweep_options()), &other).await;
    assert!(swept.report.engines.is_empty() && host.has_container(&container(1)));
}

/// Everything that a dry run must not do, on any port.
const WRITES: [Call; 13] = [
    Call::RecordCompareAndSet,
    Call::RecordRegister,
    Call::RecordDispose,
    Call::RecordVoidWaits,
    Call::RecordSetHold,
    Call::RecordUnpark,
    Call::LogAppend,
    Call::LogNoteFault,
    Call::LeaseTryAcquire,
    Call::LeaseRenew,
    Call::PauseSet,
    Call::PauseResume,
    Call::EngineRemove,
];

#[tokio::test]
async fn a_dry_run_changes_nothing_and_says_for_each_what_and_why() {
    let host = host();
    due_games(&host, 3).await;
    set_hold(&host, Some(&hold(None))).await;
    let before = host.script.journal().calls().len();
    let metrics = host.metrics.render().unwrap();
    let swept = dry_run(&host.sweeper(sweep_options())).await;
    assert_eq!(
        swept.decisions(),
        [("game-00001", Decision::Held), ("game-00002", Decision::WouldRemove), ("game-00003", Decision::WouldRemove)]
    );
    let would: Vec<_> = swept.items.iter().filter(|item| item.decision == Decision::WouldRemove).collect();
    assert!(would.iter().all(|item| item.reason == "due by the policy's word"));
    let calls = host.script.journal().calls().split_off(before);
    assert!(!calls.iter().any(|call| WRITES.contains(call)), "{calls:?}");
    assert_eq!(host.engine.containers().len(), 3);
    assert!(!metrics.contains("rtmanager_sweep") && !host.metrics.render().unwrap().contains("rtmanager_sweep"));
}

#[tokio::test]
async fn a_dry_run_of_a_policy_that_keeps_or_fails_stores_neither_wait_nor_failure() {
    for (mode, decision) in [("keep", Decision::Kept), ("trap", Decision::Failed), ("wait", Decision::Kept)] {
        let host = reviewing(mode);
        due_games(&host, 1).await;
        assert_eq!(dry_run(&host.sweeper(sweep_options())).await.decisions(), [("game-00001", decision)]);
        assert_eq!(host.record("game-00001").await.unwrap().cleanup, Default::default());
    }
}

#[tokio::test]
async fn a_dry_run_looks_past_pauses_and_names_them() {
    let host = host();
    due_games(&host, 1).await;
    host.pauses.pause(&operators_pause(&host, PauseScope::Global)).await.unwrap();
    let swept = dry_run(&host.sweeper(sweep_options())).await;
    assert!(swept.report.paused.is_some());
    assert_eq!(swept.games(Decision::WouldRemove).len(), 1);
}

#[tokio::test]
async fn an_engine_with_outdated_records_is_not_swept() {
    let host = host();
    let [id] = due_games(&host, 1).await.try_into().unwrap();
    let outdated = [(ENGINE.parse().unwrap(), "nobody looked".to_owned())].into();
    let request = SweepRequest { outdated, ..SweepRequest::default() };
    let swept = Swept::by(&host.sweeper(sweep_options()), &request).await;
    assert_eq!(swept.engine().error.as_deref(), Some("not swept: nobody looked"));
    assert!(swept.items.is_empty() && host.has_container(&id));
}

#[tokio::test]
async fn a_pause_stops_a_sweep_within_a_page_that_takes_long() {
    let host = host();
    due_games(&host, 10).await;
    let (pauses, clock) = (host.store.pauses(), host.clock.clone());
    let pause = operators_pause(&host, PauseScope::Engine(ENGINE.parse().unwrap()));
    let expected = pause.clone();
    host.script.plan().meanwhile(Call::EngineInspect, 1, async move {
        clock.advance(Duration::from_secs(1));
        pauses.pause(&pause).await.unwrap();
    });
    let mut options = sweep_options();
    (options.page_size, options.concurrency) = (100, 1);
    let swept = sweep(&host.sweeper(options)).await;
    assert_eq!((swept.engine().removed, swept.engine().paused.as_ref()), (1, Some(&expected)));
}
