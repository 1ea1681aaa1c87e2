//! What fails is kept, tried again later and later, and in the end parked; the others are swept.

use std::collections::BTreeSet;
use std::time::Duration;

use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::model::{ContainerState, Hold, LiveStatus, Status};
use rtmanager::ports::{Clock as _, LeaseToken};
use rtmanager::sweeper::Decision;
use rtmanager_tests::mock_host::container;
use rtmanager_tests::sweeping::sweep_options;

use super::{due_games, game, host, reviewing, sweep};

const CAP: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_fault_in_review_keeps_backs_off_and_writes_no_entry() {
    for mode in ["trap", "panic", "exit", "busy-loop"] {
        let host = reviewing(mode);
        let [id] = due_games(&host, 1).await.try_into().unwrap();
        let swept = sweep(&host.sweeper(sweep_options())).await;
        assert_eq!(swept.games(Decision::Failed).len(), 1, "{mode}: {:?}", swept.items);
        assert!(swept.items[0].reason.starts_with("policy_"), "{}", swept.items[0].reason);
        assert!(host.has_container(&id) && host.entries().is_empty());
        let cleanup = host.record("game-00001").await.unwrap().cleanup;
        assert_eq!(cleanup.failed_attempts, 1);
        assert!(cleanup.wait_until > Some(host.clock.now()));
        assert!(cleanup.wait_generation.is_some(), "a repaired policy is asked at once");
    }
}

#[tokio::test]
async fn a_review_that_tries_to_write_is_denied_and_keeps() {
    for mode in ["acquire", "append"] {
        let host = reviewing(mode);
        due_games(&host, 1).await;
        let swept = sweep(&host.sweeper(sweep_options())).await;
        assert_eq!(swept.items[0].reason, "the policy keeps it: denied(review-is-read-only)");
        assert!(host.entries().is_empty() && host.no_lease_is_held());
    }
}

#[tokio::test]
async fn failures_wait_longer_and_longer_up_to_a_cap_and_not_in_step() {
    let host = host();
    let mut options = sweep_options();
    options.retry.park_after = u32::MAX;
    let sweeper = host.sweeper(options);
    due_games(&host, 8).await;
    host.script.plan().fail_always(Call::EngineInspect, Failure::Unavailable);
    for round in 0..9_u32 {
        let now = host.clock.now();
        assert_eq!(sweep(&sweeper).await.games(Decision::Failed).len(), 8, "round {round}");
        let longest = (Duration::from_secs(60) * 2_u32.pow(round)).min(CAP);
        let mut spans = BTreeSet::new();
        for n in 1..=8 {
            let cleanup = host.record(&game(n)).await.unwrap().cleanup;
            assert_eq!(cleanup.failed_attempts, round + 1);
            let span = cleanup.wait_until.unwrap().since(now);
            assert!(!span.is_zero() && span <= longest, "round {round}: {span:?}");
            spans.insert(span);
        }
        assert!(spans.len() > 4, "full jitter spreads them: {spans:?}");
        assert!(spans.last().unwrap() > &(longest / 4), "and over the whole span: {spans:?}");
        host.advance(CAP);
    }
}

#[tokio::test]
async fn a_game_that_fails_too_often_is_parked_until_it_is_unparked() {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 1).await;
    host.script.plan().fail_always(Call::EngineInspect, Failure::Unavailable);
    for _ in 0..3 {
        assert_eq!(sweep(&sweeper).await.games(Decision::Failed).len(), 1);
        host.advance(CAP);
    }
    let swept = sweep(&sweeper).await;
    assert_eq!((swept.games(Decision::Parked).len(), swept.engine().parked), (1, 1));
    let parked = host.record("game-00001").await.unwrap().cleanup.parked.expect("visible");
    assert!(parked.reason.starts_with("service_unavailable: "), "{}", parked.reason);
    host.advance(CAP * 24);
    assert!(sweep(&sweeper).await.items.is_empty());
    host.script.plan().mend();
    assert!(host.ports.records.unpark(&"game-00001".parse().unwrap()).await.unwrap());
    assert_eq!(sweep(&sweeper).await.games(Decision::Removed).len(), 1);
}

#[tokio::test]
async fn a_broken_container_does_not_stop_the_others() {
    let host = host();
    let ids = due_games(&host, 7).await;
    host.engine.set_state(&ids[2], ContainerState::Running);
    host.script.plan().fail(Call::EngineInspect, 6, Failure::Unavailable);
    let swept = sweep(&host.sweeper(sweep_options())).await;
    assert_eq!((swept.engine().removed, swept.engine().failed), (5, 2));
    assert!(host.has_container(&ids[2]), "a live container is never removed");
    assert_eq!(host.record("game-00003").await.unwrap().record.status, Status::Stopped);
    assert_eq!(host.entries().len(), 7);
    assert!(host.no_lease_is_held());
}

#[tokio::test]
async fn a_store_that_fails_half_way_loses_nothing_of_what_was_done() {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 7).await;
    host.script.plan().fail(Call::RecordClaimDue, 2, Failure::Unavailable);
    let swept = sweep(&sweeper).await;
    assert_eq!(swept.engine().error.as_deref(), Some("the store is unavailable"));
    assert_eq!((swept.engine().removed, swept.items.len()), (3, 3), "the first page was ended");
    let rest = sweep(&sweeper).await;
    assert_eq!((rest.engine().removed, &rest.engine().error), (4, &None));
}

