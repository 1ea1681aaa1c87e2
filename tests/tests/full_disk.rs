//! A full disk under the SQLite store, in the middle of a sweep: nothing is lost, what cannot be done is said, and with
//! room again the next sweep finishes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "test code"
)]

use std::time::Duration;

use rtmanager::model::{Outcome, Status};
use tokio::time::{Instant, sleep};

#[path = "full_disk/disk.rs"]
mod disk;
#[path = "full_disk/site.rs"]
mod site;

use site::Site;

const GAMES: u64 = 30;
const TICK: Duration = Duration::from_millis(20);
/// A lease, a wait after a failure, and the work itself, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn until(site: &Site, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}; the log:\n{}", site.log());
        sleep(TICK).await;
    }
}

/// Records that say removed, all of whose containers must be gone.
async fn removed_truly(site: &Site) -> usize {
    let history = site.history().await;
    let removed: Vec<_> = history.games.iter().filter(|(_, game)| is_removed(game)).collect();
    for (name, game) in &removed {
        assert!(!game.is_there, "{name}: its record says removed, its container is there");
    }
    removed.len()
}

fn is_removed(game: &rtmanager_tests::history::Game) -> bool {
    game.runtime.record.status == Status::Removed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_in_mid_sweep_loses_nothing() {
    let mut site = Site::with_due_games(GAMES).await;
    site.serve();
    until(&site, "a few games are removed", async || removed_truly(&site).await >= 3).await;
    site.disk.fill();
    let before = removed_truly(&site).await;

    // It says so: in the log, to whoever asks it, and to an operator's command.
    until(&site, "a failure is logged", async || site.log().contains("database or disk is full")).await;
    until(&site, "the sweep is cut short or its runs fail", async || {
        site.log().contains("cut short") || site.log().contains("service_unavailable")
    })
    .await;
    let by_hand = site.command(&["cleanup", "live"]).output().unwrap();
    assert_eq!(by_hand.status.code(), Some(3), "{by_hand:?}");
    // What cannot be recorded is not done.
    assert!(String::from_utf8_lossy(&by_hand.stderr).contains("the audit trail cannot be written"), "{by_hand:?}");
    assert!(site.asked("GET", "/healthz").0, "{}", site.log());
    let (is_done, told) = site.asked("DELETE", "runtimes/live/container");
    assert!(!is_done && told.contains("service_unavailable"), "{told}");
    // Runs that were under way when it filled up end within their leases.
    sleep(Duration::from_secs(3)).await;
    assert!(!site.has_ended(), "the server has ended; its log:\n{}", site.log());
    let meanwhile = removed_truly(&site).await;
    assert!(
        meanwhile < usize::try_from(GAMES).unwrap(),
        "{before} and then {meanwhile} removed: the disk was not full"
    );

    site.disk.make_room();
    until(&site, "all is done", async || {
        let history = site.history().await;
        let due = history.games.values().filter(|game| !game.is_live);
        due.into_iter().all(is_removed) && history.open_runs == 0 && history.leases == 0
    })
    .await;
    let history = site.history().await;
    assert_eq!(history.violations(), Vec::<String>::new(), "{}", site.log());
    assert_eq!(history.destroyed.len(), usize::try_from(GAMES).unwrap(), "each container was seen to go");
    let wins = history.entries.iter().filter(|entry| entry.outcome == Outcome::Success && entry.error_code.is_none());
    assert_eq!(wins.count(), usize::try_from(GAMES).unwrap());
    assert!(!site.has_ended() && !site.log().contains("panicked"), "{}", site.log());
}
