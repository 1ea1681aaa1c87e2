//! The checker itself is proven: hosts with a planted bug are found out by the traces that they leave.

use std::time::Duration;

use rtmanager_tests::fleet::{Fleet, Replica};

use super::{PATIENCE, TTL, all_is_well, start};

fn with_bug(fleet: &Fleet, bug: &str) -> Vec<Replica> {
    (0..2).map(|number| fleet.replica(number, &["--bug", bug])).collect()
}

/// What is wrong with what hosts with this bug have done, whether or not they came to an end.
async fn violations(fleet: &Fleet, patience: Duration) -> Vec<String> {
    let _settled = fleet.settle(patience).await;
    fleet.history().await.violations()
}

fn assert_found(violations: &[String], expected: &str) {
    assert!(violations.iter().any(|violation| violation.contains(expected)), "{expected:?} is not in {violations:#?}");
}

/// Asks for the cleanup of every game by each of the hosts, all at once.
async fn clean_up_by_each(fleet: &Fleet, replicas: &[Replica]) {
    let mut asking = Vec::new();
    for game in fleet.due() {
        for replica in replicas {
            let mut command = tokio::process::Command::new("curl");
            command.args(["--silent", "--max-time", "60", "--output", "/dev/null", "--unix-socket"]);
            command.arg(replica.socket()).args(["--request", "DELETE"]);
            command.arg(format!("http://localhost/api/v1/internal/runtimes/{game}/container"));
            asking.push(command.kill_on_drop(true).spawn().expect("curl starts"));
        }
    }
    for mut asked in asking {
        asked.wait().await.expect("curl ends");
    }
}

async fn serving(replicas: &[Replica]) {
    for replica in replicas {
        for _ in 0..400 {
            if tokio::net::UnixStream::connect(replica.socket()).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_bugs_are_found() {
    let mut fleet = start(6).await;

    let replicas = with_bug(&fleet, "cas-dropped");
    assert_found(&violations(&fleet, Duration::from_secs(8)).await, "the log says removed, its record does not");
    drop(replicas);
    fleet.forget().await;

    // Slow engines make runs long, and so overlaps plain to see.
    for (bug, is_found) in [("none", false), ("lease-ignored", true)] {
        fleet.slow_engines(Duration::from_millis(250));
        let replicas = with_bug(&fleet, bug);
        serving(&replicas).await;
        fleet.populate(2).await;
        clean_up_by_each(&fleet, &replicas).await;
        let settled = fleet.settle(PATIENCE).await;
        let mut history = fleet.history().await;
        history.overlap = Some(Duration::from_millis(500));
        let violations = history.violations();
        let (overlaps, others): (Vec<_>, Vec<_>) = violations.iter().partition(|found| found.contains("overlap"));
        assert_eq!(!overlaps.is_empty(), is_found, "{bug}: {settled:?} {violations:#?}");
        assert!(others.is_empty(), "{bug}: leases that lie to everyone cost work done twice, and no more: {others:#?}");
        drop(replicas);
        fleet.forget().await;
    }

    // Killed between a removal and its entry: the next run finds the container gone, and tells nothing of the removal.
    fleet.slow_engines(Duration::from_millis(100));
    fleet.populate(20).await;
    let mut replicas = with_bug(&fleet, "intent-skipped");
    for turn in 0..10 {
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        replicas[turn % 2].kill_and_start_again();
    }
    fleet.slow_engines(Duration::ZERO);
    assert_found(&violations(&fleet, Duration::from_secs(30)).await, "was destroyed at");
    drop(replicas);
    fleet.forget().await;

    for (bug, is_found) in [("none", false), ("fence-unchecked", true)] {
        fleet.populate(1).await;
        let late = fleet.replica(0, &["--bug", bug, "--stop-before-change"]);
        for _ in 0..400 {
            if late.is_frozen() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(late.is_frozen(), "it never came to a change: {}", fleet.logs());
        // A neighbour takes it for dead, and closes its run; but is not to sweep before the other wakes up.
        fleet.pause_sweeps().await;
        let neighbour = fleet.replica(1, &[]);
        let deadline = tokio::time::Instant::now() + TTL * 10;
        while fleet.open_runs().await > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(fleet.open_runs().await, 0, "the neighbour closed nothing: {}", fleet.logs());
        drop(neighbour);
        late.thaw();
        fleet.resume_sweeps().await;
        if is_found {
            let violations = violations(&fleet, Duration::from_secs(15)).await;
            assert_found(&violations, "was removed once, and the log has 0 entries that say so");
        } else {
            all_is_well(&fleet, "a host that woke up late").await;
        }
        drop(late);
        fleet.forget().await;
    }
}
