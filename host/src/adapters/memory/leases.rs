//! Leases in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use crate::model::{GameId, Timestamp};
use crate::ports::{Clock, LeaseStore, LeaseToken, StoreError};

/// The leases of a [`MemoryStore`].
pub struct MemoryLeases {
    store: MemoryStore,
    clock: Arc<dyn Clock>,
}

pub(super) struct Slot {
    holder: LeaseToken,
    expires_at: Timestamp,
}

impl Slot {
    pub(super) fn new(holder: LeaseToken, expires_at: Timestamp) -> Self {
        Self { holder, expires_at }
    }

    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    pub(super) fn holder(&self) -> (LeaseToken, Timestamp) {
        (self.holder.clone(), self.expires_at)
    }

    fn is_held_by(&self, token: &LeaseToken, now: Timestamp) -> bool {
        self.is_held(now) && self.holder == *token
    }
}

impl MemoryLeases {
    pub(super) fn new(store: MemoryStore, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

#[async_trait]
impl LeaseStore for MemoryLeases {
    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let credible = now.saturating_add(ttl.saturating_mul(2));
        let mut state = self.store.lock();
        if state.leases.get(game).is_some_and(|slot| slot.is_held(now) && slot.expires_at <= credible) {
            return Ok(false);
        }
        let slot = Slot { holder: token.clone(), expires_at: now.saturating_add(ttl) };
        state.leases.insert(game.clone(), slot);
        Ok(true)
    }

    async fn renew(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let mut state = self.store.lock();
        let Some(slot) = state.leases.get_mut(game).filter(|slot| slot.is_held_by(token, now)) else {
            return Ok(false);
        };
        slot.expires_at = now.saturating_add(ttl);
        Ok(true)
    }

    async fn release(&self, game: &GameId, token: &LeaseToken) -> Result<(), StoreError> {
        let mut state = self.store.lock();
        if state.leases.get(game).is_some_and(|slot| slot.holder == *token) {
            state.leases.remove(game);
        }
        Ok(())
    }

    async fn held_until(&self, game: &GameId) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        Ok(self.store.lock().leases.get(game).filter(|slot| slot.is_held(now)).map(|slot| slot.expires_at))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<(), StoreError> {
        let mut left = limit;
        self.store.lock().leases.retain(|_, slot| {
            let goes = left > 0 && slot.expires_at < before;
            left -= u32::from(goes);
            !goes
        });
        Ok(())
    }
}
