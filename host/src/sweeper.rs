//! The periodic caller: walks the stopped runtimes whose retention floor has passed, asks the policy of each, and
//! has the due ones cleaned up.
//!
//! Each engine is walked by itself, so that a slow one does not hold up another. Nothing here removes
//! anything: a removal happens in a run, under all its rules.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::lifecycle::Lifecycle;
use crate::model::{EngineName, Pause, PauseCause, PauseScope, Timestamp};
use crate::ports::{PauseStore, StoreError};
use crate::session::Ports;

mod breaker;
mod candidate;
mod clock_guard;
mod disposal;
mod log_retention;
mod report;
mod runs;
mod spare;
mod unrecorded;
mod walk;

pub use breaker::BreakerOptions;
pub use disposal::RetryOptions;
pub use report::{Decision, EngineReport, Observer, SweepItem, SweepReport, SweepRequest};
pub use spare::Spare;

use clock_guard::{ClockGuard, Look};
use unrecorded::Unrecorded;

/// Who pauses, when the sweeper does it itself.
const SWEEPER: &str = "sweeper";
/// The breaker counts removals over this span.
const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// How the sweeper goes about it.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepOptions {
    /// The retention floor: stopped for less long, a runtime is never offered.
    pub retention: Duration,
    /// Rows read at a time, at least one. Fewer, where they are claimed.
    pub page_size: u32,
    /// How long a claim on rows to be offered lasts, should this host die.
    pub claim_ttl: Duration,
    /// Runs at the same time on one engine, at least one.
    pub concurrency: usize,
    /// What becomes of kept and failed candidates.
    pub retry: RetryOptions,
    /// When so many removals are too many.
    pub breaker: BreakerOptions,
    /// How far the wall clock may stray from the monotonic one between two sweeps.
    pub clock_tolerance: Duration,
}

/// Walks due runtimes.
#[derive(Clone)]
pub struct Sweeper(Arc<Inner>);

struct Inner {
    ports: Arc<Ports>,
    pauses: Arc<dyn PauseStore>,
    lifecycle: Lifecycle,
    options: SweepOptions,
    clock_guard: ClockGuard,
    /// Held while the clocks are looked at. Sweeps of several engines begin side by side, and one that read the pauses
    /// just before another stored its pause for a jump would take its absence for an operator's word.
    looking: tokio::sync::Mutex<()>,
    unrecorded: Unrecorded,
}

/// One sweep under way.
#[derive(Clone)]
struct Sweep {
    /// Nothing is written.
    dry_run: bool,
    /// Both clocks when it began. The wall clock is not looked at again: it may jump meanwhile.
    now: Timestamp,
    began: Duration,
    floor: Timestamp,
    observer: Observer,
}

impl Sweep {
    /// The same, to count what is due: without effect and without a word.
    fn survey(&self) -> Self {
        Self { dry_run: true, observer: Arc::new(|_| {}), ..self.clone() }
    }
}

impl Sweeper {
    /// A sweeper on these ports.
    pub fn new(ports: Arc<Ports>, pauses: Arc<dyn PauseStore>, lifecycle: Lifecycle, options: SweepOptions) -> Self {
        let (clock_guard, looking, unrecorded) = Default::default();
        Self(Arc::new(Inner { ports, pauses, lifecycle, options, clock_guard, looking, unrecorded }))
    }

    /// Sweeps once. Fails only if the store does not even say what is paused.
    pub async fn sweep(&self, request: &SweepRequest, observer: Observer) -> Result<SweepReport, StoreError> {
        let inner = &self.0;
        let (now, began) = (inner.ports.clock.now(), inner.ports.clock.monotonic());
        let paused = inner.paused(now, began, request.dry_run).await?;
        let mut report = SweepReport { paused, ..SweepReport::default() };
        for (engine, why) in &request.outdated {
            tracing::warn!(%engine, reason = why, "an engine is not swept");
            let error = Some(format!("not swept: {why}"));
            report.engines.insert(engine.clone(), EngineReport { error, ..EngineReport::default() });
        }
        if let Some(pause) = report.paused.as_ref().filter(|_| !request.dry_run) {
            tracing::warn!(reason = pause.reason, "not sweeping: paused");
            return Ok(report);
        }
        if !request.dry_run
            && let Err(error) = self.void_outdated_waits().await
        {
            tracing::warn!(%error, "waits of earlier policies were not ended; they last to their own end");
        }
        let floor = now.saturating_sub(inner.options.retention);
        let sweep = Sweep { dry_run: request.dry_run, now, began, floor, observer };
        for (engine, walk) in inner.walks(&sweep, request) {
            let walked = walk.await.unwrap_or_else(|error| {
                tracing::error!(%engine, %error, "the walk over an engine broke");
                EngineReport { error: Some("the walk broke; the log says how".to_owned()), ..EngineReport::default() }
            });
            report.engines.insert(engine, walked);
        }
        Ok(report)
    }

