//! The composition root: with its own `app/` and the demo's stage, the only place that names concrete adapters.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::access::{Tokens, Trail};
use crate::adapters::docker::{self, ConnectError, DockerEngine, DockerOptions, RemovalOptions};
use crate::adapters::system_clock::SystemClock;
use crate::compiler::{LoadFailure, PolicyLoader};
use crate::config::{self, Config, Endpoint};
use crate::guarded::GuardedEngine;
use crate::journals::Journals;
use crate::lifecycle::Lifecycle;
use crate::metrics::{self, Metrics};
use crate::model::{EngineName, ErrorChain, PolicyScope, bounded_text};
use crate::orders::Orders;
use crate::policies::Policies;
use crate::ports::{Clock, ContainerEngine, PauseStore, Randomness, RandomnessError};
use crate::reconciler::{self, Closer, Reconciler};
use crate::recovery::Recovery;
use crate::registry::{Binding, Registry, Watcher};
use crate::runtime::{DEFAULT_POLICY, Sandbox, SandboxError};
use crate::session::Ports;
use crate::sweeper::Sweeper;

mod desk;
mod loading;
mod measuring;
mod policies;
mod rehearsal;
mod scratch;
mod simulations;
mod stores;

pub use measuring::Measurable;
use policies::nobodys_ports;
pub use policies::{Rejection, check_component, policies};
pub use rehearsal::{Rehearsal, RehearsalError, RehearsalTerms, Rehearsed, SettingOrigin};
pub use scratch::scratch_stores;
pub use simulations::simulator;
pub use stores::{Error as StoresError, Stores};

/// Container engines by name.
pub type Engines = BTreeMap<EngineName, Arc<dyn ContainerEngine>>;

/// Reconcilers by the engine that they look at.
pub type Reconcilers = BTreeMap<EngineName, Arc<Reconciler>>;

/// Everything, put together.
pub struct App {
    /// What it was made from.
    pub config: Arc<Config>,
    /// Stores, engines, clock, randomness, metrics.
    pub ports: Arc<Ports>,
    /// The pauses.
    pub pauses: Arc<dyn PauseStore>,
    /// Keeps what serves whom true to the store.
    pub watcher: Arc<Watcher>,
    /// What changes runtimes and pauses by order.
    pub orders: Orders,
    /// The tokens of the REST interface.
    pub tokens: Tokens,
    /// What was done by order.
    pub trail: Trail,
    /// What people do with policies.
    pub policies: Policies,
    /// Runs policies.
    pub lifecycle: Lifecycle,
    /// Keeps journals of runs.
    pub journals: Arc<Journals>,
    /// Walks due runtimes.
    pub sweeper: Sweeper,
    /// Closes runs that hosts have left behind.
    pub recovery: Recovery,
    /// Keeps records honest, by engine: one each, so that its passes come one after another.
    pub reconcilers: Reconcilers,
}

/// It cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stores cannot be opened.
    #[error(transparent)]
    Stores(#[from] stores::Error),
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
        source: LoadFailure,
    },
    /// The metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] metrics::Error),
    /// The system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl App {
    /// Opens the store and the policies. Engines are first asked when there is something to ask.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let engines = engines(&config)?;
        Self::open_with(config, engines).await
    }

    /// The same on these engines, wherever the configuration says that engines are.
    pub async fn open_with(config: Config, engines: Engines) -> Result<Self, Error> {
        let app = Self::assemble(Stores::open(config).await?, engines).await?;
        app.read_policies().await;
        Ok(app)
    }

    /// Brings into force what the store binds. Until that has succeeded once, nobody is served; a server goes on trying.
    pub async fn read_policies(&self) {
        if let Err(error) = self.watcher.refresh().await {
            tracing::error!(error = %ErrorChain(&error), "nobody is served: the policies in the store cannot be read");
        }
    }

    /// Puts everything together on stores that are open.
    pub async fn assemble(stores: Stores, engines: Engines) -> Result<Self, Error> {
        let (orders, tokens, trail) = (stores.orders(), stores.tokens(), stores.trail());
        let metrics = Arc::new(Metrics::new()?);
        let engines = guarded(&stores.config, engines, &stores.clock, &metrics);
        let ports = Arc::new(stores.ports(engines, metrics.clone()));
        let loader = loading::loader(&stores.config, Sandbox::new(stores.config.sandbox.clone())?);
        let registry = Arc::new(registry(&loader, &stores.config).await?.unread());
        let policies = policies::on(&stores, loader.clone(), ports.clone())?;
        let replica = replica(ports.randomness.as_ref())?;
        let watcher = Watcher::new(stores.bindings(), Arc::new(loader), registry.clone(), metrics, replica);
        let Stores { config, pauses, journals, .. } = stores;
        let (session, import_time) = (config.session.clone(), config.sandbox.limits.import_time);
        let scratch = (scratch_stores(), Arc::new(Metrics::new()?));
        let lifecycle = Lifecycle::with_shadows(ports.clone(), registry, session, import_time, scratch)?;
        let journals = Journals::begin(config.journal.clone(), journals, ports.metrics.clone());
        lifecycle.record_for(journals.clone());
        let sweeper = Sweeper::new(ports.clone(), pauses.clone(), lifecycle.clone(), config.sweep.clone());
        let recovery = Recovery::new(ports.clone(), slowest_removal(&config));
        let closer = Closer { lifecycle: lifecycle.clone(), sweeper: sweeper.clone() };
        let reconcilers = reconcilers(&config, &ports, &closer);
        Ok(Self {
            config,
            ports,
            pauses,
            watcher,
            orders,
            tokens,
            trail,
            policies,
            lifecycle,
            journals,
            sweeper,
            recovery,
            reconcilers,
        })
    }
}

