//! Three hosts on one PostgreSQL, one Redis and two engines, while everything that can fail fails: whatever happens,
//! each due game is removed once, no running container is touched, and the log knows of every effect.
//!
//! `RTMANAGER_SOAK_KILLS` says how often hosts are killed; `make soak` says 1,000.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

use std::time::Duration;

use rtmanager_tests::fault_proxy::{FaultProxy, Faults};
use rtmanager_tests::fleet::{Fleet, Replica};

#[path = "fleet/planted.rs"]
mod planted;

/// What it takes in the worst case to find, wait for and close what a fault has left.
const PATIENCE: Duration = Duration::from_secs(90);
/// The leases' time to live.
const TTL: Duration = Duration::from_secs(2);
const KILLS: u64 = 100;

fn three(fleet: &Fleet) -> Vec<Replica> {
    (0..3).map(|number| fleet.replica(number, &[])).collect()
}

async fn start(due_on_each: usize) -> Fleet {
    let mut fleet = Fleet::start(env!("CARGO_BIN_EXE_replica")).await;
    fleet.populate(due_on_each).await;
    fleet
}

/// All is done and nothing is wrong.
async fn all_is_well(fleet: &Fleet, after: &str) {
    let settled = fleet.settle(PATIENCE).await.and(fleet.hear_of_all().await);
    let mut violations = fleet.history().await.violations();
    violations.truncate(10);
    assert_eq!((settled, violations), (Ok(()), vec![]), "after {after}: {}", fleet.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hosts_share_a_sweep_and_hardly_ever_tread_on_one_another() {
    let fleet = start(60).await;
    let _replicas = three(&fleet);
    all_is_well(&fleet, "nothing").await;
    let history = fleet.history().await;
    let removed = history.entries.iter().filter(|entry| entry.error_code.is_none()).count();
    // The two running containers are refused on each sweep.
    let refused = history.entries.iter().filter(|entry| entry.game_id.contains("live")).count();
    let in_vain = history.entries.len() - removed - refused;
    assert_eq!(removed, 120);
    assert!(in_vain * 100 <= removed, "{in_vain} of {} runs were in vain", history.entries.len());
    assert!(history.entries.iter().all(|entry| entry.author.as_str() != "recovery"), "nobody died");
    no_lease_was_ignored(&fleet).await;
}

/// Where nobody tampered with leases.
async fn no_lease_was_ignored(fleet: &Fleet) {
    let mut history = fleet.history().await;
    history.overlap = Some(Duration::from_secs(1));
    assert_eq!(history.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_of_the_next_version_changes_the_tables_under_those_of_this_one() {
    let fleet = start(40).await;
    let _replicas = [fleet.replica(0, &[]), fleet.replica(1, &[])];
    fleet.busy().await;
    fleet.upgrade_tables().await;
    let _one_more = fleet.replica(2, &[]);
    all_is_well(&fleet, "an upgrade of the tables").await;
}

/// Numbers that look random, the same for each seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_are_killed_at_any_moment_lose_nothing() {
    let kills = std::env::var("RTMANAGER_SOAK_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number of kills"));
    let mut fleet = start(20).await;
    fleet.slow_engines(Duration::from_millis(40));
    let mut replicas = three(&fleet);
    let mut dice = Dice(7);
    for _ in 0..kills {
        if fleet.left().await < 20 {
            fleet.populate(20).await;
        }
        fleet.busy().await;
        tokio::time::sleep(Duration::from_millis(dice.below(250))).await;
        replicas[usize::try_from(dice.below(3)).unwrap()].kill_and_start_again();
    }
    all_is_well(&fleet, "kills").await;
    let recovered = fleet.history().await.entries.iter().filter(|entry| entry.author.as_str() == "recovery").count();
    assert!(recovered > 0, "no kill hit a run: {}", fleet.logs());
    no_lease_was_ignored(&fleet).await;
    eprintln!("{kills} hosts were killed, and {recovered} runs recovered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_hosts_games_wait_no_longer_than_a_lease() {
    let mut fleet = start(0).await;
    // The other one sweeps early only because it finds what the dead one had claimed.
    let (mut dying, _other) = (fleet.replica(0, &[]), fleet.replica(1, &["--set", "cleanup_interval=1h"]));
    fleet.slow_engines(Duration::from_millis(300));
    fleet.populate(12).await;
    fleet.busy_on_each().await;
    dying.kill();
    fleet.slow_engines(Duration::ZERO);
    let killed = tokio::time::Instant::now();
    while fleet.left().await > 0 {
        // A lease, the pace at which the dead are looked for, and the work itself on a busy machine.
        assert!(
            killed.elapsed() < TTL + TTL / 10 + Duration::from_secs(4),
            "{} games wait: {}",
            fleet.left().await,
            fleet.logs()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    all_is_well(&fleet, "the death of a host").await;
}

/// Spoils connections while hosts work, and mends them.
async fn spoiled(fleet: &Fleet, proxy: &FaultProxy) {
    for faults in [
        Faults { delay: Duration::from_millis(150), ..Faults::default() },
        Faults { silent: true, ..Faults::default() },
        Faults { refused: true, ..Faults::default() },
    ] {
        fleet.busy().await;
        proxy.set(faults);
        proxy.cut();
        tokio::time::sleep(TTL + Duration::from_millis(500)).await;
        proxy.mend();
        proxy.cut();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backends_that_fail_one_after_another_cost_nothing_but_time() {
    let mut fleet = start(60).await;
    fleet.slow_engines(Duration::from_millis(60));
    let replicas = three(&fleet);

    fleet.busy().await;
    replicas[0].freeze();
    tokio::time::sleep(TTL * 2).await;
    replicas[0].thaw();
    all_is_well(&fleet, "a host that stood still for longer than its leases").await;

    fleet.populate(40).await;
    for _ in 0..10 {
        fleet.redis.ask(&["FLUSHALL"]);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    all_is_well(&fleet, "leases that were wiped").await;

    fleet.populate(40).await;
    fleet.busy().await;
    fleet.redis.kill();
    tokio::time::sleep(Duration::from_secs(1)).await;
    fleet.redis.start_again();
    all_is_well(&fleet, "a restart of Redis").await;

    fleet.populate(40).await;
    fleet.busy().await;
    fleet.postgres.kill();
    tokio::time::sleep(Duration::from_secs(1)).await;
    fleet.postgres.restart();
    all_is_well(&fleet, "a crash of PostgreSQL").await;

    fleet.populate(40).await;
    fleet.busy().await;
    fleet.engines[0].kill();
    tokio::time::sleep(Duration::from_secs(1)).await;
    fleet.engines[0].restart().await;
    fleet.started_again(0);
    all_is_well(&fleet, "a crash of an engine").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_slow_silent_refused_or_cut_cost_nothing_but_time() {
    let mut fleet = start(0).await;
    let _replicas = three(&fleet);
    for name in ["PostgreSQL", "Redis", "an engine"] {
        fleet.slow_engines(Duration::from_millis(60));
        fleet.populate(60).await;
        let proxy = match name {
            "PostgreSQL" => &fleet.to_postgres,
            "Redis" => &fleet.to_redis,
            _ => &fleet.to_engines[0],
        };
        spoiled(&fleet, proxy).await;
        fleet.slow_engines(Duration::ZERO);
        all_is_well(&fleet, name).await;
    }
}
