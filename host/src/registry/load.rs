//! From what the store says of a scope to what serves it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::scope::{Current, ScopeBindings, wanted};
use super::watch::in_time;
use super::{Binding, Watcher};
use crate::compiler::LoadFailure;
use crate::model::{ErrorChain, Generation, PolicyDigest, PolicyScope};
use crate::ports::{Changes, ScopeState, StoreError};
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
    /// Puts in place what can be said of scopes without loading anything: revocations, rollbacks and what else is loaded
    /// already. Answers which there are, and notes those that are to be tried again.
    pub(super) fn announce(&self, changes: &Changes) -> Vec<PolicyScope> {
        let unreadable = changes.unreadable.iter().filter_map(|damage| damage.scope.clone());
        let scopes: Vec<_> = changes.states.iter().map(|state| state.scope.clone()).chain(unreadable).collect();
        let before: Vec<_> = scopes.iter().map(|scope| self.registry.scope(scope)).collect();
        self.registry.announce(changes);
        for (scope, known) in scopes.iter().zip(before) {
            self.tell(scope, known.as_deref());
        }
        for damage in &changes.unreadable {
            match &damage.scope {
                Some(scope) => self.note_trouble(scope.clone(), false),
                None => tracing::error!(reason = damage.reason, "a scope in the store cannot be read, nor whose it is"),
            }
        }
        scopes
    }

    /// Loads what is missing of a scope, as the store says by then. Meanwhile, or if it cannot be loaded, what served goes
    /// on serving. Each scope has its own turn: none waits for what another one loads, but for a free compiler.
    pub(super) async fn load_scope(&self, scope: &PolicyScope) {
        let turn = self.turn(scope);
        let _turn = match turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                // Something takes long. What is in place without it, such as a rollback, is told meanwhile.
                self.report_scope(scope).await;
                turn.lock().await
            }
        };
        while let Some(known) = self.registry.scope(scope) {
            let Some(state) = known.state.clone() else { break };
            let problem = self.load_missing(&state).await;
            let whole = problem.is_none();
            let before = self.registry.scope(scope);
            let conclude = |in_place: &ScopeBindings| {
                let is_same = in_place.epoch == known.epoch && in_place.state.is_some();
                is_same.then(|| ScopeBindings { problem: problem.clone(), ..in_place.clone() })
            };
            self.registry.amend(scope, conclude);
            self.tell(scope, before.as_deref());
            if self.registry.scope(scope).is_none_or(|in_place| in_place.epoch == known.epoch) {
                self.note_trouble(scope.clone(), whole);
                break;
            }
        }
        self.report_scope(scope).await;
    }

    /// Answers why something could not be loaded.
    async fn load_missing(&self, state: &ScopeState) -> Option<String> {
        let mut problem = None;
        for generation in wanted(state) {
            let is_loaded = |in_place: &ScopeBindings| in_place.loaded.contains_key(&generation.number);
            if self.registry.scope(&state.scope).is_some_and(|in_place| is_loaded(&in_place)) {
                continue;
            }
            match self.load(generation).await {
                Ok(binding) => {
                    let (binding, before) = (Arc::new(binding), self.registry.scope(&state.scope));
                    // Does not wait for the others.
                    self.registry.amend(&state.scope, |in_place| in_place.with(generation.number, &binding));
                    self.tell(&state.scope, before.as_deref());
                }
                Err(error) => {
                    problem.get_or_insert(format!("generation {}: {}", generation.id(), ErrorChain(&error)));
                }
            }
        }
        problem
    }

    async fn load(&self, generation: &Generation) -> Result<Binding, LoadProblem> {
        let digest = &generation.spec.digest;
        let cell = self.policies().entry(digest.clone()).or_default().clone();
        let policy = cell.get_or_try_init(|| self.find_or_compile(digest)).await?.clone();
        let host = policy.limits().clone();
        Ok(Binding::stored(generation, policy, &host))
    }

    /// What was compiled before waits for nobody's compilation. Few at a time of either, so that runs get something of the
    /// processors while a host starts.
    async fn find_or_compile(&self, digest: &PolicyDigest) -> Result<Policy, LoadProblem> {
        {
            let _turn = self.finding.acquire().await;
            if let Some(policy) = self.source.compiled(digest).await {
                return Ok(policy);
            }
        }
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
    pub(super) fn forget_unused(&self) {
        let scopes = self.registry.scopes();
        let loaded = scopes.iter().flat_map(|scope| scope.loaded.values()).map(|binding| &binding.reference.digest);
        let due = scopes.iter().filter_map(|scope| scope.state.as_deref()).flat_map(wanted);
        let used: BTreeSet<&PolicyDigest> = loaded.chain(due.map(|generation| &generation.spec.digest)).collect();
        self.policies().retain(|digest, cell| !cell.initialized() || used.contains(digest));
    }

    fn policies(&self) -> MutexGuard<'_, BTreeMap<PolicyDigest, Arc<OnceCell<Policy>>>> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, scope: &PolicyScope) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(scope.clone()).or_default().clone()
    }

    /// Tells the log what is in place now, as far as it was not so before.
    fn tell(&self, scope: &PolicyScope, known: Option<&ScopeBindings>) {
        let Some(next) = self.registry.scope(scope) else { return };
        if let Some(problem) = &next.problem
            && known.is_none_or(|known| known.problem != next.problem)
        {
            tracing::error!(%scope, problem, "a scope is not served with what it is bound to");
        }
        let kind = |scope: &ScopeBindings| std::mem::discriminant(&scope.current);
        if known.is_some_and(|known| (kind(known), known.reference()) == (kind(&next), next.reference())) {
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