#[tokio::test]
async fn a_wait_that_cannot_be_written_is_asked_about_by_the_next_sweep() {
    let host = reviewing("keep");
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 4).await;
    host.script.plan().fail_always(Call::RecordDispose, Failure::Unavailable);
    assert_eq!(sweep(&sweeper).await.items.len(), 4);
    host.script.plan().mend();
    assert_eq!(sweep(&sweeper).await.items.len(), 4);
    assert_eq!(sweep(&sweeper).await.items.len(), 0);
}

#[tokio::test]
async fn a_game_whose_lease_another_operation_holds_is_no_failure() {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 2).await;
    let (leases, token) = (host.store.leases(host.clock.clone()), LeaseToken::from_bytes([1; 32]));
    let held = "game-00001".parse().unwrap();
    leases.try_acquire(&held, &token, std::time::Duration::from_secs(60)).await.unwrap();
    let swept = sweep(&sweeper).await;
    assert_eq!(swept.decisions(), [("game-00001", Decision::Busy), ("game-00002", Decision::Removed)]);
    assert_eq!((swept.engine().kept, swept.engine().failed), (1, 0));
    assert_eq!(host.record("game-00001").await.unwrap().cleanup, Default::default());
    leases.release(&held, &token).await.unwrap();
    assert_eq!(sweep(&sweeper).await.games(Decision::Removed), ["game-00001"]);
}

#[tokio::test]
async fn leases_that_nobody_can_give_are_no_failure_of_the_games() {
    for failure in [Failure::Unavailable, Failure::LoseRequest, Failure::LoseReply] {
        let host = host();
        let mut options = sweep_options();
        options.retry.park_after = 2;
        let sweeper = host.sweeper(options);
        due_games(&host, 3).await;
        host.script.plan().fail_always(Call::LeaseTryAcquire, failure);
        for _ in 0..3 {
            assert_eq!(sweep(&sweeper).await.games(Decision::Busy).len(), 3, "{failure:?}");
        }
        assert_eq!(host.record("game-00001").await.unwrap().cleanup, Default::default(), "{failure:?}");
        host.script.plan().mend();
        assert_eq!(sweep(&sweeper).await.games(Decision::Removed).len(), 3, "{failure:?}");
    }
}

#[tokio::test]
async fn a_game_that_was_started_meanwhile_is_no_failure() {
    let host = host();
    let [id] = due_games(&host, 1).await.try_into().unwrap();
    let running = host.registration("game-00001", LiveStatus::Running, Some(&id));
    let (records, engine, now) = (host.store.records(), host.engine.clone(), host.clock.now());
    host.script.plan().meanwhile(Call::LeaseTryAcquire, 1, async move {
        engine.start(&container(1));
        records.register(&running, now).await.unwrap();
    });
    let swept = sweep(&host.sweeper(sweep_options())).await;
    assert_eq!(swept.decisions(), [("game-00001", Decision::Busy)]);
    assert_eq!(host.record("game-00001").await.unwrap().cleanup.failed_attempts, 0);
    assert!(host.has_container(&id));
}

#[tokio::test]
async fn a_game_that_is_held_meanwhile_is_held_and_no_failure() {
    let host = host();
    due_games(&host, 1).await;
    let records = host.store.records();
    let hold = Hold { reason: "evidence".to_owned(), actor: "alice".to_owned(), until: None };
    host.script.plan().meanwhile(Call::EngineInspect, 1, async move {
        records.set_hold(&"game-00001".parse().unwrap(), Some(&hold)).await.unwrap();
    });
    let swept = sweep(&host.sweeper(sweep_options())).await;
    assert_eq!(swept.decisions(), [("game-00001", Decision::Held)]);
    assert_eq!(host.record("game-00001").await.unwrap().cleanup.failed_attempts, 0);
    assert_eq!(host.record("game-00001").await.unwrap().record.status, Status::Stopped);
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_not_walked_and_no_game_is_blamed() {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 3).await;
    host.script.plan().fail_always(Call::EnginePing, Failure::Unavailable);
    host.script.plan().fail_always(Call::EngineInspect, Failure::Unavailable);
    for _ in 0..6 {
        let swept = sweep(&sweeper).await;
        assert_eq!(swept.engine().error.as_deref(), Some("not swept: the engine does not answer"));
        assert!(swept.items.is_empty() && host.entries().is_empty());
        host.advance(CAP);
    }
    host.script.plan().mend();
    assert_eq!(sweep(&sweeper).await.engine().removed, 3);
}

#[tokio::test]
async fn an_engine_that_goes_away_half_way_ends_the_walk_and_no_game_is_blamed() {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 20).await;
    for nth in 2..20 {
        host.script.plan().fail(Call::EnginePing, nth, Failure::Unavailable);
    }
    host.script.plan().fail_always(Call::EngineInspect, Failure::Unavailable);
    let swept = sweep(&sweeper).await;
    assert_eq!(swept.engine().error.as_deref(), Some("cut short: the engine does not answer any more"));
    assert!((1..=3).contains(&swept.engine().failed), "{:?}", swept.engine());
    for n in 1..=20 {
        assert_eq!(host.record(&game(n)).await.unwrap().cleanup, Default::default());
    }
    host.script.plan().mend();
    assert_eq!(sweep(&sweeper).await.engine().removed, 20);
}
