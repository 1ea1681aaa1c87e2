//! What serves one scope.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Assignment, Binding, Trial};
use crate::model::{ErrorCode, GameId, GenerationId, PolicyRef, PolicyScope, Rollout, RolloutMode};

/// A scope of the store, as far as this host has loaded it.
#[derive(Clone)]
pub(super) struct ScopeBindings {
    pub(super) scope: PolicyScope,
    /// The store's epoch that this is as of.
    pub(super) epoch: u64,
    pub(super) current: Current,
    pub(super) candidate: Option<Candidate>,
    /// Every generation that is loaded, by number.
    pub(super) loaded: BTreeMap<u64, Arc<Binding>>,
    /// Why this is not what the store says.
    pub(super) problem: Option<String>,
}

/// What serves.
#[derive(Clone)]
pub(super) enum Current {
    /// The scope has no binding of its own.
    Absent,
    /// This.
    Serves(Arc<Binding>),
    /// This would, but was revoked. Nobody is served.
    Revoked(PolicyRef),
    /// This would, but is not loaded, and nothing served before. Nobody is served.
    Unavailable(PolicyRef),
}

/// A generation that is tried.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) binding: Arc<Binding>,
    pub(super) rollout: Rollout,
}

/// A canary's share is counted in these.
const SHARES: u64 = 10_000;

impl ScopeBindings {
    /// A scope that nothing was ever bound in.
    pub(super) fn absent(scope: PolicyScope) -> Self {
        let (loaded, current) = (BTreeMap::new(), Current::Absent);
        Self { scope, epoch: 0, current, candidate: None, loaded, problem: None }
    }

    pub(super) fn is_bound(&self) -> bool {
        !matches!(self.current, Current::Absent)
    }

    /// None if the scope has no binding of its own.
    pub(super) fn assign(&self, game: Option<&GameId>) -> Option<Assignment> {
        Some(match (&self.current, &self.candidate) {
            (Current::Absent, _) => return None,
            (Current::Serves(current), Some(candidate)) => candidate.assign(&self.scope, current, game),
            (Current::Serves(current), None) => Assignment { binding: Ok(current.clone()), trial: None },
            (Current::Revoked(reference), _) => Assignment::revoked(reference),
            (Current::Unavailable(reference), _) => {
                let message = format!("generation {} of the policy is not loaded on this host", reference.generation);
                Assignment::refused(reference, ErrorCode::POLICY_UNAVAILABLE, &message)
            }
        })
    }

    /// The generations by whose word a runtime may be waiting.
    pub(super) fn serving(&self) -> Vec<GenerationId> {
        let mut serving = Vec::new();
        serving.extend(self.reference().map(|reference| reference.generation.clone()));
        if let Some(candidate) = &self.candidate
            && matches!(candidate.rollout.mode, RolloutMode::Canary { .. })
        {
            serving.push(candidate.binding.reference.generation.clone());
        }
        serving
    }

    pub(super) fn reference(&self) -> Option<&PolicyRef> {
        match &self.current {
            Current::Absent => None,
            Current::Serves(binding) => Some(&binding.reference),
            Current::Revoked(reference) | Current::Unavailable(reference) => Some(reference),
        }
    }
}

impl Candidate {
    fn assign(&self, scope: &PolicyScope, current: &Arc<Binding>, game: Option<&GameId>) -> Assignment {
        let trial = |shadow| Some(Trial { scope: scope.clone(), number: self.rollout.number, shadow });
        match self.rollout.mode {
            RolloutMode::Shadow => {
                Assignment { binding: Ok(current.clone()), trial: trial(Some(self.binding.clone())) }
            }
            RolloutMode::Canary { per_myriad } if game.is_some_and(|game| share_of(game) < u64::from(per_myriad)) => {
                Assignment { binding: Ok(self.binding.clone()), trial: trial(None) }
            }
            RolloutMode::Canary { .. } => Assignment { binding: Ok(current.clone()), trial: None },
        }
    }
}

/// Where a game stands among 10,000 shares: the same on every host, and at every run.
fn share_of(game: &GameId) -> u64 {
    let hash = Sha256::digest(game.as_str());
    let first = hash.as_slice().first_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(first) % SHARES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn games_are_spread_evenly_over_the_shares() {
        let games = (0..10_000).filter_map(|n| format!("game-{n}").parse::<GameId>().ok());
        let tried = games.filter(|game| share_of(game) < 1_000).count();
        assert!((850..1_150).contains(&tried), "a tenth of 10,000 games are {tried}");
    }
}
