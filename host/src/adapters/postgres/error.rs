//! What a failure of PostgreSQL means to a caller. Decided by SQLSTATE, never by text.

use std::time::Duration;

use crate::ports::StoreError;

/// What can go wrong with a call.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No connection could be had, so that nothing was sent.
    #[error("no connection to the database")]
    NoConnection(#[source] sqlx::Error),
    /// The server refused, or the connection was lost on the way.
    #[error("the database failed")]
    Call(#[source] sqlx::Error),
    /// No answer came in time.
    #[error("the database gave no answer within {0:?}")]
    Silent(Duration),
}

/// States, or whole classes, in which the server has done nothing and may do it later.
const UNAVAILABLE: [&str; 12] = [
    "25006", // read_only_sql_transaction: a standby, after a failover
    "25P03", // idle_in_transaction_session_timeout
    "28",    // authorization: the password is being changed
    "3D000", // the database is being restored
    "40",    // serialization_failure, deadlock_detected: rolled back
    "42501", // insufficient_privilege
    "53",    // no disk, memory or connection
    "55P03", // lock_not_available
    "57",    // a time-out, a shutdown, a start
    "58",    // system_error
    "08",    // connection_exception
    "26000", // a statement that a connection pooler has forgotten
];

/// States in which the server cannot say whether it has committed.
const UNKNOWN: [&str; 3] = ["08", "40003", "57P02"];

/// States with which a connection ends.
const ENDED: [&str; 5] = ["08", "57P01", "57P02", "57P05", "25P03"];

const UNIQUE_VIOLATION: &str = "23505";

/// What `refuse_revoked` raises.
const REVOKED: &str = "RT001";

/// The SQLSTATE, if the server answered one.
pub(super) fn state(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

fn is_among(states: &[&str], error: &sqlx::Error) -> bool {
    state(error).is_some_and(|state| states.iter().any(|prefix| state.starts_with(prefix)))
}

impl Failure {
    /// Whether the connection was lost, so that the same call may go well on another one.
    pub(super) fn is_lost_connection(&self) -> bool {
        match self {
            Self::NoConnection(_) | Self::Silent(_) => false,
            Self::Call(error) => match error {
                sqlx::Error::Database(_) => is_among(&ENDED, error),
                sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                    true
                }
                _ => false,
            },
        }
    }

    /// Whether what the connection will answer next is anybody's guess.
    pub(super) fn leaves_connection_unusable(&self) -> bool {
        matches!(self, Self::Silent(_)) || self.is_lost_connection()
    }

    /// Whether somebody else came first with the same key.
    pub(super) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Call(error) if is_among(&[UNIQUE_VIOLATION], error))
    }

    /// Whether a policy was revoked while the statement was under way; it had no effect.
    pub(super) fn is_revoked(&self) -> bool {
        matches!(self, Self::Call(error) if is_among(&[REVOKED], error))
    }

    /// As a failure of a statement that only reads, or whose transaction is not committed.
    pub(super) fn of_read(self) -> StoreError {
        match &self {
            Self::Call(error @ sqlx::Error::Database(refusal)) if !is_among(&UNAVAILABLE, error) => {
                StoreError::Corrupt(format!("{} ({})", refusal.message(), state(error).unwrap_or_default()))
            }
            Self::Call(
                error @ (sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::Decode(_)
                | sqlx::Error::Encode(_)
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::TypeNotFound { .. }),
            ) => StoreError::Corrupt(error.to_string()),
            _ => StoreError::Unavailable(Box::new(self)),
        }
    }

    /// As a failure of a statement that writes and commits, or of a commit: where the connection was lost, it may have
    /// been carried out.
    pub(super) fn of_write(self) -> StoreError {
        let is_unknown = match &self {
            Self::NoConnection(_) => false,
            Self::Silent(_) => true,
            Self::Call(error @ sqlx::Error::Database(_)) => is_among(&UNKNOWN, error),
            Self::Call(_) => self.is_lost_connection(),
        };
        match is_unknown {
            true => StoreError::Unknown(Box::new(self)),
            false => self.of_read(),
        }
    }
}

/// What a write answered cannot be read: it has been committed all the same.
pub(super) fn of_answer(error: StoreError) -> StoreError {
    StoreError::Unknown(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn cut() -> Failure {
        Failure::Call(sqlx::Error::Io(io::ErrorKind::ConnectionReset.into()))
    }

    #[test]
    fn a_lost_connection_leaves_a_write_unknown_but_not_a_read() {
        assert!(matches!(cut().of_write(), StoreError::Unknown(_)));
        assert!(matches!(cut().of_read(), StoreError::Unavailable(_)));
        assert!(matches!(Failure::Silent(Duration::ZERO).of_write(), StoreError::Unknown(_)));
        assert!(matches!(Failure::Silent(Duration::ZERO).of_read(), StoreError::Unavailable(_)));
    }

    #[test]
    fn a_write_that_never_got_a_connection_is_unavailable() {
        for error in
            [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed, sqlx::Error::Io(io::ErrorKind::NotFound.into())]
        {
            assert!(matches!(Failure::NoConnection(error).of_write(), StoreError::Unavailable(_)));
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_corrupt() {
        let undecodable = || Failure::Call(sqlx::Error::Decode("not that".into()));
        assert!(matches!(undecodable().of_read(), StoreError::Corrupt(_)));
        assert!(matches!(undecodable().of_write(), StoreError::Corrupt(_)));
    }
}
