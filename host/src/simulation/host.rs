//! The replicas of a history: real hosts on ports that an actor's calls pass through.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::actor::{Actor, Part};
use super::clock::VirtualClock;
use super::conduct;
use super::dice::mixed;
use super::leases::granted;
use super::life::Life;
use super::site::{Site, engine_name};
use super::{Adapters, Hooks};
use crate::adapters::memory::{SeededRandomness, Staged};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::model::{InvalidId, PolicyDigest};
use crate::ports::{ContainerEngine, LeaseStore, OperationLog, PauseStore, RandomnessError, RecordStore};
use crate::recovery::Recovery;
use crate::registry::Registry;
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
}

/// All replicas of a history.
pub(super) struct Hosts {
    pub(super) site: Arc<Site>,
    pub(super) hooks: Hooks,
    pub(super) metrics: Arc<Metrics>,
    adapters: Adapters,
    pauses: Arc<dyn PauseStore>,
    /// The policy, and the one that it may be swapped for.
    policies: [Arc<Registry>; 2],
    replicas: Vec<Mutex<Replica>>,
}

/// One machine, whose processes come and go.
struct Replica {
    name: char,
    clock: Arc<VirtualClock>,
    life: Arc<Life>,
    swapped: bool,
    duties: Option<Duties>,
}

/// What a process does by itself.
#[derive(Clone)]
pub(super) struct Duties {
    pub(super) life: Arc<Life>,
    pub(super) part: Arc<Part>,
    /// One at a time, as in a server.
    pub(super) sweeper: Arc<tokio::sync::Mutex<Sweeper>>,
    pub(super) recovery: Recovery,
    /// The policy that its sweeps run.
    pub(super) served: PolicyDigest,
}

impl Hosts {
    pub(super) fn new(
        site: Arc<Site>,
        hooks: Hooks,
        metrics: Arc<Metrics>,
        policies: [Arc<Registry>; 2],
        ahead_ms: &[i64],
    ) -> Self {
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
            Mutex::new(Replica { name, clock, life: Arc::default(), swapped: false, duties: None })
        };
        let replicas = ('a'..='z').zip(ahead_ms).map(replica).collect();
        let pauses = site.store.pauses();
        Self { site, hooks, metrics, adapters, pauses, policies, replicas }
    }

    fn replica(&self, index: usize) -> Option<MutexGuard<'_, Replica>> {
        self.replicas.get(index).map(|replica| replica.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on the replica's new runs are of the other policy.
    pub(super) fn swap(&self, index: usize) {
        let Some(mut replica) = self.replica(index) else { return };
        replica.swapped = !replica.swapped;
        replica.duties = None;
    }

    /// A lifecycle for one run on a replica; a process that died has been started again.
    pub(super) fn for_run(
        &self,
        index: usize,
        step: u32,
        game: usize,
    ) -> Result<Option<(Lifecycle, Arc<Life>)>, SetupError> {
        let Some(mut replica) = self.replica(index) else { return Ok(None) };
        replica.revive();
        let label = format!("{} run {step} (g{game})", replica.name);
        let actor = self.actor(&replica, Part::new(label, step, Some(game)));
        let registry = self.registry(&replica);
        self.site.seen().witness.serves(step, &registry.assign(None, None).reference().digest);
        let ports = self.ports(&actor, u64::from(step))?;
        Ok(Some((self.lifecycle(&actor, ports, registry)?, replica.life.clone())))
    }

    /// What a replica's process does by itself, to be entered as `step`.
    pub(super) fn duties(&self, index: usize) -> Result<Option<Duties>, SetupError> {
        let Some(mut replica) = self.replica(index) else { return Ok(None) };
        replica.revive();
        if replica.duties.is_none() {
            replica.duties = Some(self.take_up(&replica)?);
        }
        Ok(replica.duties.clone())
    }

    fn take_up(&self, replica: &Replica) -> Result<Duties, SetupError> {
        let actor = self.actor(replica, Part::new(format!("{} sweeper", replica.name), u32::MAX, None));
        let seed = self.site.elapsed().as_millis() as u64;
        let ports = self.ports(&actor, mixed(u64::from(replica.name), seed))?;
        let registry = self.registry(replica);
        let served = registry.assign(None, None).reference().digest.clone();
        let lifecycle = self.lifecycle(&actor, ports.clone(), registry)?;
        let pauses: Arc<dyn PauseStore> = Arc::new(Staged::new(self.pauses.clone(), actor.clone()));
        let sweeper = Sweeper::new(ports.clone(), pauses, lifecycle, sweep_options());
        Ok(Duties {
            life: actor.life,
            part: actor.part,
            sweeper: Arc::new(tokio::sync::Mutex::new(sweeper)),
            recovery: Recovery::new(ports, GRACE),
            served,
        })
    }

    fn registry(&self, replica: &Replica) -> Arc<Registry> {
        let [policy, other] = &self.policies;
        if replica.swapped { other.clone() } else { policy.clone() }
    }

    fn actor(&self, replica: &Replica, part: Part) -> Actor {
        let (life, clock) = (replica.life.clone(), replica.clock.clone());
        Actor { site: self.site.clone(), life, clock, part: Arc::new(part) }
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
