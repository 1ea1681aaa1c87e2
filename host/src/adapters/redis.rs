//! Leases in Redis, or in what speaks its protocol as Valkey does: one server, Sentinel or Cluster.
//!
//! Redis may forget. A flush, a restart without persistence, and a failover before the replica had the lease lose
//! leases that are held; a frozen server, thawed, may carry out what its callers have long given up. Nothing is unsafe
//! by that, since fences come from the record store and are checked there: what it costs is work done twice, by two
//! runs of which one is refused, or a game left alone until a lease's end.

use std::path::PathBuf;
use std::time::Duration;

mod address;
mod connector;
mod endpoint;
mod error;
mod leases;
mod line;

pub use connector::ConnectError;
pub use endpoint::{InvalidRedisEndpoint, RedisEndpoint};
pub use leases::RedisLeases;

/// How to use the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// For a connection to be made, and its user to be accepted.
    pub connect_timeout: Duration,
    /// For a command to be answered. A command takes no longer than both time-outs together, and a call is one
    /// command; only taking a lease may need a second, if the connection broke.
    pub response_timeout: Duration,
    /// Begins every key, so that several platforms can share a server. Without braces: a cluster spreads keys by game.
    pub prefix: String,
    /// A PEM file with the authorities to trust instead of the system's, for TLS.
    pub ca_certificate: Option<PathBuf>,
}

impl Default for RedisOptions {
    /// Seconds, far below a lease's usual time to live.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(2),
            prefix: "rtmanager:".to_owned(),
            ca_certificate: None,
        }
    }
}
