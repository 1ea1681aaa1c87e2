//! Follows the store: what is bound, swapped, rolled out and revoked there comes into force here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::report::Beats;
use super::{PolicySource, Registry};
use crate::access::Trail;
use crate::metrics::Metrics;
use crate::model::{ErrorChain, PolicyDigest, PolicyScope};
use crate::ports::{AccessStore, Changes, Clock, GenerationStore, PolicyStore, StoreError};
use crate::runtime::Policy;

/// What no notice told of is found within this.
const POLL: Duration = Duration::from_millis(500);
/// A store that does not answer is asked again after this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Compiled code read at the same time,
const FOUND_AT_ONCE: usize = 8;
/// components compiled at the same time,
const COMPILED_AT_ONCE: usize = 2;
/// and looks at the store at the same time: one that is not answered holds up no other. None waits for what is loaded.
const LOOKS_AT_ONCE: usize = 4;
/// What could not be loaded is tried again after this, and each time after twice as long,
const RETRY_BASE: Duration = Duration::from_secs(1);
/// up to this.
const RETRY_CAP: Duration = Duration::from_secs(300);
/// Revocations read at a time.
const REVOCATIONS: u32 = 1_000;

/// Where policies, and what binds them, stand.
#[derive(Clone)]
pub struct Stores {
    /// Generations and rollouts.
    pub generations: Arc<dyn GenerationStore>,
    /// Components.
    pub policies: Arc<dyn PolicyStore>,
    /// Ceilings.
    pub access: Arc<dyn AccessStore>,
    /// The trail of what this host does of itself.
    pub trail: Trail,
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
    read: tokio::sync::Mutex<Read>,
    pub(super) policies: Mutex<BTreeMap<PolicyDigest, Arc<OnceCell<Policy>>>>,
    /// Whose turn it is to load something for a scope.
    pub(super) turns: Mutex<BTreeMap<PolicyScope, Arc<tokio::sync::Mutex<()>>>>,
    pub(super) finding: Semaphore,
    pub(super) compiling: Semaphore,
    troubled: Mutex<BTreeMap<PolicyScope, Trouble>>,
    pub(super) speaks: AtomicBool,
    pub(super) beats: Mutex<Beats>,
    failing: AtomicBool,
}

