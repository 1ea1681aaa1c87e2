//! What happened in a run, call by call, from its journal.

use serde::Serialize;
use utoipa::ToSchema;

use super::words;
use crate::config::show_span;
use crate::model::{Exchange, PolicyWord, RunJournal, RunPhase, SettledRun, bounded_text};
use std::time::Duration;

/// A run as it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RunStory {
    /// How it ended, in a sentence.
    pub summary: String,
    /// The run.
    pub run_id: String,
    /// Its game, as received.
    pub game_id: String,
    /// Whose game it is, if known.
    pub tenant: Option<String>,
    /// Who asked.
    pub op_source: String,
    /// When it was asked for.
    pub started_at: String,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// The policy generation that ran.
    pub policy_generation: String,
    /// The SHA-256 of its component.
    pub policy_digest: String,
    /// Whether it began with a review by the sweeper.
    pub reviewed: bool,
    /// What the policy did, in order.
    pub steps: Vec<RunStep>,
    /// Calls after these, of which no account was kept.
    pub omitted: u64,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RunStep {
    /// When, in microseconds since the run's start.
    pub at_us: u64,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// What the policy was being asked: `review` (when) or `handle` (how).
    pub phase: String,
    /// The function of the contract.
    pub call: String,
    /// What was asked and answered, in words.
    pub said: String,
    /// The rule that forbade it; null if none did.
    pub rule: Option<String>,
}

/// The story of a run.
impl From<&RunJournal> for RunStory {
    fn from(journal: &RunJournal) -> Self {
        Self {
            summary: summary(journal),
            run_id: journal.run_id.to_string(),
            game_id: journal.request.game_id.clone(),
            tenant: journal.tenant.as_ref().map(ToString::to_string),
            op_source: journal.request.op_source.clone(),
            started_at: journal.started_at.to_string(),
            took_us: journal.end.after_us,
            policy_generation: journal.generation.to_string(),
            policy_digest: journal.digest.to_string(),
            reviewed: journal.offered.is_some(),
            steps: journal.exchanges.iter().map(RunStep::from).collect(),
            omitted: journal.omitted,
        }
    }
}

impl From<&Exchange> for RunStep {
    fn from(exchange: &Exchange) -> Self {
        let phase = match exchange.phase {
            RunPhase::Review => "review",
            RunPhase::Handle => "handle",
        };
        Self {
            at_us: exchange.at_us,
            took_us: exchange.took_us,
            phase: phase.to_owned(),
            call: exchange.call.name().to_owned(),
            said: words::said(exchange),
            rule: words::rule_of(exchange).map(str::to_owned),
        }
    }
}

fn summary(journal: &RunJournal) -> String {
    let end = &journal.end;
    let removed = match &end.removed_container {
        Some(id) => format!(" Container {} was removed by this run.", words::short(id.as_str())),
        None => String::new(),
    };
    let told = match (&end.settled, &end.word) {
        (Some(settled), word) => settled_words(settled, word),
        (None, PolicyWord::Due) => "The policy says that it is due; this was a dry run.".to_owned(),
        (None, PolicyWord::WaitUntil(at)) => format!("The policy has it wait until {at}."),
        (None, PolicyWord::Keep(reason)) => format!("The policy keeps it: {reason}."),
        (None, PolicyWord::Fault { code, message }) => {
            format!("The review failed ({code}): {message}. What cannot be reviewed is kept.")
        }
        (None, PolicyWord::Verdict { outcome, .. }) => format!("The policy says: {}.", outcome.as_str()),
    };
    let rule = journal.exchanges.iter().rev().find_map(words::rule_of);
    let rule = rule.map_or_else(String::new, |rule| format!(" Refused by rule {rule}: {}.", words::rule(rule)));
    let took = show_span(Duration::from_micros(journal.end.after_us).max(Duration::from_millis(1)));
    bounded_text(&format!("{told}{rule}{removed} It took {took}."), 2048)
}

fn settled_words(settled: &SettledRun, word: &PolicyWord) -> String {
    let message = match word {
        PolicyWord::Verdict { message: Some(message), .. } | PolicyWord::Fault { message, .. } => {
            format!(": {message}")
        }
        _ => String::new(),
    };
    let code = settled.error_code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    match &settled.fault {
        Some(_) => format!("The host ended it as a failure{code}{message}."),
        None => format!("The policy ended it as a {}{code}{message}.", settled.outcome.as_str()),
    }
}
