//! What a proper policy keeps of its fair share of throughput beside a tenant whose runs do harm, and how late runs
//! are stopped that compute in a crowd.
//!
//! The share is an equal part of what the tenant has alone, half of it beside one other; alone and beside take turns, so
//! read the ratio. The aim is 0.9. In the environment, for a quick run: `RTMANAGER_BENCH_ROUNDS` (6), and
//! `RTMANAGER_BENCH_ATTACKS`, the attacks that are wanted, such as `giant-log exit` (all).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    clippy::disallowed_methods,
    reason = "a benchmark"
)]

use std::time::Duration;

use rtmanager_tests::neighbours::{ATTACKS, Done, SEVERAL, beside, lateness};

const ROUNDS: u32 = 6;
const SPAN: Duration = Duration::from_secs(1);
/// Of the places for runs, a tenant takes so many.
const CROWD: u64 = 28;

fn main() {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(bench());
}

async fn bench() {
    let rounds = std::env::var("RTMANAGER_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    println!("cleanups a second of one tenant on ports in memory, {rounds} rounds, alone and beside another in turns");
    println!(
        "{:<28} {:>10} {:>10} {:>22} {:>18}",
        "the others' runs", "alone", "beside", "kept of its fair share", "of processor time"
    );
    let named = std::env::var("RTMANAGER_BENCH_ATTACKS").unwrap_or_else(|_| ATTACKS.join(" "));
    let named: Vec<&str> = named.split_whitespace().collect();
    if let Some(unknown) = named.iter().find(|name| !ATTACKS.contains(name)) {
        panic!("RTMANAGER_BENCH_ATTACKS names {unknown}, which is none of {}", ATTACKS.join(" "));
    }
    let wanted = |attacks: &Vec<&str>| attacks.iter().all(|attack| named.contains(attack));
    let several = (2..=SEVERAL.len()).map(|count| SEVERAL[..count].to_vec());
    for attacks in ATTACKS.into_iter().map(|attack| vec![attack]).chain(several).filter(wanted) {
        let throughput = beside(&attacks, rounds, SPAN).await;
        let rate = |done: Done| done.cleanups / f64::from(rounds) / SPAN.as_secs_f64();
        println!(
            "{:<28} {:>10.0} {:>10.0} {:>22.2} {:>18.2}",
            attacks.join(" "),
            rate(throughput.alone),
            rate(throughput.beside),
            throughput.kept(),
            throughput.kept_of_processors()
        );
    }
    for crowd in [1, 8, CROWD] {
        let mut late: Vec<_> = Vec::new();
        for _ in 0..rounds {
            late.extend(lateness(crowd, Duration::from_millis(400)).await);
        }
        late.sort_unstable();
        let (median, last) = (late.get(late.len() / 2).unwrap(), late.last().unwrap());
        println!("{crowd} runs that compute for ever end {median:.1?} (median) to {last:.1?} after limits.run_time");
    }
}
