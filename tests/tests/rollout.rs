//! Generations that are tried before they serve: some games' runs, or beside all runs without effect.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::lifecycle::ReviewResult;
use rtmanager::model::{
    BindingSpec, Divergence, DivergenceKind, Outcome, PolicyEvent, RolloutGoal, RolloutMode, Status,
};
use rtmanager::ports::{Clock as _, SwapKind};
use rtmanager::runtime::{DEFAULT_POLICY, Limits};
use rtmanager_tests::bound::{plain, tenant_a, with_setting};
use rtmanager_tests::fixtures::{C_POLICY, HOSTILE};
use rtmanager_tests::mock_host::{GAME, MockHost, MockHostBuilder, container};

#[path = "rollout/shadow.rs"]
mod shadow;

const NO_GOAL: RolloutGoal = RolloutGoal { clean_runs: None, promote_at: None, stop_on_divergence: false };

fn canary(per_myriad: u16) -> RolloutMode {
    RolloutMode::Canary { per_myriad }
}

/// A host whose tenant is bound to the default policy.
async fn host() -> MockHost {
    started(MockHost::builder()).await
}

/// The same, where a policy that computes without end is stopped soon.
async fn impatient_host() -> MockHost {
    started(MockHost::builder().limits(Limits { guest_time: Duration::from_millis(200), ..Limits::default() })).await
}

async fn started(builder: MockHostBuilder) -> MockHost {
    let host = builder.following_store().build();
    host.follow().await;
    let digest = host.push(DEFAULT_POLICY).await;
    host.push(C_POLICY).await;
    host.push(HOSTILE).await;
    host.bind(&tenant_a(), &plain(&digest)).await;
    host
}

async fn in_c(host: &MockHost) -> BindingSpec {
    plain(&host.push(C_POLICY).await)
}

async fn hostile(host: &MockHost, mode: &str) -> BindingSpec {
    with_setting(&host.push(HOSTILE).await, "mode", mode)
}

/// Cleans up so many games, and tells which were the work of the second generation.
async fn tried(host: &MockHost, games: u64) -> BTreeSet<String> {
    for n in 0..games {
        host.cleanup(&format!("game-{n}")).await;
    }
    let by_second = |generation: &str| generation == "tenant-a/2";
    let entries = host.entries().into_iter().map(|logged| logged.entry);
    entries.filter(|entry| by_second(entry.policy.generation.as_str())).map(|entry| entry.game_id).collect()
}

async fn running(host: &MockHost, games: u64) {
    for n in 0..games {
        host.stopped(&format!("game-{n}"), &container(n)).await;
    }
}

async fn events(host: &MockHost) -> Vec<PolicyEvent> {
    let history = host.store.generations().history(&tenant_a(), None, 100).await.unwrap();
    history.into_iter().rev().map(|change| change.event).collect()
}

#[tokio::test]
async fn a_canary_serves_its_share_of_the_games_and_always_the_same_ones() {
    let host = host().await;
    running(&host, 400).await;
    host.roll_out(&tenant_a(), &in_c(&host).await, canary(2_500), NO_GOAL).await;
    let first = tried(&host, 400).await;
    assert!((70..=130).contains(&first.len()), "a quarter of 400 games: {}", first.len());
    assert_eq!(tried(&host, 400).await, first, "the same games again");
    let other = host.successor(MockHost::builder().following_store());
    other.follow().await;
    assert_eq!(tried(&other, 400).await, first, "and on another host");

    let serving = host.lifecycle.serving(&"tenant-a".parse().unwrap()).unwrap();
    let serving: Vec<_> = serving.iter().map(|generation| generation.as_str()).collect();
    assert_eq!(serving, ["tenant-a/1", "tenant-a/2"], "the waits of both stand");
    host.follow().await;
    other.follow().await;
    let counts = host.state(&tenant_a()).await.rollout.unwrap().counts;
    assert_eq!((counts.runs, counts.faults), (3 * first.len() as u64, 0), "both hosts' runs are added up");
}

