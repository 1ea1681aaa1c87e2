//! The walk over one engine's due rows, within the breaker's limit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::breaker::Budget;
use super::candidate::Dealt;
use super::runs::Runs;
use super::{Decision, EngineReport, Inner, SWEEPER, Sweep, WINDOW};
use crate::metrics::SweepGauges;
use crate::model::{Census, EngineName, Pause, PauseCause, PauseScope, TenantId, Timestamp};
use crate::ports::{Claim, DueCursor, DuePage, StoreError};

/// Pauses are read again after so long, so that one stops a walk within a page too.
const PAUSES_LAST: Duration = Duration::from_secs(1);
/// What other hosts have removed is counted again after so long,
const COUNTS_LAST: Duration = Duration::from_secs(1);
/// and for each page once fewer removals are left: other hosts may remove about as many between two counts.
const CLOSE_TO_LIMIT: u64 = 2_000;
/// Counts reach so far into the future.
const COUNTED_AHEAD: Duration = Duration::from_secs(1);
/// Rows that a sweep claims at a time, for each run that it may have under way: enough to keep them busy, and few for
/// other hosts to wait for.
const CLAIMED_AT_ONCE: u32 = 4;

/// How far a walk goes.
#[derive(Clone, Copy)]
struct Reach {
    /// Removals allowed. Candidates after these are still reviewed, since those that are kept need none.
    removals: u64,
    /// The walk ends when more than so many candidates are due that it may not remove.
    due: u64,
    /// Removals without a record before the walk began, which its limit allows for already.
    unrecorded: u64,
}

impl Reach {
    /// Removes nothing, and counts all that is due.
    fn of_survey() -> Self {
        Self { removals: 0, due: u64::MAX, unrecorded: 0 }
    }

    /// Removes what the limit has left, which is asked again on the way, since other hosts remove as well.
    fn of_sweep(unrecorded: u64) -> Self {
        Self { removals: 0, due: 0, unrecorded }
    }
}

/// How a walk ended.
enum End {
    /// Nothing is left.
    Complete,
    /// More is due than the reach allows.
    BeyondReach,
    /// Somebody paused the engine or everything meanwhile.
    Paused(Pause),
    /// The engine does not answer any more.
    EngineGone,
}

/// The pauses that concern one engine.
struct Standing {
    engine: Option<Pause>,
    tenants: Arc<[TenantId]>,
}

impl Inner {
    pub(super) async fn sweep_engine(self: &Arc<Self>, sweep: &Sweep, engine: &EngineName) -> EngineReport {
        let mut report = EngineReport::default();
        if let Err(error) = self.sweep_within_limit(sweep, engine, &mut report).await {
            tracing::error!(%engine, %error, "the walk over an engine was cut short");
            report.error = Some(error.to_string());
        }
        if !sweep.dry_run {
            self.measure(sweep, engine, &report);
        }
        report
    }

    async fn sweep_within_limit(
        self: &Arc<Self>,
        sweep: &Sweep,
        engine: &EngineName,
        report: &mut EngineReport,
    ) -> Result<(), StoreError> {
        report.paused = self.standing(engine).await?.engine;
        report.census = self.census(sweep, engine, "").await?;
        let budget = Budget::of(&self.options.breaker, &report.census);
        if sweep.dry_run {
            self.walk(sweep, engine, Reach::of_survey(), report).await?;
            if report.paused.is_none() && budget.is_exceeded_by(report.would_remove) {
                report.paused = Some(breaker_pause(sweep, engine, &budget, &report.census, report.would_remove));
            }
            return Ok(());
        }
        if report.paused.is_some() {
            return Ok(());
        }
        if !self.answers(engine).await {
            report.error = Some("not swept: the engine does not answer".to_owned());
            return Ok(());
        }
        if budget.is_exceeded_by(report.census.due) {
            let due = self.due_by_policy(sweep, engine).await?;
            if budget.is_exceeded_by(due) {
                return self.trip(breaker_pause(sweep, engine, &budget, &report.census, due), report).await;
            }
        }
        match self.walk(sweep, engine, Reach::of_sweep(self.unrecorded(engine)), report).await? {
            End::Complete => Ok(()),
            End::Paused(pause) => {
                report.paused = Some(pause);
                Ok(())
            }
            End::BeyondReach => {
                let census = self.census(sweep, engine, "").await?;
                let due = self.due_by_policy(sweep, engine).await?;
                let budget = Budget::of(&self.options.breaker, &census);
                if !budget.is_exceeded_by(due) {
                    tracing::info!(%engine, "other walks had claimed what this one was not to remove; the next looks again");
                    return Ok(());
                }
                self.trip(breaker_pause(sweep, engine, &budget, &census, due), report).await
            }
            End::EngineGone => {
                report.error = Some("cut short: the engine does not answer any more".to_owned());
                Ok(())
            }
        }
    }

