//! The sweeper on the mock host: whom it offers, what becomes of each, and what makes it stop.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use rtmanager::model::{ContainerId, Pause, PauseCause, PauseScope};
use rtmanager::ports::Clock as _;
use rtmanager::sweeper::{SweepOptions, SweepRequest, Sweeper};
use rtmanager_tests::fixtures::HOSTILE;
use rtmanager_tests::mock_host::{MockHost, container};
use rtmanager_tests::sweeping::{RETENTION, Swept, sweep_options};

#[path = "sweeper/breaker.rs"]
mod breaker;
#[path = "sweeper/clock.rs"]
mod clock;
#[path = "sweeper/failures.rs"]
mod failures;
#[path = "sweeper/many.rs"]
mod many;
#[path = "sweeper/pauses.rs"]
mod pauses;
#[path = "sweeper/retention.rs"]
mod retention;
#[path = "sweeper/shared_limit.rs"]
mod shared_limit;
#[path = "sweeper/tenants.rs"]
mod tenants;

fn host() -> MockHost {
    MockHost::builder().build()
}

/// A policy whose review does what `mode` says, and that handles what is due.
fn reviewing(mode: &str) -> MockHost {
    MockHost::builder().policy(HOSTILE).setting("review_mode", mode).build()
}

fn game(n: u64) -> String {
    format!("game-{n:05}")
}

/// Registers games 1 to `count`, stopped at different times, and lets the floor of all pass.
async fn due_games(host: &MockHost, count: u64) -> Vec<ContainerId> {
    let ids: Vec<_> = (1..=count).map(container).collect();
    for (n, id) in (1..).zip(&ids) {
        host.stopped(&game(n), id).await;
        host.advance(std::time::Duration::from_secs(1));
    }
    host.advance(RETENTION);
    ids
}

async fn sweep(sweeper: &Sweeper) -> Swept {
    Swept::by(sweeper, &SweepRequest::default()).await
}

async fn dry_run(sweeper: &Sweeper) -> Swept {
    Swept::by(sweeper, &SweepRequest { dry_run: true, ..SweepRequest::default() }).await
}

fn with_breaker(max_share: f64) -> SweepOptions {
    let mut options = sweep_options();
    options.breaker.max_share = max_share;
    options
}

fn operators_pause(host: &MockHost, scope: PauseScope) -> Pause {
    Pause {
        scope,
        cause: PauseCause::Operator,
        reason: "maintenance".to_owned(),
        actor: "alice".to_owned(),
        at: host.clock.now(),
    }
}
