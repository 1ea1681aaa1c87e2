//! A process that kills itself, as by `kill -9`, at one of the calls that it makes of the policies' stores: right before
//! the call, or right after it, when it was made and nobody has been told.

use std::io::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use rtmanager::app::Stores;
use rtmanager::model::{
    ApiToken, AuditEntry, AuditEvent, Ceiling, PolicyArtifact, PolicyDigest, PolicyPlace, PolicyScope, TenantId,
    Timestamp, TrustedKey,
};
use rtmanager::ports::{
    AccessStore, AddPolicyError, AuditLog, CeilingChanges, GenerationStore, PolicyFilter, PolicyStore, StoreError,
};

use crate::tapped::{GenerationTap, Tapped};

/// What a host says once others know that it lives.
pub const ALIVE: &str = "alive";

/// When a process dies. Calls count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Right before a call is made.
    Before(u64),
    /// Right after it was made.
    After(u64),
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Before(call) => write!(f, "before:{call}"),
            Self::After(call) => write!(f, "after:{call}"),
        }
    }
}

impl FromStr for Moment {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, anyhow::Error> {
        match text.split_once(':') {
            Some(("before", call)) => Ok(Self::Before(call.parse()?)),
            Some(("after", call)) => Ok(Self::After(call.parse()?)),
            _ => anyhow::bail!("a moment is before:CALL or after:CALL, not {text:?}"),
        }
    }
}

/// Counts the calls of all stores together.
#[derive(Default)]
pub struct Steps {
    made: AtomicU64,
    last: Option<Moment>,
    stops: Option<Moment>,
}

impl Steps {
    /// Until this moment; none for a process that lives.
    pub fn until(last: Option<Moment>) -> Arc<Self> {
        Self::stopping(last, None)
    }

    /// The same, which also stops itself at a moment, as by SIGSTOP, until somebody says CONT.
    pub fn stopping(last: Option<Moment>, stops: Option<Moment>) -> Arc<Self> {
        Arc::new(Self { made: AtomicU64::new(0), last, stops })
    }

    fn begins(&self, call: &str) -> u64 {
        let number = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        self.dies_at(Moment::Before(number), call);
        number
    }

    fn ended(&self, call: &str, number: u64) {
        self.dies_at(Moment::After(number), call);
    }

    fn dies_at(&self, moment: Moment, call: &str) {
        if self.last == Some(moment) {
            // Whoever waits for this process learns where it died.
            let _ = writeln!(std::io::stdout(), "{call}");
            let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            unreachable!("a process survives SIGKILL: {killed:?}");
        }
        if self.stops == Some(moment) {
            let _ = writeln!(std::io::stdout(), "{call}");
            let stopped = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
            assert!(stopped.is_ok(), "this process cannot be stopped: {stopped:?}");
        }
    }

    /// The stores, with every call counted of those that know of policies and of who does what.
    pub fn count(self: &Arc<Self>, stores: Stores) -> Stores {
        Stores {
            policies: Arc::new(Counted(stores.policies.clone(), self.clone())),
            generations: Arc::new(Tapped(Counted(stores.generations.clone(), self.clone()))),
            access: Arc::new(Counted(stores.access.clone(), self.clone())),
            audit: Arc::new(Counted(stores.audit.clone(), self.clone())),
            ..stores
        }
    }
}

struct Counted<P: ?Sized>(Arc<P>, Arc<Steps>);

impl<P: ?Sized> Counted<P> {
    async fn call<T>(&self, call: &'static str, effect: impl Future<Output = T>) -> T {
        let number = self.1.begins(call);
        let answer = effect.await;
        self.1.ended(call, number);
        answer
    }
}

impl GenerationTap for Counted<dyn GenerationStore> {
    fn inner(&self) -> &Arc<dyn GenerationStore> {
        &self.0
    }

    fn begins(&self, call: &'static str) -> u64 {
        self.1.begins(call)
    }

    fn ended(&self, call: &'static str, number: u64) {
        self.1.ended(call, number);
    }
}

#[async_trait]
impl PolicyStore for Counted<dyn PolicyStore> {
    async fn add(&self, artifact: &PolicyArtifact, component: &[u8]) -> Result<PolicyArtifact, AddPolicyError> {
        self.call("add", self.0.add(artifact, component)).await
    }

