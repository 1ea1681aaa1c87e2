//! What a policy would do about a live game: it is shown what is there, and nothing that it does leaves a world of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Instrument as _;

use super::{Engines, Error, engines, guarded, loading, scratch_stores};
use crate::admission::{Refusal, look_at};
use crate::app::Stores;
use crate::config::Config;
use crate::lifecycle::{Lifecycle, OperationResult, Request, ReviewResult, Scene, Scratch, ShadowEngine};
use crate::metrics::Metrics;
use crate::model::{GameId, GenerationId, OpSource, Timestamp, TrackedRuntime};
use crate::ports::{ContainerEngine, LeaseToken, OperationFilter, StoreError};
use crate::registry::Registry;
use crate::runtime::{Policy, Sandbox};
use crate::scenario::{End, Notebook, StepSeen, rules_broken};
use crate::session::{Ports, SessionOptions};

mod terms;

use terms::Serving;
pub use terms::{RehearsalTerms, SettingOrigin};

/// What a policy is asked about a live game.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// The component.
    pub component: Vec<u8>,
    /// Its name, for people.
    pub policy: String,
    /// What it reads through `wasi:config/store` instead of what the tenant's binding says there, or beside it.
    pub settings: BTreeMap<String, String>,
    /// The game.
    pub game: GameId,
    /// As an admin's order does, without asking when.
    pub at_once: bool,
}

/// What a policy would have done.
#[derive(Debug, Clone)]
pub struct Rehearsed {
    /// What it did in its own world.
    pub seen: StepSeen,
    /// The record as it is; none if there is none.
    pub record: Option<TrackedRuntime>,
    /// The container that it would have removed.
    pub would_remove: Option<String>,
    /// On what terms it ran.
    pub terms: RehearsalTerms,
}

/// A rehearsal did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// Stores, engines or policy cannot be had.
    #[error(transparent)]
    App(#[from] Error),
    /// The store or the leases do not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not be bound on the terms of what serves the tenant.
    #[error("it cannot take the place of {generation}")]
    Unfit {
        /// What serves the tenant.
        generation: GenerationId,
        /// Why not.
        #[source]
        source: Refusal,
    },
    /// A sweep would not offer the game.
    #[error("a sweep would not ask about {game}: its record {why}; --at-once asks as an admin's order does")]
    NotOffered {
        /// The game.
        game: GameId,
        /// Why not.
        why: String,
    },
}

impl Rehearsal {
    /// Plays it on the stores and engines of the configuration, which are read and not changed.
    pub async fn perform(self, config: Config) -> Result<Rehearsed, RehearsalError> {
        let stores = Stores::open(config).await.map_err(Error::from)?;
        let engines = engines(&stores.config)?;
        let metrics = Arc::new(Metrics::new().map_err(Error::from)?);
        self.on(&stores, engines, &metrics).await
    }

    /// The same on these. How the engines answer is measured; a run that is none is not.
    pub async fn on(
        self,
        stores: &Stores,
        engines: Engines,
        metrics: &Arc<Metrics>,
    ) -> Result<Rehearsed, RehearsalError> {
        // Of the highest level, so that no filter leaves a line without it.
        let marked = tracing::error_span!("dry_run", dry_run = true, game_id = %self.game);
        let live = guarded(&stores.config, engines, &stores.clock, metrics);
        self.play(stores, live).instrument(marked).await
    }

    async fn play(self, stores: &Stores, live: Engines) -> Result<Rehearsed, RehearsalError> {
        let record = stores.records.get(&self.game).await?;
        let world = World::found(stores, live, &record, &self.game).await?;
        let tenant = record.as_ref().map(|tracked| &tracked.record.tenant);
        let serving = Serving::now(stores, tenant).await?;
        let policy = self.load(stores, &serving).await?;
        let (binding, terms) = serving.replaced_by(policy, &self.settings);
        let (notes, wrongs) = (Arc::new(Notebook::default()), Arc::new(Mutex::new((Vec::new(), Vec::new()))));
        let (seen_wrongs, narrowed) = (wrongs.clone(), terms.grants.is_some());
        let observer: crate::lifecycle::Observer = Arc::new(move |execution| {
            let seen = (rules_broken(execution, narrowed), execution.session.denied().to_vec());
            *seen_wrongs.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        });
        let own = stores.config.session.clone();
        let options = SessionOptions { onlooker: Some(notes.clone()), dry_run: true, ..own };
        let import_time = stores.config.sandbox.limits.import_time;
        let registry = Arc::new(Registry::new(binding, []));
        let lifecycle = Lifecycle::observed(world.ports.clone(), registry, options, import_time, Some(observer));
        let lifecycle = lifecycle.map_err(Error::from)?;
        let retention = stores.config.sweep.retention.max(terms::retention(stores, tenant).await?);
        let floor_after = |stopped_at: Timestamp| stopped_at.saturating_add(retention);
        let (end, would_remove) = self.ask(&lifecycle, floor_after, record.clone()).await?;
        let entries = world.scratch.operations.list(&OperationFilter::default(), None, 10).await?;
        let (wrongs, denied) = std::mem::take(&mut *wrongs.lock().unwrap_or_else(PoisonError::into_inner));
        let seen = StepSeen {
            title: if self.at_once { format!("cleanup {}", self.game) } else { format!("sweep {}", self.game) },
            line: 0,
            began_at: world.scratch.clock.now(),
            end,
            calls: notes.calls(),
            logs: notes.logs(),
            ending: notes.ending(),
            denied,
            wrongs,
            entries,
            notes: Vec::new(),
            missed: Vec::new(),
            took_ms: 0,
        };
        Ok(Rehearsed { seen, record, would_remove, terms })
    }

