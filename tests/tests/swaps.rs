//! Swapping between two visibly different policies, ten thousand times, on two hosts under full load: no operation
//! fails, none is lost, none runs on a mixture, and each ran on what its host said it served.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

#[path = "swaps/load.rs"]
mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use rtmanager::model::{LoggedOperation, Outcome};
use rtmanager::ports::OperationFilter;

use load::Load;
use rtmanager_tests::hosts::{Hosts, Replica};

const SWAPS: u64 = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_swaps_under_load_lose_no_operation_and_mix_no_policies() {
    let hosts = Hosts::open(env!("CARGO_BIN_EXE_rtmanager-cli")).await;
    let load = Load::begin(&hosts);
    for _ in 0..SWAPS {
        assert!(!load.has_failed(), "the load broke");
        hosts.swap().await;
    }
    let asked = load.end().await;
    let logged = everything(&hosts).await;

    let failed: Vec<_> = logged.iter().filter(|logged| !went_well(logged)).take(3).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let runs: BTreeSet<_> = logged.iter().map(|logged| &logged.entry.run_id).collect();
    assert_eq!(runs.len(), logged.len(), "one entry a run");
    let by_sweepers = logged.iter().filter(|logged| logged.entry.op_source == "auto_ttl").count();
    assert_eq!(logged.len(), asked.cleanups + by_sweepers, "every operation is in the log");
    assert_eq!(by_sweepers, asked.swept, "and every game that was left to the sweepers");
    assert!(hosts.engine.containers().is_empty(), "every container is gone: {:?}", hosts.engine.containers().len());
    assert!(asked.cleanups > 500 && by_sweepers > 100, "{asked:?}: both kinds of load were there");

    let mut seen = BTreeMap::<_, u64>::new();
    for logged in &logged {
        assert!(hosts.is_of_one_piece(&logged.entry), "{logged:#?}");
        let replica = Replica::of(&logged.entry.source_ref);
        assert!(hosts.reports.served(replica, &logged.entry), "no host said that it served this: {logged:#?}");
        *seen.entry(logged.entry.policy.generation.to_string()).or_default() += 1;
    }
    assert!(seen.len() == 2 && seen.values().all(|runs| *runs > 100), "both policies ran: {seen:?}");
    let swaps = hosts.swaps.load(Ordering::Relaxed);
    println!("{swaps} swaps; {asked:?}; runs by generation: {seen:?}; reports: {}", hosts.reports.count());
    assert_eq!(swaps, SWAPS);
    hosts.close().await;
}

fn went_well(logged: &LoggedOperation) -> bool {
    logged.entry.outcome == Outcome::Success && logged.entry.error_code.is_none() && logged.entry.fault.is_none()
}

async fn everything(hosts: &Hosts) -> Vec<LoggedOperation> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = hosts.stores.operations.list(&OperationFilter::default(), before, 1_000).await.unwrap();
        let Some(last) = page.last() else { return all };
        before = Some(last.id);
        all.extend(page);
    }
}
