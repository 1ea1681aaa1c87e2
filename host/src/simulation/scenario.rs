//! Plans as people keep them: JSON, or TOML in a scenario file; read and checked whole before anything is played.

use std::collections::BTreeSet;

use super::plan::{Act, Plan};
use super::rest::FIRST_STEP;

/// More replicas than any harm takes.
const REPLICAS: usize = 8;
/// Likewise games.
const GAMES: usize = 64;
/// Steps, and likewise faults.
const ITEMS: usize = 1_000;
/// A history is over within a day, and clocks are no farther apart.
const DAY_MS: u64 = 86_400_000;

/// Why a text is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum InvalidScenario {
    /// It is no JSON, or has another form.
    #[error("line {}: {}", .0.line(), what(.0))]
    Form(#[from] serde_json::Error),
    /// It is no TOML, or has another form.
    #[error("it is no scenario file in TOML: {}{what}", if place.is_empty() { String::new() } else { format!("{place}: ") })]
    Toml {
        /// Where, such as `scenario.0.simulation.seed`.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// Something in it does not fit the rest, or is beyond all measure.
    #[error("{place}: {what}")]
    Content {
        /// Where, such as `steps[2]`.
        place: String,
        /// What is wrong, and what would be right.
        what: String,
    },
}

/// Without the place, which serde_json names last.
fn what(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

impl Plan {
    /// Reads a plan that was kept, or written by hand.
    pub fn from_json(text: &str) -> Result<Self, InvalidScenario> {
        let plan: Self = serde_json::from_str(text)?;
        plan.check()?;
        Ok(plan)
    }

    /// Whether it fits together, and is within all measure.
    pub fn check(&self) -> Result<(), InvalidScenario> {
        self.check_extent()?;
        self.check_steps()
    }

    fn check_extent(&self) -> Result<(), InvalidScenario> {
        for (place, number, most) in [
            ("skew_ms", self.skew_ms.len(), REPLICAS),
            ("games", self.games.len(), GAMES),
            ("steps", self.steps.len(), ITEMS),
            ("faults", self.faults.len(), ITEMS),
        ] {
            require(number <= most, place, || format!("has {number} items, and {most} are the most"))?;
        }
        require(!self.skew_ms.is_empty(), "skew_ms", || "is empty, and has a number for each replica".to_owned())?;
        require(self.removal_ms <= DAY_MS, "removal_ms", || format!("is more than a day ({DAY_MS})"))?;
        for (index, skew) in self.skew_ms.iter().enumerate() {
            let place = format!("skew_ms[{index}]");
            require(skew.unsigned_abs() <= DAY_MS, &place, || format!("is more than a day ({DAY_MS})"))?;
        }
        Ok(())
    }

    /// A fault may name a step that is not there, as it may a call that is never made: it does not happen.
    fn check_steps(&self) -> Result<(), InvalidScenario> {
        let mut ids = BTreeSet::new();
        for (index, step) in self.steps.iter().enumerate() {
            let place = format!("steps[{index}]");
            require(step.id < FIRST_STEP, &place, || format!("its id is not below {FIRST_STEP}"))?;
            require(ids.insert(step.id), &place, || format!("another step has its id, {}", step.id))?;
            require(step.at_ms <= DAY_MS, &place, || format!("its at_ms is more than a day ({DAY_MS})"))?;
            let (replica, game) = named(&step.act);
            for (what, number, count) in [("replica", replica, self.skew_ms.len()), ("game", game, self.games.len())] {
                let is_there = number.is_none_or(|number| number < count);
                require(is_there, &place, || {
                    format!("there is no {what} {}: there are {count}, from 0", number.unwrap_or_default())
                })?;
            }
        }
        Ok(())
    }
}

/// The replica and the game that it names.
fn named(act: &Act) -> (Option<usize>, Option<usize>) {
    match *act {
        Act::Cleanup { replica, game, .. } => (Some(replica), Some(game)),
        Act::Sweep { replica } | Act::Recover { replica } | Act::Swap { replica } => (Some(replica), None),
        Act::Deed { game, .. } => (None, Some(game)),
    }
}

fn require(holds: bool, place: &str, otherwise: impl FnOnce() -> String) -> Result<(), InvalidScenario> {
    if holds { Ok(()) } else { Err(InvalidScenario::Content { place: place.to_owned(), what: otherwise() }) }
}
