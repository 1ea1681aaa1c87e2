//! Follows the store: what is bound, swapped, rolled out and revoked there comes into force here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::report::Beats;
use super::{PolicySource, Registry};
use crate::metrics::Metrics;
use crate::model::{ErrorChain, PolicyDigest, PolicyScope};
use crate::ports::{AccessStore, Clock, GenerationStore, PolicyStore, ScopeState, StoreError};
use crate::runtime::Policy;

/// What no notice told of is found within this.
const POLL: Duration = Duration::from_millis(500);
/// A store that does not answer is asked again after this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Scopes loaded at the same time,
const SCOPES_AT_ONCE: usize = 8;
/// components compiled at the same time,
const COMPILED_AT_ONCE: usize = 2;
/// and changes followed at the same time: one that takes long to load does not hold up another scope's.
const CHANGES_AT_ONCE: usize = 4;
/// What could not be loaded is tried again after this, and each time after twice as long,
const RETRY_BASE: Duration = Duration::from_secs(1);
/// up to this.
const RETRY_CAP: Duration = Duration::from_secs(300);
/// Far more than anybody revokes.
const REVOCATIONS: u32 = 10_000;

/// Where policies, and what binds them, stand.
#[derive(Clone)]
pub struct Stores {
    /// Generations and rollouts.
    pub generations: Arc<dyn GenerationStore>,
    /// Components.
    pub policies: Arc<dyn PolicyStore>,
    /// Ceilings.
    pub access: Arc<dyn AccessStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Keeps a host's registry true to the store. While the store does not answer, what is there goes on serving.
pub struct Watcher {
    pub(super) stores: Stores,
    pub(super) source: Arc<dyn PolicySource>,
    pub(super) registry: Arc<Registry>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) replica: String,
    /// The epoch up to which the store was read; none before the first time.
    read: tokio::sync::Mutex<Option<u64>>,
    pub(super) policies: Mutex<BTreeMap<PolicyDigest, Arc<OnceCell<Policy>>>>,
    pub(super) compiling: Semaphore,
    troubled: Mutex<BTreeMap<PolicyScope, Trouble>>,
    pub(super) speaks: AtomicBool,
    pub(super) beats: Mutex<Beats>,
    failing: AtomicBool,
}

/// A scope that could not be loaded whole.
struct Trouble {
    attempts: u32,
    next: Instant,
}

impl Watcher {
    /// For a host that calls itself `replica`, a name that is new at each start.
    pub fn new(
        stores: Stores,
        source: Arc<dyn PolicySource>,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
        replica: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            stores,
            source,
            registry,
            metrics,
            replica,
            read: tokio::sync::Mutex::new(None),
            policies: Mutex::default(),
            compiling: Semaphore::new(COMPILED_AT_ONCE),
            troubled: Mutex::default(),
            speaks: AtomicBool::new(false),
            beats: Mutex::new(Beats::begin()),
            failing: AtomicBool::new(false),
        })
    }

    /// What this host calls itself.
    pub fn replica(&self) -> &str {
        &self.replica
    }

    /// Follows the store for ever, and says there what this host serves.
    pub async fn run_for_ever(self: Arc<Self>) {
        self.speak();
        let mut under_way = JoinSet::new();
        let watcher = self.clone();
        under_way.spawn(async move { watcher.report_all().await });
        loop {
            tokio::select! {
                () = self.stores.generations.changed() => {}
                () = self.registry.tally().pressing() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            while under_way.len() >= CHANGES_AT_ONCE && under_way.join_next().await.is_some() {}
            while under_way.try_join_next().is_some() {}
            let watcher = self.clone();
            under_way.spawn(async move { watcher.look().await });
        }
    }

    /// Brings into force what the store says now, and adds up there what runs have shown. Goes on though nobody waits
    /// for it.
    pub async fn refresh(self: &Arc<Self>) -> Result<(), StoreError> {
        let watcher = self.clone();
        let refreshed = tokio::spawn(async move { watcher.follow().await }).await;
        refreshed.unwrap_or_else(|error| Err(StoreError::Unknown(Box::new(error))))
    }

    /// One turn of the watch: what fails is told once.
    async fn look(self: &Arc<Self>) {
        let looked = self.follow().await;
        if let Err(error) = &looked
            && !self.failing.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(error = %ErrorChain(error), "changes of policies are not seen; what was bound goes on serving");
        }
        if looked.is_ok() && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("changes of policies are seen again");
        }
        self.retry_troubled().await;
        self.beat().await;
    }

    async fn follow(&self) -> Result<(), StoreError> {
        // What cannot be counted holds up no swap.
        let counted = self.settle_rollouts().await;
        let Some((epoch, states)) = in_time(self.changes()).await? else { return counted };
        let apply = |state: ScopeState| async move {
            let scope = state.scope.clone();
            let whole = self.apply(epoch, state).await;
            self.note_trouble(scope, whole);
        };
        stream::iter(states).map(apply).buffer_unordered(SCOPES_AT_ONCE).collect::<()>().await;
        self.measure();
        counted
    }

    /// What has changed since the store was read last; none if nothing has. Before anything is loaded, it is known of
    /// every scope whether it is bound, and what is revoked.
    async fn changes(&self) -> Result<Option<(u64, Vec<ScopeState>)>, StoreError> {
        let mut read = self.read.lock().await;
        let generations = &self.stores.generations;
        if let Some(known) = *read
            && generations.epoch().await? == known
        {
            return Ok(None);
        }
        let (epoch, states) = generations.changed_since(read.unwrap_or_default()).await?;
        self.registry.set_ceilings(&self.stores.access.ceilings().await?);
        let revoked = generations.revocations(REVOCATIONS).await?;
        self.registry.set_revoked(revoked.into_iter().map(|(subject, _)| subject).collect());
        for state in &states {
            self.announce(epoch, state);
        }
        self.registry.set_read();
        *read = Some(epoch);
        Ok(Some((epoch, states)))
    }

    async fn retry_troubled(&self) {
        let now = Instant::now();
        let due: BTreeSet<PolicyScope> =
            self.troubled().iter().filter(|(_, trouble)| trouble.next <= now).map(|(scope, _)| scope.clone()).collect();
        for scope in due {
            // So that no other turn of the watch waits for the same.
            self.note_trouble(scope.clone(), false);
            let epoch = self.read.lock().await.unwrap_or_default();
            match in_time(self.stores.generations.state(&scope)).await {
                Ok(Some(state)) => {
                    if self.apply(epoch, state).await {
                        self.note_trouble(scope, true);
                    }
                }
                Ok(None) => drop(self.troubled().remove(&scope)),
                Err(error) => tracing::debug!(%scope, error = %ErrorChain(&error), "a scope is not loaded yet"),
            }
            self.measure();
        }
    }

    fn note_trouble(&self, scope: PolicyScope, whole: bool) {
        let mut troubled = self.troubled();
        if whole {
            troubled.remove(&scope);
            return;
        }
        let trouble = troubled.entry(scope).or_insert(Trouble { attempts: 0, next: Instant::now() });
        let pause = RETRY_BASE.saturating_mul(1 << trouble.attempts.min(16)).min(RETRY_CAP);
        trouble.attempts = trouble.attempts.saturating_add(1);
        trouble.next = Instant::now() + pause;
    }

    fn troubled(&self) -> MutexGuard<'_, BTreeMap<PolicyScope, Trouble>> {
        self.troubled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store that hangs is one that does not answer.
pub(super) async fn in_time<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(PATIENCE, call).await;
    answer.unwrap_or_else(|late| Err(StoreError::Unavailable(Box::new(late))))
}
