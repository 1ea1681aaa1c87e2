//! The stores that the configuration names: embedded, or in the databases that a platform has.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::adapters::postgres::{self, PostgresOptions, PostgresStore};
use crate::adapters::redis::{self, InvalidRedisEndpoint, RedisEndpoint, RedisLeases, RedisOptions};
use crate::adapters::sqlite::{self, SqliteOptions, SqliteStore};
use crate::adapters::system_clock::SystemClock;
use crate::config::{self, Config};
use crate::ports::{
    AccessStore, AuditLog, Clock, GenerationStore, JournalStore, LeaseStore, OperationLog, PauseStore, PolicyStore,
    RecordStore,
};

/// What is known, and what time it is: enough for whoever asks no engine and runs no policy.
pub struct Stores {
    /// What it was made from.
    pub config: Arc<Config>,
    /// The records.
    pub records: Arc<dyn RecordStore>,
    /// The operation log.
    pub operations: Arc<dyn OperationLog>,
    /// The leases.
    pub leases: Arc<dyn LeaseStore>,
    /// The pauses.
    pub pauses: Arc<dyn PauseStore>,
    /// The policies.
    pub policies: Arc<dyn PolicyStore>,
    /// What serves whom.
    pub generations: Arc<dyn GenerationStore>,
    /// Who may do what.
    pub access: Arc<dyn AccessStore>,
    /// The trail of what was done.
    pub audit: Arc<dyn AuditLog>,
    /// Journals of runs.
    pub journals: Arc<dyn JournalStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The stores cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory of the embedded store cannot be made.
    #[error("cannot make the store's directory {}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The embedded store cannot be opened.
    #[error("cannot open the store")]
    Sqlite(#[from] sqlite::OpenError),
    /// PostgreSQL cannot be used.
    #[error("cannot open the store")]
    Postgres(#[from] postgres::OpenError),
    /// `lease.url` is wrong.
    #[error("lease.url is wrong")]
    LeaseUrl(#[from] InvalidRedisEndpoint),
    /// Redis cannot be used.
    #[error("cannot set up the leases")]
    Leases(#[from] redis::ConnectError),
}

impl Error {
    /// Whether the configuration has to be changed; otherwise it may be well another time.
    pub fn is_of_configuration(&self) -> bool {
        match self {
            Self::LeaseUrl(_) | Self::Leases(_) | Self::Postgres(postgres::OpenError::InvalidUrl(_)) => true,
            Self::Directory { .. } | Self::Sqlite(_) | Self::Postgres(_) => false,
        }
    }
}

impl Stores {
    /// Opens the store. Leases in Redis are first asked for when there is something to lease.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let leases = redis_leases(&config.leases, clock.clone())?;
        let config = Arc::new(config);
        let Some(url) = &config.store.url else {
            let store = open_sqlite(&config.store).await?;
            return Ok(Self {
                leases: leases.unwrap_or_else(|| store.leases(clock.clone())),
                records: store.records(),
                operations: store.operation_log(),
                pauses: store.pauses(),
                policies: store.policies(),
                generations: store.generations(),
                access: store.access(),
                audit: store.audit(),
                journals: store.journals(),
                clock,
                config,
            });
        };
        let options = PostgresOptions { max_connections: config.store.max_connections, ..PostgresOptions::default() };
        let store = PostgresStore::connect(url.expose(), options).await?;
        Ok(Self {
            leases: leases.unwrap_or_else(|| store.leases()),
            records: store.records(),
            operations: store.operation_log(),
            pauses: store.pauses(),
            policies: store.policies(),
            generations: store.generations(),
            access: store.access(),
            audit: store.audit(),
            journals: store.journals(),
            clock,
            config,
        })
    }
}

async fn open_sqlite(config: &config::Store) -> Result<SqliteStore, Error> {
    if let Some(path) = config.path.parent().filter(|path| !path.as_os_str().is_empty()) {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| Error::Directory { path: path.to_owned(), source })?;
    }
    let synchronous = match config.synchronous {
        config::Synchronous::Full => sqlite::Synchronous::Full,
        config::Synchronous::Normal => sqlite::Synchronous::Normal,
    };
    Ok(SqliteStore::open(&config.path, SqliteOptions { synchronous, ..SqliteOptions::default() }).await?)
}

/// None if the store keeps the leases. Connects to nothing.
pub(super) fn redis_leases(
    config: &config::Leases,
    clock: Arc<dyn Clock>,
) -> Result<Option<Arc<dyn LeaseStore>>, Error> {
    let Some(url) = &config.url else { return Ok(None) };
    let endpoint: RedisEndpoint = url.expose().parse()?;
    let options = RedisOptions {
        prefix: config.prefix.clone(),
        ca_certificate: config.ca_certificate.clone(),
        ..RedisOptions::default()
    };
    Ok(Some(Arc::new(RedisLeases::connect(&endpoint, &options, clock)?)))
}
