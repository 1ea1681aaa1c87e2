//! Records, operation log, leases, pauses and policies in one SQLite file, which several processes may open.
//!
//! The tables are described in `migrations/sqlite`. One connection of a process writes, so that its tasks
//! queue in order instead of polling for the file's lock; several read. Between processes the file's
//! lock and the busy time-out decide. Every write is one statement, or a transaction that takes the lock first.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::SqliteRow;

mod access;
mod audit;
mod changes;
mod error;
mod generations;
mod journals;
mod leases;
mod open;
mod operation_log;
mod pauses;
mod policies;
mod records;
mod row;
mod runs;
mod walk;

pub use access::SqliteAccess;
pub use audit::SqliteAudit;
pub use generations::SqliteGenerations;
pub use journals::SqliteJournals;
pub use leases::SqliteLeases;
pub use open::OpenError;
pub use operation_log::SqliteOperationLog;
pub use pauses::SqlitePauses;
pub use policies::SqlitePolicies;
pub use records::SqliteRecords;

use crate::ports::{
    AccessStore, AuditLog, Clock, GenerationStore, JournalStore, LeaseStore, OperationLog, PauseStore, PolicyStore,
    RecordStore, StoreError,
};

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteOptions {
    /// What a commit waits for.
    pub synchronous: Synchronous,
    /// How long a call waits for another process that writes.
    pub busy_timeout: Duration,
    /// Connections that read.
    pub readers: NonZeroU32,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::Normal,
            busy_timeout: Duration::from_secs(5),
            readers: NonZeroU32::MIN.saturating_add(3),
        }
    }
}

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// The operating system has it: survives the end of the process. After a loss of power the last
    /// commits may be missing, never a part of one; cleaning up again finds the containers gone.
    Normal,
    /// The disk has it: survives a loss of power too.
    Full,
}

/// An open file. Clones share its connections.
#[derive(Clone)]
pub struct SqliteStore {
    connections: Connections,
    waiters: generations::Waiters,
}

#[derive(Clone)]
struct Connections {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, makes it (readable by its owner only) if it does not exist, and brings its tables
    /// to this version. Its directory must exist and be writable, for SQLite keeps two files beside it.
    pub async fn open(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let connections = open::open(path, options).await?;
        Ok(Self { connections, waiters: Default::default() })
    }

    /// The records.
    pub fn records(&self) -> Arc<dyn RecordStore> {
        Arc::new(SqliteRecords::new(self.connections.clone()))
    }

    /// The operation log.
    pub fn operation_log(&self) -> Arc<dyn OperationLog> {
        Arc::new(SqliteOperationLog::new(self.connections.clone()))
    }

    /// The leases, whose time to live passes by `clock`.
    pub fn leases(&self, clock: Arc<dyn Clock>) -> Arc<dyn LeaseStore> {
        Arc::new(SqliteLeases::new(self.connections.clone(), clock))
    }

    /// The pauses.
    pub fn pauses(&self) -> Arc<dyn PauseStore> {
        Arc::new(SqlitePauses::new(self.connections.clone()))
    }

    /// The policies.
    pub fn policies(&self) -> Arc<dyn PolicyStore> {
        Arc::new(SqlitePolicies::new(self.connections.clone()))
    }

    /// The generations.
    pub fn generations(&self) -> Arc<dyn GenerationStore> {
        Arc::new(SqliteGenerations::new(self.connections.clone(), self.waiters.clone()))
    }

    /// Tokens, ceilings and trusted keys.
    pub fn access(&self) -> Arc<dyn AccessStore> {
        Arc::new(SqliteAccess::new(self.connections.clone(), self.waiters.clone()))
    }

    /// The trail.
    pub fn audit(&self) -> Arc<dyn AuditLog> {
        Arc::new(SqliteAudit::new(self.connections.clone()))
    }

    /// The journals of runs.
    pub fn journals(&self) -> Arc<dyn JournalStore> {
        Arc::new(SqliteJournals::new(self.connections.clone()))
    }

    /// Ends the calls under way and closes the file. Calls after this are answered `Unavailable`.
    pub async fn close(&self) {
        self.connections.readers.close().await;
        self.connections.writer.close().await;
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

impl Connections {
    async fn read_all(&self, query: Query<'_>) -> Result<Vec<SqliteRow>, StoreError> {
        query.fetch_all(&self.readers).await.map_err(error::of_read)
    }

    async fn read_one(&self, query: Query<'_>) -> Result<Option<SqliteRow>, StoreError> {
        query.fetch_optional(&self.readers).await.map_err(error::of_read)
    }

    /// Writes and answers the rows that the statement returns.
    ///
    /// All rows are fetched on purpose: the statement commits when it has been stepped to its end, and
    /// fetching one row would answer before that.
    async fn write_all(&self, query: Query<'_>) -> Result<Vec<SqliteRow>, StoreError> {
        query.fetch_all(&self.writer).await.map_err(error::of_write)
    }

    /// The same, of a statement that returns one row at most.
    async fn write_one(&self, query: Query<'_>) -> Result<Option<SqliteRow>, StoreError> {
        Ok(self.write_all(query).await?.pop())
    }

    /// Writes and answers how many rows were changed.
    async fn write(&self, query: Query<'_>) -> Result<u64, StoreError> {
        Ok(query.execute(&self.writer).await.map_err(error::of_write)?.rows_affected())
    }

    /// A transaction that has the file's lock from its start, so that what it reads stays true.
    async fn begin(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, StoreError> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(error::of_read)
    }
}
