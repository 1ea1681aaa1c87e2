//! Runs whose host died before their entry was written. Each left an intent in the store; this looks at what became of
//! its record and container, and writes the entry that is missing.
//!
//! Nothing here removes a container or changes a record: what is left to be done is the next sweep's.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;

use crate::metrics::Recovered;
use crate::model::{
    Author, EngineName, ErrorCode, Intent, OP_KIND_CLEANUP, OpenRun, OperationEntry, Outcome, RunId, Timestamp,
    bounded_text,
};
use crate::ports::{EngineError, StoreError};
use crate::session::Ports;

/// Runs read at a time, and pages in one pass. More wait for the next.
const AT_ONCE: u32 = 200;
const PAGES: usize = 50;
const MESSAGE_BYTES: usize = 512;
/// The longest that one look at a container may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// No `limits.run_time` is longer than an hour; a run's last removal may outlast it by an engine's time-outs.
const LONGEST_RUN: Duration = Duration::from_secs(2 * 60 * 60);

/// Closes runs that hosts have left behind. Any number of hosts may do so at a time.
#[derive(Clone)]
pub struct Recovery {
    ports: Arc<Ports>,
    grace: Duration,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    /// Since when, on the monotonic clock, this process has known runs to be given up.
    given_up: BTreeMap<RunId, Duration>,
    /// Engines on which a game was free for another run since they were asked for.
    freed: BTreeSet<EngineName>,
}

/// What one pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Runs that had changed their record.
    pub completed: u64,
    /// Runs that had not.
    pub abandoned: u64,
    /// Runs past their lease that stay open: their game's lease is held, or what became of them cannot be told yet.
    pub waiting: u64,
}

impl RecoveryReport {
    fn add(&mut self, other: Self) {
        self.completed = self.completed.saturating_add(other.completed);
        self.abandoned = self.abandoned.saturating_add(other.abandoned);
        self.waiting = self.waiting.saturating_add(other.waiting);
    }
}

/// What became of a run, as far as its record goes.
enum Fate {
    Completed,
    Abandoned(String),
    /// It cannot be told yet.
    Unclear,
}

impl Recovery {
    /// Recovery on these ports. For `grace` after a run was given up, a removal that it had sent, should its host be
    /// alive after all, may still have its effect: longer than an engine's time-outs.
    pub fn new(ports: Arc<Ports>, grace: Duration) -> Self {
        Self { ports, grace, memory: Arc::default() }
    }

    /// The engines on which runs were given up since this was asked last: their games need not wait for a sweep's
    /// usual time.
    pub fn take_freed(&self) -> BTreeSet<EngineName> {
        std::mem::take(&mut self.memory().freed)
    }

    /// One pass over the runs past their lease. Fails only if the store does not name them; what fails for one run is
    /// logged, and the next pass tries again.
    pub async fn run(&self) -> Result<RecoveryReport, StoreError> {
        let now = self.ports.clock.now();
        let (mut report, mut after) = (RecoveryReport::default(), None);
        let mut seen = BTreeSet::new();
        for _ in 0..PAGES {
            let overdue = self.ports.records.overdue_runs(now, after, AT_ONCE).await?;
            let Some(last) = overdue.last() else { break };
            after = Some((last.intent.expires_at, last.fence));
            seen.extend(overdue.iter().map(|run| run.intent.run_id.clone()));
            report.add(self.close_all(overdue).await);
        }
        self.memory().given_up.retain(|run, _| seen.contains(run));
        self.ports.metrics.overdue(report.waiting);
        Ok(report)
    }

    /// The runs of each engine by themselves, so that one that hangs holds up no other's.
    async fn close_all(&self, overdue: Vec<OpenRun>) -> RecoveryReport {
        let mut by_engine = BTreeMap::<_, Vec<_>>::new();
        for run in overdue {
            by_engine.entry(run.engine.clone()).or_default().push(run);
        }
        let closing = by_engine.into_values().map(|runs| async move {
            let mut report = RecoveryReport::default();
            for run in &runs {
                report.add(self.close_and_count(run).await);
            }
            report
        });
        let mut report = RecoveryReport::default();
        join_all(closing).await.into_iter().for_each(|of_engine| report.add(of_engine));
        report
    }

    async fn close_and_count(&self, run: &OpenRun) -> RecoveryReport {
        let (mut completed, mut abandoned, mut waiting) = (0, 0, 0);
        match self.close(run).await {
            Ok(Some(Recovered::Completed)) => completed = 1,
            Ok(Some(Recovered::Abandoned)) => abandoned = 1,
            Ok(None) => waiting = 1,
            Err(error) => {
                waiting = 1;
                tracing::warn!(run_id = %run.intent.run_id, %error, "a run past its lease was not closed");
            }
        }
        RecoveryReport { completed, abandoned, waiting }
    }