    async fn ask(
        &self,
        lifecycle: &Lifecycle,
        floor_after: impl FnOnce(Timestamp) -> Timestamp,
        record: Option<TrackedRuntime>,
    ) -> Result<(End, Option<String>), RehearsalError> {
        if self.at_once {
            let request = Request {
                game_id: self.game.to_string(),
                op_source: OpSource::Cli.as_str().to_owned(),
                source_ref: String::new(),
                actor: None,
            };
            return Ok(handled(lifecycle.cleanup(request).await));
        }
        let not_offered = |why: String| RehearsalError::NotOffered { game: self.game.clone(), why };
        let tracked = record.ok_or_else(|| not_offered("is not there".to_owned()))?;
        let stopped_at = tracked.record.stopped_at.filter(|_| tracked.record.status == crate::model::Status::Stopped);
        let stopped_at = stopped_at.ok_or_else(|| not_offered(format!("says {}", tracked.record.status)))?;
        Ok(match lifecycle.review(tracked, floor_after(stopped_at), false).await {
            ReviewResult::WaitUntil(at) => (End::WaitUntil(at), None),
            ReviewResult::Keep(reason) => (End::Keep(reason), None),
            ReviewResult::Faulted(fault) => (End::ReviewFault(fault), None),
            ReviewResult::Handled(result) => handled(*result),
            ReviewResult::Busy(why) => (End::Busy(why), None),
            ReviewResult::WouldHandle => (End::Due, None),
        })
    }

    /// What a binding would look at, as far as it is about this host and what is granted.
    async fn load(&self, stores: &Stores, serving: &Serving) -> Result<Policy, RehearsalError> {
        let config = &stores.config;
        let unfit = |source| RehearsalError::Unfit { generation: serving.id(), source };
        let (component, shape, grants) = (self.component.clone(), config.admission.shape.clone(), serving.grants());
        let check = move || look_at(&component, &shape).and_then(|authority| authority.check(&grants));
        tokio::task::spawn_blocking(check).await.map_err(|error| unfit(error.into()))?.map_err(unfit)?;
        let sandbox = Sandbox::new(config.sandbox.clone()).map_err(Error::from)?;
        let loaded = loading::uncached(config, sandbox).load(&self.component).await;
        Ok(loaded.map_err(|source| Error::Policy { policy: self.policy.clone(), source })?)
    }
}

fn handled(result: OperationResult) -> (End, Option<String>) {
    let OperationResult { outcome, error_code, message, removed_container, .. } = result;
    (End::Handled { outcome, error_code, message }, removed_container.map(|id| id.to_string()))
}

/// Stores of its own, with the game's record in them, and engines that show what is there and remove nothing.
struct World {
    scratch: Scratch,
    ports: Arc<Ports>,
}

impl World {
    async fn found(
        stores: &Stores,
        live: Engines,
        record: &Option<TrackedRuntime>,
        game: &GameId,
    ) -> Result<Self, RehearsalError> {
        let scratch = scratch_stores()(&Scene { record: record.clone(), at: stores.clock.now() });
        if stores.leases.held_until(game).await?.is_some() {
            // What another operation has, it has here too.
            let ttl = stores.config.session.lease.ttl;
            scratch.leases.try_acquire(game, &LeaseToken::from_bytes([0; 32]), ttl).await?;
        }
        let shown = live.into_iter().map(|(name, engine)| {
            let shown: Arc<dyn ContainerEngine> = Arc::new(ShadowEngine::before(engine));
            (name, shown)
        });
        let ports = Ports {
            records: scratch.records.clone(),
            operations: scratch.operations.clone(),
            leases: scratch.leases.clone(),
            engines: shown.collect(),
            clock: scratch.clock.clone(),
            randomness: Arc::new(crate::adapters::system_clock::SystemRandomness),
            // Nobody reads these: what is no run is not counted as one.
            metrics: Arc::new(Metrics::new().map_err(Error::from)?),
        };
        Ok(Self { scratch, ports: Arc::new(ports) })
    }
}
