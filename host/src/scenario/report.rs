//! What scenarios came to, as it is shown.

use serde::Serialize;

use super::judge::Mismatch;
use super::seen::{End, Made, StepSeen};
use super::story::Scenario;
use crate::model::OperationEntry;
use crate::session::Frame;
use crate::simulation::Breach;

/// One scenario that was played.
#[derive(Debug, Clone, Serialize)]
pub struct ScenarioReport {
    /// Where it comes from.
    pub file: String,
    /// What it is called.
    pub name: String,
    /// Why it is there.
    pub about: Option<String>,
    /// The line at which it begins.
    pub line: usize,
    /// Whether all is as it was expected.
    pub passed: bool,
    /// What is not.
    pub mismatches: Vec<Mismatch>,
    /// What happened; empty for a history of the simulation.
    pub steps: Vec<StepReport>,
    /// What happened in a history, line by line; none for a story.
    pub timeline: Option<String>,
    /// What it took, in milliseconds.
    pub took_ms: f64,
}

/// One step as it was.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// The line at which it stands.
    pub line: usize,
    /// What it was.
    pub title: String,
    /// How it ended.
    pub ended: String,
    /// The policy's calls, in order.
    pub calls: Vec<CallView>,
    /// What the policy logged.
    pub logs: Vec<String>,
    /// The rules that refused its calls.
    pub denied: Vec<&'static str>,
    /// What it did against the rules.
    pub wrongs: Vec<String>,
    /// The entries that it wrote, or that were written for it.
    pub entries: Vec<String>,
    /// What happened beside its calls.
    pub notes: Vec<String>,
    /// Faults that were planned and did not happen.
    pub missed_faults: Vec<String>,
    /// The functions in which it trapped, the innermost first.
    pub backtrace: Vec<String>,
    /// Units of fuel that it used, about an instruction each.
    pub fuel: Option<u64>,
    /// Linear memory at its largest.
    pub memory_bytes: u64,
    /// What it took by the scenario's clock, in milliseconds.
    pub took_ms: u64,
}

/// One call.
#[derive(Debug, Clone, Serialize)]
pub struct CallView {
    /// Since the scenario began, in milliseconds.
    pub at_ms: u64,
    /// Interface and function.
    pub call: &'static str,
    /// About what.
    pub about: String,
    /// What the policy was answered; none if it never was.
    pub answer: Option<String>,
    /// What went wrong, and what others did meanwhile.
    pub notes: Vec<String>,
}

impl ScenarioReport {
    pub(super) fn of_story(file: &str, scenario: &Scenario, mismatches: Vec<Mismatch>, steps: &[StepSeen]) -> Self {
        Self { steps: steps.iter().map(StepReport::from).collect(), ..Self::new(file, scenario, mismatches) }
    }

    pub(super) fn of_plan(file: &str, scenario: &Scenario, timeline: String, breaches: &[Breach]) -> Self {
        let mismatch = |breach: &Breach| Mismatch {
            line: scenario.line,
            step: None,
            key: "rule".to_owned(),
            expected: breach.invariant.sentence().to_owned(),
            got: breach.what.clone(),
            diff: Vec::new(),
        };
        let mut mismatches: Vec<Mismatch> = breaches.iter().map(mismatch).collect();
        // One that is broken time after time is told once.
        mismatches.dedup();
        Self { timeline: Some(timeline), ..Self::new(file, scenario, mismatches) }
    }

    fn new(file: &str, scenario: &Scenario, mismatches: Vec<Mismatch>) -> Self {
        Self {
            file: file.to_owned(),
            name: scenario.name.clone(),
            about: scenario.about.clone(),
            line: scenario.line,
            passed: mismatches.is_empty(),
            mismatches,
            steps: Vec::new(),
            timeline: None,
            took_ms: 0.0,
        }
    }
}

impl From<&StepSeen> for StepReport {
    fn from(seen: &StepSeen) -> Self {
        Self {
            line: seen.line,
            title: seen.title.clone(),
            ended: ended(&seen.end),
            calls: seen.calls.iter().map(CallView::from).collect(),
            logs: seen.logs.iter().map(|(level, line)| format!("{level}: {line}")).collect(),
            denied: seen.denied.iter().map(|rule| rule.as_str()).collect(),
            wrongs: wrongs(seen),
            entries: seen.entries.iter().map(|logged| account(&logged.entry)).collect(),
            notes: seen.notes.clone(),
            missed_faults: seen.missed.clone(),
            backtrace: seen.ending.frames.iter().map(function).collect(),
            fuel: seen.ending.fuel,
            memory_bytes: seen.ending.memory_bytes,
            took_ms: seen.took_ms,
        }
    }
}

impl From<&Made> for CallView {
    fn from(Made { call, about, answer, notes, at_ms }: &Made) -> Self {
        Self { at_ms: *at_ms, call, about: about.clone(), answer: answer.clone(), notes: notes.clone() }
    }
}

/// A review that fails is the policy's fault, whatever it was asked for.
fn wrongs(seen: &StepSeen) -> Vec<String> {
    match &seen.end {
        End::ReviewFault(fault) if seen.wrongs.is_empty() => vec![format!("{}: {}", fault.code, fault.message)],
        _ => seen.wrongs.clone(),
    }
}

fn ended(end: &End) -> String {
    match end {
        End::Done => "done".to_owned(),
        End::Due => "due".to_owned(),
        End::WaitUntil(at) => format!("wait until {at}"),
        End::Keep(reason) => format!("keep: {reason}"),
        End::ReviewFault(fault) => format!("fault {}: {}", fault.code, fault.message),
        End::Busy(why) => format!("busy: {why}"),
        End::Crashed => "the host died".to_owned(),
        End::Handled { outcome, error_code, message } => {
            let code = error_code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
            let message = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            format!("{}{code}{message}", outcome.as_str())
        }
    }
}

fn account(entry: &OperationEntry) -> String {
    let code = entry.error_code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
    let message = entry.error_message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    let fault = entry.fault.as_ref().map(|fault| format!(" (fault {})", fault.code)).unwrap_or_default();
    format!("{}{code}{message}, by {}{fault}", entry.outcome.as_str(), entry.author.as_str())
}

fn function(frame: &Frame) -> String {
    let name = frame.function.as_deref().unwrap_or("a function without a name");
    match (&frame.module, frame.offset) {
        (Some(module), Some(offset)) => format!("{name} ({module}+{offset:#x})"),
        (None, Some(offset)) => format!("{name} (+{offset:#x})"),
        _ => name.to_owned(),
    }
}
