//! What was seen of a scenario's steps.

use crate::model::{ErrorCode, Fault, LoggedOperation, Outcome, Timestamp};
use crate::session::{Ending, Rule};

/// One call of the policy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub call: &'static str,
    /// About what, in a few words.
    pub about: String,
    /// What the policy was answered; none if it never was.
    pub answer: Option<String>,
    /// What went wrong, and what others did meanwhile.
    pub notes: Vec<String>,
    /// Since the scenario began, in milliseconds.
    pub at_ms: u64,
}

/// What is noted while a step is under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Noted {
    pub(super) calls: Vec<Made>,
    /// Level and line.
    pub(super) logs: Vec<(&'static str, String)>,
    pub(super) ending: Ending,
    pub(super) denied: Vec<Rule>,
    /// What the policy did against the rules.
    pub(super) wrongs: Vec<String>,
    /// Whether the run was kept waiting by what goes wrong.
    pub(super) delayed: bool,
    /// What went wrong, by its place among the step's faults.
    pub(super) felt: Vec<usize>,
    /// What was noted outside of the policy's calls.
    pub(super) notes: Vec<String>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// No policy ran in it.
    Done,
    /// The policy says that it is due; nothing was asked beyond that.
    Due,
    /// It is to be kept until then.
    WaitUntil(Timestamp),
    /// It is to be kept, for this reason.
    Keep(String),
    /// The review failed.
    ReviewFault(Fault),
    /// It was due, and another operation had it, or nobody could lease it.
    Busy(String),
    /// It was handled.
    Handled {
        /// How it ended.
        outcome: Outcome,
        /// Why.
        error_code: Option<ErrorCode>,
        /// The same for people.
        message: Option<String>,
    },
    /// The host died.
    Crashed,
}

/// One step as it was.
#[derive(Debug, Clone)]
pub struct StepSeen {
    /// What it was, such as `cleanup game-1`.
    pub title: String,
    /// The line of the file at which it stands.
    pub line: usize,
    /// When it began, by the wall clock.
    pub began_at: Timestamp,
    /// How it ended.
    pub end: End,
    /// The policy's calls.
    pub calls: Vec<Made>,
    /// What it logged: level and line.
    pub logs: Vec<(&'static str, String)>,
    /// What it used up, and where it trapped.
    pub ending: Ending,
    /// The rules that refused its calls.
    pub denied: Vec<Rule>,
    /// What it did against the rules.
    pub wrongs: Vec<String>,
    /// The entries that were written in it.
    pub entries: Vec<LoggedOperation>,
    /// What happened beside the policy's calls.
    pub notes: Vec<String>,
    /// Faults that were planned for it and did not happen.
    pub missed: Vec<String>,
    /// What it took, by the scenario's clock, in milliseconds.
    pub took_ms: u64,
}
