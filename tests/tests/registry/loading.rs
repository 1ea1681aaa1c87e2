//! What cannot be loaded: the old goes on serving, and the host says so.

use std::sync::Mutex;

use async_trait::async_trait;
use rtmanager::compiler::LoadFailure;
use rtmanager::model::{PolicyArtifact, PolicyPlace, Serving, TenantId};
use rtmanager::ports::{AddPolicyError, PolicyFilter, PolicyStore, StoreError};
use rtmanager::registry::{Binding, PolicySource, Registry};
use rtmanager::runtime::{Policy, Sandbox, SandboxOptions};

use super::*;

/// Components of another store, some of which are not what they were.
struct Corrupted {
    inner: Arc<dyn PolicyStore>,
    /// The byte that is changed, or none; and whether the store answers at all.
    damage: Mutex<(Option<usize>, bool)>,
}

#[async_trait]
impl PolicyStore for Corrupted {
    async fn add(&self, artifact: &PolicyArtifact, component: &[u8]) -> Result<PolicyArtifact, AddPolicyError> {
        self.inner.add(artifact, component).await
    }

    async fn named(&self, digest: &PolicyDigest) -> Result<Vec<PolicyArtifact>, StoreError> {
        self.inner.named(digest).await
    }

    async fn component(&self, digest: &PolicyDigest) -> Result<Option<Vec<u8>>, StoreError> {
        let (damage, answers) = *self.damage.lock().unwrap();
        if !answers {
            return Err(StoreError::Unavailable("a test".into()));
        }
        let mut component = self.inner.component(digest).await?;
        if let (Some(bytes), Some(at)) = (&mut component, damage) {
            bytes[at] ^= 1;
        }
        Ok(component)
    }

    async fn list(
        &self,
        filter: &PolicyFilter,
        after: Option<&PolicyPlace>,
        limit: u32,
    ) -> Result<Vec<PolicyArtifact>, StoreError> {
        self.inner.list(filter, after, limit).await
    }

    async fn add_signature(
        &self,
        owner: Option<&TenantId>,
        digest: &PolicyDigest,
        envelope: &str,
    ) -> Result<bool, StoreError> {
        self.inner.add_signature(owner, digest, envelope).await
    }

    async fn signatures(&self, owner: Option<&TenantId>, digest: &PolicyDigest) -> Result<Vec<String>, StoreError> {
        self.inner.signatures(owner, digest).await
    }
}

/// Compiles in this test's own sandbox, and counts.
pub(super) struct Counting(Sandbox, Mutex<u32>);

impl Default for Counting {
    fn default() -> Self {
        Self(Sandbox::new(SandboxOptions::default()).unwrap(), Mutex::default())
    }
}

impl Counting {
    /// Compiles without counting.
    pub(super) fn compile(&self, component: &[u8]) -> Policy {
        self.0.load(component).unwrap()
    }
}

#[async_trait]
impl PolicySource for Counting {
    async fn load(&self, component: Vec<u8>) -> Result<Policy, LoadFailure> {
        *self.1.lock().unwrap() += 1;
        Ok(self.0.load(&component)?)
    }
}

/// A registry and its watcher on the store of a mock host, with components that can be damaged.
struct Site {
    host: MockHost,
    policies: Arc<Corrupted>,
    source: Arc<Counting>,
    registry: Arc<Registry>,
    watcher: Arc<Watcher>,
}

impl Site {
    async fn new() -> Self {
        let host = host().await;
        let damage = Mutex::new((None, true));
        let policies = Arc::new(Corrupted { inner: host.store.policies(), damage });
        let source = Arc::new(Counting::default());
        let (registry, watcher) = Self::start(&host, &policies, &source, "replica");
        watcher.refresh().await.unwrap();
        Self { host, policies, source, registry, watcher }
    }

    fn start(
        host: &MockHost,
        policies: &Arc<Corrupted>,
        source: &Arc<Counting>,
        replica: &str,
    ) -> (Arc<Registry>, Arc<Watcher>) {
        let fallback = source.compile(DEFAULT_POLICY);
        let fallback = Binding::configured(&PolicyScope::Default, fallback, &BTreeMap::new());
        let registry = Arc::new(Registry::new(fallback, []).unread());
        let stores = Stores { policies: policies.clone(), ..stores(host) };
        let (metrics, replica) = (host.metrics.clone(), replica.to_owned());
        let watcher = Watcher::new(stores, source.clone(), registry.clone(), metrics, replica);
        watcher.speak();
        (registry, watcher)
    }

    /// As a host that starts now.
    async fn restart(&mut self) {
        (self.registry, self.watcher) = Self::start(&self.host, &self.policies, &self.source, "later");
        self.watcher.refresh().await.unwrap();
    }

    async fn bind(&self, spec: &BindingSpec) -> u64 {
        let number = self.host.stage(&tenant_a(), spec).await;
        self.host.swap(&tenant_a(), number).await;
        self.watcher.refresh().await.unwrap();
        number
    }

    fn serves(&self) -> Result<GenerationId, String> {
        let assigned = self.registry.assign(Some(&"tenant-a".parse().unwrap()), None);
        match assigned.binding {
            Ok(binding) => Ok(binding.reference.generation.clone()),
            Err(refusal) => Err(refusal.fault.code.to_string()),
        }
    }

    async fn report(&self) -> Serving {
        let reports = self.host.reports(&tenant_a()).await;
        reports.into_iter().find(|report| report.replica == self.watcher.replica()).expect("a report")
    }

    fn compiled(&self) -> u32 {
        *self.source.1.lock().unwrap()
    }

