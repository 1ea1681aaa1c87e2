//! What sweeps do while policies are swapped, revoked and tried, and below a tenant's ceiling.

use rtmanager::model::{Ceiling, RolloutGoal, RolloutMode, TrackedRuntime};
use rtmanager::sweeper::{Decision, SweepRequest, Sweeper};
use rtmanager_tests::sweeping::{DAY, RETENTION, Swept, sweep_options};

use super::*;

const DRY: SweepRequest = SweepRequest { dry_run: true, engine: None, outdated: BTreeMap::new() };

/// A host with a game that has been stopped for longer than the host keeps it.
async fn host_with_due_game() -> (MockHost, Sweeper) {
    let host = host_with_game().await;
    host.advance(RETENTION + DAY);
    let sweeper = host.sweeper(sweep_options());
    (host, sweeper)
}

async fn sweep(sweeper: &Sweeper) -> Vec<(String, Decision, String)> {
    let swept = Swept::by(sweeper, &SweepRequest::default()).await;
    swept.items.into_iter().map(|item| (item.game_id.to_string(), item.decision, item.reason)).collect()
}

async fn tracked(host: &MockHost) -> TrackedRuntime {
    host.record(GAME).await.unwrap()
}

async fn set_ceiling(host: &MockHost, scope: &PolicyScope, retention_days: u32) {
    let ceiling = Ceiling { retention_days, ..Ceiling::default() };
    host.store.access().set_ceiling(scope, Some(&ceiling)).await.unwrap();
    host.follow().await;
}

#[tokio::test]
async fn a_runtime_is_kept_as_long_as_its_tenants_ceiling_says_and_no_policy_is_asked_before() {
    let (host, sweeper) = host_with_due_game().await;
    let stopped_at = tracked(&host).await.record.stopped_at.unwrap();
    set_ceiling(&host, &PolicyScope::Default, 30).await;
    let until = stopped_at.saturating_add(30 * DAY);
    let swept = sweep(&sweeper).await;
    assert_eq!((swept[0].1, swept[0].2.contains(&until.to_string())), (Decision::Kept, true), "{swept:?}");
    let kept = tracked(&host).await.cleanup;
    assert!(kept.wait_until.is_some_and(|until| until > host.clock.now()) && kept.wait_generation.is_none());
    assert_eq!(host.script.journal().count(Call::LeaseTryAcquire), 0);
    host.advance(22 * DAY);
    assert_eq!(sweep(&sweeper).await[0].1, Decision::Removed);
}

#[tokio::test]
async fn a_tenants_own_ceiling_stands_in_place_of_everybodys_and_the_hosts_floor_holds_beside_it() {
    let (host, sweeper) = host_with_due_game().await;
    set_ceiling(&host, &PolicyScope::Default, 365).await;
    set_ceiling(&host, &tenant_a(), 1).await;
    assert_eq!(sweep(&sweeper).await[0].1, Decision::Removed);
    let other = host_with_game().await;
    set_ceiling(&other, &tenant_a(), 1).await;
    other.advance(2 * DAY);
    assert_eq!(sweep(&other.sweeper(sweep_options())).await, [], "stopped for less than the host's own floor");
}

#[tokio::test]
async fn a_revoked_policy_keeps_everything_without_parking_it_and_another_binding_is_asked_at_once() {
    let (host, sweeper) = host_with_due_game().await;
    let digest = host.push(DEFAULT_POLICY).await;
    host.bind(&tenant_a(), &plain(&digest)).await;
    host.revoke(&Revocation::Generation(id("tenant-a/1"))).await;
    host.follow().await;
    for _ in 0..6 {
        let swept = sweep(&sweeper).await;
        assert!(
            swept.iter().all(|(_, decision, reason)| *decision == Decision::Kept && reason.contains("policy_revoked"))
        );
        host.advance(DAY);
    }
    let kept = tracked(&host).await.cleanup;
    assert_eq!((kept.parked, kept.failed_attempts), (None, 0));
    assert_eq!(kept.wait_generation, Some(id("tenant-a/1")));
    assert_still_stopped(&host).await;
    host.bind(&tenant_a(), &with_setting(&digest, "extra_retention_days", "0")).await;
    assert_eq!(sweep(&sweeper).await[0].1, Decision::Removed);
}

