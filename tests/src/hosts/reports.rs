//! What hosts said they served, and when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rtmanager::model::{
    BindingSpec, Divergence, Generation, OperationEntry, PolicyChange, PolicyName, PolicyScope, PolicyVersion,
    Revocation, Rollout, RolloutCounts, Serving, Signed, Timestamp,
};
use rtmanager::ports::{GenerationStore, ScopeState, StoreError, SwapError, SwapKind};

use super::{Replica, SCOPE};

/// A host says what it serves once it does, so a run may be a little ahead of it.
const AHEAD: Duration = Duration::from_millis(500);

/// Everything that was said, in the order in which it was.
#[derive(Clone, Default)]
pub struct Reports(Arc<Mutex<Vec<(Replica, Serving)>>>);

impl Reports {
    /// How many there were.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Whether the host said that it served the run's generation at some time of the run. Of a sweeper's run it is not
    /// known whose it was, so any host will do.
    pub fn served(&self, replica: Option<Replica>, entry: &OperationEntry) -> bool {
        let hosts = replica.map_or(vec![Replica::One, Replica::Two], |host| vec![host]);
        hosts.into_iter().any(|host| self.served_by(host, entry))
    }

    fn served_by(&self, host: Replica, entry: &OperationEntry) -> bool {
        let said = self.0.lock().unwrap();
        let mut said = said.iter().filter(|(of, _)| *of == host).map(|(_, serving)| serving).peekable();
        while let Some(serving) = said.next() {
            let until = said.peek().map(|next| next.at);
            let began = serving.at.saturating_sub(AHEAD) <= entry.finished_at;
            let lasted = until.is_none_or(|until| entry.started_at <= until);
            if serving.generation == entry.policy.generation && began && lasted {
                return true;
            }
        }
        false
    }
}

/// One host's view of the generations, by which its reports are heard.
pub(super) struct Heard {
    pub(super) inner: Arc<dyn GenerationStore>,
    pub(super) host: Replica,
    pub(super) reports: Reports,
}

#[async_trait]
impl GenerationStore for Heard {
    async fn report(&self, serving: &Serving) -> Result<(), StoreError> {
        if serving.scope.as_str() == SCOPE {
            self.reports.0.lock().unwrap().push((self.host, serving.clone()));
        }
        self.inner.report(serving).await
    }

    async fn stage(&self, scope: &PolicyScope, spec: &BindingSpec, staged: &Signed) -> Result<Generation, StoreError> {
        self.inner.stage(scope, spec, staged).await
    }

    async fn generation(&self, scope: &PolicyScope, number: u64) -> Result<Option<Generation>, StoreError> {
        self.inner.generation(scope, number).await
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
        self.inner.swap(scope, expected, to, kind, mark, signed).await
    }

    async fn unbind(&self, scope: &PolicyScope, expected: u64, signed: &Signed) -> Result<(), SwapError> {
        self.inner.unbind(scope, expected, signed).await
    }

    async fn mark(&self, scope: &PolicyScope, name: &PolicyName) -> Result<Option<PolicyVersion>, StoreError> {
        self.inner.mark(scope, name).await
    }

    async fn start_rollout(
        &self,
        scope: &PolicyScope,
        expected: Option<u64>,
        rollout: &Rollout,
    ) -> Result<(), SwapError> {
        self.inner.start_rollout(scope, expected, rollout).await
    }

    async fn end_rollout(&self, scope: &PolicyScope, number: u64, signed: &Signed) -> Result<bool, StoreError> {
        self.inner.end_rollout(scope, number, signed).await
    }

    async fn count_rollout(
        &self,
        scope: &PolicyScope,
        number: u64,
        seen: &RolloutCounts,
    ) -> Result<Option<RolloutCounts>, StoreError> {
        self.inner.count_rollout(scope, number, seen).await
    }

    async fn add_divergence(
        &self,
        scope: &PolicyScope,
        number: u64,
        divergence: &Divergence,
    ) -> Result<(), StoreError> {
        self.inner.add_divergence(scope, number, divergence).await
    }

    async fn divergences(&self, scope: &PolicyScope, number: u64, limit: u32) -> Result<Vec<Divergence>, StoreError> {
        self.inner.divergences(scope, number, limit).await
    }

    async fn revoke(&self, revocation: &Revocation, signed: &Signed) -> Result<bool, StoreError> {
        self.inner.revoke(revocation, signed).await
    }

    async fn revocations(&self, limit: u32) -> Result<Vec<(String, Signed)>, StoreError> {
        self.inner.revocations(limit).await
    }

    async fn epoch(&self) -> Result<u64, StoreError> {
        self.inner.epoch().await
    }

    async fn changed_since(&self, epoch: u64) -> Result<(u64, Vec<ScopeState>), StoreError> {
        self.inner.changed_since(epoch).await
    }

    async fn state(&self, scope: &PolicyScope) -> Result<Option<ScopeState>, StoreError> {
        self.inner.state(scope).await
    }

    async fn history(
        &self,
        scope: &PolicyScope,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<PolicyChange>, StoreError> {
        self.inner.history(scope, before, limit).await
    }

    async fn changed(&self) {
        self.inner.changed().await;
    }

    async fn forget_reports(&self, before: Timestamp, replica: Option<&str>) -> Result<(), StoreError> {
        self.inner.forget_reports(before, replica).await
    }

    async fn reports(&self, scope: &PolicyScope, since: Timestamp) -> Result<Vec<Serving>, StoreError> {
        self.inner.reports(scope, since).await
    }
}
