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

#[path = "swaps/judgement.rs"]
mod judgement;
#[path = "swaps/load.rs"]
mod load;

use std::sync::atomic::Ordering;
use std::time::Duration;

use judgement::{Judged, judge};
use load::Load;
use rtmanager_tests::hosts::{Hosts, Plant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rtmanager-cli");
const SWAPS: u64 = 10_000;
/// More than it takes for either policy to have run on a host that goes wrong every third time.
const SWAPS_OF_A_BAD_HOST: u64 = 120;

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
    let load = Load::begin(&hosts);
    for _ in 0..SWAPS_OF_A_BAD_HOST {
        hosts.swap().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let asked = load.end().await;
    let wrong = judge(&hosts, &asked).await.wrong;
    hosts.close().await;
    wrong
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
