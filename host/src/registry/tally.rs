//! What runs have shown of generations that are tried, until it is added up in the store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Trial;
use crate::model::{Divergence, Fault, PolicyScope, RolloutCounts};

/// So many runs are worth a call of the store before its time.
const MANY: u64 = 100;
/// Divergences are examples: while the store does not answer, so many of a rollout are kept.
const EXAMPLES: usize = 200;

/// Kept in memory for a moment, so that a run costs no call of the store.
#[derive(Default)]
pub struct Tally {
    pending: Mutex<BTreeMap<(PolicyScope, u64), Tried>>,
    pressing: Notify,
}

/// What a run has shown of the generation that it tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Nothing: it met a backend's failure, or did not come to what the policy was asked.
    Nothing,
    /// It succeeded, or a shadow ended as the run beside it.
    Clean,
    /// What the policy did wrong.
    Fault(Fault),
    /// In what a shadow differs from the run beside it.
    Differs(Vec<Divergence>),
}

/// What was seen of one rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tried {
    /// Runs, and what was wrong with them.
    pub(super) counts: RolloutCounts,
    /// The latest fault.
    pub(super) fault: Option<Fault>,
    /// Differences from the current generation.
    pub(super) divergences: Vec<Divergence>,
}

impl Tally {
    /// A run of a generation that is tried has ended, so. One that says nothing of the generation is not counted.
    pub fn note(&self, trial: &Trial, shown: Shown) {
        let (fault, divergences) = match shown {
            Shown::Nothing => return,
            Shown::Clean => (None, Vec::new()),
            Shown::Fault(fault) => (Some(fault), Vec::new()),
            Shown::Differs(divergences) => (None, divergences),
        };
        let differs = u64::from(!divergences.is_empty());
        let counts = RolloutCounts { runs: 1, faults: u64::from(fault.is_some()), divergences: differs };
        let pressing = fault.is_some() || differs > 0;
        let tried = Tried { counts, fault, divergences };
        let runs = self.add((trial.scope.clone(), trial.number), tried);
        if pressing || runs >= MANY {
            self.pressing.notify_one();
        }
    }

    /// Until something was noted that should not wait.
    pub(super) async fn pressing(&self) {
        self.pressing.notified().await;
    }

    pub(super) fn take(&self) -> BTreeMap<(PolicyScope, u64), Tried> {
        std::mem::take(&mut *self.pending())
    }

    /// Answers how many runs are pending.
    pub(super) fn add(&self, rollout: (PolicyScope, u64), seen: Tried) -> u64 {
        let mut pending = self.pending();
        let tried = pending.entry(rollout).or_default();
        tried.counts.runs = tried.counts.runs.saturating_add(seen.counts.runs);
        tried.counts.faults = tried.counts.faults.saturating_add(seen.counts.faults);
        tried.counts.divergences = tried.counts.divergences.saturating_add(seen.counts.divergences);
        tried.fault = seen.fault.or(tried.fault.take());
        let room = EXAMPLES.saturating_sub(tried.divergences.len());
        tried.divergences.extend(seen.divergences.into_iter().take(room));
        tried.counts.runs
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<(PolicyScope, u64), Tried>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
