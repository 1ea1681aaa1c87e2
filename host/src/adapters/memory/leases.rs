//! Leases in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use crate::model::{Fence, GameId, Timestamp};
use crate::ports::{Clock, LeaseStore, LeaseToken, StoreError};

/// The leases of a [`MemoryStore`].
pub struct MemoryLeases {
    store: MemoryStore,
    clock: Arc<dyn Clock>,
}

/// A game's place: its last fence stays when the lease has ended.
pub(super) struct Slot {
    holder: Option<LeaseToken>,
    fence: Fence,
    pub(super) expires_at: Timestamp,
}

impl Slot {
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        self.holder.is_some() && now < self.expires_at
    }

    fn is_held_by(&self, token: &LeaseToken, now: Timestamp) -> bool {
        self.is_held(now) && self.holder.as_ref() == Some(token)
    }
}

impl MemoryLeases {
    pub(super) fn new(store: MemoryStore, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

#[async_trait]
impl LeaseStore for MemoryLeases {
    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<Option<Fence>, StoreError> {
        let now = self.clock.now();
        let credible = now.saturating_add(ttl.saturating_mul(2));
        let mut state = self.store.lock();
        let last = match state.leases.get(game) {
            Some(slot) if slot.is_held(now) && slot.expires_at <= credible => return Ok(None),
            Some(slot) => slot.fence,
            None => Fence(0),
        };
        let fence = Fence(last.0.saturating_add(1));
        let slot = Slot { holder: Some(token.clone()), fence, expires_at: now.saturating_add(ttl) };
        state.leases.insert(game.clone(), slot);
        Ok(Some(fence))
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
        if let Some(slot) = state.leases.get_mut(game).filter(|slot| slot.holder.as_ref() == Some(token)) {
            slot.holder = None;
        }
        Ok(())
    }

    async fn held_until(&self, game: &GameId) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        Ok(self.store.lock().leases.get(game).filter(|slot| slot.is_held(now)).map(|slot| slot.expires_at))
    }
}
