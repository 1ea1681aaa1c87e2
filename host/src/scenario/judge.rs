//! Compares what a scenario came to with what is expected. Only what is named is looked at.

use serde::Serialize;
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::form::{AdviceWord, EntryForm, EntryTable, Expect, LeaseWord, OutcomeWord};
use super::pattern;
use super::play::{Played, Standing};
use super::seen::{End, StepSeen};
use super::story::Story;
use crate::config::show_span;
use crate::model::{ContainerId, OperationEntry, Outcome, Timestamp};

/// Something that is not as it was expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// The line of the file at which the step, or the end, stands.
    pub line: usize,
    /// The step, from 1; none for the end and for a history.
    pub step: Option<usize>,
    /// What it is about: the key.
    pub key: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub got: String,
    /// How two lists differ, line by line; empty for what is no list.
    pub diff: Vec<String>,
}

/// What is named where nothing is.
const NONE: &str = "none";
const GONE: &str = "gone";

/// What does not fit.
pub(super) fn judge(story: &Story, played: &Played) -> Vec<Mismatch> {
    let mut all = Vec::new();
    for (index, step) in story.steps.iter().enumerate() {
        let Some(seen) = played.steps.get(index) else { continue };
        let mut judge = Judge { line: step.line, step: Some(index.saturating_add(1)), found: Vec::new() };
        judge.end(&step.expect, &seen.end, seen.began_at);
        judge.calls(&step.expect, seen);
        judge.remarks(&step.expect, seen);
        let game = step.act.game();
        let own = game.as_ref().and_then(|game| played.world.containers.get(game));
        judge.entry(step.expect.entry.as_ref(), seen, own);
        if let Some(standing) = played.after.get(index).and_then(Option::as_ref) {
            let Expect { record, container, lease, entries, .. } = &step.expect;
            judge.standing("", standing, record.as_deref(), container.as_deref(), *lease, *entries);
        }
        all.append(&mut judge.found);
    }
    for ((line, end), standing) in story.ends.iter().zip(&played.ends) {
        let mut judge = Judge { line: *line, step: None, found: Vec::new() };
        let of = format!(" of {}", end.game);
        judge.standing(&of, standing, end.record.as_deref(), end.container.as_deref(), end.lease, end.entries);
        all.append(&mut judge.found);
    }
    all
}

struct Judge {
    line: usize,
    step: Option<usize>,
    found: Vec<Mismatch>,
}

impl Judge {
    fn differs(&mut self, key: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) {
        let (line, step) = (self.line, self.step);
        let (key, expected, got) = (key.into(), expected.into(), got.into());
        self.found.push(Mismatch { line, step, key, expected, got, diff: Vec::new() });
    }

    /// A text that is expected, if one is, against what is there, if something is.
    fn same(&mut self, key: &str, expected: Option<&str>, got: Option<&str>) {
        let Some(expected) = expected else { return };
        let got = got.unwrap_or(NONE);
        if expected != got {
            self.differs(key, expected, got);
        }
    }

    fn fits(&mut self, key: &str, expected: Option<&str>, got: Option<&str>) {
        let Some(expected) = expected else { return };
        if !got.is_some_and(|got| pattern::matches(expected, got)) {
            self.differs(key, format!("{expected:?}"), got.map_or_else(|| NONE.to_owned(), |got| format!("{got:?}")));
        }
    }

    fn end(&mut self, expect: &Expect, end: &End, began_at: Timestamp) {
        self.same("advice", expect.advice.map(advice_word), Some(advice(end)));
        self.same("outcome", expect.outcome.map(outcome_word), Some(outcome(end)));
        let reason = match end {
            End::Keep(reason) => Some(reason.as_str()),
            End::ReviewFault(fault) => Some(fault.message.as_str()),
            _ => None,
        };
        self.fits("reason", expect.reason.as_deref(), reason);
        let waits = match end {
            End::WaitUntil(at) => Some(at.to_string()),
            _ => None,
        };
        let until = expect.wait_until.as_ref().map(|at| at.0.to_string());
        self.same("wait_until", until.as_deref(), waits.as_deref());
        let span = match end {
            End::WaitUntil(at) => Some(show_span(at.since(began_at))),
            _ => None,
        };
        self.same("waits", expect.waits.map(|span| show_span(span.0)).as_deref(), span.as_deref());
        let (code, message) = match end {
            End::Handled { error_code, message, .. } => (error_code.as_ref(), message.as_deref()),
            End::ReviewFault(fault) => (Some(&fault.code), Some(fault.message.as_str())),
            End::Busy(why) => (None, Some(why.as_str())),
            _ => (None, None),
        };
        self.same("error_code", expect.error_code.as_deref(), code.map(|code| code.as_str()));
        self.fits("message", expect.message.as_deref(), message);
    }

