//! One sweep, watched.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::reconcile::{Extent, outdated, reconcile};
use super::{Answer, Error, render};
use crate::access::{Caller, Deed};
use crate::app::App;
use crate::model::EngineName;
use crate::orders;
use crate::sweeper::{Decision, EngineReport, Observer, SweepItem, SweepReport, SweepRequest};
use crate::views::{PausedScope, Reconciliation};

/// What a sweep did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SweepView {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// What kept everything from being swept.
    pub paused: Option<PausedScope>,
    /// What the passes before the sweep did and found, by engine; null for a dry run, which changes no record, so that
    /// containers without one are not counted.
    pub reconciled: Option<Vec<Reconciliation>>,
    /// By engine.
    pub engines: Vec<EngineView>,
    /// Each candidate.
    pub items: Vec<ItemView>,
}

/// What a sweep did on one engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineView {
    /// Which.
    pub engine: String,
    /// Candidates before the first removal.
    pub due: u64,
    /// Records that are not removed.
    pub not_removed: u64,
    /// Removed.
    pub removed: u64,
    /// Would be removed, if this were not a dry run.
    pub would_remove: u64,
    /// Kept.
    pub kept: u64,
    /// Failed.
    pub failed: u64,
    /// Parked.
    pub parked: u64,
    /// The pause that kept it from being swept.
    pub paused: Option<PausedScope>,
    /// Why the walk was cut short.
    pub error: Option<String>,
}

/// What became of one candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemView {
    /// The game.
    pub game_id: String,
    /// Its tenant.
    pub tenant: String,
    /// Its engine.
    pub engine: String,
    /// Its container.
    pub container_id: Option<String>,
    /// When it stopped.
    pub stopped_at: Option<String>,
    /// What became of it.
    pub decision: String,
    /// Why.
    pub reason: String,
}

pub(super) async fn sweep(
    app: &App,
    dry_run: bool,
    engine: Option<EngineName>,
    operator: &Caller,
    json: bool,
) -> Result<Answer, Error> {
    if let Some(engine) = engine.as_ref().filter(|engine| !app.ports.engines.contains_key(*engine)) {
        return Err(Error::Usage(format!("engine {engine} is not configured")));
    }
    if !dry_run && let Err(error) = app.recovery.run().await {
        tracing::warn!(%error, "runs that hosts left behind were not looked for");
    }
    let reconciled = if dry_run { None } else { Some(reconcile(app, engine.as_ref(), Extent::Slice).await) };
    let outdated = outdated(reconciled.as_deref().unwrap_or_default());
    let progress = progress(!json);
    let items = Arc::new(Mutex::new(Vec::new()));
    let (seen, bar) = (items.clone(), progress.clone());
    let observer: Observer = Arc::new(move |item: &SweepItem| {
        bar.inc(1);
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(ItemView::from(item));
    });
    let report = order(app, SweepRequest { dry_run, engine, outdated }, observer, operator).await?;
    progress.finish_and_clear();
    let items = std::mem::take(&mut *items.lock().unwrap_or_else(PoisonError::into_inner));
    let view = SweepView { reconciled, ..SweepView::new(dry_run, &report, items) };
    let status = view.status();
    Ok(Answer { text: if json { render::json(&view)? } else { render::sweep_text(&view) }, status })
}

/// A dry run does nothing that would have to be recorded.
async fn order(app: &App, asked: SweepRequest, observer: Observer, operator: &Caller) -> Result<SweepReport, Error> {
    let sweeper = app.sweeper.clone();
    if asked.dry_run {
        return Ok(sweeper.sweep(&asked, observer).await?);
    }
    let subject = asked.engine.as_ref().map_or_else(|| "all engines".to_owned(), |engine| format!("engine {engine}"));
    let sweeping = async move { Ok::<_, orders::Error>(sweeper.sweep(&asked, observer).await?) };
    Ok(app.trail.audited(operator, Deed::new("sweeper.sweep", subject), sweeping).await?)
}

fn progress(wanted: bool) -> ProgressBar {
    if !wanted || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} candidates dealt with in {elapsed} ({per_sec})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}

impl SweepView {
    /// The view of a report and of what was observed, by game.
    pub fn new(dry_run: bool, report: &SweepReport, mut items: Vec<ItemView>) -> Self {
        items.sort_by(|a, b| (&a.engine, &a.stopped_at, &a.game_id).cmp(&(&b.engine, &b.stopped_at, &b.game_id)));
        let engines = report.engines.iter().map(|(name, report)| EngineView::new(name, report)).collect();
        Self { dry_run, paused: report.paused.as_ref().map(PausedScope::from), reconciled: None, engines, items }
    }

    fn status(&self) -> u8 {
        let cut_short = self.engines.iter().any(|engine| engine.error.is_some());
        let failed = self.engines.iter().any(|engine| engine.failed + engine.parked > 0);
        let paused = self.paused.is_some() || self.engines.iter().any(|engine| engine.paused.is_some());
        let unreconciled = self.reconciled.iter().flatten().any(|engine| engine.error.is_some());
        match (cut_short, failed, paused, unreconciled) {
            // An order, and the whole reason why nothing was done.
            _ if self.paused.is_some() => 4,
            (true, _, _, _) => 3,
            (_, true, _, _) => 1,
            (_, _, true, _) => 4,
            (_, _, _, true) => 3,
            _ => 0,
        }
    }
}

impl EngineView {
    fn new(name: &EngineName, report: &EngineReport) -> Self {
        Self {
            engine: name.to_string(),
            due: report.census.due,
            not_removed: report.census.not_removed,
            removed: report.removed,
            would_remove: report.would_remove,
            kept: report.kept,
            failed: report.failed,
            parked: report.parked,
            paused: report.paused.as_ref().map(PausedScope::from),
            error: report.error.clone(),
        }
    }
}

impl From<&SweepItem> for ItemView {
    fn from(item: &SweepItem) -> Self {
        let decision = match item.decision {
            Decision::Removed => "removed",
            Decision::WouldRemove => "would remove",
            Decision::Kept => "kept",
            Decision::Held => "held",
            Decision::Paused => "paused",
            Decision::Busy => "busy",
            Decision::Failed => "failed",
            Decision::Parked => "parked",
        };
        Self {
            game_id: item.game_id.to_string(),
            tenant: item.tenant.to_string(),
            engine: item.engine.to_string(),
            container_id: item.container_id.as_ref().map(ToString::to_string),
            stopped_at: item.stopped_at.map(|at| at.to_string()),
            decision: decision.to_owned(),
            reason: item.reason.clone(),
        }
    }
}
