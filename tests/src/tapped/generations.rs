//! What serves whom, and a trap before each call of it.

use std::sync::Arc;

use async_trait::async_trait;
use rtmanager::model::{
    BindingSpec, Divergence, Generation, PolicyChange, PolicyName, PolicyScope, PolicyVersion, Revocation, Rollout,
    RolloutCounts, Serving, Signed, Timestamp,
};
use rtmanager::ports::{Changes, GenerationStore, PruneBefore, ScopeState, StoreError, SwapError, SwapKind};

use super::Tapped;

/// What is done with generations; by default as the adapter behind does it.
#[async_trait]
pub trait GenerationTap: Send + Sync {
    /// The adapter behind.
    fn inner(&self) -> &Arc<dyn GenerationStore>;

    /// A call is about to be made. What is answered here is told to [`Self::ended`].
    fn begins(&self, _call: &'static str) -> u64 {
        0
    }

    /// That call was made, and nobody has its answer yet.
    fn ended(&self, _call: &'static str, _number: u64) {}

    /// See [`GenerationStore::changed_since`].
    async fn changed_since(&self, epoch: u64) -> Result<Changes, StoreError> {
        self.inner().changed_since(epoch).await
    }

    /// See [`GenerationStore::state`].
    async fn state(&self, scope: &PolicyScope) -> Result<Option<ScopeState>, StoreError> {
        self.inner().state(scope).await
    }

    /// See [`GenerationStore::epoch`].
    async fn epoch(&self) -> Result<u64, StoreError> {
        self.inner().epoch().await
    }

    /// See [`GenerationStore::revoked_since`].
    async fn revoked_since(&self, number: u64, limit: u32) -> Result<Vec<(u64, String)>, StoreError> {
        self.inner().revoked_since(number, limit).await
    }

    /// See [`GenerationStore::changed`].
    async fn changed(&self) {
        self.inner().changed().await;
    }

    /// See [`GenerationStore::report`].
    async fn report(&self, serving: &Serving) -> Result<(), StoreError> {
        self.inner().report(serving).await
    }
}

macro_rules! around {
    ($tap:expr, $call:literal, $effect:expr) => {{
        let number = $tap.begins($call);
        let answer = $effect.await;
        $tap.ended($call, number);
        answer
    }};
}

#[async_trait]
impl<T: GenerationTap> GenerationStore for Tapped<T> {
    async fn stage(&self, scope: &PolicyScope, spec: &BindingSpec, staged: &Signed) -> Result<Generation, StoreError> {
        around!(self.0, "stage", self.0.inner().stage(scope, spec, staged))
    }

    async fn generation(&self, scope: &PolicyScope, number: u64) -> Result<Option<Generation>, StoreError> {
        around!(self.0, "generation", self.0.inner().generation(scope, number))
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
        around!(self.0, "swap", self.0.inner().swap(scope, expected, to, kind, mark, signed))
    }

    async fn unbind(&self, scope: &PolicyScope, expected: u64, signed: &Signed) -> Result<(), SwapError> {
        around!(self.0, "unbind", self.0.inner().unbind(scope, expected, signed))
    }

    async fn mark(&self, scope: &PolicyScope, name: &PolicyName) -> Result<Option<PolicyVersion>, StoreError> {
        around!(self.0, "mark", self.0.inner().mark(scope, name))
    }

    async fn start_rollout(
        &self,
        scope: &PolicyScope,
        expected: Option<u64>,
        rollout: &Rollout,
    ) -> Result<(), SwapError> {
        around!(self.0, "start_rollout", self.0.inner().start_rollout(scope, expected, rollout))
    }

    async fn end_rollout(&self, scope: &PolicyScope, number: u64, signed: &Signed) -> Result<bool, StoreError> {
        around!(self.0, "end_rollout", self.0.inner().end_rollout(scope, number, signed))
    }

    async fn count_rollout(
        &self,
        scope: &PolicyScope,
        number: u64,
        seen: &RolloutCounts,
    ) -> Result<Option<RolloutCounts>, StoreError> {
        around!(self.0, "count_rollout", self.0.inner().count_rollout(scope, number, seen))
    }

    async fn add_divergence(
        &self,
        scope: &PolicyScope,
        number: u64,
        divergence: &Divergence,
    ) -> Result<(), StoreError> {
        around!(self.0, "add_divergence", self.0.inner().add_divergence(scope, number, divergence))
    }

    async fn divergences(&self, scope: &PolicyScope, number: u64, limit: u32) -> Result<Vec<Divergence>, StoreError> {
        around!(self.0, "divergences", self.0.inner().divergences(scope, number, limit))
    }

    async fn revoke(&self, revocation: &Revocation, signed: &Signed) -> Result<bool, StoreError> {
        around!(self.0, "revoke", self.0.inner().revoke(revocation, signed))
    }

    async fn revocations(&self, limit: u32) -> Result<Vec<(String, Signed)>, StoreError> {
        around!(self.0, "revocations", self.0.inner().revocations(limit))
    }

    async fn unused(&self, scope: &PolicyScope) -> Result<u64, StoreError> {
        around!(self.0, "unused", self.0.inner().unused(scope))
    }

    async fn prune(&self, before: &PruneBefore) -> Result<u64, StoreError> {
        around!(self.0, "prune", self.0.inner().prune(before))
    }

    async fn revoked_since(&self, number: u64, limit: u32) -> Result<Vec<(u64, String)>, StoreError> {
        around!(self.0, "revoked_since", self.0.revoked_since(number, limit))
    }

    async fn epoch(&self) -> Result<u64, StoreError> {
        around!(self.0, "epoch", self.0.epoch())
    }

    async fn changed_since(&self, epoch: u64) -> Result<Changes, StoreError> {
        around!(self.0, "changed_since", self.0.changed_since(epoch))
    }

    async fn state(&self, scope: &PolicyScope) -> Result<Option<ScopeState>, StoreError> {
        around!(self.0, "state", self.0.state(scope))
    }

    async fn history(
        &self,
        scope: &PolicyScope,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<PolicyChange>, StoreError> {
        around!(self.0, "history", self.0.inner().history(scope, before, limit))
    }

    /// No call of its own: it only waits.
    async fn changed(&self) {
        self.0.changed().await;
    }

    async fn report(&self, serving: &Serving) -> Result<(), StoreError> {
        around!(self.0, "report", self.0.report(serving))
    }

    async fn forget_reports(&self, before: Timestamp, replica: Option<&str>) -> Result<(), StoreError> {
        around!(self.0, "forget_reports", self.0.inner().forget_reports(before, replica))
    }

    async fn reports(&self, scope: &PolicyScope, since: Timestamp) -> Result<Vec<Serving>, StoreError> {
        around!(self.0, "reports", self.0.inner().reports(scope, since))
    }
}