    /// Asks the policies before the first removal: those that are kept, held or of paused tenants do not count
    /// against the limit. A policy that says something else afterwards meets the limit in the walk itself.
    async fn due_by_policy(self: &Arc<Self>, sweep: &Sweep, engine: &EngineName) -> Result<u64, StoreError> {
        let mut surveyed = EngineReport::default();
        self.walk(&sweep.survey(), engine, Reach::of_survey(), &mut surveyed).await?;
        Ok(surveyed.would_remove)
    }

    /// Whether the engine can be asked at all. One that cannot is no failure of its games.
    pub(super) async fn answers(&self, engine: &EngineName) -> bool {
        let Some(port) = self.ports.engines.get(engine) else { return false };
        let answer = port.ping().await;
        if let Err(error) = &answer {
            tracing::warn!(%engine, %error, "the engine does not answer");
        }
        answer.is_ok()
    }

    async fn walk(
        self: &Arc<Self>,
        sweep: &Sweep,
        engine: &EngineName,
        reach: Reach,
        report: &mut EngineReport,
    ) -> Result<End, StoreError> {
        let mut runs = Runs::default();
        let walk = self.lifecycle.fresh_id().to_string();
        let end = self.offer_all(sweep, engine, reach, &walk, &mut runs, report).await;
        // Whatever ended the walk, what has begun is awaited and counted.
        while join_one(&mut runs, report).await {}
        if !sweep.dry_run
            && let Err(error) = self.ports.records.release_claims(&walk).await
        {
            tracing::warn!(%engine, %error, "claims of a sweep were not released; they end by themselves");
        }
        match end? {
            _ if report.engine_gone => Ok(End::EngineGone),
            End::Complete if report.would_remove > reach.due => Ok(End::BeyondReach),
            end => Ok(end),
        }
    }

