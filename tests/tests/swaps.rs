//! Swapping between two visibly different policies, ten thousand times, on two hosts under full load: no operation
//! fails, none is lost, none runs on a mixture, and each ran on what its host served just then. And that whoever judges
//! so would see it, did a host do otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

#[path = "swaps/arrival.rs"]
mod arrival;
#[path = "swaps/judgement.rs"]
mod judgement;
#[path = "swaps/load.rs"]
mod load;

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use judgement::{Judged, judge};
use load::Load;
use rtmanager_tests::hosts::{FOLLOWING, Fate, Followed, Hosts, Plant, section};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rtmanager-cli");
const SWAPS: u64 = 10_000;
/// More than it takes for either policy to have run on a host that goes wrong every third time.
const SWAPS_OF_A_BAD_HOST: u64 = 120;
/// Bugs of following show at once, or when all is over.
const SWAPS_OF_ONE_THAT_IS_ASTRAY: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_swaps_under_load_lose_no_operation_and_mix_no_policies() {
    let hosts = Hosts::telling(PROGRAM, Plant::None).await;
    let load = Load::begin(&hosts);
    for _ in 0..SWAPS {
        assert!(!load.has_failed(), "the load broke");
        hosts.swap().await;
    }
    let asked = load.end().await;
    let mut judged = judge(&hosts, &asked).await;
    judged.wrong.truncate(3);
    assert!(judged.wrong.is_empty(), "{judged:#?}");
    assert!(asked.cleanups > 500 && asked.swept > 100, "{asked:?}: both kinds of load were there");
    let Judged { proven, runs, by_generation, .. } = judged;
    assert!(by_generation.len() == 2 && by_generation.values().all(|runs| *runs > 100), "{by_generation:?}");
    let swaps = hosts.swaps.load(Ordering::Relaxed);
    println!("{swaps} swaps; {asked:?}; {proven} of {runs} runs between swaps; {by_generation:?}");
    println!("{} reports", hosts.reports.count());
    // Of the others, each was just then being swapped: a host is told of a hundred swaps a second.
    assert!(proven > 500, "only of {proven} of {runs} runs it is certain what they were to run on");
    assert_eq!(swaps, SWAPS);
    hosts.close().await;
}

/// What is found of a host with this wrong.
async fn found(plant: Plant) -> Vec<String> {
    let hosts = Hosts::telling(PROGRAM, plant).await;
    let wrong = swapped(&hosts, SWAPS_OF_A_BAD_HOST).await;
    hosts.close().await;
    wrong
}

/// What is found of hosts that are swapped so often.
async fn swapped(hosts: &Hosts, swaps: u64) -> Vec<String> {
    let load = Load::begin(hosts);
    for _ in 0..swaps {
        hosts.swap().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let asked = load.end().await;
    judge(hosts, &asked).await.wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_goes_wrong_is_found_out_and_one_that_does_not_is_not() {
    for (plant, telltale) in [
        (Plant::None, None),
        (Plant::MixedSettings, Some("a mixture")),
        (Plant::MixedCode, Some("a mixture")),
        (Plant::OtherName, Some("a mixture")),
        (Plant::OldAfterReport, Some("its host did not serve this, Wrong")),
        (Plant::EntryLost, Some("are in the log")),
    ] {
        let wrong = found(plant).await;
        match telltale {
            None => assert_eq!(wrong, Vec::<String>::new()),
            Some(telltale) => assert!(
                wrong.iter().any(|told| told.contains(telltale)),
                "{plant:?} was not found out: {:?}",
                wrong.first()
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_follows_astray_gets_by_or_is_found_out_as_the_kill_table_says() {
    // Most of their time they wait. More of them, beside the other tests, are more than the database has connections for.
    let judging = stream::iter(FOLLOWING).map(|followed| tokio::spawn(astray(followed))).buffer_unordered(3);
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

async fn astray(followed: &'static Followed) -> (&'static Followed, Vec<String>) {
    let hosts = Hosts::telling(PROGRAM, Plant::Follows(followed.astray)).await;
    let mut wrong = swapped(&hosts, SWAPS_OF_ONE_THAT_IS_ASTRAY).await;
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
