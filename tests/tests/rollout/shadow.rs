//! Beside all runs, without effect.

use rtmanager::model::LimitOverrides;

use super::*;

/// Until all shadows have ended; nothing of what the host does is left under way.
async fn settled(host: &MockHost) {
    assert!(host.lifecycle.drain(Duration::from_secs(20)).await);
    host.follow().await;
}

async fn divergences(host: &MockHost) -> Vec<Divergence> {
    host.store.generations().divergences(&tenant_a(), 2, 100).await.unwrap()
}

/// What a shadow of this showed beside one cleanup of a stopped game.
async fn beside_a_cleanup(candidate: impl AsyncFnOnce(&MockHost) -> BindingSpec) -> (MockHost, Vec<Divergence>) {
    let host = host().await;
    host.stopped(GAME, &container(1)).await;
    host.roll_out(&tenant_a(), &candidate(&host).await, RolloutMode::Shadow, NO_GOAL).await;
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success);
    settled(&host).await;
    let found = divergences(&host).await;
    (host, found)
}

fn kinds(divergences: &[Divergence]) -> Vec<DivergenceKind> {
    divergences.iter().map(|divergence| divergence.kind).collect()
}

#[tokio::test]
async fn one_that_would_have_done_the_same_shows_no_difference_and_does_nothing() {
    let (host, found) = beside_a_cleanup(in_c).await;
    assert_eq!(kinds(&found), []);
    let counts = host.state(&tenant_a()).await.rollout.expect("goes on").counts;
    assert_eq!((counts.runs, counts.faults, counts.divergences), (1, 0, 0));
    let journal = host.script.journal();
    for effect in
        [Call::LeaseTryAcquire, Call::RecordBeginRun, Call::RecordCompareAndSet, Call::EngineRemove, Call::LogAppend]
    {
        assert_eq!(journal.count(effect), 1, "{effect} was the live run's alone");
    }
    assert_eq!(host.entries().len(), 1);
    assert_eq!(host.last_generation().as_str(), "tenant-a/1");
}

#[tokio::test]
async fn one_that_would_have_kept_what_was_removed_is_found_out() {
    let (host, found) = beside_a_cleanup(async |host| hostile(host, "idle").await).await;
    assert_eq!(kinds(&found), [DivergenceKind::WouldKeep]);
    assert_eq!(found[0].game_id, GAME);
    assert_eq!(found[0].run_id, host.entries().pop().unwrap().entry.run_id);
    assert!(found[0].current.starts_with("container removed; success"), "{}", found[0].current);
    assert!(found[0].candidate.starts_with("failure hostile"), "{}", found[0].candidate);
    assert!(host.state(&tenant_a()).await.rollout.is_some(), "a difference may be the point");
}

#[tokio::test]
async fn one_that_would_remove_what_is_kept_is_found_out_and_removes_nothing() {
    let host = host().await;
    host.bind(&tenant_a(), &with_setting(&host.push(DEFAULT_POLICY).await, "extra_retention_days", "30")).await;
    host.stopped(GAME, &container(1)).await;
    let honest = hostile(&host, "honest").await;
    let number = host.roll_out(&tenant_a(), &honest, RolloutMode::Shadow, NO_GOAL).await;
    let tracked = host.record(GAME).await.unwrap();
    let reviewed = host.lifecycle.review(tracked, host.clock.now(), false).await;
    assert!(matches!(reviewed, ReviewResult::WaitUntil(_)), "{reviewed:?}");
    settled(&host).await;
    let found = host.store.generations().divergences(&tenant_a(), number, 10).await.unwrap();
    assert_eq!(kinds(&found), [DivergenceKind::WouldRemove]);
    assert!(found[0].current.starts_with("kept until "), "{}", found[0].current);
    assert!(host.has_container(&container(1)));
    assert_eq!(host.record(GAME).await.unwrap().record.status, Status::Stopped);
    for effect in [Call::EngineRemove, Call::RecordCompareAndSet, Call::LogAppend, Call::LeaseTryAcquire] {
        assert_eq!(host.script.journal().count(effect), 0, "{effect} was called");
    }
}

