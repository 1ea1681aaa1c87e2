//! Leases in SQLite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Connections;
use crate::adapters::sql::{Reader, micros};
use crate::model::{GameId, Timestamp};
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

const TRY_ACQUIRE: &str = "INSERT INTO leases (game_id, token, expires_at) VALUES (?1, ?2, ?3)
    ON CONFLICT (game_id) DO UPDATE SET token = excluded.token, expires_at = excluded.expires_at
    WHERE expires_at <= ?4 OR expires_at > ?5";

const RENEW: &str = "UPDATE leases SET expires_at = ?3 WHERE game_id = ?1 AND token = ?2 AND expires_at > ?4";

const RELEASE: &str = "DELETE FROM leases WHERE game_id = ?1 AND token = ?2";

const HELD_UNTIL: &str = "SELECT expires_at FROM leases WHERE game_id = ?1 AND expires_at > ?2";

const PRUNE: &str = "DELETE FROM leases WHERE game_id IN (
    SELECT game_id FROM leases WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)";

#[async_trait]
impl LeaseStore for SqliteLeases {
    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let query = sqlx::query(TRY_ACQUIRE).bind(game.as_str()).bind(token.expose());
        let query = query.bind(micros(now.saturating_add(ttl))).bind(micros(now));
        let query = query.bind(micros(now.saturating_add(ttl.saturating_mul(2))));
        Ok(self.connections.write(query).await? > 0)
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

    async fn ping(&self) -> Result<(), StoreError> {
        self.connections.read_one(sqlx::query("SELECT 1 FROM leases LIMIT 1")).await.map(|_| ())
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<(), StoreError> {
        self.connections.write(sqlx::query(PRUNE).bind(micros(before)).bind(i64::from(limit))).await.map(|_| ())
    }
}
