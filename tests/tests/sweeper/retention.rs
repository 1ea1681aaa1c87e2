//! When a runtime is offered, and for how long a policy's word is taken.

use std::time::Duration;

use rtmanager::adapters::memory::Call;
use rtmanager::model::LiveStatus;
use rtmanager::ports::Clock as _;
use rtmanager::sweeper::Decision;
use rtmanager_tests::mock_host::{GAME, MockHost, container};
use rtmanager_tests::sweeping::{DAY, RETENTION, sweep_options};

use super::{due_games, host, reviewing, sweep};

const INSTANT: Duration = Duration::from_micros(1);

#[tokio::test]
async fn a_runtime_younger_than_the_floor_is_never_offered_whatever_its_policy_says() {
    let host = reviewing("due");
    let sweeper = host.sweeper(sweep_options());
    host.stopped(GAME, &container(1)).await;
    host.advance(RETENTION - INSTANT);
    let early = sweep(&sweeper).await;
    assert!(early.items.is_empty());
    assert_eq!(early.engine().census.due, 0);
    assert!(host.has_container(&container(1)));
    host.advance(INSTANT);
    assert_eq!(sweep(&sweeper).await.decisions(), [(GAME, Decision::Removed)]);
    assert!(!host.has_container(&container(1)));
}

#[tokio::test]
async fn running_and_removed_runtimes_are_not_offered() {
    let host = reviewing("due");
    host.register("runs", LiveStatus::Running, Some(&container(1))).await;
    host.stopped("gone", &container(2)).await;
    host.cleanup("gone").await;
    host.advance(RETENTION * 2);
    assert!(sweep(&host.sweeper(sweep_options())).await.items.is_empty());
}

#[tokio::test]
async fn a_policy_keeps_longer_than_the_floor_and_is_not_asked_before_its_time() {
    let host = MockHost::builder().setting("extra_retention_days", "3").build();
    let sweeper = host.sweeper(sweep_options());
    let stopped_at = host.stopped(GAME, &container(1)).await.stopped_at.unwrap();
    host.advance(RETENTION);
    assert_eq!(sweep(&sweeper).await.decisions(), [(GAME, Decision::Kept)]);
    let wait = host.record(GAME).await.unwrap().cleanup;
    assert_eq!(wait.wait_until, Some(stopped_at.saturating_add(RETENTION + 3 * DAY)));
    host.advance(3 * DAY - INSTANT);
    assert!(sweep(&sweeper).await.items.is_empty());
    host.advance(INSTANT);
    assert_eq!(sweep(&sweeper).await.decisions(), [(GAME, Decision::Removed)]);
}

#[tokio::test]
async fn a_review_that_keeps_writes_no_entry_and_takes_no_lease() {
    let host = reviewing("keep");
    due_games(&host, 1).await;
    sweep(&host.sweeper(sweep_options())).await;
    assert!(host.entries().is_empty());
    assert_eq!(host.script.journal().count(Call::LeaseTryAcquire), 0);
}

#[tokio::test]
async fn a_wait_is_capped_and_the_policy_is_asked_again_after_it() {
    let host = reviewing("wait-for-ever");
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 1).await;
    for _ in 0..2 {
        let now = host.clock.now();
        assert_eq!(sweep(&sweeper).await.games(Decision::Kept), ["game-00001"]);
        let until = host.record("game-00001").await.unwrap().cleanup.wait_until.unwrap();
        assert_eq!(until, now.saturating_add(10 * DAY));
        host.advance(10 * DAY - INSTANT);
        assert!(sweep(&sweeper).await.items.is_empty());
        host.advance(INSTANT);
    }
}

#[tokio::test]
async fn a_wait_that_is_over_already_is_asked_about_by_the_next_sweep_and_not_again_by_this_one() {
    let host = reviewing("wait-past");
    due_games(&host, 5).await;
    for page_size in [1, 2, 5, 6] {
        let mut options = sweep_options();
        options.page_size = page_size;
        let swept = sweep(&host.sweeper(options)).await;
        assert_eq!(swept.items.len(), 5, "page size {page_size}: {:?}", swept.decisions());
        host.advance(INSTANT);
    }
}

