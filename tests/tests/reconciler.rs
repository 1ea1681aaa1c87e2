//! Records kept honest, on the engine in memory: every case. On a real one: `reconciler_docker.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

#[path = "reconciler/absence.rs"]
mod absence;
#[path = "reconciler/closing.rs"]
mod closing;
#[path = "reconciler/conflicts.rs"]
mod conflicts;
#[path = "reconciler/discovery.rs"]
mod discovery;
#[path = "reconciler/faults.rs"]
mod faults;
#[path = "reconciler/hints.rs"]
mod hints;
#[path = "reconciler/honesty.rs"]
mod honesty;
#[path = "reconciler/orphans.rs"]
mod orphans;
#[path = "reconciler/site.rs"]
mod site;
#[path = "reconciler/world.rs"]
mod world;
