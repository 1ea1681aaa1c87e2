//! Opening a file and bringing its tables to this version.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::{Connections, SqliteOptions, Synchronous, error};

/// What is newer than the program is left to `schema_compatibility`.
pub(super) static MIGRATIONS: Migrator = Migrator { ignore_missing: true, ..sqlx::migrate!("migrations/sqlite") };

/// The newest migration that the tables have had, and the version that a program must know to use them.
const COMPATIBILITY: &str =
    "SELECT (SELECT max(version) FROM _sqlx_migrations), (SELECT usable_since FROM schema_compatibility)";

/// SQLite's result codes that have a meaning of their own while opening.
const READONLY: i32 = 8;
const CANTOPEN: i32 = 14;
const NOTADB: i32 = 26;

/// Why a file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory does not exist.
    #[error("{0} is to hold the database, but is no directory; make it first")]
    NoDirectory(PathBuf),
    /// The file or its directory cannot be written.
    #[error("{path} cannot be opened for writing; the file and its directory must be writable")]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is something else.
    #[error("{0} is not an SQLite database")]
    NotADatabase(PathBuf),
    /// A newer rtmanager has changed the tables in a way that this one cannot live with.
    #[error(
        "{path} has tables of version {found}, which take an rtmanager that knows version {usable_since} at least; \
         this one knows {known}: use a newer one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its tables.
        found: i64,
        /// The version that a program must know to use them.
        usable_since: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The file's tables were made by a migration that is not this program's.
    #[error("{path} has tables that are not rtmanager's: migration {version} differs")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The migration that differs.
        version: i64,
    },
    /// SQLite failed otherwise.
    #[error("{path} cannot be opened")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

pub(super) async fn open(path: &Path, options: SqliteOptions) -> Result<Connections, OpenError> {
    create(path).await?;
    let connect = connect_options(path, options);
    let writer = pool(options).max_connections(1).connect_with(connect.clone()).await;
    let writer = writer.map_err(|error| refused(path, error))?;
    let mut connection = writer.acquire().await.map_err(|error| refused(path, error))?;
    migrate(path, &mut connection).await?;
    drop(connection);
    let reading = connect.pragma("query_only", "ON");
    let readers = pool(options).max_connections(options.readers.get()).connect_with(reading).await;
    Ok(Connections { writer, readers: readers.map_err(|error| refused(path, error))? })
}

/// Makes the file, since SQLite would make it readable by all; its two companions inherit the mode.
async fn create(path: &Path) -> Result<(), OpenError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !tokio::fs::metadata(directory).await.is_ok_and(|found| found.is_dir()) {
        return Err(OpenError::NoDirectory(directory.to_owned()));
    }
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    match options.open(path).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(OpenError::NotWritable { path: path.to_owned(), source: Box::new(error) }),
    }
}

fn connect_options(path: &Path, options: SqliteOptions) -> SqliteConnectOptions {
    let synchronous = match options.synchronous {
        Synchronous::Normal => SqliteSynchronous::Normal,
        Synchronous::Full => SqliteSynchronous::Full,
    };
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .foreign_keys(true)
        .busy_timeout(options.busy_timeout)
}

/// Connections to a file do not go stale, so they are neither probed nor replaced after a time.
fn pool(options: SqliteOptions) -> SqlitePoolOptions {
    const BEYOND_BUSY: Duration = Duration::from_secs(5);
    SqlitePoolOptions::new()
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(options.busy_timeout.saturating_add(BEYOND_BUSY))
        .before_acquire(|connection, _| Box::pin(is_at_rest(connection)))
}

/// Where the disk is full SQLite rolls back by itself, and the driver, whose own rollback then fails, takes the
/// transaction for open and would refuse the next one for ever. Such a connection is replaced.
async fn is_at_rest(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // Waits for a rollback that is under way.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// One transaction that takes the lock first: of two processes that open a new file, one makes the tables.
async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(|error| refused(path, error))?;
    MIGRATIONS.run_direct(None, &mut *transaction, false).await.map_err(|error| not_migrated(path, error))?;
    let state = sqlx::query(COMPATIBILITY).fetch_one(&mut *transaction).await.map_err(|error| refused(path, error))?;
    let column = |number: usize| state.try_get::<i64, _>(number).map_err(|error| refused(path, error));
    let (found, usable_since) = (column(0)?, column(1)?);
    if found > known() && usable_since > known() {
        return Err(OpenError::Newer { path: path.to_owned(), found, usable_since, known: known() });
    }
    transaction.commit().await.map_err(|error| refused(path, error))
}

/// The newest migration that this program knows.
fn known() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

fn not_migrated(path: &Path, error: MigrateError) -> OpenError {
    match error {
        MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) => {
            OpenError::Foreign { path: path.to_owned(), version }
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => refused(path, error),
        other => OpenError::Failed { path: path.to_owned(), source: Box::new(other) },
    }
}

fn refused(path: &Path, error: sqlx::Error) -> OpenError {
    let path = path.to_owned();
    match error::code(&error) {
        Some(NOTADB) => OpenError::NotADatabase(path),
        Some(READONLY | CANTOPEN) => OpenError::NotWritable { path, source: Box::new(error) },
        _ => OpenError::Failed { path, source: Box::new(error) },
    }
}
