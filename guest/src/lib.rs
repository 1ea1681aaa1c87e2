//! The default policy: removes the containers of stopped runtimes, once their retention is over.
//!
//! The logic ([`cleanup`], [`retention`]) is generic over its [`ports`], so that the same code runs as a
//! component and, in tests and benchmarks, natively. The types are those generated from `wit/` on every
//! target; only a component has the imports behind them.

#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

pub mod cleanup;
pub mod ports;
pub mod retention;

#[cfg(target_family = "wasm")]
mod allocator;
#[cfg(target_family = "wasm")]
mod component;

#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, reason = "generated")]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "lifecycle-policy",
        generate_all,
        additional_derives: [PartialEq, Eq],
    });
}

/// The contract's types.
pub mod types {
    pub use crate::bindings::exports::galaxy::rtmanager::cleanup::{Request, Verdict};
    pub use crate::bindings::exports::galaxy::rtmanager::retention::{Advice, Candidate};
    pub use crate::bindings::galaxy::rtmanager::docker::{Container, ContainerState, Removal};
    pub use crate::bindings::galaxy::rtmanager::op_log::Entry;
    pub use crate::bindings::galaxy::rtmanager::types::{Error, Outcome, RuntimeRecord, Status, Timestamp};
}