    /// None if the run stays open, or has been closed by another host.
    async fn close(&self, run: &OpenRun) -> Result<Option<Recovered>, StoreError> {
        // By the run itself, whose work takes longer than its lease did at first, or by one that came later.
        if self.ports.leases.held_until(&run.intent.game_id).await?.is_some() {
            return Ok(None);
        }
        // From here on the run can change nothing any more, should its host be alive after all.
        let Some(run) = self.ports.records.supersede_run(&run.intent.run_id).await? else { return Ok(None) };
        self.note_given_up(&run);
        let (outcome, code, message, how) = match self.fate(&run).await {
            Fate::Completed => (Outcome::Success, None, None, Recovered::Completed),
            Fate::Abandoned(what) => {
                (Outcome::Failure, Some(ErrorCode::RUN_ABANDONED), Some(what), Recovered::Abandoned)
            }
            Fate::Unclear => return Ok(None),
        };
        let entry = entry(run, outcome, code, message, self.ports.clock.now());
        self.ports.operations.append(&entry).await?;
        self.ports.metrics.run_recovered(how);
        tracing::warn!(
            run_id = %entry.run_id, game_id = %entry.game_id, op_source = %entry.op_source,
            outcome = outcome.as_str(), error_message = entry.error_message.as_deref(),
            "closed a run whose host died"
        );
        Ok(Some(how))
    }

    /// Whether nothing of the run can be under way any more: it was given up long enough ago, or began so long ago that
    /// no limit lets it last.
    fn has_rested(&self, run: &Intent) -> bool {
        let now = self.ports.clock.monotonic();
        let given_up = self.memory().given_up.get(&run.run_id).copied();
        given_up.is_some_and(|since| now.saturating_sub(since) >= self.grace)
            || self.ports.clock.now().since(run.started_at) >= LONGEST_RUN
    }

    fn note_given_up(&self, run: &OpenRun) {
        let now = self.ports.clock.monotonic();
        let mut memory = self.memory();
        if let Entry::Vacant(first) = memory.given_up.entry(run.intent.run_id.clone()) {
            first.insert(now);
            memory.freed.extend(run.engine.clone());
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fate(&self, run: &OpenRun) -> Fate {
        if run.committed_at.is_some() {
            return Fate::Completed;
        }
        let ended = "the host ended during this run, before the record was changed";
        let Some(container) = &run.container_id else {
            return Fate::Abandoned(format!("{ended}; there was no container"));
        };
        let configured = run.engine.as_ref().and_then(|engine| self.ports.engines.get(engine));
        let Some(engine) = configured else {
            let engine = run.engine.as_ref().map_or("of the record", EngineName::as_str);
            return Fate::Abandoned(format!("{ended}; engine {engine} is not configured, so its container is unknown"));
        };
        let looked = tokio::time::timeout(PATIENCE, engine.inspect(container)).await;
        match looked.unwrap_or_else(|late| Err(EngineError::Unavailable(Box::new(late)))) {
            Ok(None) => Fate::Abandoned(format!("{ended}; its container is gone, and the next sweep completes it")),
            Ok(Some(_)) if !self.has_rested(&run.intent) => Fate::Unclear,
            Ok(Some(found)) => Fate::Abandoned(format!("{ended}; its container is still there, {}", found.state)),
            Err(error) => {
                tracing::warn!(run_id = %run.intent.run_id, %error, "a run past its lease waits for its engine");
                Fate::Unclear
            }
        }
    }
}

fn entry(
    run: OpenRun,
    outcome: Outcome,
    error_code: Option<ErrorCode>,
    message: Option<String>,
    now: Timestamp,
) -> OperationEntry {
    let Intent { run_id, game_id, op_source, source_ref, actor, policy, started_at, .. } = run.intent;
    OperationEntry {
        run_id,
        game_id: game_id.to_string(),
        tenant: run.tenant,
        op_kind: OP_KIND_CLEANUP.to_owned(),
        op_source,
        source_ref,
        actor,
        image_ref: run.image_ref,
        container_id: run.container_id,
        outcome,
        error_code,
        error_message: message.map(|text| bounded_text(&text, MESSAGE_BYTES)),
        started_at,
        finished_at: now,
        policy,
        fence: Some(run.fence),
        author: Author::Recovery,
        fault: None,
    }
}
