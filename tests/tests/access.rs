//! Who may do what, how callers show who they are, and the trail of what they did.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

#[path = "access/databases.rs"]
mod databases;
#[path = "access/permissions.rs"]
mod permissions;
#[path = "access/pruning.rs"]
mod pruning;
#[path = "access/site.rs"]
mod site;
#[path = "access/tampering.rs"]
mod tampering;
#[path = "access/tokens.rs"]
mod tokens;
#[path = "access/trail.rs"]
mod trail;