#[tokio::test]
async fn other_codes_and_other_advice_are_told_apart() {
    let host = host().await;
    host.register(GAME, rtmanager::model::LiveStatus::Running, Some(&container(1))).await;
    host.roll_out(&tenant_a(), &hostile(&host, "idle").await, RolloutMode::Shadow, NO_GOAL).await;
    assert_eq!(host.cleanup(GAME).await.error_code.unwrap().as_str(), "conflict");
    settled(&host).await;
    assert_eq!(kinds(&divergences(&host).await), [DivergenceKind::OtherError]);

    let host = self::host().await;
    let long = with_setting(&host.push(DEFAULT_POLICY).await, "extra_retention_days", "30");
    let longer = with_setting(&host.push(DEFAULT_POLICY).await, "extra_retention_days", "60");
    host.bind(&tenant_a(), &long).await;
    host.stopped(GAME, &container(1)).await;
    let number = host.roll_out(&tenant_a(), &longer, RolloutMode::Shadow, NO_GOAL).await;
    let tracked = host.record(GAME).await.unwrap();
    host.lifecycle.review(tracked, host.clock.now(), false).await;
    settled(&host).await;
    let found = host.store.generations().divergences(&tenant_a(), number, 10).await.unwrap();
    assert_eq!(kinds(&found), [DivergenceKind::OtherAdvice]);
}

#[tokio::test]
async fn a_fault_of_a_shadow_ends_the_rollout_and_harms_no_run() {
    for mode in ["trap-after-remove", "busy-loop", "memory-growth"] {
        let host = impatient_host().await;
        host.stopped(GAME, &container(1)).await;
        host.roll_out(&tenant_a(), &hostile(&host, mode).await, RolloutMode::Shadow, NO_GOAL).await;
        assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success);
        settled(&host).await;
        let state = host.state(&tenant_a()).await;
        assert!(state.rollout.is_none(), "{mode}");
        assert_eq!(state.current.unwrap().number, 1);
        assert_eq!(events(&host).await.last(), Some(&PolicyEvent::RolloutEnded));
        assert_eq!(host.record(GAME).await.unwrap().record.status, Status::Removed);
    }
}

#[tokio::test]
async fn a_difference_ends_the_rollout_only_where_that_was_asked_for() {
    let host = host().await;
    host.stopped(GAME, &container(1)).await;
    let goal = RolloutGoal { stop_on_divergence: true, clean_runs: Some(1), promote_at: None };
    host.roll_out(&tenant_a(), &hostile(&host, "idle").await, RolloutMode::Shadow, goal).await;
    host.cleanup(GAME).await;
    settled(&host).await;
    let state = host.state(&tenant_a()).await;
    assert!(state.rollout.is_none());
    assert_eq!(state.current.unwrap().number, 1, "not promoted, though the run had no fault");
}

#[tokio::test]
async fn a_clean_shadow_is_promoted() {
    let host = host().await;
    host.stopped(GAME, &container(1)).await;
    let goal = RolloutGoal { clean_runs: Some(1), ..NO_GOAL };
    host.roll_out(&tenant_a(), &in_c(&host).await, RolloutMode::Shadow, goal).await;
    host.cleanup(GAME).await;
    settled(&host).await;
    assert_eq!(host.current(&tenant_a()).await, Some(2));
}

#[tokio::test]
async fn beside_a_run_that_a_backend_failed_nothing_is_compared() {
    for (call, failure) in [
        (Call::RecordBeginRun, Failure::Unavailable),
        (Call::LeaseTryAcquire, Failure::Unavailable),
        (Call::EngineInspect, Failure::Unavailable),
        (Call::EngineRemove, Failure::Unavailable),
        (Call::RecordCompareAndSet, Failure::Refuse),
    ] {
        let host = host().await;
        host.stopped(GAME, &container(1)).await;
        host.roll_out(&tenant_a(), &in_c(&host).await, RolloutMode::Shadow, NO_GOAL).await;
        host.script.plan().fail(call, 1, failure);
        assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Failure, "{call}");
        settled(&host).await;
        assert_eq!(kinds(&divergences(&host).await), [], "{call}");
        assert_eq!(host.state(&tenant_a()).await.rollout.unwrap().counts.runs, 0, "{call}");
    }
}