    /// Ends the waits that are the word of another policy, or of other settings, than a tenant has now, so that
    /// the present one is asked. Answers how many. Every sweep begins with this.
    pub async fn void_outdated_waits(&self) -> Result<u64, StoreError> {
        let records = &self.0.ports.records;
        let mut voided = 0;
        for tenant in records.tenants().await? {
            // While nobody knows what serves, nothing is outdated.
            if let Some(serving) = self.0.lifecycle.serving(&tenant) {
                voided += records.void_waits(&tenant, &serving).await?;
            }
        }
        if voided > 0 {
            tracing::info!(voided, "ended waits of earlier policies");
        }
        Ok(voided)
    }
}

impl Inner {
    /// Starts a walk over each engine. Dropping them ends them; runs under way go on.
    fn walks(
        self: &Arc<Self>,
        sweep: &Sweep,
        request: &SweepRequest,
    ) -> Vec<(EngineName, AbortOnDropHandle<EngineReport>)> {
        let only = request.engine.as_ref();
        let wanted =
            |name: &&EngineName| only.is_none_or(|only| only == *name) && !request.outdated.contains_key(*name);
        let engines = self.ports.engines.keys().filter(wanted);
        let walk = |engine: &EngineName| {
            let (inner, sweep, name) = (self.clone(), sweep.clone(), engine.clone());
            let walk = tokio::spawn(async move { inner.sweep_engine(&sweep, &name).await });
            (engine.clone(), AbortOnDropHandle::new(walk))
        };
        engines.map(walk).collect()
    }

    /// The pause in force for everything, if any. Sets or lifts that for a clock that jumped: ages computed from
    /// it would be wrong.
    async fn paused(&self, now: Timestamp, monotonic: Duration, dry_run: bool) -> Result<Option<Pause>, StoreError> {
        let _looking = self.looking.lock().await;
        let pauses = self.pauses.pauses().await?;
        let global = pauses.into_iter().find(|pause| pause.scope == PauseScope::Global);
        let for_a_jump = global.as_ref().is_some_and(|pause| pause.cause == PauseCause::ClockJump);
        if global.is_some() && !for_a_jump {
            // In place of the one for a jump; so its end will not confirm the clock.
            self.clock_guard.settle();
        }
        match self.clock_guard.check(now, monotonic, self.options.clock_tolerance, for_a_jump) {
            Look::Fine => Ok(global),
            Look::Recovered => {
                if dry_run {
                    return Ok(None);
                }
                self.pauses.resume_if(&PauseScope::Global, PauseCause::ClockJump, now).await?;
                self.clock_guard.settle();
                tracing::info!("the wall clock is right again");
                // An operator may have paused everything since.
                let pauses = self.pauses.pauses().await?;
                Ok(pauses.into_iter().find(|pause| pause.scope == PauseScope::Global))
            }
            Look::Jumped(jump) => {
                let pause = Pause {
                    scope: PauseScope::Global,
                    cause: PauseCause::ClockJump,
                    reason: jump.to_string(),
                    actor: SWEEPER.to_owned(),
                    at: now,
                };
                tracing::error!(reason = pause.reason, "not sweeping: the wall clock jumped");
                // Only a pause of our own can be lifted, and so confirm our clock: another host's says nothing of it.
                if !dry_run && self.pauses.pause(&pause).await? {
                    self.clock_guard.pause_stands();
                }
                Ok(Some(global.unwrap_or(pause)))
            }
        }
    }

    fn elapsed(&self, sweep: &Sweep) -> Duration {
        self.ports.clock.monotonic().saturating_sub(sweep.began)
    }

    /// The present, by the wall clock as it was checked when the sweep began.
    fn present(&self, sweep: &Sweep) -> Timestamp {
        sweep.now.saturating_add(self.elapsed(sweep))
    }
}
