//! What a policy would do about a live game: it is shown what is there, and nothing that it does leaves a world of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Error, engines, guarded, loading, scratch_stores};
use crate::app::Stores;
use crate::config::Config;
use crate::lifecycle::{Lifecycle, OperationResult, Request, ReviewResult, Scene, Scratch, ShadowEngine};
use crate::metrics::Metrics;
use crate::model::{GameId, OpSource, PolicyScope, TrackedRuntime};
use crate::ports::{ContainerEngine, LeaseToken, OperationFilter, StoreError};
use crate::registry::{Binding, Registry};
use crate::runtime::Sandbox;
use crate::scenario::{End, Notebook, StepSeen, rules_broken};
use crate::session::{Ports, SessionOptions};

/// What a policy is asked about a live game.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// The component.
    pub component: Vec<u8>,
    /// Its name, for people.
    pub policy: String,
    /// What it reads through `wasi:config/store`.
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
        let metrics = Arc::new(Metrics::new().map_err(Error::from)?);
        let live = guarded(&stores.config, engines(&stores.config)?, &stores.clock, &metrics);
        let record = stores.records.get(&self.game).await?;
        let world = World::found(&stores, live, &record, &self.game, metrics).await?;
        let binding = self.binding(&stores.config).await?;
        let (notes, wrongs) = (Arc::new(Notebook::default()), Arc::new(Mutex::new((Vec::new(), Vec::new()))));
        let seen_wrongs = wrongs.clone();
        let observer: crate::lifecycle::Observer = Arc::new(move |execution| {
            let seen = (rules_broken(execution), execution.session.denied().to_vec());
            *seen_wrongs.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        });
        let options = SessionOptions { onlooker: Some(notes.clone()), ..stores.config.session.clone() };
        let import_time = stores.config.sandbox.limits.import_time;
        let registry = Arc::new(Registry::new(binding, []));
        let lifecycle = Lifecycle::observed(world.ports.clone(), registry, options, import_time, Some(observer));
        let lifecycle = lifecycle.map_err(Error::from)?;
        let (end, would_remove) = self.ask(&lifecycle, &stores.config, record.clone()).await?;
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
        Ok(Rehearsed { seen, record, would_remove })
    }

    async fn ask(
        &self,
        lifecycle: &Lifecycle,
        config: &Config,
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
        let floor = stopped_at.saturating_add(config.sweep.retention);
        Ok(match lifecycle.review(tracked, floor, false).await {
            ReviewResult::WaitUntil(at) => (End::WaitUntil(at), None),
            ReviewResult::Keep(reason) => (End::Keep(reason), None),
            ReviewResult::Faulted(fault) => (End::ReviewFault(fault), None),
            ReviewResult::Handled(result) => handled(*result),
            ReviewResult::Busy(why) => (End::Busy(why), None),
            ReviewResult::WouldHandle => (End::Due, None),
        })
    }

    async fn binding(&self, config: &Config) -> Result<Binding, Error> {
        let sandbox = Sandbox::new(config.sandbox.clone())?;
        let loaded = loading::uncached(config, sandbox).load(&self.component).await;
        let loaded = loaded.map_err(|source| Error::Policy { policy: self.policy.clone(), source })?;
        Ok(Binding::configured(&PolicyScope::Default, loaded, &self.settings))
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
        live: super::Engines,
        record: &Option<TrackedRuntime>,
        game: &GameId,
        metrics: Arc<Metrics>,
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
            metrics,
        };
        Ok(Self { scratch, ports: Arc::new(ports) })
    }
}
