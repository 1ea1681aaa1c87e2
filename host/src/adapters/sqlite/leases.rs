//! Leases in SQLite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::row::{Reader, micros};
use super::{Connections, error};
use crate::model::{Fence, GameId, Timestamp};
use crate::ports::{Clock, LeaseStore, LeaseToken, StoreError};

/// The leases of an open file. Time is the clock's, so that all processes on one machine agree.
pub struct SqliteLeases {
    connections: Connections,
    clock: Arc<dyn Clock>,
}

impl SqliteLeases {
    pub(super) fn new(connections: Connections, clock: Arc<dyn Clock>) -> Self {
        Self { connections, clock }
    }
}

const TRY_ACQUIRE: &str = "INSERT INTO leases (game_id, token, fence, expires_at) VALUES (?1, ?2, 1, ?3)
    ON CONFLICT (game_id) DO UPDATE SET token = excluded.token, fence = fence + 1, expires_at = excluded.expires_at
    WHERE token IS NULL OR expires_at <= ?4 OR expires_at > ?5
    RETURNING fence";

const RENEW: &str = "UPDATE leases SET expires_at = ?3 WHERE game_id = ?1 AND token = ?2 AND expires_at > ?4";

const RELEASE: &str = "UPDATE leases SET token = NULL WHERE game_id = ?1 AND token = ?2";

const HELD_UNTIL: &str = "SELECT expires_at FROM leases WHERE game_id = ?1 AND token IS NOT NULL AND expires_at > ?2";

#[async_trait]
impl LeaseStore for SqliteLeases {
    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<Option<Fence>, StoreError> {
        let now = self.clock.now();
        let query = sqlx::query(TRY_ACQUIRE).bind(game.as_str()).bind(token.expose());
        let query = query.bind(micros(now.saturating_add(ttl))).bind(micros(now));
        let query = query.bind(micros(now.saturating_add(ttl.saturating_mul(2))));
        let granted = self.connections.write_one(query).await?;
        granted.map(|row| Reader::new("leases", &row).count().map(Fence)).transpose().map_err(error::of_answer)
    }

    async fn renew(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let query = sqlx::query(RENEW).bind(game.as_str()).bind(token.expose());
        let query = query.bind(micros(now.saturating_add(ttl))).bind(micros(now));
        Ok(self.connections.write(query).await? > 0)
    }

    async fn release(&self, game: &GameId, token: &LeaseToken) -> Result<(), StoreError> {
        let query = sqlx::query(RELEASE).bind(game.as_str()).bind(token.expose());
        self.connections.write(query).await.map(|_| ())
    }

    async fn held_until(&self, game: &GameId) -> Result<Option<Timestamp>, StoreError> {
        let query = sqlx::query(HELD_UNTIL).bind(game.as_str()).bind(micros(self.clock.now()));
        let held = self.connections.read_one(query).await?;
        held.map(|row| Reader::new("leases", &row).time()).transpose()
    }
}
