//! Records, operation log, leases, pauses and policies in one PostgreSQL database, which any number of hosts share.
//!
//! The tables are described in `migrations/postgres`. Every write is one statement, so that it costs one round trip and
//! needs no more than the default isolation, READ COMMITTED; where a statement has to wait for a row, PostgreSQL checks
//! its conditions again on the row as it has become. A write that needs more (a registration, the reason for a refused
//! change) locks the row first. Whoever locks several rows takes a record before an intent and an entry before an
//! intent, and records in the order of their games. What changes the epoch takes that first.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

mod access;
mod audit;
mod changes;
mod connections;
mod error;
mod generations;
mod journals;
mod leases;
mod open;
mod operation_log;
mod pauses;
mod policies;
mod records;
mod registration;
mod row;
mod runs;
mod schema;
mod server;
mod walk;
mod watch;

pub use access::PostgresAccess;
pub use audit::PostgresAudit;
pub use generations::PostgresGenerations;
pub use journals::PostgresJournals;
pub use leases::PostgresLeases;
pub use open::OpenError;
pub use operation_log::PostgresOperationLog;
pub use pauses::PostgresPauses;
pub use policies::PostgresPolicies;
pub use records::PostgresRecords;
pub use server::ServerName;

use crate::ports::{
    AccessStore, AuditLog, GenerationStore, JournalStore, LeaseStore, OperationLog, PauseStore, PolicyStore,
    RecordStore,
};
use connections::Connections;
use watch::Watch;

/// How a database is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Connections at once, at most.
    pub max_connections: NonZeroU32,
    /// How long a call waits for a connection, be it that all are in use or that the server has to be reached.
    pub acquire_timeout: Duration,
    /// When the server gives up a statement. The adapter gives up an answer 2 s later, and the connection with it.
    pub statement_timeout: Duration,
    /// When the server gives up waiting for a row that somebody else is changing.
    pub lock_timeout: Duration,
    /// When the server ends a transaction whose host has stopped in the middle of it, and frees its rows.
    pub idle_in_transaction_timeout: Duration,
    /// After how much silence the server asks whether a host is still there; it ends the connection, and frees
    /// its rows, when three questions, a third of this apart, are not answered.
    pub keepalive: Duration,
    /// When a connection is replaced, so that hosts spread over servers behind one name.
    pub max_lifetime: Duration,
    /// When a connection that nobody uses is closed.
    pub idle_timeout: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            max_connections: NonZeroU32::MIN.saturating_add(9),
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(5),
            idle_in_transaction_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(30),
            max_lifetime: Duration::from_secs(30 * 60),
            idle_timeout: Duration::from_secs(10 * 60),
        }
    }
}

/// A database that is open. Clones share its connections.
#[derive(Clone)]
pub struct PostgresStore {
    connections: Connections,
    watch: Arc<Watch>,
}

impl PostgresStore {
    /// Connects and brings the tables to this version, unless they are of this or of a later, compatible one. Any
    /// number of hosts may do so at once.
    ///
    /// `url` is `postgres://USER@HOST:PORT/DATABASE`, with `?sslmode=verify-full&sslrootcert=FILE` for TLS, and
    /// `?host=DIRECTORY` for a unix socket. The password may stand in it, in `PGPASSWORD` or in `~/.pgpass`; it is in
    /// no error and no log.
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Self, OpenError> {
        let connections = open::open(url, options).await?;
        let watch = Arc::new(Watch::new(connections.options()));
        Ok(Self { connections, watch })
    }

    /// The records.
    pub fn records(&self) -> Arc<dyn RecordStore> {
        Arc::new(PostgresRecords::new(self.connections.clone()))
    }

    /// The operation log.
    pub fn operation_log(&self) -> Arc<dyn OperationLog> {
        Arc::new(PostgresOperationLog::new(self.connections.clone()))
    }

    /// The leases, whose time to live passes by the server's clock, so that hosts need not agree.
    pub fn leases(&self) -> Arc<dyn LeaseStore> {
        Arc::new(PostgresLeases::new(self.connections.clone()))
    }

    /// The pauses.
    pub fn pauses(&self) -> Arc<dyn PauseStore> {
        Arc::new(PostgresPauses::new(self.connections.clone()))
    }

    /// The policies.
    pub fn policies(&self) -> Arc<dyn PolicyStore> {
        Arc::new(PostgresPolicies::new(self.connections.clone()))
    }

    /// The generations. Whoever waits for a change of them takes one connection more.
    pub fn generations(&self) -> Arc<dyn GenerationStore> {
        Arc::new(PostgresGenerations::new(self.connections.clone(), self.watch.clone()))
    }

    /// Tokens, ceilings and trusted keys.
    pub fn access(&self) -> Arc<dyn AccessStore> {
        Arc::new(PostgresAccess::new(self.connections.clone()))
    }

    /// The trail.
    pub fn audit(&self) -> Arc<dyn AuditLog> {
        Arc::new(PostgresAudit::new(self.connections.clone()))
    }

    /// The journals of runs.
    pub fn journals(&self) -> Arc<dyn JournalStore> {
        Arc::new(PostgresJournals::new(self.connections.clone()))
    }

    /// Ends the calls under way and closes the connections. Calls after this are answered `Unavailable`.
    pub async fn close(&self) {
        self.watch.stop();
        self.connections.close().await;
    }
}
