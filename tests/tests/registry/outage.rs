//! A store that says nothing: what was bound goes on serving, and what changed meanwhile is found afterwards.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rtmanager::model::{
    Divergence, Generation, PolicyChange, PolicyName, PolicyVersion, Rollout, RolloutCounts, Serving, Signed, Timestamp,
};
use rtmanager::ports::{GenerationStore, ScopeState, StoreError, SwapError, SwapKind};
use rtmanager::registry::{Binding, Registry, Stores};

use super::loading::Counting;
use super::*;

/// Generations that can be cut off.
struct Cut {
    inner: Arc<dyn GenerationStore>,
    away: AtomicBool,
}

impl Cut {
    fn reach(&self) -> Result<&dyn GenerationStore, StoreError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("cut off by a test".into())),
            false => Ok(&*self.inner),
        }
    }
}

#[async_trait]
impl GenerationStore for Cut {
    async fn stage(&self, scope: &PolicyScope, spec: &BindingSpec, staged: &Signed) -> Result<Generation, StoreError> {
        self.reach()?.stage(scope, spec, staged).await
    }

    async fn generation(&self, scope: &PolicyScope, number: u64) -> Result<Option<Generation>, StoreError> {
        self.reach()?.generation(scope, number).await
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
        self.reach()?.swap(scope, expected, to, kind, mark, signed).await
    }

    async fn unbind(&self, scope: &PolicyScope, expected: u64, signed: &Signed) -> Result<(), SwapError> {
        self.reach()?.unbind(scope, expected, signed).await
    }

    async fn mark(&self, scope: &PolicyScope, name: &PolicyName) -> Result<Option<PolicyVersion>, StoreError> {
        self.reach()?.mark(scope, name).await
    }

    async fn start_rollout(
        &self,
        scope: &PolicyScope,
        expected: Option<u64>,
        rollout: &Rollout,
    ) -> Result<(), SwapError> {
        self.reach()?.start_rollout(scope, expected, rollout).await
    }

    async fn end_rollout(&self, scope: &PolicyScope, number: u64, signed: &Signed) -> Result<bool, StoreError> {
        self.reach()?.end_rollout(scope, number, signed).await
    }

    async fn count_rollout(
        &self,
        scope: &PolicyScope,
        number: u64,
        seen: &RolloutCounts,
    ) -> Result<Option<RolloutCounts>, StoreError> {
        self.reach()?.count_rollout(scope, number, seen).await
    }

    async fn add_divergence(&self, scope: &PolicyScope, number: u64, it: &Divergence) -> Result<(), StoreError> {
        self.reach()?.add_divergence(scope, number, it).await
    }

    async fn divergences(&self, scope: &PolicyScope, number: u64, limit: u32) -> Result<Vec<Divergence>, StoreError> {
        self.reach()?.divergences(scope, number, limit).await
    }

    async fn revoke(&self, revocation: &Revocation, signed: &Signed) -> Result<bool, StoreError> {
        self.reach()?.revoke(revocation, signed).await
    }

    async fn revocations(&self, limit: u32) -> Result<Vec<(String, Signed)>, StoreError> {
        self.reach()?.revocations(limit).await
    }

    async fn epoch(&self) -> Result<u64, StoreError> {
        self.reach()?.epoch().await
    }

    async fn changed_since(&self, epoch: u64) -> Result<(u64, Vec<ScopeState>), StoreError> {
        self.reach()?.changed_since(epoch).await
    }

    async fn state(&self, scope: &PolicyScope) -> Result<Option<ScopeState>, StoreError> {
        self.reach()?.state(scope).await
    }

    async fn history(&self, scope: &PolicyScope, id: Option<u64>, limit: u32) -> Result<Vec<PolicyChange>, StoreError> {
        self.reach()?.history(scope, id, limit).await
    }

    async fn changed(&self) {
        self.inner.changed().await;
    }

    async fn report(&self, serving: &Serving) -> Result<(), StoreError> {
        self.reach()?.report(serving).await
    }

    async fn forget_reports(&self, before: Timestamp, replica: Option<&str>) -> Result<(), StoreError> {
        self.reach()?.forget_reports(before, replica).await
    }

    async fn reports(&self, scope: &PolicyScope, since: Timestamp) -> Result<Vec<Serving>, StoreError> {
        self.reach()?.reports(scope, since).await
    }
}

#[tokio::test]
async fn while_the_store_is_away_what_was_bound_serves_and_afterwards_what_changed_meanwhile() {
    let host = host().await;
    let source = Arc::new(Counting::default());
    let fallback = Binding::configured(&PolicyScope::Default, source.compile(DEFAULT_POLICY), &BTreeMap::new());
    let registry = Arc::new(Registry::new(fallback, []).unread());
    let generations = Arc::new(Cut { inner: host.store.generations(), away: AtomicBool::new(false) });
    let stores = Stores {
        generations: generations.clone(),
        policies: host.store.policies(),
        access: host.store.access(),
        clock: host.clock.clone(),
    };
    let watcher = Watcher::new(stores, source, registry.clone(), host.metrics.clone(), "replica".to_owned());
    let serving = || registry.serving(&"tenant-a".parse().unwrap()).map(|serving| serving[0].to_string());
    host.bind(&tenant_a(), &plain(&host.push(DEFAULT_POLICY).await)).await;

    generations.away.store(true, Ordering::SeqCst);
    watcher.refresh().await.unwrap_err();
    assert_eq!(serving(), None, "a host that has never read the store does not know what serves");
    generations.away.store(false, Ordering::SeqCst);
    let watching = tokio::spawn(watcher.clone().run_for_ever());
    until(|| serving().as_deref() == Some("tenant-a/1")).await;

    generations.away.store(true, Ordering::SeqCst);
    host.bind(&tenant_a(), &plain(&host.push(C_POLICY).await)).await;
    watcher.refresh().await.unwrap_err();
    assert_eq!(serving().as_deref(), Some("tenant-a/1"));
    generations.away.store(false, Ordering::SeqCst);
    until(|| serving().as_deref() == Some("tenant-a/2")).await;
    watching.abort();
}
