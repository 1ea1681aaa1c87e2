//! From what the store says of a scope to what serves it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::scope::{Candidate, Current, ScopeBindings};
use super::watch::in_time;
use super::{Binding, Watcher};
use crate::compiler::LoadFailure;
use crate::model::{ErrorChain, Generation, PolicyDigest, PolicyRef};
use crate::ports::{ScopeState, StoreError};
use crate::runtime::Policy;

/// Why a generation cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadProblem {
    /// The store does not give the component.
    #[error("its component cannot be read")]
    Store(#[from] StoreError),
    /// The store has no such component.
    #[error("its component {0} is not in the store")]
    Missing(PolicyDigest),
    /// What the store has is not what was pushed.
    #[error("its component is corrupt in the store: {expected} is due, and {found} was read")]
    Corrupt {
        /// What the generation names.
        expected: PolicyDigest,
        /// What the bytes are.
        found: PolicyDigest,
    },
    /// It cannot serve as a policy here.
    #[error("its component {0} cannot be used")]
    Policy(PolicyDigest, #[source] LoadFailure),
}

impl Watcher {
    /// Puts in place what the store says of a scope as of an epoch. What is new is loaded first, and meanwhile, or if it
    /// cannot be loaded, what served goes on serving; a revocation alone holds at once. Answers whether all is loaded.
    pub(super) async fn apply(&self, epoch: u64, state: ScopeState) -> bool {
        let known = self.registry.scope(&state.scope);
        let mut next = self.outset(epoch, &state, known.as_deref());
        self.registry.put(next.clone());
        let rolled_out = self.rolled_out(&state).await;
        for generation in wanted(&state, rolled_out.as_ref().ok().and_then(Option::as_ref)) {
            self.load_into(&mut next, &state, generation).await;
        }
        if let Err(error) = rolled_out {
            next.problem = Some(format!("what is rolled out cannot be read: {}", ErrorChain(&error)));
        }
        next.candidate = candidate(&state, &next);
        self.tell(known.as_deref(), &next);
        let whole = next.problem.is_none();
        self.registry.put(next);
        self.forget_unused();
        // Something later may be in place by now.
        if let Some(in_place) = self.registry.scope(&state.scope) {
            self.report(&in_place).await;
        }
        whole
    }

    /// Puts in place what can be said of a scope without loading anything.
    pub(super) fn announce(&self, epoch: u64, state: &ScopeState) {
        let known = self.registry.scope(&state.scope);
        let next = self.outset(epoch, state, known.as_deref());
        self.tell(known.as_deref(), &next);
        self.registry.put(next);
    }

    /// What can be said without loading anything.
    fn outset(&self, epoch: u64, state: &ScopeState, known: Option<&ScopeBindings>) -> ScopeBindings {
        let numbers: BTreeSet<u64> = known_generations(state)
            .map(|generation| generation.number)
            .chain(state.rollout.as_ref().map(|rollout| rollout.number))
            .collect();
        let mut loaded = known.map(|known| known.loaded.clone()).unwrap_or_default();
        loaded.retain(|number, _| numbers.contains(number) && !state.revoked.contains(number));
        let current = match &state.current {
            None => Current::Absent,
            Some(current) if state.revoked.contains(&current.number) => Current::Revoked(reference(current)),
            Some(current) => match (loaded.get(&current.number), known.map(|known| &known.current)) {
                (Some(binding), _) => Current::Serves(binding.clone()),
                (None, Some(kept @ (Current::Absent | Current::Serves(_) | Current::Revoked(_)))) => kept.clone(),
                // Until now the scope was served by what serves everybody, unless this is what the host starts with.
                (None, None) if !self.registry.is_unread() => Current::Absent,
                (None, Some(Current::Unavailable(_)) | None) => Current::Unavailable(reference(current)),
            },
        };
        let mut next =
            ScopeBindings { scope: state.scope.clone(), epoch, current, candidate: None, loaded, problem: None };
        next.candidate = candidate(state, &next);
        next
    }

    /// The generation that is rolled out, unless the state has it.
    async fn rolled_out(&self, state: &ScopeState) -> Result<Option<Generation>, StoreError> {
        let Some(rollout) = &state.rollout else { return Ok(None) };
        if known_generations(state).any(|generation| generation.number == rollout.number) {
            return Ok(None);
        }
        in_time(self.stores.generations.generation(&state.scope, rollout.number)).await
    }

    async fn load_into(&self, next: &mut ScopeBindings, state: &ScopeState, generation: &Generation) {
        if next.loaded.contains_key(&generation.number) || state.revoked.contains(&generation.number) {
            return;
        }
        match self.load(generation).await {
            Ok(binding) => {
                let binding = Arc::new(binding);
                next.loaded.insert(generation.number, binding.clone());
                if state.current.as_ref().is_some_and(|current| current.number == generation.number) {
                    next.current = Current::Serves(binding);
                    // Does not wait for the others.
                    self.registry.put(next.clone());
                }
            }
            Err(problem) => {
                let problem = format!("generation {}: {}", generation.id(), ErrorChain(&problem));
                next.problem.get_or_insert(problem);
            }
        }
    }

    async fn load(&self, generation: &Generation) -> Result<Binding, LoadProblem> {
        let digest = &generation.spec.digest;
        let cell = self.policies().entry(digest.clone()).or_default().clone();
        let policy = cell.get_or_try_init(|| self.compile(digest)).await?.clone();
        let host = policy.limits().clone();
        Ok(Binding::stored(generation, policy, &host))
    }

    /// Few at a time, so that runs get something of the processors while a host starts.
    async fn compile(&self, digest: &PolicyDigest) -> Result<Policy, LoadProblem> {
        let _turn = self.compiling.acquire().await;
        let component = in_time(self.stores.policies.component(digest)).await?;
        let component = component.ok_or_else(|| LoadProblem::Missing(digest.clone()))?;
        let found = PolicyDigest::of(&component);
        if found != *digest {
            return Err(LoadProblem::Corrupt { expected: digest.clone(), found });
        }
        self.source.load(component).await.map_err(|error| LoadProblem::Policy(digest.clone(), error))
    }

    /// Compiled policies are shared by all generations that name them, and kept for as long as one does.
    fn forget_unused(&self) {
        let scopes = self.registry.scopes();
        let used: BTreeSet<&PolicyDigest> =
            scopes.iter().flat_map(|scope| scope.loaded.values()).map(|binding| &binding.reference.digest).collect();
        self.policies().retain(|digest, cell| !cell.initialized() || used.contains(digest));
    }

    fn policies(&self) -> MutexGuard<'_, BTreeMap<PolicyDigest, Arc<OnceCell<Policy>>>> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, known: Option<&ScopeBindings>, next: &ScopeBindings) {
        let scope = &next.scope;
        if let Some(problem) = &next.problem
            && known.is_none_or(|known| known.problem != next.problem)
        {
            tracing::error!(%scope, problem, "a scope is not served with what it is bound to");
        }
        let kind = |scope: &ScopeBindings| std::mem::discriminant(&scope.current);
        if known.is_some_and(|known| (kind(known), known.reference()) == (kind(next), next.reference())) {
            return;
        }
        match &next.current {
            Current::Serves(binding) => tracing::info!(
                %scope, policy_generation = %binding.reference.generation, policy_digest = %binding.reference.digest,
                "a policy serves"
            ),
            Current::Revoked(policy) => {
                tracing::error!(%scope, policy_generation = %policy.generation, "nobody is served: the policy was revoked");
            }
            Current::Absent => tracing::info!(%scope, "no binding of its own serves the scope"),
            Current::Unavailable(_) => {}
        }
    }
}

fn candidate(state: &ScopeState, next: &ScopeBindings) -> Option<Candidate> {
    let rollout = state.rollout.clone()?;
    let binding = next.loaded.get(&rollout.number)?.clone();
    Some(Candidate { binding, rollout })
}

/// The current one first; the one before last, since it is there for a rollback only.
fn wanted<'s>(state: &'s ScopeState, rolled_out: Option<&'s Generation>) -> impl Iterator<Item = &'s Generation> {
    state.current.iter().chain(rolled_out).chain(&state.staged).chain(&state.previous)
}

fn known_generations(state: &ScopeState) -> impl Iterator<Item = &Generation> {
    wanted(state, None)
}

fn reference(generation: &Generation) -> PolicyRef {
    PolicyRef { generation: generation.id(), digest: generation.spec.digest.clone() }
}
