//! Generations in memory.

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::adapters::scope::{Swap, raises};
use crate::model::{
    BindingSpec, Divergence, Generation, PolicyChange, PolicyName, PolicyScope, PolicyVersion, Revocation, Rollout,
    RolloutCounts, Serving, Signed, Timestamp,
};
use crate::ports::{Changes, GenerationStore, PruneBefore, ScopeState, StoreError, SwapError, SwapKind};

/// The generations of a [`MemoryStore`].
pub struct MemoryGenerations {
    store: MemoryStore,
}

impl MemoryGenerations {
    pub(super) fn new(store: MemoryStore) -> Self {
        Self { store }
    }

    /// Makes a change and wakes whoever waits for one.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let answer = change(&mut self.store.lock());
        self.store.changed.notify_waiters();
        answer
    }
}

#[async_trait]
impl GenerationStore for MemoryGenerations {
    async fn stage(&self, scope: &PolicyScope, spec: &BindingSpec, staged: &Signed) -> Result<Generation, StoreError> {
        self.change(|state| state.stage(scope, spec, staged))
    }

    async fn generation(&self, scope: &PolicyScope, number: u64) -> Result<Option<Generation>, StoreError> {
        Ok(self.store.lock().bindings.generations.get(&(scope.clone(), number)).cloned())
    }

    async fn swap(
        &self,
        scope: &PolicyScope,
        expected: Option<u64>,
        to: u64,
        kind: SwapKind,
        mark: Option<(&PolicyName, &PolicyVersion)>,
        signed: &Signed,
    ) -> Result<(), SwapError> {
        self.change(|state| {
            let mut after = state.bindings.scope(scope);
            let lines = after.swap(Swap { expected, to, kind }, state.found(scope, to))?;
            if let Some((name, version)) = mark {
                let place = (scope.clone(), name.clone());
                if raises(state.bindings.marks.get(&place), name, version)? {
                    state.bindings.marks.insert(place, version.clone());
                }
            }
            state.bindings.put(scope, after, &lines, signed);
            Ok(())
        })
    }

    async fn unbind(&self, scope: &PolicyScope, expected: u64, signed: &Signed) -> Result<(), SwapError> {
        self.change(|state| {
            let mut after = state.bindings.scope(scope);
            let lines = after.unbind(expected)?;
            state.bindings.put(scope, after, &lines, signed);
            Ok(())
        })
    }

    async fn unused(&self, scope: &PolicyScope) -> Result<u64, StoreError> {
        let state = self.store.lock();
        let of_scope = state.bindings.generations.keys().filter(|(of, _)| of == scope);
        Ok(of_scope.filter(|(of, number)| state.bindings.is_unused(of, *number)).count() as u64)
    }

    async fn prune(&self, before: &PruneBefore) -> Result<u64, StoreError> {
        Ok(self.change(|state| state.bindings.prune(before)))
    }

    async fn mark(&self, scope: &PolicyScope, name: &PolicyName) -> Result<Option<PolicyVersion>, StoreError> {
        Ok(self.store.lock().bindings.marks.get(&(scope.clone(), name.clone())).cloned())
    }

    async fn start_rollout(
        &self,
        scope: &PolicyScope,
        expected: Option<u64>,
        rollout: &Rollout,
    ) -> Result<(), SwapError> {
        self.change(|state| {
            let mut after = state.bindings.scope(scope);
            let lines = after.start_rollout(expected, rollout, state.found(scope, rollout.number))?;
            state.bindings.divergences.remove(&(scope.clone(), rollout.number));
            state.bindings.put(scope, after, &lines, &rollout.started);
            Ok(())
        })
    }

    async fn end_rollout(&self, scope: &PolicyScope, number: u64, signed: &Signed) -> Result<bool, StoreError> {
        self.change(|state| {
            let mut after = state.bindings.scope(scope);
            let Some(line) = after.end_rollout(number) else { return Ok(false) };
            state.bindings.put(scope, after, &[line], signed);
            Ok(true)
        })
    }

    async fn count_rollout(
        &self,
        scope: &PolicyScope,
        number: u64,
        seen: &RolloutCounts,
    ) -> Result<Option<RolloutCounts>, StoreError> {
        let mut state = self.store.lock();
        Ok(state.bindings.scopes.get_mut(scope).and_then(|bound| bound.scope.count(number, seen)))
    }

