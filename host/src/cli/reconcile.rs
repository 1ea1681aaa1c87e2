//! Passes over the records of all engines: before a sweep, and on their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use super::{Answer, Error, render};
use crate::access::{Caller, Deed, Failure, Unrecorded};
use crate::app::App;
use crate::model::EngineName;
use crate::orders;
use crate::reconciler::Reconciler;
use crate::views::Reconciliation;

/// How many records a pass looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Some: the next pass of this process goes on.
    Slice,
    /// All.
    Whole,
}

/// One pass over everything, and what it found.
pub(super) async fn run(
    app: &App,
    engine: Option<&EngineName>,
    operator: &Caller,
    json: bool,
) -> Result<Answer, Error> {
    if let Some(engine) = engine.filter(|engine| !app.reconcilers.contains_key(*engine)) {
        return Err(Error::Usage(format!("engine {engine} is not configured")));
    }
    let subject = engine.map_or_else(|| "all engines".to_owned(), |engine| format!("engine {engine}"));
    let wanted = wanted(app, engine);
    let looking = async move {
        let engines =
            join_all(wanted.iter().map(|(name, reconciler)| on_engine(name, reconciler, Extent::Whole))).await;
        let is_whole = engines.iter().all(|engine| engine.error.is_none());
        if is_whole { Ok(engines) } else { Err(Incomplete::Engines(engines)) }
    };
    let (engines, status) = match app.trail.audited(operator, Deed::new("reconciler.run", subject), looking).await {
        Ok(engines) => (engines, 0),
        Err(Incomplete::Engines(engines)) => (engines, 3),
        Err(Incomplete::Unrecorded(error)) => return Err(orders::Error::from(error).into()),
    };
    Ok(Answer { text: if json { render::json(&engines)? } else { render::reconciliation_text(&engines) }, status })
}

/// Looks at all engines, or at one. Side by side, so that a slow or failing engine holds up no other.
pub(super) async fn reconcile(app: &App, only: Option<&EngineName>, extent: Extent) -> Vec<Reconciliation> {
    let wanted = wanted(app, only);
    join_all(wanted.iter().map(|(name, reconciler)| on_engine(name, reconciler, extent))).await
}

fn wanted(app: &App, only: Option<&EngineName>) -> Vec<(EngineName, Arc<Reconciler>)> {
    let wanted = app.reconcilers.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    wanted.map(|(name, reconciler)| (name.clone(), reconciler.clone())).collect()
}

/// Passes that did not all come to their end, or were never begun.
enum Incomplete {
    Unrecorded(Unrecorded),
    Engines(Vec<Reconciliation>),
}

impl From<Unrecorded> for Incomplete {
    fn from(error: Unrecorded) -> Self {
        Self::Unrecorded(error)
    }
}

impl Failure for Incomplete {
    fn code(&self) -> &str {
        "service_unavailable"
    }
}

/// Engines whose pass did not come to its end, and why: what their records say may be outdated, so no sweep goes by it.
pub(super) fn outdated(engines: &[Reconciliation]) -> BTreeMap<EngineName, String> {
    let failed = engines.iter().filter_map(|view| Some((view.engine.parse().ok()?, view.error.as_deref()?)));
    failed.map(|(engine, error)| (engine, format!("its records were not reconciled: {error}"))).collect()
}

async fn on_engine(name: &EngineName, reconciler: &Reconciler, extent: Extent) -> Reconciliation {
    let passed = match extent {
        Extent::Slice => reconciler.run().await,
        Extent::Whole => reconciler.run_whole().await,
    };
    match passed {
        Ok(report) => Reconciliation::found(name, &report),
        Err(error) => Reconciliation::failed(name, &error),
    }
}
