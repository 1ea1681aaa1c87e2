//! How runs of one policy differ from those of another, counted and by example.

use std::collections::BTreeMap;

use serde::Serialize;

use super::play::{Played, Unplayable};
use crate::lifecycle::Outline;
use crate::model::{DivergenceKind, RunJournal};

/// Examples that a report keeps.
const EXAMPLES: usize = 20;

/// The name under which calls are counted that the recording has no answer for.
pub const ASKED_MORE: &str = "asked_more";

/// What came of playing one policy over recorded runs, held against another: against the recorded one, or against one
/// that was played over the same runs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Runs that were played.
    pub runs: u64,
    /// Of these, those that differ.
    pub differing: u64,
    /// Differences by kind: `would_remove`, `would_keep`, `other_error`, `other_entry`, `other_advice`, `asked_more`.
    pub differences: BTreeMap<&'static str, u64>,
    /// Runs that could not be played, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Journals that this program cannot read.
    pub unreadable: u64,
    /// Games whose containers only the second removes.
    pub would_remove: Vec<String>,
    /// Games whose containers only the first removes.
    pub would_keep: Vec<String>,
    /// The first runs that differ.
    pub examples: Vec<Example>,
}

/// One run that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The recorded run.
    pub run_id: String,
    /// Its game.
    pub game_id: String,
    /// In what they differ.
    pub differences: Vec<&'static str>,
    /// What the first did.
    pub first: String,
    /// What the second would have done.
    pub second: String,
    /// Calls that the recording has no answer for, with how they were answered: `assumed` or `unavailable`.
    pub asked_more: Vec<String>,
}

impl Report {
    /// Counts one run of two policies.
    pub(super) fn add(&mut self, recorded: &RunJournal, first: &Outline, second: &Outline, asked_more: Vec<String>) {
        self.runs = self.runs.saturating_add(1);
        let kinds = first.differences(second);
        let mut differences: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
        differences.extend((!asked_more.is_empty()).then_some(ASKED_MORE));
        if differences.is_empty() {
            return;
        }
        self.differing = self.differing.saturating_add(1);
        for kind in &differences {
            let counted = self.differences.entry(kind).or_default();
            *counted = counted.saturating_add(1);
        }
        let game_id = recorded.request.game_id.clone();
        for (kind, games) in
            [(DivergenceKind::WouldRemove, &mut self.would_remove), (DivergenceKind::WouldKeep, &mut self.would_keep)]
        {
            if kinds.contains(&kind) && !games.contains(&game_id) {
                games.push(game_id.clone());
            }
        }
        if self.examples.len() < EXAMPLES {
            let (first, second) = (first.describe(), second.describe());
            let run_id = recorded.run_id.to_string();
            self.examples.push(Example { run_id, game_id, differences, first, second, asked_more });
        }
    }

    /// Counts a run that could not be played.
    pub(super) fn skip(&mut self, why: Unplayable) {
        let counted = self.skipped.entry(why.to_string()).or_default();
        *counted = counted.saturating_add(1);
    }

    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        self.differing == 0
    }
}

/// The calls of a run that its recording has no answer for, for people.
pub(super) fn told(played: &Played) -> Vec<String> {
    let mut told: Vec<_> = played
        .asked_more
        .iter()
        .map(|more| format!("{}: {}", more.call, if more.assumed { "assumed" } else { "unavailable" }))
        .collect();
    told.dedup();
    told
}
