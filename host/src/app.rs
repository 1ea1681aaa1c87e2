//! The composition root: with the demo's stage, the only file that names concrete adapters.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::adapters::docker::{self, ConnectError, DockerEngine, DockerOptions};
use crate::adapters::sqlite::{self, OpenError, SqliteOptions, SqliteStore};
use crate::adapters::system_clock::{SystemClock, SystemRandomness};
use crate::config::{self, Config, Endpoint};
use crate::discovery::{Discovery, DiscoveryOptions};
use crate::lifecycle::Lifecycle;
use crate::metrics::{self, Metrics};
use crate::model::{EngineName, TenantId};
use crate::ports::{Clock, ContainerEngine, LeaseStore, OperationLog, PauseStore, RandomnessError, RecordStore};
use crate::registry::{Binding, Registry};
use crate::runtime::{DEFAULT_POLICY, LoadError, Sandbox, SandboxError};
use crate::session::Ports;
use crate::sweeper::Sweeper;

/// Container engines by name.
pub type Engines = BTreeMap<EngineName, Arc<dyn ContainerEngine>>;

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
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Everything, put together.
pub struct App {
    /// What it was made from.
    pub config: Arc<Config>,
    /// Stores, engines, clock, randomness, metrics.
    pub ports: Arc<Ports>,
    /// The pauses.
    pub pauses: Arc<dyn PauseStore>,
    /// Runs policies.
    pub lifecycle: Lifecycle,
    /// Walks due runtimes.
    pub sweeper: Sweeper,
    /// Discovers containers, by engine: one each, so that its passes come one after another.
    pub discoveries: BTreeMap<EngineName, Discovery>,
}

/// It cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store's directory cannot be made.
    #[error("cannot make the store's directory {}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error("cannot open the store")]
    Store(#[from] OpenError),
    /// An engine's client cannot be made.
    #[error("engine {engine}")]
    Engine {
        /// Which.
        engine: EngineName,
        /// Why.
        #[source]
        source: ConnectError,
    },
    /// The sandbox cannot be set up.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A policy's file cannot be read.
    #[error("cannot read the policy {}", .path.display())]
    PolicyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A policy is none.
    #[error("the policy {policy} cannot be used")]
    Policy {
        /// Its file, or `built in`.
        policy: String,
        /// Why.
        #[source]
        source: LoadError,
    },
    /// The metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] metrics::Error),
    /// The system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl Stores {
    /// Opens the store.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let store = open_store(&config.store).await?;
        let clock = Arc::new(SystemClock);
        Ok(Self {
            config: Arc::new(config),
            records: store.records(),
            operations: store.operation_log(),
            leases: store.leases(clock.clone()),
            pauses: store.pauses(),
            clock,
        })
    }
}

impl App {
    /// Opens the store and the policies. Engines are first asked when there is something to ask.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let engines = engines(&config)?;
        Self::open_with(config, engines).await
    }

    /// The same on these engines, whatever the configuration says of engines.
    pub async fn open_with(config: Config, engines: Engines) -> Result<Self, Error> {
        let Stores { config, records, operations, leases, pauses, clock } = Stores::open(config).await?;
        let (randomness, metrics) = (Arc::new(SystemRandomness), Arc::new(Metrics::new()?));
        let ports = Arc::new(Ports { records, operations, leases, engines, clock, randomness, metrics });
        let registry = Arc::new(policies(&config)?);
        let import_time = config.sandbox.limits.import_time;
        let lifecycle = Lifecycle::new(ports.clone(), registry, config.session.clone(), import_time)?;
        let sweeper = Sweeper::new(ports.clone(), pauses.clone(), lifecycle.clone(), config.sweep.clone());
        let discoveries = discoveries(&config, &ports);
        Ok(Self { config, ports, pauses, lifecycle, sweeper, discoveries })
    }
}

/// Loads every policy of the configuration. Reads their files, and opens nothing.
pub fn policies(config: &Config) -> Result<Registry, Error> {
    registry(&Sandbox::new(config.sandbox.clone())?, config)
}

fn discoveries(config: &Config, ports: &Ports) -> BTreeMap<EngineName, Discovery> {
    let discovery = |(name, engine): (&EngineName, &Arc<dyn ContainerEngine>)| {
        let options = DiscoveryOptions::new(config.session.ownership.clone());
        let (records, clock) = (ports.records.clone(), ports.clock.clone());
        (name.clone(), Discovery::new(engine.clone(), name.clone(), records, clock, options))
    };
    ports.engines.iter().map(discovery).collect()
}

async fn open_store(config: &config::Store) -> Result<SqliteStore, Error> {
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

/// How an engine of the configuration is reached.
pub(crate) fn docker_options(engine: &config::Engine) -> DockerOptions {
    let endpoint = match &engine.endpoint {
        Endpoint::Unix(path) => docker::Endpoint::Unix(path.clone()),
        Endpoint::Tcp(address) => docker::Endpoint::Tcp(address.clone()),
        Endpoint::Tls { address, certificates } => {
            docker::Endpoint::Tls { address: address.clone(), certificates: certificates.clone() }
        }
    };
    let mut options = DockerOptions::new(endpoint);
    options.request_timeout = engine.request_timeout;
    options.removal.anonymous_volumes = engine.remove_volumes;
    options
}

fn engines(config: &Config) -> Result<Engines, Error> {
    let connect = |(name, engine): (&EngineName, &config::Engine)| {
        let connected = DockerEngine::connect(&docker_options(engine));
        let engine = connected.map_err(|source| Error::Engine { engine: name.clone(), source })?;
        Ok((name.clone(), Arc::new(engine) as Arc<dyn ContainerEngine>))
    };
    config.engines.iter().map(connect).collect()
}

fn registry(sandbox: &Sandbox, config: &Config) -> Result<Registry, Error> {
    let fallback = binding(sandbox, &config.policy)?;
    let tenants: Result<Vec<(TenantId, Binding)>, Error> =
        config.tenants.iter().map(|(tenant, policy)| Ok((tenant.clone(), binding(sandbox, policy)?))).collect();
    Ok(Registry::new(fallback, tenants?))
}

fn binding(sandbox: &Sandbox, policy: &config::Policy) -> Result<Binding, Error> {
    let read = |path: &Path| fs::read(path).map_err(|source| Error::PolicyFile { path: path.to_owned(), source });
    let component = policy.path.as_deref().map(read).transpose()?;
    let named = policy.path.as_ref().map_or_else(|| "built in".to_owned(), |path| path.display().to_string());
    let loaded = sandbox.load(component.as_deref().unwrap_or(DEFAULT_POLICY));
    Ok(Binding::new(loaded.map_err(|source| Error::Policy { policy: named, source })?, &policy.settings))
}
