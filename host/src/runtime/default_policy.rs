//! The policy that the host brings along.

/// The default policy, a component; `build.rs` builds it from `guest/`.
pub const DEFAULT_POLICY: &[u8] = include_bytes!(env!("DEFAULT_POLICY_WASM"));

/// The settings that it knows; with any other it keeps everything.
pub const DEFAULT_POLICY_SETTINGS: [&str; 3] = ["extra_retention_days", "keep_failed_days", "protect_label"];
