//! A generation that is tried beside the current one: what it would have done, in a world of its own that shows it what
//! the live run saw. Nothing that it does leaves that world.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::Dispatch;
use tracing::instrument::WithSubscriber as _;

use super::shadow_engine::ShadowEngine;
use super::shadow_places::ShadowPlaces;
use super::{Inner, Outline, settle};
use crate::metrics::{Metrics, Shadowed};
use crate::model::{Divergence, EngineName, ErrorCode, Fault, Timestamp, TrackedRuntime, bounded_text};
use crate::ports::{Clock, ContainerEngine, LeaseStore, LeaseToken, OperationLog, RecordStore};
use crate::registry::{Binding, Registry, Shown, Trial};
use crate::runtime::{Advice, Answer, Execution, Job, Limits, Terms};
use crate::session::{Phase, Ports, RunContext, Session, SessionOptions, Sight};

/// So many at a time, of which one tenant has half: there are many live runs more to compare with.
const AT_ONCE: usize = 8;
/// All that is asked is in memory.
const IMPORT_TIME: Duration = Duration::from_secs(2);
const RUN_TIME: Duration = Duration::from_secs(5);
const SHOWN_BYTES: usize = 256;

/// What a run's own world begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// The only record.
    pub record: Option<TrackedRuntime>,
    /// The time.
    pub at: Timestamp,
}

/// Stores that nobody else sees.
pub struct Scratch {
    /// Records.
    pub records: Arc<dyn RecordStore>,
    /// The operation log.
    pub operations: Arc<dyn OperationLog>,
    /// Leases.
    pub leases: Arc<dyn LeaseStore>,
    /// The time, which stands still.
    pub clock: Arc<dyn Clock>,
}

/// Makes stores for one run.
pub type ScratchStores = Arc<dyn Fn(&Scene) -> Scratch + Send + Sync>;

/// Runs beside live ones.
pub(super) struct Shadows {
    stores: ScratchStores,
    places: Arc<ShadowPlaces>,
    /// Where what they measure goes, so that it is not taken for what live runs did.
    nowhere: Arc<Metrics>,
}

/// What a shadow needs to know of the run that it stands beside.
pub(super) struct Cue {
    pub(super) trial: Trial,
    pub(super) candidate: Arc<Binding>,
    pub(super) run: RunContext,
    pub(super) job: Job,
    /// The record before the run.
    pub(super) tracked: Option<TrackedRuntime>,
    pub(super) sight: Sight,
    pub(super) live: Outline,
}

/// One shadow, ready to run.
struct Shadow {
    cue: Cue,
    scratch: Scratch,
    ports: Arc<Ports>,
    options: Arc<SessionOptions>,
    registry: Arc<Registry>,
    nowhere: Arc<Metrics>,
}

impl Shadows {
    pub(super) fn new(stores: ScratchStores, nowhere: Arc<Metrics>) -> Self {
        Self { stores, places: ShadowPlaces::new(AT_ONCE), nowhere }
    }

    /// Begins one, unless too many are under way, its tenant's or all, or what the live run met cannot be shown. Nobody waits for it.
    pub(super) fn begin(&self, inner: &Inner, cue: Cue) {
        let metrics = inner.ports.metrics.clone();
        if cue.sight.is_blurred() {
            return metrics.shadow_run(Shadowed::Unclear);
        }
        let Some(place) = self.places.take(&cue.run.tenant) else { return metrics.shadow_run(Shadowed::Dropped) };
        let record = cue.sight.record().map_or_else(|| cue.tracked.clone(), |read| read.cloned());
        let scratch = (self.stores)(&Scene { record, at: cue.run.started_at });
        let shadow = Shadow {
            cue,
            scratch,
            ports: inner.ports.clone(),
            options: inner.options.clone(),
            registry: inner.registry.clone(),
            nowhere: self.nowhere.clone(),
        };
        // What it says it does, it does not do, so it has no voice in the log.
        let run = async move {
            let _place = place;
            metrics.shadow_run(shadow.run().await);
        };
        inner.runs.spawn(run.with_subscriber(Dispatch::none()));
    }
}