    fn calls(&mut self, expect: &Expect, seen: &StepSeen) {
        let made: Vec<&str> = seen.calls.iter().map(|made| made.call).collect();
        if let Some(expected) = &expect.calls {
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            self.list("calls", &expected, &made);
        }
        if let Some(expected) = &expect.calls_in_order {
            let mut rest = made.iter();
            let missing = expected.iter().find(|name| !rest.any(|made| made == name));
            if missing.is_some() {
                let diff = diff(&expected.iter().map(String::as_str).collect::<Vec<_>>(), &made);
                self.differs("calls_in_order", expected.join(", "), made.join(", "));
                self.found.last_mut().into_iter().for_each(|last| last.diff.clone_from(&diff));
            }
        }
        for name in &expect.never {
            let times = made.iter().filter(|made| *made == name).count();
            if times > 0 {
                self.differs("never", format!("no {name}"), format!("{times} of them"));
            }
        }
        if let Some(expected) = &expect.denied {
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            let denied: Vec<&str> = seen.denied.iter().map(|rule| rule.as_str()).collect();
            self.list("denied", &expected, &denied);
        }
    }

    fn list(&mut self, key: &str, expected: &[&str], got: &[&str]) {
        if expected == got {
            return;
        }
        self.differs(key, listed(expected), listed(got));
        let diff = diff(expected, got);
        self.found.last_mut().into_iter().for_each(|last| last.diff.clone_from(&diff));
    }

    fn remarks(&mut self, expect: &Expect, seen: &StepSeen) {
        for expected in &expect.logs {
            let lines: Vec<&str> = seen.logs.iter().map(|(_, line)| line.as_str()).collect();
            if !lines.iter().any(|line| pattern::matches(expected, line)) {
                self.differs("logs", format!("a line {expected:?}"), format!("{lines:?}"));
            }
        }
        if expect.keeps_rules == Some(true) {
            for wrong in &seen.wrongs {
                self.differs("keeps_rules", "the rules kept", wrong.as_str());
            }
            let policys = seen.entries.iter().filter(|logged| logged.entry.author == crate::model::Author::Policy);
            if matches!(seen.end, End::Handled { .. }) && seen.wrongs.is_empty() && policys.count() > 1 {
                self.differs("keeps_rules", "one entry", format!("{} of them", seen.entries.len()));
            }
            if let End::ReviewFault(fault) = &seen.end
                && seen.wrongs.is_empty()
            {
                self.differs("keeps_rules", "the rules kept", format!("{}: {}", fault.code, fault.message));
            }
        } else if expect.keeps_rules == Some(false) && seen.wrongs.is_empty() {
            self.differs("keeps_rules", "a rule broken", "the rules kept");
        }
    }

    fn entry(&mut self, expect: Option<&EntryForm>, seen: &StepSeen, own: Option<&ContainerId>) {
        let last = seen.entries.last().map(|logged| &logged.entry);
        match (expect, last) {
            (None, _) | (Some(EntryForm::None), None) => {}
            (Some(EntryForm::None), Some(entry)) => self.differs("entry", NONE, described(entry)),
            (Some(EntryForm::Says(_)), None) => self.differs("entry", "an entry", NONE),
            (Some(EntryForm::Says(expect)), Some(entry)) => self.says(expect, entry, own),
        }
    }