/// Checks what the configuration alone cannot: loads every policy and prepares every connection. Opens nothing.
pub async fn check(config: &Config) -> Result<Registry, Error> {
    stores::redis_leases(&config.leases, Arc::new(SystemClock))?;
    registry(&loading::uncached(config, Sandbox::new(config.sandbox.clone())?), config).await
}

/// What this process calls itself: its machine's name, and something new at each start.
fn replica(randomness: &dyn Randomness) -> Result<String, RandomnessError> {
    let mut bytes = [0; 4];
    randomness.fill(&mut bytes)?;
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = bounded_text(machine.trim(), 64);
    let machine = if machine.is_empty() { "host" } else { machine.as_str() };
    Ok(format!("{machine}-{}", hex::encode(bytes)))
}

fn reconcilers(config: &Config, ports: &Ports, closer: &Closer) -> Reconcilers {
    let own = reconciler::Options::new(config.session.ownership.clone());
    let config::Discovery { enabled: discovers, close_after, .. } = config.discovery;
    let options = reconciler::Options { discovers, close_after, ..own };
    let reconciler = |(name, engine): (&EngineName, &Arc<dyn ContainerEngine>)| {
        let (records, clock) = (ports.records.clone(), ports.clock.clone());
        let reconciler = Reconciler::new(engine.clone(), name.clone(), records, clock, options.clone());
        let reconciler = reconciler.closing_by(closer.clone()).measured_by(ports.metrics.clone());
        (name.clone(), Arc::new(reconciler))
    };
    ports.engines.iter().map(reconciler).collect()
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

/// The longest that a removal can take, from its request to the last look at what became of it.
fn slowest_removal(config: &Config) -> Duration {
    let slowest = config.engines.values().map(|engine| engine.request_timeout).max().unwrap_or_default();
    slowest * 2 + RemovalOptions::default().deadline
}

/// The container engines of the configuration. None is asked yet.
pub fn engines(config: &Config) -> Result<Engines, Error> {
    let connect = |(name, engine): (&EngineName, &config::Engine)| {
        let connected = DockerEngine::connect(&docker_options(engine));
        let engine = connected.map_err(|source| Error::Engine { engine: name.clone(), source })?;
        Ok((name.clone(), Arc::new(engine) as Arc<dyn ContainerEngine>))
    };
    config.engines.iter().map(connect).collect()
}

/// Each engine under a guard of its own. One that is not configured is guarded as if it were, with the defaults.
fn guarded(config: &Config, engines: Engines, clock: &Arc<dyn Clock>, metrics: &Arc<Metrics>) -> Engines {
    let guard = |(name, engine): (EngineName, Arc<dyn ContainerEngine>)| {
        let settings = config.engines.get(&name).map(|engine| &engine.guard);
        let mut options = settings.cloned().unwrap_or_default();
        options.patience = options.patience.min(config.sandbox.limits.import_time);
        let guarded = GuardedEngine::new(name.clone(), engine, options, clock.clone(), metrics.clone());
        (name, Arc::new(guarded) as Arc<dyn ContainerEngine>)
    };
    engines.into_iter().map(guard).collect()
}

async fn registry(loader: &PolicyLoader, config: &Config) -> Result<Registry, Error> {
    let fallback = binding(loader, &PolicyScope::Default, &config.policy).await?;
    let mut tenants = Vec::new();
    for (tenant, policy) in &config.tenants {
        let scope = PolicyScope::Tenant(tenant.clone());
        tenants.push((tenant.clone(), binding(loader, &scope, policy).await?));
    }
    Ok(Registry::new(fallback, tenants))
}

async fn binding(loader: &PolicyLoader, scope: &PolicyScope, policy: &config::Policy) -> Result<Binding, Error> {
    let named = policy.path.as_ref().map_or_else(|| "built in".to_owned(), |path| path.display().to_string());
    let loaded = match &policy.path {
        None => loader.load_own(DEFAULT_POLICY),
        Some(path) => {
            let read = fs::read(path).map_err(|source| Error::PolicyFile { path: path.clone(), source });
            loader.load_to_serve(&read?).await
        }
    };
    let loaded = loaded.map_err(|source| Error::Policy { policy: named, source })?;
    Ok(Binding::configured(scope, loaded, &policy.settings))
}
