//! A store that says nothing: what was bound goes on serving, and what changed meanwhile is found afterwards.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use rtmanager::model::{
    Divergence, Generation, PolicyChange, PolicyName, PolicyVersion, Rollout, RolloutCounts, Serving, Signed, Timestamp,
};
use rtmanager::ports::{
    Changes, GenerationStore, PruneBefore, ScopeState, StoreError, SwapError, SwapKind, Unreadable,
};
use rtmanager::registry::{Binding, Registry};

use super::loading::Counting;
use super::*;

/// Generations that can be cut off, of which some rows are damaged, and in which others have revoked a lot.
pub(super) struct Cut {
    inner: Arc<dyn GenerationStore>,
    pub(super) away: AtomicBool,
    pub(super) damaged: Mutex<BTreeSet<PolicyScope>>,
    /// Up to this number, what was not revoked here was by others.
    pub(super) others: AtomicU64,
    /// The epochs since which changes were asked for, and the numbers of revocations.
    pub(super) asked: Mutex<Vec<u64>>,
    pub(super) asked_of_revocations: Mutex<Vec<u64>>,
}

impl Cut {
    pub(super) fn off(inner: Arc<dyn GenerationStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            away: AtomicBool::new(false),
            damaged: Mutex::default(),
            others: AtomicU64::new(0),
            asked: Mutex::default(),
            asked_of_revocations: Mutex::default(),
        })
    }

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

    async fn unused(&self, scope: &PolicyScope) -> Result<u64, StoreError> {
        self.reach()?.unused(scope).await
    }

    async fn prune(&self, before: &PruneBefore) -> Result<u64, StoreError> {
        self.reach()?.prune(before).await
    }

    async fn revoked_since(&self, number: u64, limit: u32) -> Result<Vec<(u64, String)>, StoreError> {
        self.asked_of_revocations.lock().unwrap().push(number);
        let mut page = self.reach()?.revoked_since(number, limit).await?;
        let last = page.last().map_or(number, |(number, _)| *number);
        let others = self.others.load(Ordering::SeqCst);
        let rest = (last + 1..=last + u64::from(limit)).take_while(|number| *number <= others);
        page.extend(rest.map(|number| (number, format!("other/{number}"))));
        page.truncate(limit as usize);
        Ok(page)
    }

    async fn epoch(&self) -> Result<u64, StoreError> {
        self.reach()?.epoch().await
    }

    async fn changed_since(&self, epoch: u64) -> Result<Changes, StoreError> {
        self.asked.lock().unwrap().push(epoch);
        let mut changes = self.reach()?.changed_since(epoch).await?;
        let damaged = self.damaged.lock().unwrap().clone();
        for state in changes.states.extract_if(.., |state| damaged.contains(&state.scope)) {
            let current = state.current.map(|current| current.number);
            let reason = "a row that says nothing".to_owned();
            changes.unreadable.push(Unreadable { scope: Some(state.scope), current, reason });
        }
        Ok(changes)
    }

    async fn state(&self, scope: &PolicyScope) -> Result<Option<ScopeState>, StoreError> {
        if self.damaged.lock().unwrap().contains(scope) {
            return Err(StoreError::Corrupt("a row that says nothing".to_owned()));
        }
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
    let generations = Cut::off(host.store.generations());
    let stores = Stores { generations: generations.clone(), ..stores(&host) };
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
