//! What a simulation found.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::fault::Fault;
use super::invariant::{Breach, Invariant};
use super::plan::Plan;
use super::scenario_file::Kept;
use super::sometimes::Sometimes;
use crate::adapters::memory::Call;

/// What histories came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Histories that were played.
    pub histories: u64,
    /// The seed they follow from.
    pub seed: u64,
    /// How long that took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
    /// The SHA-256 of all timelines, in the order of the histories.
    pub trace_hash: String,
    /// Faults that happened, by kind and call.
    pub faults: Vec<FaultCount>,
    /// What the histories came upon.
    pub sometimes: Vec<Reached>,
    /// The first history that broke a rule, made as small as it gets.
    pub counterexample: Option<Box<Counterexample>>,
}

/// How often a fault happened at a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultCount {
    /// The kind.
    pub fault: &'static str,
    /// The call.
    pub call: &'static str,
    /// How often.
    pub times: u64,
}

/// How often something happened that has to happen sometimes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// What.
    pub what: &'static str,
    /// How often.
    pub times: u64,
}

/// A history that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counterexample {
    /// The rule's short name.
    pub rule: &'static str,
    /// The rule in a sentence.
    pub sentence: &'static str,
    /// What happened.
    pub what: String,
    /// The seed of the history as it was found.
    pub seed: u64,
    /// The smallest plan found that breaks the same rule. It can be played again.
    pub plan: Plan,
    /// Every call and answer of it.
    pub timeline: String,
}

/// Sums over histories.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) faults: BTreeMap<(Fault, Call), u64>,
    pub(super) sometimes: BTreeMap<Sometimes, u64>,
}

impl Sums {
    pub(super) fn add(&mut self, faults: &BTreeMap<(Fault, Call), u64>, sometimes: &BTreeMap<Sometimes, u64>) {
        for (key, times) in faults {
            let sum = self.faults.entry(*key).or_default();
            *sum = sum.saturating_add(*times);
        }
        for (key, times) in sometimes {
            let sum = self.sometimes.entry(*key).or_default();
            *sum = sum.saturating_add(*times);
        }
    }

    pub(super) fn faults(&self) -> Vec<FaultCount> {
        let counted = self.faults.iter();
        counted
            .map(|((fault, call), times)| FaultCount { fault: fault.as_str(), call: call.as_str(), times: *times })
            .collect()
    }

    /// All that there is, be it never reached.
    pub(super) fn sometimes(&self) -> Vec<Reached> {
        let times = |what| self.sometimes.get(what).copied().unwrap_or_default();
        Sometimes::ALL.iter().map(|what| Reached { what: what.sentence(), times: times(what) }).collect()
    }
}

impl Report {
    /// Whether no history broke a rule.
    pub fn holds(&self) -> bool {
        self.counterexample.is_none()
    }

    /// What has to happen sometimes and never did. The rarest happens in one history of a
    /// thousand or so: of a thousand, some may say so; of ten thousand, none.
    pub fn never_reached(&self) -> Vec<&'static str> {
        self.sometimes.iter().filter(|reached| reached.times == 0).map(|reached| reached.what).collect()
    }

    /// Histories a second.
    pub fn rate(&self) -> f64 {
        // Counts stay far below 2^52.
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let histories = self.histories as f64;
        histories / self.took.as_secs_f64().max(1e-9)
    }
}

impl Counterexample {
    pub(super) fn new(breach: &Breach, seed: u64, plan: Plan, timeline: String) -> Self {
        let Breach { invariant, what } = breach;
        Self { rule: invariant.id(), sentence: invariant.sentence(), what: what.clone(), seed, plan, timeline }
    }

    /// The rule that it breaks.
    pub fn invariant(&self) -> Option<Invariant> {
        Invariant::ALL.iter().copied().find(|invariant| invariant.id() == self.rule)
    }

    /// The plan as text that can be kept and played again.
    pub fn scenario(&self) -> String {
        serde_json::to_string_pretty(&self.plan).unwrap_or_else(|error| format!("the plan cannot be written: {error}"))
    }
}

impl Counterexample {
    /// The plan as a scenario file, for a policy that reads these settings.
    pub fn scenario_file(&self, settings: &BTreeMap<String, String>) -> String {
        let kept = Kept { settings: settings.clone(), plan: self.plan.clone() };
        let name = format!("rule {} holds in the history of seed {}", self.rule, self.seed);
        kept.to_toml(&name, &format!("{} It was broken: {}", self.sentence, self.what))
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "broken: rule {}: {}", self.rule, self.sentence)?;
        writeln!(f, "{} (seed {})", self.what, self.seed)?;
        writeln!(f, "\nthe calls, in seconds from the start:\n{}", self.timeline)?;
        writeln!(f, "the scenario:\n{}", self.scenario())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(counterexample) = &self.counterexample {
            writeln!(f, "{counterexample}")?;
        }
        writeln!(f, "faults that happened, by kind:")?;
        let mut kinds = BTreeMap::<&str, (u64, usize)>::new();
        for FaultCount { fault, times, .. } in &self.faults {
            let (sum, calls) = kinds.entry(fault).or_default();
            *sum = sum.saturating_add(*times);
            *calls = calls.saturating_add(1);
        }
        for (fault, (times, calls)) in kinds {
            writeln!(f, "{times:>9} {fault} (at {calls} kinds of calls)")?;
        }
        writeln!(f, "what was come upon:")?;
        for Reached { what, times } in &self.sometimes {
            writeln!(f, "{times:>9} {what}{}", if *times == 0 { " (NEVER)" } else { "" })?;
        }
        let verdict = if self.holds() { "no rule was broken" } else { "a rule was broken" };
        let (histories, seed, rate, hash) = (self.histories, self.seed, self.rate(), &self.trace_hash);
        write!(f, "{verdict}: {histories} histories of seed {seed}, {rate:.0} a second, trace {hash}")
    }
}

fn seconds<S: serde::Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64())
}
