//! Why a runtime is kept, when it is due, and what blocks it.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::show_span;
use crate::model::{Pause, PauseScope, Status, Timestamp, TrackedRuntime};
use crate::ports::{
    JournalFilter, JournalStore, LeaseStore, OperationFilter, OperationLog, PauseStore, RecordStore, StoreError,
};
use crate::views;

mod story;
mod words;

pub use story::{RunStep, RunStory};

/// The answer for one runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Explanation {
    /// The answer in a sentence.
    pub summary: String,
    /// When the sweeper can offer it to its policy at the earliest, if nothing else blocks it; null if it
    /// never will as it stands.
    pub due_at: Option<String>,
    /// What keeps it, the strongest first. Empty if the next sweep offers it.
    pub blockers: Vec<Blocker>,
    /// The runtime.
    pub runtime: views::Runtime,
    /// Its last operation.
    pub last_operation: Option<views::Operation>,
    /// Its last run that was written down, call by call; null if none was.
    pub last_run: Option<RunStory>,
}

/// One thing that keeps a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Blocker {
    /// `running`, `removed`, `unknown_status`, `no_stop_time`, `hold`, `parked`, `retention_floor`, `waiting`,
    /// `paused`, `lease` or `no_engine`.
    pub kind: String,
    /// When it ends by itself; null if it does not.
    pub until: Option<String>,
    /// What it is, and what would end it.
    pub detail: String,
}

/// What an explanation follows from.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The runtime.
    pub tracked: TrackedRuntime,
    /// The pauses in force.
    pub pauses: Vec<Pause>,
    /// Until when an operation on the game is under way.
    pub leased_until: Option<Timestamp>,
    /// Whether its engine is configured here.
    pub has_engine: bool,
    /// The retention floor: the host's, or the longer one of the tenant's ceiling.
    pub retention_floor: Duration,
    /// The present.
    pub now: Timestamp,
}

/// The stores that know why.
#[derive(Clone, Copy)]
pub struct Stores<'s> {
    /// The records.
    pub records: &'s dyn RecordStore,
    /// The operation log.
    pub operations: &'s dyn OperationLog,
    /// The leases.
    pub leases: &'s dyn LeaseStore,
    /// The pauses.
    pub pauses: &'s dyn PauseStore,
    /// The journals of runs.
    pub journals: &'s dyn JournalStore,
}

impl Stores<'_> {
    /// Explains a game; none if it has no record.
    pub async fn explain(
        &self,
        game: &crate::model::GameId,
        has_engine: impl Fn(&crate::model::EngineName) -> bool,
        retention_floor: impl Fn(&crate::model::TenantId) -> Duration,
        now: Timestamp,
    ) -> Result<Option<Explanation>, StoreError> {
        let Some(tracked) = self.records.get(game).await? else { return Ok(None) };
        let pauses = self.pauses.pauses().await?;
        let leased_until = self.leases.held_until(game).await?;
        let of_game = OperationFilter { game: Some(game.to_string()), ..OperationFilter::default() };
        let last = self.operations.list(&of_game, None, 1).await?;
        let has_engine = has_engine(&tracked.record.engine);
        let retention_floor = retention_floor(&tracked.record.tenant);
        let facts = Facts { tracked, pauses, leased_until, has_engine, retention_floor, now };
        let last_operation = last.first().map(views::Operation::from);
        // What was written down of an earlier owner's game is not this one's.
        let tenant = Some(facts.tracked.record.tenant.clone());
        let of_game = JournalFilter { tenant, game: Some(game.to_string()), since: None };
        let kept = self.journals.list(&of_game, None, 1).await?;
        let last_run = kept.first().and_then(|kept| kept.journal.as_ref()).map(RunStory::from);
        Ok(Some(Explanation { last_operation, last_run, ..explain(&facts) }))
    }
}

/// The explanation that follows from the facts.
pub fn explain(facts: &Facts) -> Explanation {
    let blockers = blockers(facts);
    let due_at = due_at(facts);
    let summary = match (blockers.first(), due_at) {
        (None, _) => "It is due: the next sweep offers it to its policy, which decides.".to_owned(),
        (Some(first), Some(due)) if first.until.is_some() => {
            format!("It is kept: {} It can be due on {due} at the earliest.", first.detail)
        }
        (Some(first), _) => format!("It is kept: {}", first.detail),
    };
    let runtime = views::Runtime::from(&facts.tracked);
    Explanation {
        summary,
        due_at: due_at.map(|at| at.to_string()),
        blockers,
        runtime,
        last_operation: None,
        last_run: None,
    }
}

