//! Recorded runs, played again with another policy: what would it have done where that one did what it did?
//!
//! The policy runs in the real sandbox, and the real session holds it to the rules, in a world in memory that is made
//! ready for each of its calls to answer as the recording has it. Looks may come in another order, and whoever looks
//! twice sees the same; what acts divides the recording. A call that the recording has no answer for is answered by what
//! follows from it; else, as the caller chooses, by what usually is (the lease is free, the container has ended with
//! code 0) or by
//! `unavailable`, and counts as a difference, `asked_more`.
//!
//! Like the simulation it names the memory adapters.

use std::sync::Arc;

use crate::lifecycle::Outline;
use crate::metrics::{self, Metrics};
use crate::model::RunJournal;

mod matcher;
mod play;
mod player;
mod report;
mod world;

pub use play::{Part, Played, Unplayable};
pub use player::AskedMore;
pub use report::{ASKED_MORE, Example, Report};

/// Plays policies over recorded runs, one run after another.
pub struct Replay {
    /// Where what the runs measure goes, so that it is not taken for what live runs did.
    nowhere: Arc<Metrics>,
    report: Report,
}

impl Replay {
    /// Nothing was played yet.
    pub fn new() -> Result<Self, metrics::Error> {
        Ok(Self { nowhere: Arc::new(Metrics::new()?), report: Report::default() })
    }

    /// Holds a policy against the one that was recorded.
    pub async fn against_recorded(&mut self, part: &Part, recorded: &RunJournal) {
        match part.play(recorded, &self.nowhere).await {
            Ok(played) => {
                let (then, now) = (Outline::of_journal(recorded), Outline::of_journal(&played.journal));
                self.report.add(recorded, &then, &now, report::told(&played));
            }
            Err(why) => self.report.skip(why),
        }
    }

    /// Holds two policies against each other on the same run.
    pub async fn against_each_other(&mut self, first: &Part, second: &Part, recorded: &RunJournal) {
        let played = first.play(recorded, &self.nowhere).await;
        match (played, second.play(recorded, &self.nowhere).await) {
            (Ok(one), Ok(other)) => {
                let outlines = (Outline::of_journal(&one.journal), Outline::of_journal(&other.journal));
                // What both ask for beyond the recording tells nothing of how they differ.
                let (told, both) = (report::told(&other), report::told(&one));
                let more = told.into_iter().filter(|more| !both.contains(more)).collect();
                self.report.add(recorded, &outlines.0, &outlines.1, more);
            }
            (Err(why), _) | (_, Err(why)) => self.report.skip(why),
        }
    }

    /// Counts a journal that this program cannot read.
    pub fn note_unreadable(&mut self) {
        self.report.unreadable = self.report.unreadable.saturating_add(1);
    }

    /// What came of it.
    pub fn finish(self) -> Report {
        self.report
    }
}