#[tokio::test]
async fn a_kept_runtime_is_asked_about_again_after_the_configured_time() {
    let host = reviewing("keep");
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 1).await;
    let swept = sweep(&sweeper).await;
    assert_eq!(swept.items[0].reason, "the policy keeps it: kept on purpose");
    host.advance(DAY - INSTANT);
    assert!(sweep(&sweeper).await.items.is_empty());
    host.advance(INSTANT);
    assert_eq!(sweep(&sweeper).await.games(Decision::Kept).len(), 1);
}

#[tokio::test]
async fn a_policys_reason_is_bounded_and_escaped_before_it_is_stored_or_shown() {
    for mode in ["giant-reason", "escapes"] {
        let host = reviewing(mode);
        due_games(&host, 1).await;
        let swept = sweep(&host.sweeper(sweep_options())).await;
        let stored = host.record("game-00001").await.unwrap().cleanup.wait_reason.unwrap();
        for reason in [&stored, &swept.items[0].reason] {
            assert!(reason.len() < 600, "{mode}: {} bytes", reason.len());
            assert!(!reason.contains(char::is_control), "{mode}: {reason:?}");
        }
    }
}

#[tokio::test]
async fn a_wait_is_void_when_the_record_changes() {
    let host = reviewing("wait-for-ever");
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 1).await;
    sweep(&sweeper).await;
    host.register("game-00001", LiveStatus::Running, Some(&container(1))).await;
    host.register("game-00001", LiveStatus::Stopped, Some(&container(1))).await;
    assert_eq!(host.record("game-00001").await.unwrap().cleanup.wait_until, None);
    host.advance(RETENTION - INSTANT);
    assert!(sweep(&sweeper).await.items.is_empty(), "the floor counts from the new stop");
    host.advance(INSTANT);
    assert_eq!(sweep(&sweeper).await.items.len(), 1);
}

#[tokio::test]
async fn a_wait_is_void_when_the_policy_changes() {
    let earlier = reviewing("wait-for-ever");
    due_games(&earlier, 2).await;
    sweep(&earlier.sweeper(sweep_options())).await;
    assert_eq!(earlier.sweeper(sweep_options()).void_outdated_waits().await.unwrap(), 0);
    let later = earlier.successor(MockHost::builder());
    let swept = sweep(&later.sweeper(sweep_options())).await;
    assert_eq!(swept.games(Decision::Removed).len(), 2);
}

#[tokio::test]
async fn only_a_policys_word_is_void_when_the_policy_changes() {
    let earlier = reviewing("keep");
    due_games(&earlier, 1).await;
    sweep(&earlier.sweeper(sweep_options())).await;
    let later = earlier.successor(MockHost::builder()).sweeper(sweep_options());
    assert_eq!(later.void_outdated_waits().await.unwrap(), 1);
    assert_eq!(later.void_outdated_waits().await.unwrap(), 0);
}

#[tokio::test]
async fn a_sweep_goes_on_when_outdated_waits_cannot_be_ended() {
    let host = host();
    due_games(&host, 1).await;
    host.script.plan().fail_always(Call::RecordTenants, rtmanager::adapters::memory::Failure::Unavailable);
    assert_eq!(sweep(&host.sweeper(sweep_options())).await.games(Decision::Removed).len(), 1);
}

#[tokio::test]
async fn a_game_that_was_started_and_stopped_again_after_it_was_offered_waits_for_its_own_floor() {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 1).await;
    let store = host.store.clone();
    let mut again = host.record("game-00001").await.unwrap().record;
    again.stopped_at = Some(host.clock.now());
    host.script.plan().meanwhile(Call::LeaseTryAcquire, 1, async move { store.write_directly(again) });
    assert_eq!(sweep(&sweeper).await.decisions(), [("game-00001", Decision::Busy)]);
    assert!(host.has_container(&container(1)));
    let tracked = host.record("game-00001").await.unwrap();
    assert_eq!(tracked.cleanup, Default::default());
    assert!(sweep(&sweeper).await.items.is_empty());
    host.advance(RETENTION);
    assert_eq!(sweep(&sweeper).await.games(Decision::Removed).len(), 1);
}
