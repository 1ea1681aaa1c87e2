//! The gate of a policy's admission.

use std::time::Duration;

use super::history::{Stock, play};
use super::report::Counterexample;
use super::{Error, Options, Plan, Simulator, apart, mixed, smallest, std_now};
use crate::runtime::Policy;

/// What a policy was put through.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GateReport {
    /// Histories that it came through.
    pub histories: u64,
    /// How long they took.
    pub took: Duration,
}

/// Why a policy did not pass.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// It broke a rule, in this history.
    #[error("{}: {}", .0.sentence, .0.what)]
    Refused(Box<Counterexample>),
    /// It could not be tried.
    #[error(transparent)]
    Error(#[from] Error),
}

impl Simulator {
    /// Puts a policy through histories without faults, with single faults, and with several, until `budget` is spent
    /// or `options.histories` are played. It passes if none breaks a rule, by what it did or by what it tried. What it
    /// decides is its own affair: to keep for longer, or to fail with codes of its own.
    ///
    /// At least the histories without faults are played, however small the budget.
    pub fn gate(&self, policy: &Policy, options: &Options, budget: Duration) -> Result<GateReport, GateError> {
        let stock = self.stock(policy, options)?;
        apart(|| pass(&stock, options, budget))?
    }
}

fn pass(stock: &Stock, options: &Options, budget: Duration) -> Result<GateReport, GateError> {
    let (began, mut histories) = (std_now(), 0);
    let quiet = super::exhaustive::quiet();
    let (without, single) = (quiet.len() as u64, super::exhaustive::singles().collect::<Vec<_>>());
    let must = without + single.len() as u64;
    let random = (0..).map(|index| Plan::generate(mixed(options.seed, index)));
    for plan in
        quiet.into_iter().chain(single).chain(random).take(usize::try_from(options.histories).unwrap_or(usize::MAX))
    {
        if histories >= must && began.elapsed() >= budget {
            break;
        }
        let history = play(stock, &plan).map_err(Error::from)?;
        // Those without faults are as small as they get, and a policy that computes for ever takes long each time.
        let attempts = if histories < without { 0 } else { options.attempts };
        histories += 1;
        if !history.breaches.is_empty()
            && let Some(found) = smallest(stock, plan, attempts).map_err(Error::from)?
        {
            return Err(GateError::Refused(Box::new(found)));
        }
    }
    Ok(GateReport { histories, took: began.elapsed() })
}
