//! What a run came to, in the terms in which two generations of a policy are compared.

use super::Settled;
use crate::model::{
    ContainerId, DivergenceKind, ErrorCode, Fault, JournalEnd, Outcome, PolicyWord, RunJournal, Timestamp, bounded_text,
};
use crate::runtime::Advice;
use crate::session::Session;

const SHOWN_BYTES: usize = 256;

/// A run, or what a run would have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    removed: bool,
    end: End,
    entry: Option<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Due,
    WaitUntil(Timestamp),
    Keep(String),
    Verdict(Outcome, Option<ErrorCode>),
}

/// The run's entry without its message, which is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    outcome: Outcome,
    error_code: Option<ErrorCode>,
    container_id: Option<ContainerId>,
    image_ref: Option<String>,
}

impl Outline {
    pub(super) fn of_advice(advice: Advice) -> Self {
        let end = match advice {
            Advice::Due => End::Due,
            Advice::WaitUntil(at) => End::WaitUntil(at),
            Advice::Keep(reason) => End::Keep(reason),
        };
        Self { removed: false, end, entry: None }
    }

    /// Of a review.
    pub(super) fn of_fault(fault: &Fault) -> Self {
        Self { removed: false, end: End::Verdict(Outcome::Failure, Some(fault.code.clone())), entry: None }
    }

    pub(super) fn of_verdict(session: &Session, settled: &Settled) -> Self {
        let entry = session.entry().account().map(|account| Entry {
            outcome: account.outcome,
            error_code: account.error_code.clone(),
            container_id: account.container_id.clone(),
            image_ref: account.image_ref.clone(),
        });
        let end = End::Verdict(settled.outcome, settled.error_code.clone());
        Self { removed: session.removed_container().is_some(), end, entry }
    }

    /// Whether it is of a review that nothing followed.
    pub(super) fn is_advice(&self) -> bool {
        !matches!(self.end, End::Verdict(..))
    }

    /// Whether it says something of the policy: advice, or a success. Why a cleanup failed may be anybody's affair.
    pub(super) fn is_telling(&self) -> bool {
        !matches!(self.end, End::Verdict(Outcome::Failure, _))
    }

    /// Of a run that was written down.
    pub fn of_journal(journal: &RunJournal) -> Self {
        let JournalEnd { word, settled, removed_container, entry, .. } = &journal.end;
        let end = match (settled, word) {
            (Some(settled), _) => End::Verdict(settled.outcome, settled.error_code.clone()),
            (None, PolicyWord::Due) => End::Due,
            (None, PolicyWord::WaitUntil(at)) => End::WaitUntil(*at),
            (None, PolicyWord::Keep(reason)) => End::Keep(reason.clone()),
            (None, PolicyWord::Fault { code, .. }) => End::Verdict(Outcome::Failure, Some(code.clone())),
            // A verdict is always settled.
            (None, PolicyWord::Verdict { outcome, .. }) => End::Verdict(*outcome, None),
        };
        let entry = entry.as_ref().map(|entry| Entry {
            outcome: entry.outcome,
            error_code: entry.error_code.clone(),
            container_id: entry.container_id.clone(),
            image_ref: entry.image_ref.clone(),
        });
        Self { removed: removed_container.is_some(), end, entry }
    }

    /// In what `candidate` differs from this. Where one removes and the other does not, the rest follows from that.
    pub fn differences(&self, candidate: &Self) -> Vec<DivergenceKind> {
        let end = match (&self.end, &candidate.end) {
            (here, there) if here == there => None,
            (End::Verdict(..), _) | (_, End::Verdict(..)) => Some(DivergenceKind::OtherError),
            _ => Some(DivergenceKind::OtherAdvice),
        };
        // Told that it is due, it would have gone about removing what was kept.
        let would_remove = candidate.removed || (self.is_advice() && candidate.end == End::Due && self.end != End::Due);
        match (self.removed, would_remove) {
            (false, true) => vec![DivergenceKind::WouldRemove],
            (true, false) => vec![DivergenceKind::WouldKeep],
            _ => {
                let entry = (end.is_none() && self.entry != candidate.entry).then_some(DivergenceKind::OtherEntry);
                end.into_iter().chain(entry).collect()
            }
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        let removed = if self.removed { "container removed; " } else { "" };
        let end = match &self.end {
            End::Due => "due".to_owned(),
            End::WaitUntil(at) => format!("kept until {at}"),
            End::Keep(reason) => format!("kept: {reason}"),
            End::Verdict(outcome, code) => {
                format!("{} {}", outcome.as_str(), code.as_ref().map_or("", ErrorCode::as_str)).trim_end().to_owned()
            }
        };
        let entry = self.entry.as_ref().map(|entry| {
            let code = entry.error_code.as_ref().map_or("no code", ErrorCode::as_str);
            let container = entry.container_id.as_ref().map_or("no container", ContainerId::as_str);
            let image = entry.image_ref.as_deref().unwrap_or("no image");
            format!("; entry: {}, {code}, {container}, {image}", entry.outcome.as_str())
        });
        bounded_text(&format!("{removed}{end}{}", entry.unwrap_or_default()), SHOWN_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(removed: bool, code: Option<&str>) -> Outline {
        let error_code = code.and_then(ErrorCode::parse);
        let outcome = if code.is_none() { Outcome::Success } else { Outcome::Failure };
        let entry = Entry { outcome, error_code: error_code.clone(), container_id: None, image_ref: None };
        Outline { removed, end: End::Verdict(outcome, error_code), entry: Some(entry) }
    }

    #[test]
    fn differences_are_named_by_what_matters_most() {
        let keep = |reason: &str| Outline::of_advice(Advice::Keep(reason.to_owned()));
        let mut other_entry = verdict(false, Some("conflict"));
        other_entry.entry = None;
        for (current, candidate, expected) in [
            (verdict(true, None), verdict(true, None), vec![]),
            (keep("failed"), verdict(true, None), vec![DivergenceKind::WouldRemove]),
            (verdict(true, None), keep("failed"), vec![DivergenceKind::WouldKeep]),
            (verdict(false, Some("conflict")), verdict(false, Some("busy")), vec![DivergenceKind::OtherError]),
            (keep("failed"), verdict(false, Some("conflict")), vec![DivergenceKind::OtherError]),
            (verdict(false, Some("conflict")), other_entry, vec![DivergenceKind::OtherEntry]),
            (keep("failed"), keep("young"), vec![DivergenceKind::OtherAdvice]),
            (
                keep("failed"),
                Outline::of_advice(Advice::WaitUntil(Timestamp::from_micros(7))),
                vec![DivergenceKind::OtherAdvice],
            ),
        ] {
            assert_eq!(current.differences(&candidate), expected, "{current:?} and {candidate:?}");
        }
    }
}
