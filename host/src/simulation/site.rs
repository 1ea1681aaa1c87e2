//! The world of one history, and what is seen in it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::clock::VirtualClock;
use super::fault::Fault;
use super::host::SetupError;
use super::orders::Follower;
use super::plan::{Leases, Plan};
use super::versions::Versions;
use super::witness::Witness;
use crate::adapters::memory::{Call, MemoryEngine, MemoryStore};
use crate::model::{ContainerId, EngineName, GameId, TenantId};
use crate::ports::Clock;
use crate::runtime::Limits;
use crate::session::LeaseOptions;

/// Containers of one game that have ids of their own.
const CONTAINERS: u64 = 256;

/// Which call of which step.
pub(super) type Place = (u32, u32);

/// Stores, engine and true time of a history, with everything that is noted of it.
pub(super) struct Site {
    pub(super) store: MemoryStore,
    pub(super) engine: MemoryEngine,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) seed: u64,
    pub(super) leases: Leases,
    pub(super) lease: LeaseOptions,
    pub(super) limits: Limits,
    pub(super) versions: Arc<Versions>,
    games: Vec<GameId>,
    followers: Mutex<Vec<Follower>>,
    runs: AtomicU32,
    failure: Mutex<Option<SetupError>>,
    faults: BTreeMap<Place, Fault>,
    calm: AtomicBool,
    log_down_until: AtomicU64,
    seen: Mutex<Seen>,
}

/// What was seen of a history.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) witness: Witness,
    pub(super) timeline: String,
    /// Faults that happened, by kind and call.
    pub(super) felt: BTreeMap<(Fault, Call), u64>,
}

impl Site {
    pub(super) fn new(
        plan: &Plan,
        start: Instant,
        limits: Limits,
        versions: Arc<Versions>,
    ) -> Result<Self, crate::model::InvalidId> {
        let clock = Arc::new(VirtualClock::new(start, 0));
        let engine = MemoryEngine::new(clock.clone());
        engine.set_removal_time(Duration::from_millis(plan.removal_ms));
        let games = (0..plan.games.len()).map(|game| format!("g{game}").parse()).collect::<Result<_, _>>()?;
        Ok(Self {
            store: MemoryStore::default(),
            engine,
            clock,
            seed: plan.seed,
            leases: plan.leases,
            lease: LeaseOptions::default(),
            limits,
            versions,
            games,
            followers: Mutex::default(),
            runs: AtomicU32::new(0),
            failure: Mutex::default(),
            faults: plan.faults.iter().map(|mishap| ((mishap.step, mishap.call), mishap.fault)).collect(),
            calm: AtomicBool::new(false),
            log_down_until: AtomicU64::new(0),
            seen: Mutex::default(),
        })
    }

    pub(super) fn games(&self) -> &[GameId] {
        &self.games
    }

    pub(super) fn game(&self, index: usize) -> Option<&GameId> {
        self.games.get(index)
    }

    /// The processes that follow the store.
    pub(super) fn followers(&self) -> Vec<Follower> {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| !follower.life.has_ended());
        followers.clone()
    }

    pub(super) fn add_follower(&self, follower: Follower) {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).push(follower);
    }

    /// Whether runs are under way.
    pub(super) fn has_runs(&self) -> bool {
        self.runs.load(Ordering::Relaxed) > 0
    }

    /// A run is under way until what this answers is dropped.
    pub(super) fn run_begins(self: &Arc<Self>) -> UnderWay {
        self.runs.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    /// The history cannot be played to its end.
    pub(super) fn fail(&self, error: SetupError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    pub(super) fn take_failure(&self) -> Option<SetupError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The game that a container was made for.
    pub(super) fn owner(&self, container: &ContainerId) -> Option<&GameId> {
        let number = u64::from_str_radix(container.as_str().get(48..)?, 16).ok()?;
        self.game(usize::try_from((number / CONTAINERS).checked_sub(1)?).ok()?)
    }

    /// True time since the history began.
    pub(super) fn elapsed(&self) -> Duration {
        self.clock.monotonic()
    }

    /// The fault that is planned for a call.
    pub(super) fn fault_at(&self, place: Place) -> Option<Fault> {
        self.faults.get(&place).copied().filter(|_| !self.is_calm())
    }

    /// From now on nothing goes wrong.
    pub(super) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// The operation log takes nothing for so long.
    pub(super) fn take_log_down(&self, span: Duration) {
        self.log_down_until.store(micros(self.elapsed() + span), Ordering::Relaxed);
    }

    pub(super) fn log_is_down(&self) -> bool {
        !self.is_calm() && micros(self.elapsed()) < self.log_down_until.load(Ordering::Relaxed)
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line into the timeline.
    pub(super) fn note(&self, who: &str, what: fmt::Arguments<'_>) {
        let at = self.elapsed();
        let mut seen = self.seen();
        // Writing into a string cannot fail.
        let _ = writeln!(seen.timeline, "{:>6}.{:03} {who:<22} {what}", at.as_secs(), at.subsec_millis());
    }
}

/// A run that is under way.
pub(super) struct UnderWay(Arc<Site>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.runs.fetch_sub(1, Ordering::Relaxed);
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// The `nth` container of a game.
pub(super) fn container(game: usize, nth: u64) -> Option<ContainerId> {
    let number = (game as u64).saturating_add(1).saturating_mul(CONTAINERS).saturating_add(nth);
    format!("{number:064x}").parse().ok()
}

/// The tenant of a game: two take turns.
pub(super) fn tenant(game: usize) -> TenantId {
    let name = if game.is_multiple_of(2) { "tenant-a" } else { "tenant-b" };
    name.parse().unwrap_or_default()
}

/// The engine of all games.
pub(super) fn engine_name() -> Result<EngineName, crate::model::InvalidId> {
    "local".parse()
}
