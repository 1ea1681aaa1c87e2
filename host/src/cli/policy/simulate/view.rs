//! What a simulation came to, as it is shown.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::simulation::{Breach, Report};

/// So many histories come upon everything that has to happen sometimes. With the default policy the rarest of these
/// happens in one of a thousand or so.
const ENOUGH: u64 = 10_000;

/// What was played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Subject {
    /// The component's file.
    pub(super) policy: String,
    /// Its digest.
    pub(super) digest: String,
    /// What it read.
    pub(super) settings: BTreeMap<String, String>,
}

/// Which histories were played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Played {
    /// Those that follow from a seed.
    Random,
    /// A plain cleanup with single faults.
    Singles,
    /// A plain cleanup with pairs of faults.
    Pairs,
}

/// What histories came to.
#[derive(Debug, Serialize)]
pub(super) struct SimulationView {
    #[serde(flatten)]
    pub(super) subject: Subject,
    pub(super) played: Played,
    /// Whether no rule was broken.
    pub(super) holds: bool,
    /// What has to happen sometimes and never did.
    pub(super) never_reached: Vec<&'static str>,
    /// The number of the history that broke a rule, from 1.
    pub(super) broken_history: Option<u64>,
    /// The file with the scenario.
    pub(super) saved_scenario: Option<String>,
    /// Histories a second.
    pub(super) rate: f64,
    #[serde(flatten)]
    pub(super) report: Report,
}

impl SimulationView {
    pub(super) fn new(subject: Subject, played: Played, saved_scenario: Option<String>, report: Report) -> Self {
        let holds = report.holds();
        Self {
            subject,
            played,
            holds,
            never_reached: report.never_reached(),
            // Those after it are not counted.
            broken_history: (!holds).then_some(report.histories),
            saved_scenario,
            rate: report.rate(),
            report,
        }
    }

    /// Whether something never happened that has to: few histories need not come upon everything, nor need those of
    /// one plain cleanup.
    pub(super) fn misses(&self) -> bool {
        self.played == Played::Random && self.report.histories >= ENOUGH && !self.never_reached.is_empty()
    }

    pub(super) fn passes(&self) -> bool {
        self.holds && !self.misses()
    }
}

/// What one scenario came to.
#[derive(Debug, Serialize)]
pub(super) struct ReplayView {
    #[serde(flatten)]
    pub(super) subject: Subject,
    /// The scenario's file.
    pub(super) scenario: String,
    /// Whether no rule was broken.
    pub(super) holds: bool,
    /// The rules that were broken.
    pub(super) breaches: Vec<BreachView>,
    /// Every call and answer.
    pub(super) timeline: String,
    /// The timeline's SHA-256.
    pub(super) trace_hash: String,
}

/// A rule that was broken.
#[derive(Debug, Serialize)]
pub(super) struct BreachView {
    /// The rule's short name.
    pub(super) rule: &'static str,
    /// The rule in a sentence.
    pub(super) sentence: &'static str,
    /// What happened.
    pub(super) what: String,
}

impl ReplayView {
    pub(super) fn new(subject: Subject, scenario: String, timeline: String, breaches: &[Breach]) -> Self {
        let trace_hash = hex::encode(Sha256::digest(&timeline));
        let breaches: Vec<_> = breaches.iter().map(BreachView::from).collect();
        Self { subject, scenario, holds: breaches.is_empty(), breaches, timeline, trace_hash }
    }
}

impl From<&Breach> for BreachView {
    fn from(Breach { invariant, what }: &Breach) -> Self {
        Self { rule: invariant.id(), sentence: invariant.sentence(), what: what.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::simulation::Reached;

    fn view(played: Played, histories: u64, times: u64) -> SimulationView {
        let subject = Subject { policy: "keep.wasm".into(), digest: "aa".into(), settings: BTreeMap::new() };
        let report = Report {
            histories,
            seed: 0,
            took: Duration::from_secs(1),
            trace_hash: String::new(),
            faults: Vec::new(),
            sometimes: vec![Reached { what: "a game was parked", times }],
            counterexample: None,
        };
        SimulationView::new(subject, played, None, report)
    }

    #[test]
    fn what_never_happens_fails_so_many_histories_that_it_has_to_and_no_others() {
        assert!(!view(Played::Random, 10_000, 0).passes());
        assert!(view(Played::Random, 10_000, 1).passes());
        assert!(view(Played::Random, 9_999, 0).passes());
        assert!(view(Played::Pairs, 37_180, 0).passes());
    }
}
