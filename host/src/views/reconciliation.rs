//! What a pass over an engine's records found.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{EngineName, bounded_text};
use crate::reconciler::{self, Finding, Report, Standing};

/// Findings of one kind that are shown; there may be many thousands.
const SHOWN: usize = 200;
const REASON: usize = 1024;

/// What a pass over one engine did and found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reconciliation {
    /// The engine.
    pub engine: String,
    /// When the pass ended that this is of; null if none came to its end.
    pub at: Option<String>,
    /// Records that it made, or began anew.
    pub registered: usize,
    /// Records that it changed.
    pub refreshed: usize,
    /// Stopped records whose container had vanished, and that say `removed` now.
    pub closed: usize,
    /// Containers that it left alone since something contradicts them.
    pub conflicts: Vec<ContainerFinding>,
    /// Containers of ours whose labels, state or record cannot be used, that the engine cannot describe, or that only
    /// their image makes ours.
    pub invalid: Vec<ContainerFinding>,
    /// What has no counterpart: `running_container`, `stopped_container`, `running_record`, `stopped_record`.
    pub orphans: Vec<OrphanKind>,
    /// Why records were left as they are, where that has one reason for many.
    pub notes: Vec<String>,
    /// Why the last pass did not come to its end; what is above is then of an earlier one, or of none.
    pub error: Option<String>,
}

/// Orphans of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrphanKind {
    /// Which.
    pub kind: String,
    /// How many there are. 10,000 records may be more.
    pub count: usize,
    /// The first 200.
    pub items: Vec<ContainerFinding>,
}

/// What is to be said about a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ContainerFinding {
    /// The container.
    pub container_id: String,
    /// The game that it claims or is recorded for, if that is a valid one.
    pub game_id: Option<String>,
    /// What is the matter.
    pub reason: String,
}

impl Reconciliation {
    /// What was found, by the last pass that came to its end, and why the last did not.
    pub fn of(engine: &EngineName, standing: &Standing) -> Self {
        let error = standing.failure.as_ref().map(|(_, why)| bounded_text(why, REASON));
        match &standing.findings {
            Some((at, report)) => Self { at: Some(at.to_string()), error, ..Self::found(engine, report) },
            None => Self { engine: engine.to_string(), error, ..Self::default() },
        }
    }

    /// What a pass found.
    pub fn found(engine: &EngineName, report: &Report) -> Self {
        let some = |findings: &[Finding]| findings.iter().map(ContainerFinding::from).collect();
        let shown = |findings: &[Finding]| some(findings.get(..SHOWN).unwrap_or(findings));
        let kind = |(kind, found): (&str, &[Finding])| OrphanKind {
            kind: kind.to_owned(),
            count: found.len(),
            items: shown(found),
        };
        Self {
            engine: engine.to_string(),
            at: None,
            registered: report.registered.len(),
            refreshed: report.refreshed.len(),
            closed: report.closed.len(),
            conflicts: some(&report.conflicts),
            invalid: some(&report.invalid),
            orphans: report.orphans.by_kind().map(kind).into(),
            notes: report.left_open.iter().chain(&report.unread).cloned().collect(),
            error: None,
        }
    }

    /// A pass that did not come to its end: whatever was found before is not of it.
    pub fn failed(engine: &EngineName, error: &reconciler::Error) -> Self {
        Self { engine: engine.to_string(), error: Some(bounded_text(&error.with_causes(), REASON)), ..Self::default() }
    }
}

impl From<&Finding> for ContainerFinding {
    fn from(finding: &Finding) -> Self {
        Self {
            container_id: finding.container.to_string(),
            game_id: finding.game.as_ref().map(ToString::to_string),
            reason: bounded_text(&finding.reason, REASON),
        }
    }
}
