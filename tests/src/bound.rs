//! Policies in the store of a mock host, and what binds them.

use rtmanager::model::{
    BindingSpec, GenerationId, Grants, LimitOverrides, PolicyArtifact, PolicyDigest, PolicyScope, Revocation, Rollout,
    RolloutCounts, RolloutGoal, RolloutMode, Serving, Signed, Timestamp,
};
use rtmanager::ports::{Clock as _, ScopeState, SwapKind};

use crate::mock_host::MockHost;

/// The scope of the tenant whose games most tests are about.
pub fn tenant_a() -> PolicyScope {
    "tenant-a".parse().expect("scope")
}

/// A binding with everything granted, without settings or limits of its own.
pub fn plain(digest: &PolicyDigest) -> BindingSpec {
    BindingSpec {
        digest: digest.clone(),
        called: None,
        settings: Default::default(),
        limits: LimitOverrides::default(),
        grants: Grants::all(),
    }
}

/// The same with a setting.
pub fn with_setting(digest: &PolicyDigest, name: &str, value: &str) -> BindingSpec {
    BindingSpec { settings: [(name.to_owned(), value.to_owned())].into(), ..plain(digest) }
}

/// The grants named.
pub fn grants(texts: &[&str]) -> Grants {
    texts.iter().map(|text| text.parse().expect("grant")).collect()
}

/// Who does what tests do.
pub fn signed(at: Timestamp) -> Signed {
    Signed { at, actor: "tester".to_owned(), reason: "a test".to_owned() }
}

/// A component of the platform's, as version 1.0.0 of `name`.
pub fn artifact(component: &[u8], name: &str, pushed_at: Timestamp) -> PolicyArtifact {
    PolicyArtifact {
        digest: PolicyDigest::of(component),
        name: name.parse().expect("policy name"),
        version: "1.0.0".parse().expect("version"),
        owner: None,
        size: component.len() as u64,
        pushed_at,
        pushed_by: "tester".to_owned(),
    }
}

impl MockHost {
    /// Puts a component into the store, under a name that follows from it.
    pub async fn push(&self, component: &[u8]) -> PolicyDigest {
        let digest = PolicyDigest::of(component);
        let name = format!("p{}", &digest.as_str()[digest.as_str().len() - 12..]);
        let artifact = artifact(component, &name, self.clock.now());
        self.store.policies().add(&artifact, component).await.expect("pushed");
        digest
    }

    /// Stages a generation. Serves nobody yet.
    pub async fn stage(&self, scope: &PolicyScope, spec: &BindingSpec) -> u64 {
        let staged = signed(self.clock.now());
        self.store.generations().stage(scope, spec, &staged).await.expect("staged").number
    }

    /// Makes a generation current in the store; no host has been told.
    pub async fn swap(&self, scope: &PolicyScope, to: u64) {
        let generations = self.store.generations();
        let current = self.state(scope).await.current.map(|current| current.number);
        let swapped = generations.swap(scope, current, to, SwapKind::Bind, None, &signed(self.clock.now())).await;
        swapped.expect("swapped");
    }

    /// Stages a generation, makes it current, and has this host follow.
    pub async fn bind(&self, scope: &PolicyScope, spec: &BindingSpec) -> u64 {
        let number = self.stage(scope, spec).await;
        self.swap(scope, number).await;
        self.follow().await;
        number
    }

    /// Stages a generation and begins to roll it out beside the current one, and has this host follow.
    pub async fn roll_out(&self, scope: &PolicyScope, spec: &BindingSpec, mode: RolloutMode, goal: RolloutGoal) -> u64 {
        let number = self.stage(scope, spec).await;
        let current = self.state(scope).await.current.map(|current| current.number);
        let started = signed(self.clock.now());
        let rollout = Rollout { number, mode, goal, counts: RolloutCounts::default(), started };
        self.store.generations().start_rollout(scope, current, &rollout).await.expect("started");
        self.follow().await;
        number
    }

    /// Revokes; no host has been told.
    pub async fn revoke(&self, revocation: &Revocation) {
        assert!(self.store.generations().revoke(revocation, &signed(self.clock.now())).await.expect("revoked"));
    }

    /// Has this host look at the store.
    pub async fn follow(&self) {
        self.watcher.refresh().await.expect("the store answers");
    }

    /// What the store knows of a scope.
    pub async fn state(&self, scope: &PolicyScope) -> ScopeState {
        self.store.generations().state(scope).await.expect("readable").unwrap_or_else(|| ScopeState {
            scope: scope.clone(),
            current: None,
            previous: None,
            staged: None,
            newest: None,
            rollout: None,
            revoked: Vec::new(),
        })
    }

    /// The number of the scope's current generation.
    pub async fn current(&self, scope: &PolicyScope) -> Option<u64> {
        self.state(scope).await.current.map(|current| current.number)
    }

    /// What hosts say of a scope.
    pub async fn reports(&self, scope: &PolicyScope) -> Vec<Serving> {
        self.store.generations().reports(scope, Timestamp::default()).await.expect("readable")
    }

    /// The generation of the last entry.
    pub fn last_generation(&self) -> GenerationId {
        self.entries().pop().expect("an entry").entry.policy.generation
    }
}