    fn gauge(&self, state: &str) -> u64 {
        let text = self.host.metrics.render().unwrap();
        let line = format!("rtmanager_policy_generations{{state=\"{state}\"}} ");
        let value = text.lines().find_map(|told| told.strip_prefix(&line)).expect("a gauge");
        value.parse::<f64>().unwrap() as u64
    }
}

#[tokio::test]
async fn a_component_with_any_byte_changed_is_not_served_and_the_old_goes_on() {
    let site = Site::new().await;
    let old = plain(&site.host.push(DEFAULT_POLICY).await);
    site.bind(&old).await;
    assert_eq!(site.serves(), Ok(id("tenant-a/1")));
    let new = plain(&site.host.push(C_POLICY).await);
    for at in [0, 7, 8, C_POLICY.len() / 2, C_POLICY.len() - 1] {
        *site.policies.damage.lock().unwrap() = (Some(at), true);
        let number = site.bind(&new).await;
        assert_eq!(site.serves(), Ok(id("tenant-a/1")), "byte {at} was changed");
        let report = site.report().await;
        assert_eq!(report.generation, id("tenant-a/1"));
        assert!(!report.ready.contains(&number));
        assert!(report.problem.is_some_and(|problem| problem.contains("corrupt")), "it is said aloud");
        assert_eq!((site.gauge("serving"), site.gauge("problem")), (1, 1));
    }
    *site.policies.damage.lock().unwrap() = (None, true);
    let number = site.bind(&new).await;
    assert_eq!(site.serves(), Ok(id(&format!("tenant-a/{number}"))));
    assert_eq!((site.report().await.problem, site.gauge("problem")), (None, 0));
}

#[tokio::test]
async fn what_could_not_be_loaded_is_tried_again() {
    let site = Site::new().await;
    *site.policies.damage.lock().unwrap() = (None, false);
    site.bind(&plain(&site.host.push(DEFAULT_POLICY).await)).await;
    assert!(site.serves().unwrap().as_str().starts_with("*/file-"), "what served until it was bound goes on");
    *site.policies.damage.lock().unwrap() = (None, true);
    let watching = tokio::spawn(site.watcher.clone().run_for_ever());
    until(|| site.serves() == Ok(id("tenant-a/1"))).await;
    watching.abort();
}

#[tokio::test]
async fn a_host_that_starts_picks_up_what_is_current_and_what_it_cannot_load_serves_nobody() {
    let mut site = Site::new().await;
    site.bind(&plain(&site.host.push(C_POLICY).await)).await;
    site.bind(&plain(&site.host.push(DEFAULT_POLICY).await)).await;
    site.restart().await;
    assert_eq!(site.serves(), Ok(id("tenant-a/2")));
    assert_eq!(site.report().await.ready, [1], "the one before is ready for a rollback");

    let other = site.host.stage(&PolicyScope::Default, &plain(&PolicyDigest::of(C_POLICY))).await;
    site.host.swap(&PolicyScope::Default, other).await;
    *site.policies.damage.lock().unwrap() = (Some(40), true);
    site.restart().await;
    assert_eq!(site.serves(), Err("policy_unavailable".to_owned()), "there is no old one to keep to");
    let report = site.report().await;
    assert_eq!(report.generation, id("tenant-a/0"), "it serves them with nothing");
    assert!(report.problem.is_some());
    assert_eq!((site.gauge("unavailable"), site.gauge("serving")), (2, 0));
}

#[tokio::test]
async fn one_scope_that_cannot_be_loaded_does_not_keep_others_from_starting() {
    let mut site = Site::new().await;
    let sound = site.host.stage(&PolicyScope::Default, &plain(&site.host.push(C_POLICY).await)).await;
    site.host.swap(&PolicyScope::Default, sound).await;
    site.bind(&plain(&site.host.push(&fixtures::without_exports()).await)).await;
    site.restart().await;
    assert_eq!(site.serves(), Err("policy_unavailable".to_owned()));
    let others = site.registry.assign(Some(&"tenant-b".parse().unwrap()), None);
    assert_eq!(others.binding.ok().map(|binding| binding.reference.generation.clone()), Some(id("*/1")));
}

#[tokio::test]
async fn a_rollback_compiles_nothing_and_a_component_is_compiled_once_for_all_its_tenants() {
    let site = Site::new().await;
    let (one, two) = (site.host.push(DEFAULT_POLICY).await, site.host.push(C_POLICY).await);
    site.bind(&plain(&one)).await;
    site.bind(&plain(&two)).await;
    assert_eq!(site.compiled(), 2);
    site.host.swap(&tenant_a(), 1).await;
    site.watcher.refresh().await.unwrap();
    assert_eq!(site.serves(), Ok(id("tenant-a/1")));
    for tenant in 0..20 {
        let scope: PolicyScope = format!("tenant-{tenant}").parse().unwrap();
        let number = site.host.stage(&scope, &with_setting(&one, "extra_retention_days", &tenant.to_string())).await;
        site.host.swap(&scope, number).await;
    }
    site.watcher.refresh().await.unwrap();
    assert_eq!(site.compiled(), 2);
    assert_eq!(site.gauge("serving"), 21);
}

#[tokio::test]
async fn a_staged_generation_is_reported_ready_and_serves_nobody() {
    let site = Site::new().await;
    site.bind(&plain(&site.host.push(DEFAULT_POLICY).await)).await;
    let staged = site.host.stage(&tenant_a(), &plain(&site.host.push(C_POLICY).await)).await;
    site.watcher.refresh().await.unwrap();
    let report = site.report().await;
    assert_eq!((report.generation, report.ready), (id("tenant-a/1"), vec![staged]));
    assert_eq!(site.serves(), Ok(id("tenant-a/1")));
}