impl Shadow {
    async fn run(self) -> Shadowed {
        let engine = Arc::new(self.shown());
        let Execution { session, answer } = self.perform(engine.clone()).await;
        let (shadowed, fault) = match answer {
            Ok(Answer::Advice(advice)) => (Outline::of_advice(advice), None),
            Err(fault) if session.phase() == Phase::Review => (Outline::of_fault(&fault), Some(fault)),
            answer => {
                let settled = settle(&session, answer);
                (Outline::of_verdict(&session, &settled), settled.fault)
            }
        };
        // Nothing in its world takes time, so what was slow is the host, whose turn it waited for.
        let is_of_host =
            |fault: &Fault| fault.code == ErrorCode::POLICY_UNAVAILABLE || fault.code == ErrorCode::POLICY_RUN_TIMEOUT;
        if fault.as_ref().is_some_and(is_of_host) {
            return Shadowed::Dropped;
        }
        if fault.is_none() && engine.was_asked_for_more() {
            return self.tell_of_advice(&session);
        }
        self.tell(&shadowed, fault.as_ref(), session.now());
        Shadowed::Compared
    }

    /// What it did after it asked for what the live run did not look at says nothing. That it went on to clean up does,
    /// where the live run was told to keep.
    fn tell_of_advice(&self, session: &Session) -> Shadowed {
        if session.phase() != Phase::Handle || !self.cue.live.is_advice() {
            return Shadowed::Unclear;
        }
        self.tell(&Outline::of_advice(Advice::Due), None, session.now());
        Shadowed::Compared
    }

    /// A fault ends the rollout, so how the run differs besides does not matter.
    fn tell(&self, shadowed: &Outline, fault: Option<&Fault>, at: Timestamp) {
        let kinds = if fault.is_some() { Vec::new() } else { self.cue.live.differences(shadowed) };
        let divergence = |kind| Divergence {
            game_id: bounded_text(&self.cue.run.request.game_id, SHOWN_BYTES),
            run_id: self.cue.run.run_id.clone(),
            kind,
            current: self.cue.live.describe(),
            candidate: shadowed.describe(),
            at,
        };
        let shown = match fault {
            Some(fault) if fault.code.is_policy_fault() => Shown::Fault(fault.clone()),
            Some(_) => Shown::Nothing,
            None if kinds.is_empty() => Shown::Clean,
            None => Shown::Differs(kinds.into_iter().map(divergence).collect()),
        };
        self.registry.tally().note(&self.cue.trial, shown);
    }

    async fn perform(&self, shown: Arc<ShadowEngine>) -> Execution {
        let Cue { candidate, run, job, .. } = &self.cue;
        self.lend_lease().await;
        let engine = self.engine();
        let run = RunContext { policy: candidate.reference.clone(), ..run.clone() };
        let offered = match job {
            Job::Review { candidate, .. } => Some(candidate.runtime.clone()),
            Job::Handle => None,
        };
        let ports = Arc::new(self.world(engine.as_ref(), shown));
        let session = Session::new(ports, self.options.clone(), IMPORT_TIME, run, offered);
        let session = session.granted(candidate.grants.clone());
        let limits =
            Limits { run_time: candidate.terms.limits.run_time.min(RUN_TIME), ..(*candidate.terms.limits).clone() };
        let terms = Terms { limits: Arc::new(limits), ..candidate.terms.clone() };
        candidate.policy.execute(session, terms, job.clone(), engine.as_ref(), &self.nowhere).await
    }

    /// What the live run was refused, the shadow is refused.
    async fn lend_lease(&self) {
        if let Some(game) = self.cue.run.game.as_ref().filter(|_| self.cue.sight.lease_was_held()) {
            let others = LeaseToken::from_bytes([0; 32]);
            // In memory, and nobody else asks.
            let _granted = self.scratch.leases.try_acquire(game, &others, self.options.lease.ttl).await;
        }
    }

    fn engine(&self) -> Option<EngineName> {
        self.cue.tracked.as_ref().map(|tracked| tracked.record.engine.clone())
    }

    fn shown(&self) -> ShadowEngine {
        let containers = self.engine().map(|name| self.cue.sight.containers(&name));
        ShadowEngine::new(containers.unwrap_or_default())
    }

    fn world(&self, engine: Option<&EngineName>, shown: Arc<ShadowEngine>) -> Ports {
        let known = engine.filter(|name| self.ports.engines.contains_key(*name));
        let engines = known.map(|name| (name.clone(), shown as Arc<dyn ContainerEngine>));
        let engines: BTreeMap<_, _> = engines.into_iter().collect();
        Ports {
            records: self.scratch.records.clone(),
            operations: self.scratch.operations.clone(),
            leases: self.scratch.leases.clone(),
            engines,
            clock: self.scratch.clock.clone(),
            randomness: self.ports.randomness.clone(),
            metrics: self.nowhere.clone(),
        }
    }
}
