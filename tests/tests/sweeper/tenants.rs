//! A tenant whose runs hang does not hold up a sweep for the others.

use std::time::Duration;

use rtmanager::runtime::Limits;
use rtmanager::sweeper::{Decision, SweepOptions};
use rtmanager_tests::mock_host::TenantPolicy;
use tokio::time::Instant;

use super::*;

const HUNG: &str = "tenant-h";
const RUN_TIME: Duration = Duration::from_secs(120);

/// So many due games of a tenant whose policy finds them due and then sleeps, and after them so many of another.
async fn hung_before_others(hung: u64, others: u64) -> MockHost {
    let limits = Limits { run_time: RUN_TIME, ..Limits::default() };
    let policy =
        TenantPolicy { tenant: HUNG, policy: HOSTILE, settings: vec![("mode", "sleep")], limits: limits.clone() };
    let host = MockHost::builder().limits(limits).tenant(policy).build();
    for n in 1..=hung {
        host.stopped_of(HUNG, &format!("hung-{n}"), &container(1_000 + n)).await;
        host.advance(Duration::from_secs(1));
    }
    due_games(&host, others).await;
    host
}

fn options(page_size: u32) -> SweepOptions {
    SweepOptions { concurrency: 4, page_size, ..sweep_options() }
}

#[tokio::test(start_paused = true)]
async fn others_in_the_page_are_swept_while_its_runs_hang() {
    let host = hung_before_others(4, 4).await;
    let swept = sweep(&host.sweeper(options(100))).await;
    assert_eq!(swept.engine().removed, 4);
    let first: Vec<_> = swept.items.iter().take(4).map(|item| item.decision).collect();
    assert_eq!(first, [Decision::Removed; 4], "before any of the four that hang");
    assert_eq!(swept.engine().failed, 4, "which have their turns too");
}

#[tokio::test(start_paused = true)]
async fn its_rows_take_a_part_of_the_sweep_and_the_rest_is_left_to_the_next() {
    let host = hung_before_others(60, 6).await;
    let began = Instant::now();
    let swept = sweep(&host.sweeper(options(5))).await;
    assert_eq!(swept.engine().removed, 6);
    assert!(began.elapsed() <= 2 * RUN_TIME, "{:?}", began.elapsed());
    let hung = swept.games(Decision::Failed).len();
    assert!((4..=8).contains(&hung), "{hung} of 60");
    let next = sweep(&host.sweeper(options(5))).await;
    assert!(next.engine().failed >= 4, "the next sweep goes on with them");
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_other_tenant_all_its_rows_are_offered() {
    let host = hung_before_others(20, 0).await;
    let swept = sweep(&host.sweeper(options(5))).await;
    assert_eq!(swept.engine().failed, 20);
}
