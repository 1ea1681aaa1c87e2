//! Tokens, ceilings and trusted keys in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryStore;
use crate::model::{ApiToken, Ceiling, PolicyScope, Timestamp, TrustedKey};
use crate::ports::{AccessStore, CeilingChanges, StoreError};

/// Who may do what in a [`MemoryStore`].
pub struct MemoryAccess {
    store: MemoryStore,
}

impl MemoryAccess {
    pub(super) fn new(store: MemoryStore) -> Self {
        Self { store }
    }
}

/// Who may do what.
#[derive(Default)]
pub(super) struct Rules {
    tokens: BTreeMap<String, ApiToken>,
    ceilings: BTreeMap<PolicyScope, Ceiling>,
    /// The epoch in which each was last set or taken away.
    ceilings_changed: BTreeMap<PolicyScope, u64>,
    keys: BTreeMap<(PolicyScope, String), TrustedKey>,
}

#[async_trait]
impl AccessStore for MemoryAccess {
    async fn add_token(&self, token: &ApiToken) -> Result<bool, StoreError> {
        let tokens = &mut self.store.lock().access.tokens;
        if tokens.values().any(|known| known.name == token.name || known.hash == token.hash) {
            return Ok(false);
        }
        tokens.insert(token.name.clone(), token.clone());
        Ok(true)
    }

    async fn token(&self, hash: &[u8; 32]) -> Result<Option<ApiToken>, StoreError> {
        Ok(self.store.lock().access.tokens.values().find(|token| token.hash == *hash).cloned())
    }

    async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        Ok(self.store.lock().access.tokens.values().cloned().collect())
    }

    async fn note_token_used(&self, name: &str, at: Timestamp) -> Result<(), StoreError> {
        if let Some(token) = self.store.lock().access.tokens.get_mut(name) {
            token.last_used_at = token.last_used_at.max(Some(at));
        }
        Ok(())
    }

    async fn replace_token(&self, name: &str, end: Timestamp, new: &ApiToken) -> Result<bool, StoreError> {
        let tokens = &mut self.store.lock().access.tokens;
        if tokens.values().any(|known| known.name == new.name || known.hash == new.hash) {
            return Ok(false);
        }
        let Some(old) = tokens.get_mut(name).filter(|old| old.revoked_at.is_none()) else { return Ok(false) };
        old.expires_at = Some(old.expires_at.map_or(end, |sooner| sooner.min(end)));
        tokens.insert(new.name.clone(), new.clone());
        Ok(true)
    }

    async fn revoke_token(&self, name: &str, at: Timestamp) -> Result<bool, StoreError> {
        let mut state = self.store.lock();
        let Some(token) = state.access.tokens.get_mut(name) else { return Ok(false) };
        token.revoked_at.get_or_insert(at);
        Ok(true)
    }

    async fn ceiling(&self, scope: &PolicyScope) -> Result<Option<Ceiling>, StoreError> {
        Ok(self.store.lock().access.ceilings.get(scope).cloned())
    }

    async fn set_ceiling(&self, scope: &PolicyScope, ceiling: Option<&Ceiling>) -> Result<(), StoreError> {
        let mut state = self.store.lock();
        match ceiling {
            Some(ceiling) => state.access.ceilings.insert(scope.clone(), ceiling.clone()),
            None => state.access.ceilings.remove(scope),
        };
        state.bindings.raise_epoch();
        let epoch = state.bindings.epoch;
        state.access.ceilings_changed.insert(scope.clone(), epoch);
        self.store.changed.notify_waiters();
        Ok(())
    }

    async fn ceilings_since(&self, epoch: u64) -> Result<CeilingChanges, StoreError> {
        let state = self.store.lock();
        let changed = state.access.ceilings_changed.iter().filter(|(_, changed)| epoch < **changed);
        let ceilings = changed.map(|(scope, _)| (scope.clone(), state.access.ceilings.get(scope).cloned()));
        Ok(CeilingChanges { ceilings: ceilings.collect(), unreadable: Vec::new() })
    }

    async fn ceilings(&self) -> Result<Vec<(PolicyScope, Ceiling)>, StoreError> {
        let state = self.store.lock();
        Ok(state.access.ceilings.iter().map(|(scope, ceiling)| (scope.clone(), ceiling.clone())).collect())
    }

    async fn add_key(&self, scope: &PolicyScope, key: &TrustedKey) -> Result<bool, StoreError> {
        let mut state = self.store.lock();
        let known = state.access.keys.entry((scope.clone(), key.id.clone())).or_insert_with(|| key.clone());
        Ok(known.revoked_at.is_none())
    }

    async fn revoke_key(&self, scope: &PolicyScope, id: &str, at: Timestamp) -> Result<bool, StoreError> {
        let mut state = self.store.lock();
        let Some(key) = state.access.keys.get_mut(&(scope.clone(), id.to_owned())) else { return Ok(false) };
        key.revoked_at.get_or_insert(at);
        Ok(true)
    }

    async fn keys(&self, scope: &PolicyScope) -> Result<Vec<TrustedKey>, StoreError> {
        let state = self.store.lock();
        Ok(state.access.keys.iter().filter(|((of, _), _)| of == scope).map(|(_, key)| key.clone()).collect())
    }
}
