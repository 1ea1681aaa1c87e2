//! What bounds a run. Each limit has a default that suits policies of a few hundred kilobytes to 20 MB.

use std::time::Duration;

/// The limits of one run. Exceeding one ends the run with a code and message of its own, or, where
/// noted, is refused without ending it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, summed over all memories of the instance, in bytes.
    pub memory_bytes: u64,
    /// Elements, summed over all tables of the instance.
    pub table_elements: u64,
    /// Time that the guest computes, instantiation included; host calls and waiting excluded.
    pub guest_time: Duration,
    /// Wall-clock time of one import. An effect that takes longer goes on and its outcome is unknown to the run.
    pub import_time: Duration,
    /// Wall-clock time of the run, from instantiation to the policy's answer.
    pub run_time: Duration,
    /// Calls of imports, WASI's included.
    pub calls: u32,
    /// Bytes that the guest may pass to the host in one call.
    pub bytes_per_call: u64,
    /// Bytes of text that the guest may pass to the host in the whole run.
    pub bytes_per_run: u64,
    /// Handles that the guest may hold.
    pub handles: u32,
    /// Lines a policy may log in a run; further ones are dropped and counted.
    pub log_lines: u32,
    /// Wasm stack, in bytes.
    pub stack_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            table_elements: 100_000,
            guest_time: Duration::from_secs(1),
            import_time: Duration::from_secs(30),
            run_time: Duration::from_secs(120),
            calls: 1_000,
            bytes_per_call: 1 << 20,
            bytes_per_run: 4 << 20,
            handles: 256,
            log_lines: 50,
            stack_bytes: 512 << 10,
        }
    }
}
