//! Leases as keys that expire.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, cmd};

use super::error::{of_read, of_write};
use super::line::Line;
use super::{ConnectError, RedisEndpoint, RedisOptions};
use crate::model::{GameId, Timestamp};
use crate::ports::{Clock, LeaseStore, LeaseToken, StoreError};

/// The leases of one Redis: a key for each, with the holder's token for a value. They end by the server's clock.
///
/// Sends again, once, what was lost with a connection. That is safe: renewing, releasing and looking end the same
/// when done twice, and who holds a lease after two attempts to take it is told by its token.
pub struct RedisLeases {
    line: Line,
    prefix: String,
    clock: Arc<dyn Clock>,
}

impl RedisLeases {
    /// Sets the client up. It connects when it is first used, and again whenever it has to; so Redis need not be
    /// there yet.
    pub fn connect(
        endpoint: &RedisEndpoint,
        options: &RedisOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConnectError> {
        Ok(Self { line: Line::new(endpoint, options)?, prefix: options.prefix.clone(), clock })
    }

    /// The game's key. A cluster places it by the game alone, so that leases spread over the nodes.
    fn key(&self, game: &GameId) -> String {
        format!("{}lease:{{{game}}}", self.prefix)
    }
}

const RENEW: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0";

const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// What PTTL answers of a key that does not exist.
const NO_KEY: i64 = -2;

/// A script on one key, sent as text each time: a digest would not be much shorter, and would have to be known to
/// whichever server answers.
fn script(text: &str, key: &str, token: &LeaseToken) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(text).arg(1).arg(key).arg(token.expose());
    command
}

/// In whole milliseconds, rounded up; what is not finite in practice becomes a century.
fn millis(ttl: Duration) -> u64 {
    const CENTURY: u128 = 100 * 366 * 24 * 60 * 60 * 1_000;
    u64::try_from(ttl.as_nanos().div_ceil(1_000_000).clamp(1, CENTURY)).unwrap_or(u64::MAX)
}

#[async_trait]
impl LeaseStore for RedisLeases {
    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let key = self.key(game);
        let mut set = cmd("SET");
        set.arg(&key).arg(token.expose()).arg("NX").arg("PX").arg(millis(ttl));
        let granted = self.line.call::<Option<()>>(&set).await.map_err(of_write)?;
        if granted.value.is_some() || !granted.resent {
            return Ok(granted.value.is_some());
        }
        // It may have been the first sending, whose answer was lost, that keeps the second from it.
        let holder = self.line.call::<Option<Vec<u8>>>(cmd("GET").arg(&key)).await;
        let holder = holder.map_err(|failure| StoreError::Unknown(Box::new(failure.error)))?;
        Ok(holder.value.as_deref() == Some(token.expose().as_bytes()))
    }

    async fn renew(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let mut renew = script(RENEW, &self.key(game), token);
        let renewed = self.line.call::<bool>(renew.arg(millis(ttl))).await;
        renewed.map(|answer| answer.value).map_err(of_write)
    }

    async fn release(&self, game: &GameId, token: &LeaseToken) -> Result<(), StoreError> {
        let release = script(RELEASE, &self.key(game), token);
        self.line.call::<bool>(&release).await.map(|_| ()).map_err(of_write)
    }

    async fn held_until(&self, game: &GameId) -> Result<Option<Timestamp>, StoreError> {
        let key = self.key(game);
        let left = self.line.call::<i64>(cmd("PTTL").arg(&key)).await.map_err(of_read)?.value;
        match u64::try_from(left) {
            Ok(left) => Ok(Some(self.clock.now().saturating_add(Duration::from_millis(left)))),
            Err(_) if left == NO_KEY => Ok(None),
            Err(_) => Err(StoreError::Corrupt(format!("the lease {key:?} would never end; delete that key"))),
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.line.call::<redis::Value>(&cmd("PING")).await.map(|_| ()).map_err(of_read)
    }

    /// Nothing: keys expire by themselves.
    async fn prune(&self, _before: Timestamp, _limit: u32) -> Result<(), StoreError> {
        Ok(())
    }
}

impl std::fmt::Debug for RedisLeases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisLeases").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
