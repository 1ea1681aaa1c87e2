//! What a failure of Redis means to a caller. Decided by kinds and codes, never by text.

use std::io;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::line::Failure;
use crate::ports::StoreError;

/// Codes by which a server refuses service for now or to us, and does nothing. Those that the library has kinds for
/// are not among them.
const REFUSALS: [&str; 7] = [
    "OOM",        // at its limit of memory
    "NOAUTH",     // wants a password
    "WRONGPASS",  // wants another one
    "MISCONF",    // cannot save, and so does not write
    "NOREPLICAS", // too few replicas to write
    "BUSY",       // busy with somebody's script
    "DENIED",     // protected mode
];

/// What became of a command that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was not sent, or refused: it had no effect.
    Refused,
    /// It was sent, and how it ended was not told.
    Lost,
    /// It met something that must not be, or was answered nonsense.
    Nonsense,
}

pub(super) fn fate(error: &RedisError) -> Fate {
    match error.kind() {
        // A cluster's node that cannot be reached.
        ErrorKind::Io if error.is_connection_refusal() => Fate::Refused,
        ErrorKind::Io => Fate::Lost,
        ErrorKind::AuthenticationFailed | ErrorKind::ClusterConnectionNotFound => Fate::Refused,
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::NoPerm,
        ) => Fate::Refused,
        ErrorKind::Extension if error.code().is_some_and(|code| REFUSALS.contains(&code)) => Fate::Refused,
        _ => Fate::Nonsense,
    }
}

/// No answer came in time.
pub(super) fn timed_out() -> RedisError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

/// A failure of a command that only reads.
pub(super) fn of_read(failure: Failure) -> StoreError {
    match fate(&failure.error) {
        Fate::Nonsense if failure.connected => StoreError::Corrupt(failure.error.to_string()),
        _ => StoreError::Unavailable(Box::new(failure.error)),
    }
}

/// A failure of a command that writes.
pub(super) fn of_write(failure: Failure) -> StoreError {
    if failure.lost { StoreError::Unknown(Box::new(failure.error)) } else { of_read(failure) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: &str) -> RedisError {
        let answer = redis::parse_redis_value(format!("-{code} whatever it says\r\n").as_bytes());
        answer.and_then(redis::Value::extract_error).unwrap_err()
    }

    fn failed(kind: io::ErrorKind) -> RedisError {
        io::Error::from(kind).into()
    }

    #[test]
    fn a_server_that_refuses_has_done_nothing() {
        let known = ["LOADING", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "NOPERM"];
        for code in known.iter().chain(&REFUSALS) {
            let error = answered(code);
            assert_eq!(fate(&error), Fate::Refused, "{code}");
            let failure = Failure { error, connected: true, lost: false };
            assert!(matches!(of_write(failure), StoreError::Unavailable(_)), "{code}");
        }
    }

    #[test]
    fn other_answers_are_nonsense() {
        for code in ["ERR", "WRONGTYPE", "CROSSSLOT", "EXECABORT", "SOMETHINGNEW"] {
            let failure = Failure { error: answered(code), connected: true, lost: false };
            assert!(matches!(of_write(failure), StoreError::Corrupt(_)), "{code}");
        }
    }

    #[test]
    fn nothing_was_sent_where_nobody_listens() {
        assert_eq!(fate(&failed(io::ErrorKind::ConnectionRefused)), Fate::Refused);
        assert_eq!(fate(&failed(io::ErrorKind::ConnectionReset)), Fate::Lost);
        assert_eq!(fate(&timed_out()), Fate::Lost);
    }

    #[test]
    fn a_refusal_after_a_lost_sending_leaves_a_write_unknown_but_not_a_read() {
        let failure = || Failure { error: answered("LOADING"), connected: true, lost: true };
        assert!(matches!(of_write(failure()), StoreError::Unknown(_)));
        assert!(matches!(of_read(failure()), StoreError::Unavailable(_)));
    }

    #[test]
    fn whatever_keeps_it_from_connecting_it_is_unavailable() {
        let failure = Failure { error: answered("ERR"), connected: false, lost: false };
        assert!(matches!(of_write(failure), StoreError::Unavailable(_)));
    }
}