    async fn offer_all(
        self: &Arc<Self>,
        sweep: &Sweep,
        engine: &EngineName,
        mut reach: Reach,
        walk: &str,
        runs: &mut Runs,
        report: &mut EngineReport,
    ) -> Result<End, StoreError> {
        let (mut cursor, mut counted_at) = (None, Duration::ZERO);
        'pages: loop {
            // Read anew for each page, and within a page that takes long: an operator's pause stops a long sweep.
            let mut standing = self.standing(engine).await?;
            if let Some(pause) = standing.engine.filter(|_| !sweep.dry_run) {
                return Ok(End::Paused(pause));
            }
            let mut read_at = self.elapsed(sweep);
            let (page, claimed_until) = self.next_page(sweep, engine, walk, cursor.as_ref()).await?;
            // Counted after the claim, never before: of two walks at once the one that counts later sees the other's
            // claim. If both counted first, each would take all that is left for its own.
            let removed = self.removed(engine, reach, report);
            let is_close = reach.removals.saturating_sub(removed) < CLOSE_TO_LIMIT;
            if !sweep.dry_run && (is_close || self.elapsed(sweep).saturating_sub(counted_at) >= COUNTS_LAST) {
                let mut census = self.census(sweep, engine, walk).await?;
                census.removed_by_walk += self.unrecorded(engine).saturating_sub(reach.unrecorded);
                reach.removals = Budget::of(&self.options.breaker, &census).left_for_walk();
                counted_at = self.elapsed(sweep);
            }
            let mut rows: VecDeque<_> = page.rows.into_iter().enumerate().collect();
            let mut furthest = None;
            while !rows.is_empty() {
                let may_remove = self.place(engine, reach, runs, report).await;
                if report.engine_gone {
                    return Ok(End::EngineGone);
                }
                if report.would_remove > reach.due {
                    return Ok(End::BeyondReach);
                }
                if self.elapsed(sweep).saturating_sub(read_at) >= PAUSES_LAST {
                    standing = self.standing(engine).await?;
                    read_at = self.elapsed(sweep);
                    if let Some(pause) = standing.engine.filter(|_| !sweep.dry_run) {
                        return Ok(End::Paused(pause));
                    }
                }
                // A slow engine: the rest has to be claimed anew, for it may be another walk's by now. What was put
                // behind others is left to the next walk.
                if claimed_until.is_some_and(|end| end <= self.present(sweep)) {
                    continue 'pages;
                }
                let concurrency = self.concurrency(engine);
                let Some((at, runtime)) = runs.choose(&mut rows, concurrency) else { break };
                // Never back to rows that were offered before.
                if furthest.is_none_or(|furthest| at > furthest) {
                    (cursor, furthest) = (Some(DueCursor::after(&runtime)), Some(at));
                }
                let tenant = runtime.record.tenant.clone();
                if self.leaves(engine, &tenant, runs, concurrency).await? {
                    continue;
                }
                let (inner, sweep, paused) = (self.clone(), sweep.clone(), standing.tenants.clone());
                runs.spawn(tenant, async move { inner.offer(&sweep, runtime, &paused, may_remove).await });
            }
            if page.next.is_none() {
                return Ok(End::Complete);
            }
        }
    }

    /// Whether a tenant's rows are left to another walk, since its runs take long and there are other tenants.
    async fn leaves(
        &self,
        engine: &EngineName,
        tenant: &TenantId,
        runs: &mut Runs,
        concurrency: usize,
    ) -> Result<bool, StoreError> {
        if runs.passes_over(tenant) {
            return Ok(true);
        }
        if !runs.take_too_long(tenant, concurrency) || self.ports.records.tenants().await?.len() < 2 {
            return Ok(false);
        }
        runs.pass_over(tenant);
        tracing::warn!(%engine, %tenant, "the runs of a tenant take long; its other games are left to the next sweep");
        Ok(true)
    }

    /// Waits for a place among the runs. Answers whether one more removal fits; while that depends on runs under
    /// way, waits for them.
    async fn place(&self, engine: &EngineName, reach: Reach, runs: &mut Runs, report: &mut EngineReport) -> bool {
        loop {
            let removed = self.removed(engine, reach, report);
            let under_way = u64::try_from(runs.len()).unwrap_or(u64::MAX);
            let undecided = removed < reach.removals && removed.saturating_add(under_way) >= reach.removals;
            if runs.len() < self.concurrency(engine) && !undecided {
                return removed < reach.removals;
            }
            join_one(runs, report).await;
        }
    }

    /// Removals of this walk, be their records written or not.
    fn removed(&self, engine: &EngineName, reach: Reach, report: &EngineReport) -> u64 {
        (report.removed + self.unrecorded(engine)).saturating_sub(reach.unrecorded)
    }

    /// Rows to offer. A sweep claims them, few at a time, and must offer them before the claim ends: from then on
    /// another host's walk may do so.
    async fn next_page(
        &self,
        sweep: &Sweep,
        engine: &EngineName,
        walk: &str,
        after: Option<&DueCursor>,
    ) -> Result<(DuePage, Option<Timestamp>), StoreError> {
        let (records, page_size) = (&self.ports.records, self.options.page_size.max(1));
        if sweep.dry_run {
            return Ok((records.due(engine, sweep.floor, sweep.now, after, page_size).await?, None));
        }
        let until = self.present(sweep).saturating_add(self.options.claim_ttl);
        let claim = Claim { walk: walk.to_owned(), until };
        let few = u32::try_from(self.options.concurrency).unwrap_or(u32::MAX).saturating_mul(CLAIMED_AT_ONCE);
        let limit = page_size.min(few.max(1));
        Ok((records.claim_due(engine, sweep.floor, sweep.now, after, limit, &claim).await?, Some(until)))
    }

    /// Runs at once on an engine: no more than it takes calls just now, or they would hold their leases while they
    /// wait for it.
    fn concurrency(&self, engine: &EngineName) -> usize {
        let capacity = self.ports.engines.get(engine).map_or(usize::MAX, |engine| engine.capacity());
        self.options.concurrency.min(capacity).max(1)
    }

    /// The pauses as they are now. That of the engine itself comes before a global one.
    async fn standing(&self, engine: &EngineName) -> Result<Standing, StoreError> {
        let pauses = self.pauses.pauses().await?;
        let of = |scope: &PauseScope| pauses.iter().find(|pause| pause.scope == *scope).cloned();
        let tenants = pauses.iter().filter_map(|pause| match &pause.scope {
            PauseScope::Tenant(tenant) => Some(tenant.clone()),
            PauseScope::Global | PauseScope::Engine(_) => None,
        });
        let tenants = tenants.collect();
        Ok(Standing { engine: of(&PauseScope::Engine(engine.clone())).or_else(|| of(&PauseScope::Global)), tenants })
    }

    async fn census(&self, sweep: &Sweep, engine: &EngineName, walk: &str) -> Result<Census, StoreError> {
        // What others remove while the store counts is dated after this, and so is what a clock a little ahead dates.
        let now = self.present(sweep).saturating_add(COUNTED_AHEAD);
        let window = now.saturating_sub(WINDOW);
        let mut census = self.ports.records.census(engine, sweep.floor, now, window, walk).await?;
        census.removed_recently = census.removed_recently.saturating_add(self.unrecorded(engine));
        Ok(census)
    }

    fn unrecorded(&self, engine: &EngineName) -> u64 {
        self.unrecorded.count(engine, self.ports.clock.monotonic())
    }

    async fn trip(&self, pause: Pause, report: &mut EngineReport) -> Result<(), StoreError> {
        tracing::error!(scope = %pause.scope, reason = pause.reason, "not sweeping: too many removals");
        self.pauses.pause(&pause).await?;
        report.paused = Some(pause);
        Ok(())
    }

    fn measure(&self, sweep: &Sweep, engine: &EngineName, report: &EngineReport) {
        let gauges = SweepGauges {
            candidates: report.candidates(),
            removed: report.removed,
            kept: report.kept,
            failed: report.failed.saturating_add(report.parked),
            parked: report.parked,
            duration: self.elapsed(sweep),
            finished_at: self.present(sweep),
        };
        self.ports.metrics.sweep_finished(engine, gauges);
    }
}

/// Resuming allows what was due by the policies' word, and makes up for what is past the limit already.
fn breaker_pause(sweep: &Sweep, engine: &EngineName, budget: &Budget, census: &Census, due: u64) -> Pause {
    Pause {
        scope: PauseScope::Engine(engine.clone()),
        cause: PauseCause::Breaker { removals: due.saturating_add(budget.overdrawn()) },
        reason: budget.explain(engine, census, due),
        actor: SWEEPER.to_owned(),
        at: sweep.now,
    }
}

/// Counts a finished candidate; false if there is none. One that broke its task is counted as failed and does not
/// end the sweep.
async fn join_one(runs: &mut Runs, report: &mut EngineReport) -> bool {
    let Some(run) = runs.join_next().await else { return false };
    let dealt = run.unwrap_or_else(|error| {
        tracing::error!(%error, "a candidate's task ended without a result");
        Dealt { decision: Decision::Failed, engine_gone: false }
    });
    report.engine_gone |= dealt.engine_gone;
    report.count(dealt.decision);
    true
}