#[tokio::test]
async fn a_canary_of_all_games_serves_all_and_one_of_none_serves_none() {
    for (share, expected) in [(10_000, 20), (0, 0)] {
        let host = host().await;
        running(&host, 20).await;
        host.roll_out(&tenant_a(), &in_c(&host).await, canary(share), NO_GOAL).await;
        assert_eq!(tried(&host, 20).await.len(), expected);
    }
}

#[tokio::test]
async fn a_rollout_is_promoted_after_so_many_clean_runs_and_only_once() {
    let host = host().await;
    running(&host, 12).await;
    let goal = RolloutGoal { clean_runs: Some(10), ..NO_GOAL };
    host.roll_out(&tenant_a(), &in_c(&host).await, canary(10_000), goal).await;
    let other = host.successor(MockHost::builder().following_store());
    other.follow().await;
    tried(&host, 9).await;
    host.follow().await;
    assert_eq!(host.current(&tenant_a()).await, Some(1));
    other.cleanup("game-9").await;
    other.cleanup("game-10").await;
    tokio::join!(host.follow(), other.follow());
    assert_eq!(host.current(&tenant_a()).await, Some(2));
    host.follow().await;
    host.cleanup("game-11").await;
    assert_eq!(host.last_generation().as_str(), "tenant-a/2");
    assert_eq!(events(&host).await, [PolicyEvent::Bound, PolicyEvent::RolloutStarted, PolicyEvent::Promoted]);
    assert!(host.state(&tenant_a()).await.rollout.is_none());
}

#[tokio::test]
async fn a_rollout_is_promoted_at_its_time_by_one_of_the_hosts() {
    let host = host().await;
    running(&host, 1).await;
    let promote_at = Some(host.clock.now().saturating_add(Duration::from_secs(600)));
    host.roll_out(&tenant_a(), &in_c(&host).await, canary(10_000), RolloutGoal { promote_at, ..NO_GOAL }).await;
    let other = host.successor(MockHost::builder().following_store());
    other.follow().await;
    host.advance(Duration::from_secs(599));
    host.follow().await;
    assert_eq!(host.current(&tenant_a()).await, Some(1));
    host.advance(Duration::from_secs(1));
    tokio::join!(host.follow(), other.follow());
    assert_eq!(host.current(&tenant_a()).await, Some(1), "what was never run has not proven itself");
    tried(&host, 1).await;
    tokio::join!(host.follow(), other.follow());
    assert_eq!(host.current(&tenant_a()).await, Some(2));
    assert_eq!(events(&host).await, [PolicyEvent::Bound, PolicyEvent::RolloutStarted, PolicyEvent::Promoted]);
}

#[tokio::test]
async fn a_fault_ends_a_rollout_and_the_current_generation_serves_all_games_again() {
    for mode in ["trap-after-load", "busy-loop", "claim-success"] {
        let host = impatient_host().await;
        running(&host, 3).await;
        let goal = RolloutGoal { clean_runs: Some(1), ..NO_GOAL };
        host.roll_out(&tenant_a(), &hostile(&host, mode).await, canary(10_000), goal).await;
        let result = host.cleanup("game-0").await;
        let code = result.error_code.unwrap();
        assert!(code.is_policy_fault(), "{mode}: {code}");
        host.follow().await;
        let state = host.state(&tenant_a()).await;
        assert!(state.rollout.is_none(), "{mode}");
        assert_eq!(state.current.unwrap().number, 1, "it is not promoted by the runs before");
        assert_eq!(host.cleanup("game-1").await.outcome, Outcome::Success);
        assert_eq!(host.last_generation().as_str(), "tenant-a/1");
        assert_eq!(events(&host).await.last(), Some(&PolicyEvent::RolloutEnded));
        let history = host.store.generations().history(&tenant_a(), None, 1).await.unwrap();
        assert!(history[0].signed.reason.contains(code.as_str()), "{}", history[0].signed.reason);
    }
}

#[tokio::test]
async fn a_failure_that_is_no_fault_of_the_policy_ends_no_rollout() {
    let host = host().await;
    running(&host, 2).await;
    host.roll_out(&tenant_a(), &in_c(&host).await, canary(10_000), NO_GOAL).await;
    host.script.plan().fail_always(Call::EngineRemove, Failure::Unavailable);
    assert_eq!(host.cleanup("game-0").await.error_code.unwrap().as_str(), "service_unavailable");
    host.follow().await;
    let counts = host.state(&tenant_a()).await.rollout.expect("under way").counts;
    assert_eq!((counts.runs, counts.faults), (0, 0), "it says nothing of the policy");
}

