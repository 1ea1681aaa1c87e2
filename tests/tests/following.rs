//! What a host is told of the store, or says there, goes wrong: it gets by, or whoever judges finds it out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

#[path = "following/arrival.rs"]
mod arrival;
#[path = "swaps/judgement.rs"]
mod judgement;
#[path = "swaps/load.rs"]
mod load;

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use judgement::judge;
use load::Load;
use rtmanager_tests::hosts::{FOLLOWING, Fate, Followed, Hosts, Plant, section};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rtmanager-cli");
/// What goes wrong does so at once, or shows when all is over.
const SWAPS: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_follows_astray_gets_by_or_is_found_out_as_the_kill_table_says() {
    // Most of their time they wait. Many more would be more than the database has connections for.
    let judging = stream::iter(FOLLOWING).map(|followed| tokio::spawn(judged(followed))).buffer_unordered(4);
    for (Followed { bug, fate, .. }, wrong) in judging.map(Result::unwrap).collect::<Vec<_>>().await {
        println!("{bug}: {:?}", wrong.first());
        match fate {
            Fate::Tolerated(_) => assert_eq!(wrong, Vec::<String>::new(), "{bug}"),
            Fate::Found { telltale, .. } => {
                assert!(wrong.iter().any(|told| told.contains(telltale)), "{bug} was not found out: {wrong:?}");
            }
        }
    }
}

async fn judged(followed: &'static Followed) -> (&'static Followed, Vec<String>) {
    let hosts = Hosts::telling(PROGRAM, Plant::Follows(followed.astray)).await;
    let load = Load::begin(&hosts);
    for _ in 0..SWAPS {
        assert!(!load.has_failed(), "the load broke");
        hosts.swap().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let asked = load.end().await;
    let mut wrong = judge(&hosts, &asked).await.wrong;
    wrong.extend(arrival::of_swaps(&hosts).await);
    wrong.extend(hosts.reports.lies());
    wrong.extend(arrival::of_a_revocation(&hosts).await);
    hosts.close().await;
    (followed, wrong)
}

#[test]
fn the_kill_table_tells_of_following_what_is_held_true_here() {
    assert!(include_str!("../docs/kill-table.md").ends_with(&section()), "`make kill-table` writes the table anew");
}