    async fn named(&self, digest: &PolicyDigest) -> Result<Vec<PolicyArtifact>, StoreError> {
        self.call("named", self.0.named(digest)).await
    }

    async fn component(&self, digest: &PolicyDigest) -> Result<Option<Vec<u8>>, StoreError> {
        self.call("component", self.0.component(digest)).await
    }

    async fn list(
        &self,
        filter: &PolicyFilter,
        after: Option<&PolicyPlace>,
        limit: u32,
    ) -> Result<Vec<PolicyArtifact>, StoreError> {
        self.call("list", self.0.list(filter, after, limit)).await
    }

    async fn add_signature(
        &self,
        owner: Option<&TenantId>,
        digest: &PolicyDigest,
        envelope: &str,
    ) -> Result<bool, StoreError> {
        self.call("add_signature", self.0.add_signature(owner, digest, envelope)).await
    }

    async fn signatures(&self, owner: Option<&TenantId>, digest: &PolicyDigest) -> Result<Vec<String>, StoreError> {
        self.call("signatures", self.0.signatures(owner, digest)).await
    }
}

#[async_trait]
impl AccessStore for Counted<dyn AccessStore> {
    async fn add_token(&self, token: &ApiToken) -> Result<bool, StoreError> {
        self.call("add_token", self.0.add_token(token)).await
    }

    async fn token(&self, hash: &[u8; 32]) -> Result<Option<ApiToken>, StoreError> {
        self.call("token", self.0.token(hash)).await
    }

    async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        self.call("tokens", self.0.tokens()).await
    }

    async fn note_token_used(&self, name: &str, at: Timestamp) -> Result<(), StoreError> {
        self.call("note_token_used", self.0.note_token_used(name, at)).await
    }

    async fn replace_token(&self, name: &str, end: Timestamp, new: &ApiToken) -> Result<bool, StoreError> {
        self.call("replace_token", self.0.replace_token(name, end, new)).await
    }

    async fn revoke_token(&self, name: &str, at: Timestamp) -> Result<bool, StoreError> {
        self.call("revoke_token", self.0.revoke_token(name, at)).await
    }

    async fn ceiling(&self, scope: &PolicyScope) -> Result<Option<Ceiling>, StoreError> {
        self.call("ceiling", self.0.ceiling(scope)).await
    }

    async fn set_ceiling(&self, scope: &PolicyScope, ceiling: Option<&Ceiling>) -> Result<(), StoreError> {
        self.call("set_ceiling", self.0.set_ceiling(scope, ceiling)).await
    }

    async fn ceilings_since(&self, epoch: u64) -> Result<CeilingChanges, StoreError> {
        self.call("ceilings_since", self.0.ceilings_since(epoch)).await
    }

    async fn ceilings(&self) -> Result<Vec<(PolicyScope, Ceiling)>, StoreError> {
        self.call("ceilings", self.0.ceilings()).await
    }

    async fn add_key(&self, scope: &PolicyScope, key: &TrustedKey) -> Result<bool, StoreError> {
        self.call("add_key", self.0.add_key(scope, key)).await
    }

    async fn revoke_key(&self, scope: &PolicyScope, id: &str, at: Timestamp) -> Result<bool, StoreError> {
        self.call("revoke_key", self.0.revoke_key(scope, id, at)).await
    }

    async fn keys(&self, scope: &PolicyScope) -> Result<Vec<TrustedKey>, StoreError> {
        self.call("keys", self.0.keys(scope)).await
    }
}

#[async_trait]
impl AuditLog for Counted<dyn AuditLog> {
    async fn append(&self, event: &AuditEvent) -> Result<AuditEntry, StoreError> {
        self.call("append", self.0.append(event)).await
    }

    async fn read(&self, from: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.call("read", self.0.read(from, limit)).await
    }

    async fn last(&self) -> Result<Option<AuditEntry>, StoreError> {
        self.call("last", self.0.last()).await
    }

    async fn remove_through(&self, sequence: u64) -> Result<u64, StoreError> {
        self.call("remove_through", self.0.remove_through(sequence)).await
    }
}