#[tokio::test]
async fn only_runs_that_say_something_of_the_policy_are_counted_as_clean() {
    let host = host().await;
    running(&host, 4).await;
    let goal = RolloutGoal { clean_runs: Some(2), ..NO_GOAL };
    host.roll_out(&tenant_a(), &in_c(&host).await, canary(10_000), goal).await;
    host.script.plan().fail(Call::EngineRemove, 1, Failure::Unavailable);
    assert_eq!(host.cleanup("game-0").await.error_code.unwrap().as_str(), "service_unavailable");
    host.script.plan().fail(Call::LeaseTryAcquire, 2, Failure::Refuse);
    assert_eq!(host.cleanup("game-1").await.error_code.unwrap().as_str(), "conflict");
    assert_eq!(host.cleanup("game-2").await.outcome, Outcome::Success);
    host.follow().await;
    let counts = host.state(&tenant_a()).await.rollout.expect("under way").counts;
    assert_eq!((counts.runs, counts.faults), (1, 0), "a success is counted, and neither failure");
    assert_eq!(host.current(&tenant_a()).await, Some(1));
    let replayed = host.cleanup("game-2").await;
    assert_eq!(replayed.error_code.unwrap().as_str(), "replay_no_op");
    host.follow().await;
    assert_eq!(host.current(&tenant_a()).await, Some(2), "the work found done is a clean run too");
}

#[tokio::test]
async fn what_hosts_do_of_themselves_stands_in_the_trail_before_it_is_done() {
    for (mode, action) in [("honest", "policy.promote"), ("claim-success", "policy.end_rollout")] {
        let host = host().await;
        running(&host, 1).await;
        let goal = RolloutGoal { clean_runs: Some(1), ..NO_GOAL };
        host.roll_out(&tenant_a(), &hostile(&host, mode).await, canary(10_000), goal).await;
        host.cleanup("game-0").await;
        host.follow().await;
        assert!(host.state(&tenant_a()).await.rollout.is_none(), "{mode}");
        let trail = host.store.audit().read(1, 10).await.unwrap();
        let [link] = &trail[..] else { panic!("{trail:#?}") };
        let said = (link.event.actor.as_str(), link.event.action.as_str(), link.event.subject.as_str());
        assert_eq!(said, ("host:host-1", action, "tenant-a"));
        assert!(link.event.detail.contains("\"number\":2"), "{}", link.event.detail);
        let history = host.store.generations().history(&tenant_a(), None, 1).await.unwrap();
        assert_eq!(history[0].signed.actor, "host:host-1");
    }
}

#[tokio::test]
async fn a_rollback_gives_up_what_is_tried_and_says_so() {
    let host = host().await;
    running(&host, 2).await;
    host.bind(&tenant_a(), &in_c(&host).await).await;
    host.roll_out(&tenant_a(), &hostile(&host, "idle").await, canary(10_000), NO_GOAL).await;
    let by = rtmanager_tests::bound::signed(host.clock.now());
    host.store.generations().swap(&tenant_a(), Some(2), 1, SwapKind::RollBack, None, &by).await.unwrap();
    host.follow().await;
    host.cleanup("game-0").await;
    assert_eq!(host.last_generation().as_str(), "tenant-a/1", "no game is tried on any more");
    assert_eq!(events(&host).await[3..], [PolicyEvent::RolloutEnded, PolicyEvent::RolledBack]);
}

#[tokio::test]
async fn what_was_seen_while_the_store_did_not_count_is_counted_later() {
    let host = Arc::new(host().await);
    running(&host, 5).await;
    host.roll_out(&tenant_a(), &in_c(&host).await, canary(10_000), NO_GOAL).await;
    let watching = tokio::spawn(host.watcher.clone().run_for_ever());
    tried(&host, 5).await;
    for _ in 0..1_000 {
        if host.state(&tenant_a()).await.rollout.unwrap().counts.runs == 5 {
            watching.abort();
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the runs were not counted in ten seconds");
}
