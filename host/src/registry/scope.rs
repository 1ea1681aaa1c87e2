//! What serves one scope.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Assignment, Binding, Trial};
use crate::model::{
    ErrorCode, GameId, Generation, GenerationId, PolicyDigest, PolicyRef, PolicyScope, Rollout, RolloutMode,
};
use crate::ports::{ScopeState, Unreadable};

/// A scope of the store, as far as this host has loaded it.
#[derive(Clone)]
pub(super) struct ScopeBindings {
    pub(super) scope: PolicyScope,
    /// The store's epoch that this is as of.
    pub(super) epoch: u64,
    /// What the store says; none if nothing was ever bound, or if that cannot be read.
    pub(super) state: Option<Arc<ScopeState>>,
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
        Self { scope, epoch: 0, state: None, current, candidate: None, loaded, problem: None }
    }

    /// What can be said by what the store says, without loading anything. `is_first`: this host has not read the store
    /// before, so nothing served until now.
    pub(super) fn told(epoch: u64, state: Arc<ScopeState>, known: Option<&Self>, is_first: bool) -> Self {
        let mut loaded = known.map(|known| known.loaded.clone()).unwrap_or_default();
        loaded.retain(|number, _| is_wanted(&state, *number));
        let current = match &state.current {
            None => Current::Absent,
            Some(current) if state.revoked.contains(&current.number) => Current::Revoked(reference(current)),
            Some(current) => match (loaded.get(&current.number), known.map(|known| &known.current)) {
                (Some(binding), _) => Current::Serves(binding.clone()),
                (None, Some(kept @ (Current::Absent | Current::Serves(_) | Current::Revoked(_)))) => kept.clone(),
                // Until now the scope was served by what serves everybody, unless this is what the host starts with.
                (None, None) if !is_first => Current::Absent,
                (None, Some(Current::Unavailable(_)) | None) => Current::Unavailable(reference(current)),
            },
        };
        let (scope, problem) = (state.scope.clone(), known.and_then(|known| known.problem.clone()));
        let candidate = candidate(&state, &loaded);
        Self { scope, epoch, state: Some(state), current, candidate, loaded, problem }
    }

    /// What can be said though what the store says cannot be read: what served goes on serving, and nothing is tried. If
    /// nothing did, nobody is served.
    pub(super) fn unreadable(
        epoch: u64,
        scope: PolicyScope,
        damage: &Unreadable,
        known: Option<&Self>,
        is_first: bool,
    ) -> Self {
        let nothing = |number| {
            // It is not known which component that is.
            let (generation, digest) = (GenerationId::numbered(&scope, number), PolicyDigest::of(&[]));
            Current::Unavailable(PolicyRef { generation, digest })
        };
        let current = match (known, damage.current) {
            (Some(known), _) => known.current.clone(),
            (None, Some(number)) if is_first => nothing(number),
            (None, _) => Current::Absent,
        };
        let loaded = known.map(|known| known.loaded.clone()).unwrap_or_default();
        Self { scope, epoch, state: None, current, candidate: None, loaded, problem: Some(damage.reason.clone()) }
    }

    /// The same with one generation more that is loaded; none if the store does not want it any more.
    pub(super) fn with(&self, number: u64, binding: &Arc<Binding>) -> Option<Self> {
        // A store that was restored may give the number of one generation to another.
        let is_the_same = |generation: &Generation| reference(generation) == binding.reference;
        let state = self.state.as_ref().filter(|state| wanted(state).any(is_the_same))?;
        let mut next = self.clone();
        next.loaded.insert(number, binding.clone());
        if state.current.as_ref().is_some_and(|current| current.number == number) {
            next.current = Current::Serves(binding.clone());
        }
        next.candidate = candidate(state, &next.loaded);
        Some(next)
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

/// The generations to be loaded. The current one first; the one before last, since it is there for a rollback only.
pub(super) fn wanted(state: &ScopeState) -> impl Iterator<Item = &Generation> {
    let all = state.current.iter().chain(&state.staged).chain(&state.newest).chain(&state.previous);
    all.filter(|generation| !state.revoked.contains(&generation.number))
}

fn is_wanted(state: &ScopeState, number: u64) -> bool {
    wanted(state).any(|generation| generation.number == number)
}

fn candidate(state: &ScopeState, loaded: &BTreeMap<u64, Arc<Binding>>) -> Option<Candidate> {
    let rollout = state.rollout.clone()?;
    let binding = loaded.get(&rollout.number)?.clone();
    Some(Candidate { binding, rollout })
}

fn reference(generation: &Generation) -> PolicyRef {
    PolicyRef { generation: generation.id(), digest: generation.spec.digest.clone() }
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