/// Up to where the store was read.
#[derive(Debug, Clone, Copy, Default)]
struct Read {
    /// None before the first time.
    epoch: Option<u64>,
    /// The last revocation.
    revocation: u64,
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
            read: tokio::sync::Mutex::default(),
            policies: Mutex::default(),
            turns: Mutex::default(),
            finding: Semaphore::new(FOUND_AT_ONCE),
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
            while under_way.len() >= LOOKS_AT_ONCE && under_way.join_next().await.is_some() {}
            while under_way.try_join_next().is_some() {}
            let watcher = self.clone();
            under_way.spawn(async move { watcher.look().await });
        }
    }

    /// Brings into force what the store says now, and adds up there what runs have shown. Goes on though nobody waits
    /// for it.
    pub async fn refresh(self: &Arc<Self>) -> Result<(), StoreError> {
        let watcher = self.clone();
        let refreshed = tokio::spawn(async move {
            let mut loading = JoinSet::new();
            let followed = watcher.follow(&mut loading).await;
            while loading.join_next().await.is_some() {}
            watcher.tidy();
            followed
        });
        refreshed.await.unwrap_or_else(|error| Err(StoreError::Unknown(Box::new(error))))
    }

    /// One turn of the watch, which waits for nothing to be loaded. What fails is told once.
    async fn look(self: &Arc<Self>) {
        let mut loading = JoinSet::new();
        let looked = self.follow(&mut loading).await;
        if let Err(error) = &looked
            && !self.failing.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(error = %ErrorChain(error), "changes of policies are not seen; what was bound goes on serving");
        }
        if looked.is_ok() && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("changes of policies are seen again");
        }
        self.retry_troubled(&mut loading).await;
        loading.detach_all();
        self.beat().await;
        self.tidy();
    }

    /// What changed comes first, and once more after rollouts were settled, which may have changed something.
    async fn follow(self: &Arc<Self>, loading: &mut JoinSet<()>) -> Result<(), StoreError> {
        self.load_all(in_time(self.changes()).await?, loading);
        // What cannot be counted holds up no swap.
        let counted = self.settle_rollouts().await;
        self.load_all(in_time(self.changes()).await?, loading);
        counted
    }

    fn load_all(self: &Arc<Self>, scopes: Vec<PolicyScope>, loading: &mut JoinSet<()>) {
        for scope in scopes {
            let watcher = self.clone();
            loading.spawn(async move { watcher.load_scope(&scope).await });
        }
    }

    /// The scopes that have changed since the store was read last. Before anything is loaded, it is known of every scope
    /// whether it is bound, what is revoked, and what its ceiling allows.
    async fn changes(&self) -> Result<Vec<PolicyScope>, StoreError> {
        let mut read = self.read.lock().await;
        let generations = &self.stores.generations;
        if let Some(known) = read.epoch {
            let epoch = generations.epoch().await?;
            if epoch == known {
                return Ok(Vec::new());
            }
            if epoch < known {
                tracing::error!(
                    epoch,
                    known,
                    "the store is behind what was read of it: it was restored, or has lost changes; what is bound is read anew"
                );
                self.registry.forget();
                *read = Read::default();
            }
        }
        let since = read.epoch.unwrap_or_default();
        let changes = generations.changed_since(since).await?;
        let ceilings = self.stores.access.ceilings_since(since).await?;
        let (revocation, revoked) = self.revoked_since(read.revocation).await?;
        self.registry.revoke(&revoked);
        for damage in &ceilings.unreadable {
            let scope = damage.scope.as_ref().map(ToString::to_string);
            tracing::error!(scope, reason = damage.reason, "a ceiling cannot be read; what was known of it holds");
        }
        self.registry.change_ceilings(&ceilings);
        let mut scopes = self.announce(&changes);
        // That is told with what serves.
        scopes.extend(ceilings.unreadable.into_iter().filter_map(|damage| damage.scope));
        *read = Read { epoch: Some(changes.epoch), revocation };
        Ok(scopes)
    }

    /// All that was revoked after that revocation, and the last one.
    async fn revoked_since(&self, known: u64) -> Result<(u64, Vec<String>), StoreError> {
        let (mut last, mut revoked) = (known, Vec::new());
        loop {
            let page = self.stores.generations.revoked_since(last, REVOCATIONS).await?;
            let Some((number, _)) = page.last() else { return Ok((last, revoked)) };
            last = *number;
            revoked.extend(page.into_iter().map(|(_, subject)| subject));
        }
    }

    async fn retry_troubled(self: &Arc<Self>, loading: &mut JoinSet<()>) {
        let now = Instant::now();
        let due: BTreeSet<PolicyScope> =
            self.troubled().iter().filter(|(_, trouble)| trouble.next <= now).map(|(scope, _)| scope.clone()).collect();
        for scope in due {
            // So that no other turn of the watch waits for the same.
            self.note_trouble(scope.clone(), false);
            let epoch = self.read.lock().await.epoch.unwrap_or_default();
            match in_time(self.stores.generations.state(&scope)).await {
                Ok(Some(state)) => {
                    self.announce(&Changes { epoch, states: vec![state], unreadable: Vec::new() });
                    self.load_all(vec![scope], loading);
                }
                Ok(None) => drop(self.troubled().remove(&scope)),
                Err(error) => tracing::debug!(%scope, error = %ErrorChain(&error), "a scope is not loaded yet"),
            }
        }
    }

    fn tidy(&self) {
        self.forget_unused();
        self.measure();
    }

    pub(super) fn note_trouble(&self, scope: PolicyScope, whole: bool) {
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
