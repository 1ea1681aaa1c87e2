//! Every misbehaviour, one after another and side by side in one process: leases, places and memory return to
//! where they were, and a proper policy still works.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::time::Duration;

use rtmanager::model::Outcome;
use rtmanager::runtime::{Limits, SandboxOptions};
use rtmanager_tests::fixtures::MALFORMED;
use rtmanager_tests::hostile::{MODES, REVIEW_MODES, hostile, hostile_review, review, run_over_stopped};
use rtmanager_tests::mock_host::{GAME, MockHost, container, request};

fn limits() -> Limits {
    Limits {
        memory_bytes: 32 << 20,
        guest_time: Duration::from_millis(200),
        run_time: Duration::from_millis(600),
        ..Limits::default()
    }
}

async fn every_mode() {
    for mode in MODES {
        let (host, told) = run_over_stopped(hostile(mode).limits(limits())).await;
        assert!(host.no_lease_is_held(), "{mode}");
        assert!(!told.message().contains("unknown mode"), "{mode}");
    }
    for mode in REVIEW_MODES {
        let host = hostile_review(mode).limits(limits()).build();
        host.stopped(GAME, &container(1)).await;
        let result = review(&host, false).await;
        assert!(!format!("{result:?}").contains("unknown review mode"), "{mode}");
        assert!(host.no_lease_is_held(), "{mode}");
    }
    for (name, policy) in MALFORMED.iter().filter(|(name, _)| !REFUSED_WHEN_LOADED.contains(name)) {
        let (_, told) = run_over_stopped(MockHost::builder().policy(policy).limits(limits())).await;
        assert!(told.code().starts_with("policy_"), "{name}: {}", told.code());
    }
}

/// These ask for more at their start than a sandbox has.
const REFUSED_WHEN_LOADED: [&str; 3] = ["huge_memory", "huge_table", "many_memories"];

/// Held by each test: what one takes in memory must not be counted as the other's.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What the process has in memory, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn after_all_of_them_the_host_is_as_good_as_new() {
    let _alone = ALONE.lock().await;
    // The first round fills what is kept: warm pages of the pool, compiled code.
    every_mode().await;
    let before = resident();
    every_mode().await;
    every_mode().await;
    let growth = resident().saturating_sub(before);
    let runs = 2 * (MODES.len() + REVIEW_MODES.len() + MALFORMED.len() - REFUSED_WHEN_LOADED.len());
    println!("after {runs} hostile runs the process has {growth} KiB more in memory than before them, of {before} KiB");
    assert!(growth < 32 << 10, "two rounds took {growth} KiB that they did not give back");
    let (_, told) = run_over_stopped(MockHost::builder().limits(limits())).await;
    assert_eq!((told.result.outcome, told.code()), (Outcome::Success, "-"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_hostile_runs_than_places_neither_exhaust_the_pool_nor_starve_a_proper_policy() {
    let _alone = ALONE.lock().await;
    let limits = Limits { guest_time: Duration::from_millis(200), ..Limits::default() };
    let host = MockHost::builder().limits(limits.clone()).build();
    let places = SandboxOptions::default().concurrent_runs;
    let rounds = u64::from(places) * 2;
    for n in 1..=rounds {
        host.stopped(&format!("game-{n}"), &container(n)).await;
    }
    let mut hostile_runs = Vec::new();
    for mode in ["keep-lease", "memory-growth", "trap-under-lease", "busy-loop"] {
        let another = host.successor(hostile(mode).limits(limits.clone()));
        for n in 1..=rounds / 4 {
            let lifecycle = another.lifecycle.clone();
            hostile_runs
                .push(tokio::spawn(async move { lifecycle.cleanup(request(&format!("game-{n}"), "cli")).await }));
        }
    }
    // In the middle of it all, on games that the hostile ones do not touch.
    for n in rounds / 4 + 1..=rounds {
        let result = host.cleanup(&format!("game-{n}")).await;
        assert_eq!(result.outcome, Outcome::Success, "{result:?}");
    }
    for run in hostile_runs {
        let result = run.await.unwrap();
        assert_ne!(result.error_code.unwrap().as_str(), "policy_unavailable", "{:?}", result.message);
    }
    assert!(host.no_lease_is_held());
    for n in 1..=rounds / 4 {
        let result = host.cleanup(&format!("game-{n}")).await;
        assert_eq!(result.outcome, Outcome::Success, "{result:?}");
    }
}
