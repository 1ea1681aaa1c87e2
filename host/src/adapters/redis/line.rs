//! The way to Redis: one connection that all calls share, made anew when it breaks.

use std::time::Duration;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connector::{Connection, Connector};
use super::endpoint::Place;
use super::error::{Fate, fate, timed_out};
use super::{ConnectError, RedisEndpoint, RedisOptions};

/// Sendings of one command: one over a connection that turns out to be dead, and one over a new connection.
const SENDINGS: u32 = 2;
/// Askings of a cluster that is about to say where a key is, and the pause between them. While a slot is on the move,
/// its games' leases are unavailable: following the move costs more than it is worth.
const ASKINGS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// Sends commands and tells what is known of them when they fail.
pub(super) struct Line {
    state: Mutex<State>,
    connect_timeout: Duration,
    response_timeout: Duration,
    is_cluster: bool,
}

struct State {
    connector: Connector,
    open: Option<(u64, Connection)>,
    /// Of the last connection made.
    serial: u64,
    /// When and why the last try to connect failed.
    failed: Option<(Instant, RedisError)>,
}

/// What a command was answered.
pub(super) struct Answer<T> {
    pub(super) value: T,
    /// Whether an earlier sending was lost, which may have had the effect.
    pub(super) resent: bool,
}

/// A command was not answered as it should be.
pub(super) struct Failure {
    /// The last error.
    pub(super) error: RedisError,
    /// Whether there was a connection to send it over, the last time.
    pub(super) connected: bool,
    /// Whether a sending was lost, which may have had its effect.
    pub(super) lost: bool,
}

impl Line {
    /// Does not connect yet.
    pub(super) fn new(endpoint: &RedisEndpoint, options: &RedisOptions) -> Result<Self, ConnectError> {
        let connector = Connector::new(endpoint, options)?;
        Ok(Self {
            state: Mutex::new(State { connector, open: None, serial: 0, failed: None }),
            connect_timeout: options.connect_timeout,
            response_timeout: options.response_timeout,
            is_cluster: matches!(endpoint.place, Place::Cluster(_)),
        })
    }

    /// Sends a command that does no more when it is sent twice than when it is sent once, or whose caller can tell
    /// by [`Answer::resent`] what came of it.
    pub(super) async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<Answer<T>, Failure> {
        let deadline = Instant::now() + self.connect_timeout + self.response_timeout;
        let (mut lost, mut sendings) = (false, 0);
        loop {
            let connected = timeout_at(deadline, self.connection()).await.unwrap_or_else(|_| Err(timed_out()));
            let (serial, mut connection) = connected.map_err(|error| Failure { error, connected: false, lost })?;
            let sent = timeout_at(deadline, command.query_async(&mut connection)).await;
            let error = match sent.unwrap_or_else(|_| Err(timed_out())) {
                Ok(value) => return Ok(Answer { value, resent: lost }),
                Err(error) => error,
            };
            sendings += 1;
            lost |= fate(&error) == Fate::Lost;
            if is_useless_after(&error) {
                // Where that would have to wait, somebody is making another connection already.
                timeout_at(deadline, self.discard(serial)).await.ok();
            }
            match self.pause_before_another(&error, sendings) {
                Some(pause) if Instant::now() + pause < deadline => sleep(pause).await,
                _ => return Err(Failure { error, connected: true, lost }),
            }
        }
    }

    /// The connection there is, or else a new one.
    async fn connection(&self) -> RedisResult<(u64, Connection)> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(open) = &state.open {
            return Ok(open.clone());
        }
        // A try that failed while this call waited for it failed for this call too: when a server hangs, the many
        // that wait must not try one after the other.
        if let Some((_, error)) = state.failed.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(error.clone());
        }
        let made = timeout(self.connect_timeout, state.connector.connect()).await;
        match made.unwrap_or_else(|_| Err(timed_out())) {
            Ok(connection) => {
                state.serial += 1;
                let open = (state.serial, connection);
                state.open = Some(open.clone());
                Ok(open)
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Forgets a connection, unless that has been done. What others have sent over it may still be answered.
    async fn discard(&self, serial: u64) {
        let mut state = self.state.lock().await;
        if state.open.as_ref().is_some_and(|(open, _)| *open == serial) {
            state.open = None;
        }
    }

    /// Whether, and after what pause, to send once more.
    fn pause_before_another(&self, error: &RedisError, sendings: u32) -> Option<Duration> {
        let is_dead = error.is_connection_dropped() || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        if is_dead && sendings < SENDINGS {
            return Some(Duration::ZERO);
        }
        let is_moving = matches!(
            error.kind(),
            ErrorKind::ClusterConnectionNotFound
                | ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain)
        );
        (self.is_cluster && is_moving && sendings < ASKINGS).then_some(PAUSE)
    }
}

/// Whether the connection cannot be used after this: it is broken, or silent, and its other end may be gone without
/// a word; or it leads to what has ceased to be the master.
fn is_useless_after(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io
            | ErrorKind::Parse
            | ErrorKind::AuthenticationFailed
            | ErrorKind::ClusterConnectionNotFound
            | ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
    )
}
