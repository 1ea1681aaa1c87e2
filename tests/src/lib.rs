//! The harness that the suites share.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a harness fails its test")]

pub mod bombs;
pub mod bound;
pub mod captured_log;
pub mod compiled;
pub mod contracts;
pub mod desk;
pub mod dockerd;
pub mod fake_engine;
pub mod fault_proxy;
pub mod fixtures;
pub mod fleet;
pub mod history;
pub mod hostile;
pub mod hosts;
pub mod http;
pub mod invariants;
pub mod kill_table;
pub mod mock_host;
pub mod mutants;
pub mod native;
pub mod neighbours;
pub mod oci_registry;
pub mod place;
pub mod podman;
pub mod postgres;
pub mod processes;
pub mod projects;
pub mod recorded;
pub mod redis;
pub mod scripted_gate;
pub mod scripted_ports;
pub mod seeded;
pub mod steps;
pub mod sweeping;
pub mod tapped;
