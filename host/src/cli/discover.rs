//! Discovery on all engines, before a sweep and at its own pace.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;

use crate::app::App;
use crate::discovery::{Discovery, DiscoveryError, DiscoveryReport, Finding};
use crate::model::{EngineName, bounded_text};

/// No sweep waits longer for engines to be looked at. What a pass has done by then stands, and the next pass goes on;
/// its engine is not swept meanwhile, so this is ample even for many thousands of containers.
const PATIENCE: Duration = Duration::from_secs(300);
const REASON: usize = 1024;

/// What discovery did and found on one engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiscoveryView {
    /// Which.
    pub engine: String,
    /// Records that it made, or began anew.
    pub registered: usize,
    /// Records that it changed.
    pub refreshed: usize,
    /// Containers that it left alone since something contradicts them.
    pub conflicts: Vec<FindingView>,
    /// Containers of ours whose labels, state or record cannot be used, that the engine cannot describe, or that only
    /// their image makes ours.
    pub invalid: Vec<FindingView>,
    /// Why it did not come to its end.
    pub error: Option<String>,
}

/// What discovery has to say about a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingView {
    /// The container.
    pub container_id: String,
    /// The game that it claims, if that is a valid one.
    pub game_id: Option<String>,
    /// What is the matter.
    pub reason: String,
}

/// Looks at all engines, or at one. Side by side, so that a slow or failing engine holds up no other.
pub(super) async fn discover(app: &App, only: Option<&EngineName>) -> Vec<DiscoveryView> {
    let wanted = app.discoveries.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    join_all(wanted.map(|(name, discovery)| on_engine(name, discovery))).await
}

/// Engines whose pass did not come to its end, and why: what their records say may be outdated, so no sweep goes by it.
pub(super) fn outdated(views: &[DiscoveryView]) -> BTreeMap<EngineName, String> {
    let failed = views.iter().filter_map(|view| Some((view.engine.parse().ok()?, view.error.as_deref()?)));
    failed.map(|(engine, error)| (engine, format!("its containers were not discovered: {error}"))).collect()
}

async fn on_engine(name: &EngineName, discovery: &Discovery) -> DiscoveryView {
    match tokio::time::timeout(PATIENCE, discovery.run()).await {
        Ok(Ok(report)) => DiscoveryView::new(name, &report),
        Ok(Err(error)) => {
            let cause = chain(&error);
            tracing::warn!(engine = %name, error = cause, "an engine's containers were not discovered");
            DiscoveryView::failed(name, &cause)
        }
        Err(_) => {
            tracing::warn!(engine = %name, after = ?PATIENCE, "discovery was cut short");
            DiscoveryView::failed(name, "the engine did not describe its containers in time")
        }
    }
}

fn chain(error: &DiscoveryError) -> String {
    let error: &dyn std::error::Error = error;
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl DiscoveryView {
    fn new(engine: &EngineName, report: &DiscoveryReport) -> Self {
        Self {
            engine: engine.to_string(),
            registered: report.registered.len(),
            refreshed: report.refreshed.len(),
            conflicts: report.conflicts.iter().map(FindingView::from).collect(),
            invalid: report.invalid.iter().map(FindingView::from).collect(),
            error: None,
        }
    }

    fn failed(engine: &EngineName, error: &str) -> Self {
        let error = Some(bounded_text(error, REASON));
        Self { error, ..Self::new(engine, &DiscoveryReport::default()) }
    }

    /// For people: nothing, if there is nothing to tell.
    pub(super) fn text(&self) -> String {
        let Self { engine, registered, refreshed, .. } = self;
        let mut lines = Vec::new();
        if registered + refreshed > 0 {
            lines.push(format!("{engine}: discovery made {registered} records and refreshed {refreshed}\n"));
        }
        lines.extend(self.conflicts.iter().chain(&self.invalid).map(|finding| {
            let container: String = finding.container_id.chars().take(12).collect();
            format!("{engine}: container {container} is left alone: {}\n", bounded_text(&finding.reason, REASON))
        }));
        lines.extend(self.error.iter().map(|error| format!("{engine}: {error}\n")));
        lines.concat()
    }
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        Self {
            container_id: finding.container.to_string(),
            game_id: finding.game.as_ref().map(ToString::to_string),
            reason: finding.reason.clone(),
        }
    }
}