#[tokio::test]
async fn a_lease_that_another_held_is_held_for_the_shadow_too() {
    let host = host().await;
    host.stopped(GAME, &container(1)).await;
    host.roll_out(&tenant_a(), &in_c(&host).await, RolloutMode::Shadow, NO_GOAL).await;
    host.script.plan().fail(Call::LeaseTryAcquire, 1, Failure::Refuse);
    assert_eq!(host.cleanup(GAME).await.error_code.unwrap().as_str(), "conflict");
    settled(&host).await;
    assert_eq!(kinds(&divergences(&host).await), []);
    assert_eq!(host.state(&tenant_a()).await.rollout.unwrap().counts.runs, 1);
}

#[tokio::test]
async fn a_shadow_that_asks_for_what_the_live_run_did_not_look_at_is_not_compared() {
    let host = host().await;
    // It answers at once, without a look at the container.
    host.bind(&tenant_a(), &hostile(&host, "idle").await).await;
    host.stopped(GAME, &container(1)).await;
    let goal = RolloutGoal { clean_runs: Some(1), stop_on_divergence: true, promote_at: None };
    let number = host.roll_out(&tenant_a(), &in_c(&host).await, RolloutMode::Shadow, goal).await;
    assert_eq!(host.cleanup(GAME).await.error_code.unwrap().as_str(), "hostile");
    settled(&host).await;
    assert_eq!(host.script.journal().count(Call::EngineInspect), 0, "the engine was not asked for the shadow");
    let rollout = host.state(&tenant_a()).await.rollout.expect("goes on");
    assert_eq!((rollout.number, rollout.counts), (number, Default::default()));
    assert_eq!(shadows(&host, "unclear"), 1);
}

#[tokio::test]
async fn a_shadow_that_the_host_is_too_slow_for_is_no_fault_of_the_policy() {
    let host = host().await;
    host.stopped(GAME, &container(1)).await;
    // It computes until its time is up, and before it has computed for as long as it may.
    let limits = LimitOverrides { run_time: Some(Duration::from_millis(5)), ..LimitOverrides::default() };
    let hurried = BindingSpec { limits, ..hostile(&host, "busy-loop").await };
    host.roll_out(&tenant_a(), &hurried, RolloutMode::Shadow, NO_GOAL).await;
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success);
    settled(&host).await;
    let rollout = host.state(&tenant_a()).await.rollout.expect("goes on");
    assert_eq!((rollout.counts.runs, rollout.counts.faults), (0, 0));
    assert_eq!(shadows(&host, "dropped"), 1);
}

/// How many ended so.
fn shadows(host: &MockHost, result: &str) -> u64 {
    let text = host.metrics.render().unwrap();
    let line = format!("rtmanager_policy_shadow_runs_total{{result=\"{result}\"}} ");
    text.lines().find_map(|told| told.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn shadows_that_pile_up_are_dropped_and_no_run_waits_for_one() {
    let host = Arc::new(host().await);
    running(&host, 40).await;
    // It computes until it is stopped, which takes a second; the live runs do not.
    host.roll_out(&tenant_a(), &hostile(&host, "busy-loop").await, RolloutMode::Shadow, NO_GOAL).await;
    let mut cleanups = tokio::task::JoinSet::new();
    for n in 0..40 {
        let host = host.clone();
        cleanups.spawn(async move { host.cleanup(&format!("game-{n}")).await.outcome });
    }
    assert!(cleanups.join_all().await.iter().all(|outcome| *outcome == Outcome::Success));
    settled(&host).await;
    let (compared, dropped) = (shadows(&host, "compared"), shadows(&host, "dropped"));
    assert!(compared >= 4 && dropped > 0 && compared + dropped == 40, "{compared} compared, {dropped} dropped");
}
