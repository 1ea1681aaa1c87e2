//! Rows that cannot be read cost their own scope, and nobody else's; and nothing is read twice.

use rtmanager::registry::{Binding, Registry};

use super::loading::Counting;
use super::outage::Cut;
use super::*;

/// A registry and its watcher on the store of a mock host, whose rows can be damaged.
struct Site {
    host: MockHost,
    generations: Arc<Cut>,
    source: Arc<Counting>,
    registry: Arc<Registry>,
    watcher: Arc<Watcher>,
}

impl Site {
    async fn new() -> Self {
        let host = host().await;
        let (generations, source) = (Cut::off(host.store.generations()), Arc::new(Counting::default()));
        let (registry, watcher) = Self::start(&host, &generations, &source);
        watcher.refresh().await.unwrap();
        Self { host, generations, source, registry, watcher }
    }

    fn start(host: &MockHost, generations: &Arc<Cut>, source: &Arc<Counting>) -> (Arc<Registry>, Arc<Watcher>) {
        let fallback = Binding::configured(&PolicyScope::Default, source.compile(DEFAULT_POLICY), &BTreeMap::new());
        let registry = Arc::new(Registry::new(fallback, []).unread());
        let stores = Stores { generations: generations.clone(), ..stores(host) };
        let watcher = Watcher::new(stores, source.clone(), registry.clone(), host.metrics.clone(), "here".to_owned());
        watcher.speak();
        (registry, watcher)
    }

    async fn bind(&self, scope: &str, component: &[u8]) -> u64 {
        let scope = scope.parse().unwrap();
        let number = self.host.stage(&scope, &plain(&self.host.push(component).await)).await;
        self.host.swap(&scope, number).await;
        number
    }

    fn damage(&self, scope: &str, is_damaged: bool) {
        let mut damaged = self.generations.damaged.lock().unwrap();
        match is_damaged {
            true => drop(damaged.insert(scope.parse().unwrap())),
            false => drop(damaged.remove(&scope.parse().unwrap())),
        }
    }

    fn serves(&self, tenant: &str) -> Result<GenerationId, String> {
        match self.registry.assign(Some(&tenant.parse().unwrap()), None).binding {
            Ok(binding) => Ok(binding.reference.generation.clone()),
            Err(refusal) => Err(refusal.fault.code.to_string()),
        }
    }

    async fn problem(&self, scope: &str) -> Option<String> {
        let reports = self.host.reports(&scope.parse().unwrap()).await;
        reports.into_iter().find(|report| report.replica == "here").and_then(|report| report.problem)
    }
}

#[tokio::test]
async fn a_scope_that_cannot_be_read_keeps_what_it_serves_and_says_so_and_the_others_go_on() {
    let site = Site::new().await;
    for scope in ["tenant-a", "tenant-b"] {
        site.bind(scope, DEFAULT_POLICY).await;
    }
    site.watcher.refresh().await.unwrap();
    site.damage("tenant-a", true);
    for scope in ["tenant-a", "tenant-b"] {
        assert_eq!(site.bind(scope, C_POLICY).await, 2);
    }
    site.watcher.refresh().await.unwrap();
    assert_eq!((site.serves("tenant-a"), site.serves("tenant-b")), (Ok(id("tenant-a/1")), Ok(id("tenant-b/2"))));
    assert_eq!(site.problem("tenant-a").await.as_deref(), Some("a row that says nothing"));
    assert_eq!(site.problem("tenant-b").await, None);

    let revoked = Revocation::Component(PolicyDigest::of(DEFAULT_POLICY));
    site.host.revoke(&revoked).await;
    site.watcher.refresh().await.unwrap();
    assert_eq!(site.serves("tenant-a"), Err("policy_revoked".to_owned()), "a revocation holds all the same");
    assert_eq!(site.serves("tenant-b"), Ok(id("tenant-b/2")));

    site.damage("tenant-a", false);
    let watching = tokio::spawn(site.watcher.clone().run_for_ever());
    until(|| site.serves("tenant-a") == Ok(id("tenant-a/2"))).await;
    watching.abort();
    site.watcher.refresh().await.unwrap();
    assert_eq!(site.problem("tenant-a").await, None);
}

#[tokio::test]
async fn a_host_that_starts_with_a_scope_that_it_cannot_read_serves_nobody_there_and_the_others() {
    let mut site = Site::new().await;
    site.bind("tenant-a", DEFAULT_POLICY).await;
    site.bind("tenant-b", C_POLICY).await;
    site.host.stage(&"tenant-c".parse().unwrap(), &plain(&PolicyDigest::of(C_POLICY))).await;
    for scope in ["tenant-a", "tenant-c"] {
        site.damage(scope, true);
    }
    (site.registry, site.watcher) = Site::start(&site.host, &site.generations, &site.source);
    site.watcher.refresh().await.unwrap();
    assert_eq!(site.serves("tenant-a"), Err("policy_unavailable".to_owned()));
    assert_eq!(site.serves("tenant-b"), Ok(id("tenant-b/1")));
    assert!(site.serves("tenant-c").unwrap().as_str().starts_with("*/file-"), "it is bound to nothing");
    assert!(site.problem("tenant-a").await.is_some());
}

#[tokio::test]
async fn a_revocation_is_known_however_many_there_are_and_each_is_read_once() {
    let site = Site::new().await;
    assert!(site.serves("nobody").unwrap().as_str().starts_with("*/file-"));
    // What the file binds is pushed and revoked, and then others revoke more than anybody would keep.
    site.host.push(DEFAULT_POLICY).await;
    site.host.revoke(&Revocation::Component(PolicyDigest::of(DEFAULT_POLICY))).await;
    site.generations.others.store(12_345, std::sync::atomic::Ordering::SeqCst);
    site.watcher.refresh().await.unwrap();
    assert_eq!(site.serves("nobody"), Err("policy_revoked".to_owned()));
    site.generations.asked.lock().unwrap().clear();
    site.generations.asked_of_revocations.lock().unwrap().clear();
    let seen = site.host.store.generations().epoch().await.unwrap();
    site.bind("tenant-a", C_POLICY).await;
    site.watcher.refresh().await.unwrap();
    assert_eq!(site.serves("tenant-a"), Ok(id("tenant-a/1")));
    assert_eq!(*site.generations.asked.lock().unwrap(), [seen], "only what has changed is read");
    assert_eq!(*site.generations.asked_of_revocations.lock().unwrap(), [12_345]);
}
