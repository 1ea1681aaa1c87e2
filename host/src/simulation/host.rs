//! The replicas of a history: real hosts on ports that an actor's calls pass through.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::actor::{Actor, Part};
use super::clock::VirtualClock;
use super::conduct;
use super::dice::mixed;
use super::leases::granted;
use super::life::Life;
use super::orders::Follower;
use super::site::{Site, engine_name};
use super::{Adapters, Hooks};
use crate::access::Trail;
use crate::adapters::memory::{SeededRandomness, Staged};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::model::InvalidId;
use crate::ports::{
    AddPolicyError, ContainerEngine, LeaseStore, OperationLog, PauseStore, RandomnessError, RecordStore, StoreError,
    SwapError,
};
use crate::recovery::Recovery;
use crate::registry::{Registry, Stores, Watcher};
use crate::session::{Ports, SessionOptions};
use crate::sweeper::{BreakerOptions, RetryOptions, SweepOptions, Sweeper};

/// For so long after it was given up, a run's removal may still have its effect.
const GRACE: Duration = Duration::from_secs(60);
/// A game is parked after so many failures.
pub(super) const PARK_AFTER: u32 = 3;
/// The retention floor. Games are stopped for longer when a history begins.
pub(super) const RETENTION: Duration = Duration::from_secs(4 * 3_600);

