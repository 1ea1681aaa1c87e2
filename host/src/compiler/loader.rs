//! The one way from a component's bytes to a policy that runs: cached code, or else the caged compiler.

use std::sync::Arc;

use super::{CodeCache, CompileError, Compiler, Purpose};
use crate::model::PolicyDigest;
use crate::runtime::{CompileEngine, CompiledCode, LoadError, Policy, Sandbox};

/// Why a component does not become a policy.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailure {
    /// It does not compile, or cannot be compiled here.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It does not fit the contract.
    #[error(transparent)]
    Unfit(#[from] LoadError),
    /// This process is ending.
    #[error("loading the policy was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Loads policies. Clones share all.
#[derive(Clone)]
pub struct PolicyLoader(Arc<Inner>);

struct Inner {
    sandbox: Sandbox,
    compiler: Compiler,
    cache: Option<CodeCache>,
}

impl PolicyLoader {
    /// Loads into this sandbox. Without a cache, every load compiles.
    pub fn new(sandbox: Sandbox, compiler: Compiler, cache: Option<CodeCache>) -> Self {
        Self(Arc::new(Inner { sandbox, compiler, cache }))
    }

    /// The sandbox in which the policies run.
    pub fn sandbox(&self) -> &Sandbox {
        &self.0.sandbox
    }

    /// The policy of the component with this digest, if its code is in the cache.
    pub async fn compiled(&self, digest: &PolicyDigest) -> Option<Policy> {
        let (inner, wanted) = (self.0.clone(), digest.clone());
        tokio::task::spawn_blocking(move || inner.cached(&wanted)).await.ok().flatten()
    }

    /// The policy of this component, whoever wrote it, to be examined.
    pub async fn load(&self, component: &[u8]) -> Result<Policy, LoadFailure> {
        self.load_for(Purpose::Examination, component).await
    }

    /// The same, to serve.
    pub async fn load_to_serve(&self, component: &[u8]) -> Result<Policy, LoadFailure> {
        self.load_for(Purpose::Serving, component).await
    }

    async fn load_for(&self, purpose: Purpose, component: &[u8]) -> Result<Policy, LoadFailure> {
        let digest = PolicyDigest::of(component);
        if let Some(policy) = self.compiled(&digest).await {
            return Ok(policy);
        }
        let code = self.0.compiler.compile(component, self.0.sandbox.fingerprint(), purpose).await?;
        let inner = self.0.clone();
        Ok(tokio::task::spawn_blocking(move || inner.keep(&digest, &code)).await??)
    }

    /// The same for a component that this program brings along: compiled in this process, where it is not cached.
    pub fn load_own(&self, component: &[u8]) -> Result<Policy, LoadFailure> {
        let digest = PolicyDigest::of(component);
        if let Some(policy) = self.0.cached(&digest) {
            return Ok(policy);
        }
        if self.0.cache.is_none() {
            return Ok(self.0.sandbox.load(component)?);
        }
        let compiled = CompileEngine::new().ok().filter(|engine| engine.fingerprint() == self.0.sandbox.fingerprint());
        match compiled {
            Some(engine) => Ok(self.0.keep(&digest, &engine.compile(component)?)?),
            None => Ok(self.0.sandbox.load(component)?),
        }
    }
}

impl Inner {
    fn cached(&self, digest: &PolicyDigest) -> Option<Policy> {
        let code = self.cache.as_ref()?.get(digest, self.sandbox.fingerprint())?;
        let loaded = self.sandbox.load_compiled(digest.clone(), &code);
        loaded.inspect_err(|error| tracing::warn!(%digest, %error, "cached code does not load; compiling anew")).ok()
    }

    fn keep(&self, digest: &PolicyDigest, code: &CompiledCode) -> Result<Policy, LoadError> {
        let policy = self.sandbox.load_compiled(digest.clone(), code).map_err(|error| match error {
            // It is fresh and of our engine: what the pool has no room for is refused here.
            LoadError::Code(cause) => LoadError::Invalid(cause),
            other => other,
        })?;
        if let Some(cache) = &self.cache {
            cache.put(digest, self.sandbox.fingerprint(), code);
        }
        Ok(policy)
    }
}
