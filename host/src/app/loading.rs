//! How policies are loaded, by the configuration.

use std::sync::Arc;

use crate::adapters::system_clock::SystemRandomness;
use crate::compiler::{CacheError, CodeCache, CodeCacheOptions, Compiler, PolicyLoader};
use crate::config::Config;
use crate::runtime::Sandbox;

/// With the cache of compiled code. One that cannot be used costs time and nothing else, so the host goes on without.
pub(super) fn loader(config: &Config, sandbox: Sandbox) -> PolicyLoader {
    let cache = config.admission.code_cache.as_ref().and_then(open);
    PolicyLoader::new(sandbox, Compiler::new(config.admission.compiler.clone()), cache)
}

/// Touches nothing.
pub(super) fn uncached(config: &Config, sandbox: Sandbox) -> PolicyLoader {
    PolicyLoader::new(sandbox, Compiler::new(config.admission.compiler.clone()), None)
}

fn open(options: &CodeCacheOptions) -> Option<CodeCache> {
    match CodeCache::open(options, Arc::new(SystemRandomness)) {
        Ok(cache) => Some(cache),
        // Root's commands beside another user's server.
        Err(error @ CacheError::Foreign { .. }) => {
            tracing::info!(%error, "compiled code is not cached");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "compiled code is not cached; each start compiles anew");
            None
        }
    }
}