    async fn add_divergence(
        &self,
        scope: &PolicyScope,
        number: u64,
        divergence: &Divergence,
    ) -> Result<(), StoreError> {
        self.store.lock().bindings.add_divergence(scope, number, divergence);
        Ok(())
    }

    async fn divergences(&self, scope: &PolicyScope, number: u64, limit: u32) -> Result<Vec<Divergence>, StoreError> {
        let state = self.store.lock();
        let kept = state.bindings.divergences.get(&(scope.clone(), number)).into_iter().flatten();
        Ok(kept.rev().take(limit as usize).map(|(_, divergence)| divergence.clone()).collect())
    }

    async fn revoke(&self, revocation: &Revocation, signed: &Signed) -> Result<bool, StoreError> {
        Ok(self.change(|state| state.revoke(revocation, signed)))
    }

    async fn revoked_since(&self, number: u64, limit: u32) -> Result<Vec<(u64, String)>, StoreError> {
        let state = self.store.lock();
        let numbered = (1..).zip(&state.bindings.revocations).map(|(id, (subject, _))| (id, subject.clone()));
        Ok(numbered.filter(|(id, _)| *id > number).take(limit as usize).collect())
    }

    async fn revocations(&self, limit: u32) -> Result<Vec<(String, Signed)>, StoreError> {
        Ok(self.store.lock().bindings.revocations.iter().rev().take(limit as usize).cloned().collect())
    }

    async fn epoch(&self) -> Result<u64, StoreError> {
        Ok(self.store.lock().bindings.epoch)
    }

    async fn changed_since(&self, epoch: u64) -> Result<Changes, StoreError> {
        let state = self.store.lock();
        let changed = state.bindings.scopes.iter().filter(|(_, bound)| epoch < bound.changed);
        let states = changed.filter_map(|(scope, _)| state.scope_state(scope)).collect();
        Ok(Changes { epoch: state.bindings.epoch, states, unreadable: Vec::new() })
    }

    async fn state(&self, scope: &PolicyScope) -> Result<Option<ScopeState>, StoreError> {
        Ok(self.store.lock().scope_state(scope))
    }

    async fn history(
        &self,
        scope: &PolicyScope,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<PolicyChange>, StoreError> {
        let state = self.store.lock();
        let changes = state.bindings.history.iter().rev().filter(|(of, _)| of == scope).map(|(_, change)| change);
        let earlier = changes.filter(|change| before.is_none_or(|before| change.id < before));
        Ok(earlier.take(limit as usize).cloned().collect())
    }

    async fn changed(&self) {
        self.store.changed.notified().await;
    }

    async fn report(&self, serving: &Serving) -> Result<(), StoreError> {
        let key = (serving.scope.clone(), serving.replica.clone());
        self.store.lock().bindings.reports.insert(key, serving.clone());
        Ok(())
    }

    async fn forget_reports(&self, before: Timestamp, replica: Option<&str>) -> Result<(), StoreError> {
        let is_kept = |serving: &Serving| before <= serving.at && replica != Some(&*serving.replica);
        self.store.lock().bindings.reports.retain(|_, serving| is_kept(serving));
        Ok(())
    }

    async fn reports(&self, scope: &PolicyScope, since: Timestamp) -> Result<Vec<Serving>, StoreError> {
        let state = self.store.lock();
        let of_scope = state.bindings.reports.values().filter(|serving| serving.scope == *scope);
        Ok(of_scope.filter(|serving| since <= serving.at).cloned().collect())
    }
}

impl State {
    /// As in the databases, only a component that is there can be bound.
    fn stage(&mut self, scope: &PolicyScope, spec: &BindingSpec, staged: &Signed) -> Result<Generation, StoreError> {
        if !self.policies.has(&spec.digest) {
            return Err(StoreError::Corrupt(format!("component {} is not in the store", spec.digest)));
        }
        let mut after = self.bindings.scope(scope);
        let number = after.stage();
        let generation = Generation { scope: scope.clone(), number, spec: spec.clone(), staged: staged.clone() };
        self.bindings.generations.insert((scope.clone(), number), generation.clone());
        self.bindings.put(scope, after, &[], staged);
        Ok(generation)
    }
}