#[tokio::test]
async fn a_swap_ends_the_waits_of_the_generation_before_and_a_rollback_those_of_the_one_after() {
    let (host, sweeper) = host_with_due_game().await;
    let digest = host.push(DEFAULT_POLICY).await;
    let keeps = |days: &str| with_setting(&digest, "extra_retention_days", days);
    host.bind(&tenant_a(), &keeps("10")).await;
    assert_eq!(sweep(&sweeper).await[0].1, Decision::Kept);
    assert_eq!(tracked(&host).await.cleanup.wait_generation, Some(id("tenant-a/1")));
    host.bind(&tenant_a(), &keeps("20")).await;
    assert_eq!(sweep(&sweeper).await[0].1, Decision::Kept);
    assert_eq!(tracked(&host).await.cleanup.wait_generation, Some(id("tenant-a/2")));
    assert_eq!(sweep(&sweeper).await, [], "its word stands as long as it serves");
    host.swap(&tenant_a(), 1).await;
    host.follow().await;
    assert_eq!(sweep(&sweeper).await[0].1, Decision::Kept);
    assert_eq!(tracked(&host).await.cleanup.wait_generation, Some(id("tenant-a/1")));
}

#[tokio::test]
async fn a_wait_is_the_word_of_the_generation_that_was_tried_and_ends_with_the_rollout() {
    let (host, sweeper) = host_with_due_game().await;
    let digest = host.push(DEFAULT_POLICY).await;
    host.bind(&tenant_a(), &with_setting(&digest, "extra_retention_days", "10")).await;
    let longer = with_setting(&digest, "extra_retention_days", "20");
    let all = RolloutMode::Canary { per_myriad: 10_000 };
    host.roll_out(&tenant_a(), &longer, all, RolloutGoal::default()).await;
    assert_eq!(sweep(&sweeper).await[0].1, Decision::Kept);
    assert_eq!(tracked(&host).await.cleanup.wait_generation, Some(id("tenant-a/2")));
    assert_eq!(sweep(&sweeper).await, [], "a canary's waits stand");
    let ended = signed(host.clock.now());
    assert!(host.store.generations().end_rollout(&tenant_a(), 2, &ended).await.unwrap());
    host.follow().await;
    assert_eq!(sweep(&sweeper).await[0].1, Decision::Kept);
    assert_eq!(tracked(&host).await.cleanup.wait_generation, Some(id("tenant-a/1")));
}

#[tokio::test]
async fn while_the_store_was_not_read_a_sweep_removes_nothing_and_ends_no_wait() {
    let (host, sweeper) = host_with_due_game().await;
    let digest = host.push(DEFAULT_POLICY).await;
    host.bind(&tenant_a(), &with_setting(&digest, "extra_retention_days", "10")).await;
    sweep(&sweeper).await;
    let waits = tracked(&host).await.cleanup;
    let starting = host.successor(MockHost::builder().following_store());
    assert_eq!(sweep(&starting.sweeper(sweep_options())).await, []);
    assert_eq!(tracked(&host).await.cleanup, waits);
}

#[tokio::test]
async fn a_dry_run_counts_for_no_rollout() {
    let (host, sweeper) = host_with_due_game().await;
    let digest = host.push(DEFAULT_POLICY).await;
    host.bind(&tenant_a(), &plain(&digest)).await;
    let all = RolloutMode::Canary { per_myriad: 10_000 };
    let goal = RolloutGoal { clean_runs: Some(1), ..RolloutGoal::default() };
    host.roll_out(&tenant_a(), &plain(&host.push(C_POLICY).await), all, goal).await;
    Swept::by(&sweeper, &DRY).await;
    host.follow().await;
    assert_eq!(host.current(&tenant_a()).await, Some(1));
    sweep(&sweeper).await;
    host.follow().await;
    assert_eq!(host.current(&tenant_a()).await, Some(2));
}