/// Hosts could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A name that histories use is not valid.
    #[error(transparent)]
    Name(#[from] InvalidId),
    /// There was no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The store failed, which nothing makes it do.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A version could not be put into the store.
    #[error(transparent)]
    Add(#[from] AddPolicyError),
    /// A generation could not be made current.
    #[error(transparent)]
    Swap(#[from] SwapError),
}

/// All replicas of a history.
pub(super) struct Hosts {
    pub(super) site: Arc<Site>,
    pub(super) hooks: Hooks,
    pub(super) metrics: Arc<Metrics>,
    adapters: Adapters,
    pauses: Arc<dyn PauseStore>,
    replicas: Vec<Mutex<Replica>>,
}

/// One machine, whose processes come and go.
struct Replica {
    name: char,
    clock: Arc<VirtualClock>,
    life: Arc<Life>,
    starts: u32,
    process: Option<Process>,
    duties: Option<Duties>,
}

/// What a process serves.
#[derive(Clone)]
struct Process {
    name: Arc<str>,
    life: Arc<Life>,
    registry: Arc<Registry>,
    follower: Follower,
    /// Set once it has read what is bound.
    ready: Arc<OnceCell<()>>,
}

/// What a process does by itself.
#[derive(Clone)]
pub(super) struct Duties {
    pub(super) life: Arc<Life>,
    pub(super) part: Arc<Part>,
    /// One at a time, as in a server.
    pub(super) sweeper: Arc<tokio::sync::Mutex<Sweeper>>,
    pub(super) recovery: Recovery,
    /// Whose they are.
    pub(super) process: Arc<str>,
}

impl Hosts {
    pub(super) fn new(site: Arc<Site>, hooks: Hooks, metrics: Arc<Metrics>, ahead_ms: &[i64]) -> Self {
        let leases = granted(site.store.leases(site.clock.clone()), site.leases);
        let memory = Adapters {
            records: site.store.records(),
            operations: site.store.operation_log(),
            leases,
            engine: Arc::new(site.engine.clone()),
        };
        let adapters = match &hooks.behind {
            Some(bug) => bug(&site.store, &site.engine, memory),
            None => memory,
        };
        let replica = |(name, ahead): (char, &i64)| {
            let clock = Arc::new(VirtualClock::new(tokio::time::Instant::now(), *ahead));
            let life = Arc::default();
            Mutex::new(Replica { name, clock, life, starts: 0, process: None, duties: None })
        };
        let replicas = ('a'..='z').zip(ahead_ms).map(replica).collect();
        let pauses = site.store.pauses();
        Self { site, hooks, metrics, adapters, pauses, replicas }
    }

    fn replica(&self, index: usize) -> Option<MutexGuard<'_, Replica>> {
        self.replicas.get(index).map(|replica| replica.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The process of a replica, which serves; one that died has been started again.
    async fn process(&self, index: usize) -> Result<Option<Process>, SetupError> {
        let Some(process) = self.started(index)? else { return Ok(None) };
        process.ready.get_or_init(|| process.follower.follow(&self.site)).await;
        Ok(Some(process))
    }

    fn started(&self, index: usize) -> Result<Option<Process>, SetupError> {
        let Some(mut replica) = self.replica(index) else { return Ok(None) };
        replica.revive();
        if replica.process.is_none() {
            replica.process = self.start(&mut replica, index);
        }
        Ok(replica.process.clone())
    }

    fn start(&self, replica: &mut Replica, index: usize) -> Option<Process> {
        replica.starts = replica.starts.saturating_add(1);
        let name: Arc<str> = format!("{}{}", replica.name, replica.starts).into();
        let registry = Arc::new(Registry::new(self.site.versions.fallback()?, []).unread());
        let stores = Stores {
            generations: self.site.store.generations(),
            policies: self.site.store.policies(),
            access: self.site.store.access(),
            trail: Trail::new(self.site.store.audit(), replica.clock.clone()),
            clock: replica.clock.clone(),
        };
        let (versions, metrics) = (self.site.versions.clone(), self.metrics.clone());
        let watcher = Watcher::new(stores, versions, registry.clone(), metrics, name.to_string());
        watcher.speak();
        let follower = Follower { replica: index, life: replica.life.clone(), watcher };
        self.site.add_follower(follower.clone());
        Some(Process { name, life: replica.life.clone(), registry, follower, ready: Arc::default() })
    }

    /// A lifecycle for one run on a replica.
    pub(super) async fn for_run(
        &self,
        index: usize,
        step: u32,
        game: usize,
    ) -> Result<Option<(Lifecycle, Arc<Life>)>, SetupError> {
        let Some(process) = self.process(index).await? else { return Ok(None) };
        let Some((name, clock)) = self.replica(index).map(|replica| (replica.name, replica.clock.clone())) else {
            return Ok(None);
        };
        let actor = self.actor(&process, clock, Part::new(format!("{name} run {step} (g{game})"), step, Some(game)));
        self.site.seen().witness.begins(step, &process.name);
        let ports = self.ports(&actor, u64::from(step))?;
        Ok(Some((self.lifecycle(&actor, ports, process.registry)?, process.life)))
    }

    /// What a replica's process does by itself, to be entered as `step`.
    pub(super) async fn duties(&self, index: usize) -> Result<Option<Duties>, SetupError> {
        let Some(process) = self.process(index).await? else { return Ok(None) };
        let Some(mut replica) = self.replica(index) else { return Ok(None) };
        // Of a process that has died meanwhile, nothing is left to do.
        if replica.duties.is_none() {
            replica.duties = Some(self.take_up(&replica, process)?);
        }
        Ok(replica.duties.clone())
    }

    fn take_up(&self, replica: &Replica, process: Process) -> Result<Duties, SetupError> {
        let part = Part::new(format!("{} sweeper", replica.name), u32::MAX, None);
        let actor = self.actor(&process, replica.clock.clone(), part);
        let seed = self.site.elapsed().as_millis() as u64;
        let ports = self.ports(&actor, mixed(u64::from(replica.name), seed))?;
        let lifecycle = self.lifecycle(&actor, ports.clone(), process.registry)?;
        let pauses: Arc<dyn PauseStore> = Arc::new(Staged::new(self.pauses.clone(), actor.clone()));
        let sweeper = Sweeper::new(ports.clone(), pauses, lifecycle, sweep_options());
        Ok(Duties {
            life: actor.life,
            part: actor.part,
            sweeper: Arc::new(tokio::sync::Mutex::new(sweeper)),
            recovery: Recovery::new(ports, GRACE),
            process: process.name,
        })
    }

    fn actor(&self, process: &Process, clock: Arc<VirtualClock>, part: Part) -> Actor {
        Actor { site: self.site.clone(), life: process.life.clone(), clock, part: Arc::new(part) }
    }

    fn lifecycle(&self, actor: &Actor, ports: Arc<Ports>, registry: Arc<Registry>) -> Result<Lifecycle, SetupError> {
        let observer = conduct::observer(actor.clone());
        let import_time = self.site.limits.import_time;
        Ok(Lifecycle::observed(ports, registry, SessionOptions::default(), import_time, Some(observer))?)
    }

    fn ports(&self, actor: &Actor, purpose: u64) -> Result<Arc<Ports>, SetupError> {
        let Adapters { records, operations, leases, engine } = self.adapters.clone();
        let staged = Adapters {
            records: Arc::new(Staged::<dyn RecordStore, _>::new(records, actor.clone())),
            operations: Arc::new(Staged::<dyn OperationLog, _>::new(operations, actor.clone())),
            leases: Arc::new(Staged::<dyn LeaseStore, _>::new(leases, actor.clone())),
            engine: Arc::new(Staged::<dyn ContainerEngine, _>::new(engine, actor.clone())),
        };
        let Adapters { records, operations, leases, engine } = match &self.hooks.before {
            Some(bug) => bug(&self.site.store, &self.site.engine, staged),
            None => staged,
        };
        Ok(Arc::new(Ports {
            records,
            operations,
            leases,
            engines: BTreeMap::from([(engine_name()?, engine)]),
            clock: actor.clock.clone(),
            randomness: Arc::new(SeededRandomness::new(mixed(self.site.seed, purpose))),
            metrics: self.metrics.clone(),
        }))
    }
}

impl Replica {
    fn revive(&mut self) {
        if self.life.has_ended() {
            self.life = Arc::default();
            self.process = None;
            self.duties = None;
        }
    }
}

fn sweep_options() -> SweepOptions {
    SweepOptions {
        retention: RETENTION,
        claim_ttl: Duration::from_secs(40),
        page_size: 4,
        concurrency: 2,
        retry: RetryOptions {
            backoff_base: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(5),
            park_after: PARK_AFTER,
            keep_recheck: Duration::from_secs(3_600),
            max_wait: Duration::from_secs(86_400),
        },
        breaker: BreakerOptions { max_share: 1.0 },
        clock_tolerance: Duration::from_secs(300),
    }
}
