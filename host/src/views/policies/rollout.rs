//! What is shown of a generation that is tried.

use serde::Serialize;
use utoipa::ToSchema;

use super::PolicyAct;
use crate::model::{Divergence, Rollout, RolloutMode};
use crate::views::{maybe, text};

/// A generation on its way to become current.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyRollout {
    /// The generation's number.
    pub number: u64,
    /// `shadow`: beside the current one, without effect. `canary`: instead of it, for a part of the games.
    pub mode: String,
    /// How many of the games, in percent; null for a shadow.
    pub canary_percent: Option<f64>,
    /// Becomes current after so many runs without a fault.
    pub clean_runs: Option<u64>,
    /// Becomes current at this time, if it has had no fault.
    pub promote_at: Option<String>,
    /// Whether it is given up at the first divergence, too.
    pub stop_on_divergence: bool,
    /// Its runs so far, on all hosts.
    pub runs: u64,
    /// Of these, faults of the policy.
    pub faults: u64,
    /// Of these, answers that differ from the current generation's.
    pub divergences: u64,
    /// Who began it.
    pub started: PolicyAct,
}

/// How a shadow run differs from the run that it stood beside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyDivergence {
    /// When.
    pub at: String,
    /// The game.
    pub game_id: String,
    /// The run that it stood beside.
    pub run_id: String,
    /// `would_remove`, `would_keep`, `other_error`, `other_entry` or `other_advice`.
    pub kind: String,
    /// What the current generation did.
    pub current: String,
    /// What the new one would have done.
    pub candidate: String,
}

impl From<&Rollout> for PolicyRollout {
    fn from(rollout: &Rollout) -> Self {
        let (mode, canary_percent) = match rollout.mode {
            RolloutMode::Shadow => ("shadow", None),
            RolloutMode::Canary { per_myriad } => ("canary", Some(f64::from(per_myriad) / 100.0)),
        };
        let (goal, counts) = (&rollout.goal, &rollout.counts);
        Self {
            number: rollout.number,
            mode: mode.to_owned(),
            canary_percent,
            clean_runs: goal.clean_runs,
            promote_at: maybe(&goal.promote_at),
            stop_on_divergence: goal.stop_on_divergence,
            runs: counts.runs,
            faults: counts.faults,
            divergences: counts.divergences,
            started: (&rollout.started).into(),
        }
    }
}

impl From<&Divergence> for PolicyDivergence {
    fn from(divergence: &Divergence) -> Self {
        Self {
            at: text(&divergence.at),
            game_id: divergence.game_id.clone(),
            run_id: text(&divergence.run_id),
            kind: divergence.kind.as_str().to_owned(),
            current: divergence.current.clone(),
            candidate: divergence.candidate.clone(),
        }
    }
}
