//! Leases on games.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::model::{GameId, Timestamp};

/// A lease's secret: 32 random bytes, base64url without padding. Never shown, logged or given to a policy.
#[derive(Clone, PartialEq, Eq)]
pub struct LeaseToken(String);

impl LeaseToken {
    /// Encodes random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        use base64::Engine as _;
        Self(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
    }

    /// For the lease store only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LeaseToken(…)")
    }
}

/// Leases on games, with a time to live. They keep runs apart and so spare work; nothing is safe because of them. A
/// store may forget leases that have ended, and one that lost some, or all, costs no more than work done twice.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// Takes the lease if nobody holds it, or the holder's time to live has passed. False if it is held.
    ///
    /// A store whose leases end by a wall clock takes one that ends later than twice `ttl` from now for one that was
    /// taken while the clock was ahead; it counts as ended, or else it would block the game until the clock gets
    /// there. So holders' times to live differ at most twofold.
    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError>;

    /// Extends the lease to `ttl` from now. False if `token` does not hold it any more, be it that its time to
    /// live has passed and nobody has taken it since.
    async fn renew(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError>;

    /// Ends the lease if `token` holds it; otherwise does nothing.
    async fn release(&self, game: &GameId, token: &LeaseToken) -> Result<(), StoreError>;

    /// Until when somebody holds the lease, to the second at least; none if nobody does.
    async fn held_until(&self, game: &GameId) -> Result<Option<Timestamp>, StoreError>;

    /// Proves that the store answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Forgets up to `limit` leases that ended before `before`, where the store does not do so by itself.
    async fn prune(&self, before: Timestamp, limit: u32) -> Result<(), StoreError>;
}
