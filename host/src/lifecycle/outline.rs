//! What a run came to, in the terms in which two generations of a policy are compared.

use super::Settled;
use crate::model::{ContainerId, DivergenceKind, ErrorCode, Fault, Outcome, Timestamp, bounded_text};
use crate::runtime::Advice;
use crate::session::Session;

const SHOWN_BYTES: usize = 256;

/// A run, or what a run would have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outline {
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

    /// In what `candidate` differs from this. Where one removes and the other does not, the rest follows from that.
    pub(super) fn differences(&self, candidate: &Self) -> Vec<DivergenceKind> {
        let end = match (&self.end, &candidate.end) {
            (here, there) if here == there => None,
            (End::Verdict(..), _) | (_, End::Verdict(..)) => Some(DivergenceKind::OtherError),
            _ => Some(DivergenceKind::OtherAdvice),
        };
        match (self.removed, candidate.removed) {
            (false, true) => vec![DivergenceKind::WouldRemove],
            (true, false) => vec![DivergenceKind::WouldKeep],
            _ => {
                let entry = (end.is_none() && self.entry != candidate.entry).then_some(DivergenceKind::OtherEntry);
                end.into_iter().chain(entry).collect()
            }
        }
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
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
