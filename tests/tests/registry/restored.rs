//! A store that has lost its latest changes: it was restored from a backup, or its successor had not seen them yet.

use std::sync::atomic::{AtomicBool, Ordering};

use rtmanager::ports::GenerationStore;
use rtmanager::registry::{Binding, Registry};
use rtmanager_tests::tapped::{GenerationTap, Tapped};

use super::loading::Counting;
use super::*;

struct Restored {
    before: Arc<dyn GenerationStore>,
    after: Arc<dyn GenerationStore>,
    is_restored: Arc<AtomicBool>,
}

impl GenerationTap for Restored {
    fn inner(&self) -> &Arc<dyn GenerationStore> {
        if self.is_restored.load(Ordering::SeqCst) { &self.after } else { &self.before }
    }
}

#[tokio::test]
async fn a_store_that_is_behind_what_was_read_of_it_is_read_anew() {
    let (host, other) = (host().await, host().await);
    let [first, second, third] = [DEFAULT_POLICY, HOSTILE, C_POLICY].map(PolicyDigest::of);
    for component in [DEFAULT_POLICY, HOSTILE, C_POLICY] {
        host.push(component).await;
        other.push(component).await;
    }
    host.bind(&PolicyScope::Default, &plain(&second)).await;
    host.bind(&tenant_a(), &plain(&first)).await;
    host.bind(&tenant_a(), &plain(&second)).await;
    host.revoke(&Revocation::Component(first.clone())).await;
    other.bind(&tenant_a(), &plain(&first)).await;
    other.bind(&tenant_a(), &plain(&third)).await;

    let source = Arc::new(Counting::default());
    let fallback = Binding::configured(&PolicyScope::Default, source.compile(DEFAULT_POLICY), &BTreeMap::new());
    let registry = Arc::new(Registry::new(fallback, []).unread());
    let is_restored = Arc::new(AtomicBool::new(false));
    let generations = Restored {
        before: host.store.generations(),
        after: other.store.generations(),
        is_restored: is_restored.clone(),
    };
    let stores = Stores { generations: Arc::new(Tapped(generations)), ..stores(&host) };
    let watcher = Watcher::new(stores, source, registry.clone(), host.metrics.clone(), "replica".to_owned());
    let served = |tenant: &str| {
        let assigned = registry.assign(Some(&tenant.parse().unwrap()), None);
        let reference = assigned.reference().clone();
        assert!(assigned.binding.is_ok(), "{reference:?}");
        (reference.generation.to_string(), reference.digest)
    };

    watcher.refresh().await.unwrap();
    assert_eq!(served("tenant-a"), ("tenant-a/2".to_owned(), second.clone()));
    assert_eq!(served("tenant-b"), ("*/1".to_owned(), second));

    is_restored.store(true, Ordering::SeqCst);
    watcher.refresh().await.unwrap();
    assert_eq!(served("tenant-a"), ("tenant-a/2".to_owned(), third), "the same number for another component");
    let (generation, digest) = served("tenant-b");
    assert!(generation.starts_with("*/file-"), "{generation}: what the store does not bind any more");
    assert_eq!(digest, first, "what it does not revoke any more");

    other.bind(&tenant_a(), &plain(&first)).await;
    watcher.refresh().await.unwrap();
    assert_eq!(served("tenant-a"), ("tenant-a/3".to_owned(), first));
}
