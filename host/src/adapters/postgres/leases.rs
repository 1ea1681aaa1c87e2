//! Leases in PostgreSQL, by the server's clock.

use std::time::Duration;

use async_trait::async_trait;

use super::connections::Connections;
use super::row::Moment;
use crate::adapters::sql::{Reader, number};
use crate::model::{GameId, Timestamp};
use crate::ports::{LeaseStore, LeaseToken, StoreError};

/// The leases of a database.
pub struct PostgresLeases {
    connections: Connections,
}

impl PostgresLeases {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

/// `clock_timestamp()` and not `now()`, which would be the time before waiting for a row.
const TRY_ACQUIRE: &str = "INSERT INTO leases (game_id, token, expires_at)
    VALUES ($1, $2, clock_timestamp() + $3 * interval '1 microsecond')
    ON CONFLICT (game_id) DO UPDATE
    SET token = excluded.token, expires_at = clock_timestamp() + $3 * interval '1 microsecond'
    WHERE leases.expires_at <= clock_timestamp()
        OR leases.expires_at > clock_timestamp() + 2 * $3 * interval '1 microsecond'";

const RENEW: &str = "UPDATE leases SET expires_at = clock_timestamp() + $3 * interval '1 microsecond'
    WHERE game_id = $1 AND token = $2 AND expires_at > clock_timestamp()";

const RELEASE: &str = "DELETE FROM leases WHERE game_id = $1 AND token = $2";

const HELD_UNTIL: &str = "SELECT game_id, expires_at FROM leases WHERE game_id = $1 AND expires_at > clock_timestamp()";

/// `before` is of a host's clock; what has not ended by the server's stays in any case.
const PRUNE: &str = "DELETE FROM leases WHERE game_id = ANY (ARRAY(
    SELECT game_id FROM leases WHERE expires_at < least($1, clock_timestamp()) ORDER BY expires_at LIMIT $2
    FOR UPDATE SKIP LOCKED))";

#[async_trait]
impl LeaseStore for PostgresLeases {
    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let query = sqlx::query(TRY_ACQUIRE).bind(game.as_str()).bind(token.expose()).bind(span(ttl));
        Ok(self.connections.write(query).await? > 0)
    }

    async fn renew(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let query = sqlx::query(RENEW).bind(game.as_str()).bind(token.expose()).bind(span(ttl));
        Ok(self.connections.write(query).await? > 0)
    }

    async fn release(&self, game: &GameId, token: &LeaseToken) -> Result<(), StoreError> {
        let query = sqlx::query(RELEASE).bind(game.as_str()).bind(token.expose());
        self.connections.write(query).await.map(|_| ())
    }

    async fn held_until(&self, game: &GameId) -> Result<Option<Timestamp>, StoreError> {
        let held = self.connections.read_one(|| sqlx::query(HELD_UNTIL).bind(game.as_str())).await?;
        held.map(|row| Reader::at("leases", &row, 1).time()).transpose()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.connections.read_one(|| sqlx::query("SELECT 1 FROM leases LIMIT 1")).await.map(|_| ())
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<(), StoreError> {
        let query = sqlx::query(PRUNE).bind(Moment::from(before)).bind(i64::from(limit));
        self.connections.write(query).await.map(|_| ())
    }
}

/// In microseconds, and no longer than a century, which an interval holds.
fn span(ttl: Duration) -> i64 {
    const CENTURY: u128 = 100 * 365 * 24 * 3_600 * 1_000_000;
    number(u64::try_from(ttl.as_micros().min(CENTURY)).unwrap_or(u64::MAX))
}
