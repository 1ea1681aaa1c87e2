//! What takes long to load holds up nobody else.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use rtmanager::compiler::LoadFailure;
use rtmanager::registry::{Binding, PolicySource, Registry};
use rtmanager::runtime::Policy;
use rtmanager_tests::bombs::many_sections;

use super::loading::Counting;
use super::*;

/// Some components take for ever to compile; of others the code is at hand.
struct Slow {
    source: Counting,
    slow: Mutex<BTreeSet<PolicyDigest>>,
    begun: Mutex<usize>,
    at_hand: BTreeMap<PolicyDigest, Policy>,
}

#[async_trait]
impl PolicySource for Slow {
    async fn compiled(&self, digest: &PolicyDigest) -> Option<Policy> {
        self.at_hand.get(digest).cloned()
    }

    async fn load(&self, component: Vec<u8>) -> Result<Policy, LoadFailure> {
        if self.slow.lock().unwrap().contains(&PolicyDigest::of(&component)) {
            *self.begun.lock().unwrap() += 1;
            std::future::pending::<()>().await;
        }
        self.source.load(component).await
    }
}

#[tokio::test]
async fn revocations_rollbacks_and_what_is_at_hand_wait_for_no_compilation() {
    let host = host().await;
    let source = Counting::default();
    let fallback = Binding::configured(&PolicyScope::Default, source.compile(DEFAULT_POLICY), &BTreeMap::new());
    let at_hand = many_sections(DEFAULT_POLICY, 99);
    let ready = BTreeMap::from([(PolicyDigest::of(&at_hand), source.compile(&at_hand))]);
    let slow = Slow { source, slow: Mutex::default(), begun: Mutex::default(), at_hand: ready };
    let slow = Arc::new(slow);
    let registry = Arc::new(Registry::new(fallback, []).unread());
    let watcher = Watcher::new(stores(&host), slow.clone(), registry.clone(), host.metrics.clone(), "here".to_owned());
    let serves = |tenant: &str| match registry.assign(Some(&tenant.parse().unwrap()), None).binding {
        Ok(binding) => binding.reference.generation.to_string(),
        Err(refusal) => refusal.fault.code.to_string(),
    };
    let bind = async |scope: &str, component: &[u8]| {
        let scope = scope.parse().unwrap();
        let number = host.stage(&scope, &plain(&host.push(component).await)).await;
        host.swap(&scope, number).await;
    };
    for component in [DEFAULT_POLICY, C_POLICY] {
        bind("tenant-a", component).await;
        bind("tenant-b", component).await;
    }
    watcher.refresh().await.unwrap();
    let watching = tokio::spawn(watcher.clone().run_for_ever());

    // More of them than anything here does at once, and one by one, so that each could be a look's of its own.
    for number in 0..9 {
        let component = many_sections(DEFAULT_POLICY, number + 1);
        slow.slow.lock().unwrap().insert(PolicyDigest::of(&component));
        bind(&format!("slow-{number}"), &component).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    until(|| *slow.begun.lock().unwrap() == 2).await;
    host.swap(&tenant_a(), 1).await;
    until(|| serves("tenant-a") == "tenant-a/1").await;
    host.revoke(&Revocation::Generation(id("tenant-b/2"))).await;
    until(|| serves("tenant-b") == "policy_revoked").await;
    bind("tenant-c", &at_hand).await;
    until(|| serves("tenant-c") == "tenant-c/1").await;
    // Also of a scope that itself waits for something slow.
    bind("tenant-a", &many_sections(DEFAULT_POLICY, 1)).await;
    host.revoke(&Revocation::Generation(id("tenant-a/1"))).await;
    until(|| serves("tenant-a") == "policy_revoked").await;
    watching.abort();
}