    fn says(&mut self, expect: &EntryTable, entry: &OperationEntry, own: Option<&ContainerId>) {
        let code = entry.error_code.as_ref().map(|code| code.as_str());
        self.same("entry.outcome", expect.outcome.map(outcome_word), Some(entry.outcome.as_str()));
        self.same("entry.error_code", expect.error_code.as_deref(), code);
        self.fits("entry.message", expect.message.as_deref(), entry.error_message.as_deref());
        self.same("entry.author", expect.author.as_deref(), Some(entry.author.as_str()));
        let fault = entry.fault.as_ref().map(|fault| fault.code.as_str());
        self.same("entry.fault", expect.fault.as_deref(), fault);
        let container = match &entry.container_id {
            Some(id) if Some(id) == own && expect.container.as_deref() == Some("own") => Some("own"),
            other => other.as_ref().map(ContainerId::as_str),
        };
        self.same("entry.container", expect.container.as_deref(), container);
        self.same("entry.image", expect.image.as_deref(), entry.image_ref.as_deref());
    }

    fn standing(
        &mut self,
        of: &str,
        got: &Standing,
        record: Option<&str>,
        container: Option<&str>,
        lease: Option<LeaseWord>,
        entries: Option<usize>,
    ) {
        self.same(&format!("record{of}"), record, got.record.as_deref());
        self.same(&format!("container{of}"), container, Some(got.container.as_deref().unwrap_or(GONE)));
        let word = |held: bool| if held { "held" } else { "free" };
        let expected = lease.map(|lease| word(lease == LeaseWord::Held));
        self.same(&format!("lease{of}"), expected, Some(word(got.lease_is_held)));
        let (expected, got) = (entries.map(|count| count.to_string()), got.entries.to_string());
        self.same(&format!("entries{of}"), expected.as_deref(), Some(&got));
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { NONE.to_owned() } else { names.join(", ") }
}

/// Line by line: `-` was expected and is not there, `+` is there and was not expected.
fn diff(expected: &[&str], got: &[&str]) -> Vec<String> {
    let marked = |mark: char, names: Option<&[&str]>| -> Vec<String> {
        names.unwrap_or_default().iter().map(|name| format!("{mark} {name}")).collect()
    };
    let lines = capture_diff_slices(Algorithm::Myers, expected, got).into_iter().flat_map(|op| match op {
        DiffOp::Equal { old_index, len, .. } => marked(' ', expected.get(old_index..old_index.saturating_add(len))),
        DiffOp::Delete { old_index, old_len, .. } => {
            marked('-', expected.get(old_index..old_index.saturating_add(old_len)))
        }
        DiffOp::Insert { new_index, new_len, .. } => marked('+', got.get(new_index..new_index.saturating_add(new_len))),
        DiffOp::Replace { old_index, old_len, new_index, new_len } => {
            let mut lines = marked('-', expected.get(old_index..old_index.saturating_add(old_len)));
            lines.extend(marked('+', got.get(new_index..new_index.saturating_add(new_len))));
            lines
        }
    });
    lines.collect()
}

fn advice_word(word: AdviceWord) -> &'static str {
    match word {
        AdviceWord::Due => "due",
        AdviceWord::Wait => "wait",
        AdviceWord::Keep => "keep",
        AdviceWord::Fault => "fault",
    }
}

fn advice(end: &End) -> &'static str {
    match end {
        End::Due | End::Handled { .. } | End::Busy(_) => "due",
        End::WaitUntil(_) => "wait",
        End::Keep(_) => "keep",
        End::ReviewFault(_) => "fault",
        End::Crashed => "crashed",
        End::Done => NONE,
    }
}

fn outcome_word(word: OutcomeWord) -> &'static str {
    match word {
        OutcomeWord::Success => "success",
        OutcomeWord::Failure => "failure",
        OutcomeWord::Crashed => "crashed",
        OutcomeWord::Skipped => "skipped",
    }
}

fn outcome(end: &End) -> &'static str {
    match end {
        End::Handled { outcome: Outcome::Success, .. } => "success",
        End::Handled { outcome: Outcome::Failure, .. } => "failure",
        End::Crashed => "crashed",
        _ => "skipped",
    }
}

fn described(entry: &OperationEntry) -> String {
    let code = entry.error_code.as_ref().map(|code| format!(", {code}")).unwrap_or_default();
    format!("{}{code}, by {}", entry.outcome.as_str(), entry.author.as_str())
}
