//! What size costs: a sweep's pages where a million records stand, round trips and processor time of a cleanup with
//! PostgreSQL and Redis, and two processes beside one.
//!
//! Absolute times drift on a shared machine, so what is compared takes turns; read the ratios. In the environment, for
//! a quick run:
//!
//! - `RTMANAGER_BENCH_ROWS`: records of the large tables (1,000,000; the small ones have 10,000);
//! - `RTMANAGER_BENCH_CLEANUPS`: cleanups of a measured sweep (300);
//! - `RTMANAGER_BENCH_ROUNDS`: rounds of one process and two (3);
//! - `RTMANAGER_BENCH_SCATTERED`: set to anything, the worst case of how rows stand (see `scale/filled.rs`);
//! - `RTMANAGER_BENCH_PARTS`: of `walk`, `trips` and `processes`, those that are wanted (all).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark"
)]

#[path = "scale/cleaned.rs"]
mod cleaned;
#[path = "scale/counted.rs"]
mod counted;
#[path = "scale/figures.rs"]
mod figures;
#[path = "scale/filled.rs"]
mod filled;
#[path = "scale/processes.rs"]
mod processes;
#[path = "scale/trips.rs"]
mod trips;
#[path = "scale/walk.rs"]
mod walk;

fn main() {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(bench());
}

async fn bench() {
    let parts = std::env::var("RTMANAGER_BENCH_PARTS").unwrap_or_else(|_| "walk trips processes".to_owned());
    if parts.contains("walk") {
        walk::measure(number("RTMANAGER_BENCH_ROWS", 1_000_000)).await;
    }
    if parts.contains("trips") {
        trips::measure(number("RTMANAGER_BENCH_CLEANUPS", 300)).await;
    }
    if parts.contains("processes") {
        processes::measure(number("RTMANAGER_BENCH_CLEANUPS", 300), number("RTMANAGER_BENCH_ROUNDS", 3)).await;
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