/// The latest end of everything that ends by itself.
fn due_at(facts: &Facts) -> Option<Timestamp> {
    let TrackedRuntime { record, cleanup } = &facts.tracked;
    let endless_hold = cleanup.hold.as_ref().is_some_and(|hold| hold.until.is_none());
    if record.status != Status::Stopped || cleanup.parked.is_some() || endless_hold || !facts.has_engine {
        return None;
    }
    let floor = record.stopped_at?.saturating_add(facts.retention_floor);
    let hold = cleanup.hold.as_ref().and_then(|hold| hold.until);
    let ends = [cleanup.wait_until, hold, facts.leased_until].into_iter().flatten();
    Some(ends.fold(floor, Ord::max))
}

fn blockers(facts: &Facts) -> Vec<Blocker> {
    match &facts.tracked.record.status {
        Status::Stopped => stopped(facts),
        Status::Running => vec![blocker("running", None, "it runs; only a stopped runtime is cleaned up.")],
        Status::Removed => vec![blocker("removed", None, "its container is gone already.")],
        Status::Other(other) => {
            vec![blocker("unknown_status", None, format!("its status is {other:?}, which rtmanager does not act on."))]
        }
    }
}

fn stopped(facts: &Facts) -> Vec<Blocker> {
    let TrackedRuntime { record, cleanup } = &facts.tracked;
    let mut found = Vec::new();
    if let Some(hold) = cleanup.hold.as_ref().filter(|hold| hold.is_active(facts.now)) {
        let detail = format!("{} holds it: {}; `rtmanager unhold` lifts that.", hold.actor, hold.reason);
        found.push(blocker("hold", hold.until, detail));
    }
    if !facts.has_engine {
        let detail = format!("its engine, {}, is not configured here.", record.engine);
        found.push(blocker("no_engine", None, detail));
    }
    if let Some(parked) = &cleanup.parked {
        let attempts = cleanup.failed_attempts;
        let detail =
            format!("{attempts} cleanups failed, the last with {}; `rtmanager unpark` tries again.", parked.reason);
        found.push(blocker("parked", None, detail));
    }
    found.extend(facts.pauses.iter().filter(|pause| concerns(&pause.scope, facts)).map(|pause| {
        blocker("paused", None, format!("sweeps are paused ({}) by {}: {}.", pause.scope, pause.actor, pause.reason))
    }));
    found.extend(floor(facts));
    if let Some(until) = cleanup.wait_until.filter(|until| *until > facts.now) {
        let reason = cleanup.wait_reason.as_deref().unwrap_or("no reason was given");
        let asked =
            cleanup.wait_generation.as_ref().map_or_else(String::new, |it| format!(" (policy generation {it})"));
        found.push(blocker("waiting", Some(until), format!("it waits until {until}{asked}: {reason}.")));
    }
    if let Some(until) = facts.leased_until.filter(|until| *until > facts.now) {
        found.push(blocker("lease", Some(until), "an operation on it is under way."));
    }
    found
}

fn floor(facts: &Facts) -> Option<Blocker> {
    let Some(stopped_at) = facts.tracked.record.stopped_at else {
        let detail = "its record does not say when it stopped, so its retention cannot begin.";
        return Some(blocker("no_stop_time", None, detail));
    };
    let until = stopped_at.saturating_add(facts.retention_floor);
    let span = show_span(facts.retention_floor);
    let detail = format!("it stopped on {stopped_at}, and is kept for {span} at least, until {until}.");
    (until > facts.now).then(|| blocker("retention_floor", Some(until), detail))
}

fn concerns(scope: &PauseScope, facts: &Facts) -> bool {
    let record = &facts.tracked.record;
    match scope {
        PauseScope::Global => true,
        PauseScope::Engine(engine) => *engine == record.engine,
        PauseScope::Tenant(tenant) => *tenant == record.tenant,
    }
}

fn blocker(kind: &str, until: Option<Timestamp>, detail: impl Into<String>) -> Blocker {
    Blocker { kind: kind.to_owned(), until: until.map(|until| until.to_string()), detail: detail.into() }
}
