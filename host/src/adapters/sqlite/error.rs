//! What a failure of SQLite means to a caller. Decided by result codes, never by text.

use crate::ports::StoreError;

const IOERR: i32 = 10;
/// Somebody else has the lock, or there is no memory, permission, space or file: nothing was done.
const UNAVAILABLE: [i32; 11] = [
    3,  // PERM
    4,  // ABORT
    5,  // BUSY
    6,  // LOCKED
    7,  // NOMEM
    8,  // READONLY
    9,  // INTERRUPT
    13, // FULL
    14, // CANTOPEN
    15, // PROTOCOL
    17, // SCHEMA
];

/// The primary result code, if SQLite answered one.
pub(super) fn code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// A failure of a statement that only reads, or of taking the lock.
pub(super) fn of_read(error: sqlx::Error) -> StoreError {
    match (code(&error), &error) {
        (Some(IOERR), _) => StoreError::Unavailable(Box::new(error)),
        (Some(code), _) if UNAVAILABLE.contains(&code) => StoreError::Unavailable(Box::new(error)),
        (Some(_), _) => StoreError::Corrupt(error.to_string()),
        (None, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_)) => {
            StoreError::Corrupt(error.to_string())
        }
        (None, _) => StoreError::Unavailable(Box::new(error)),
    }
}

/// A failure of a statement that writes and commits, or of a commit: where the disk failed or the
/// connection's thread died, the commit may have happened.
pub(super) fn of_write(error: sqlx::Error) -> StoreError {
    match (code(&error), &error) {
        (Some(IOERR), _) | (None, sqlx::Error::WorkerCrashed) => StoreError::Unknown(Box::new(error)),
        _ => of_read(error),
    }
}

/// What a write answered cannot be read: it has been committed all the same.
pub(super) fn of_answer(error: StoreError) -> StoreError {
    StoreError::Unknown(Box::new(error))
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, SqliteConnection};

    use super::*;

    async fn memory() -> SqliteConnection {
        SqliteConnection::connect("sqlite::memory:").await.unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_is_unavailable() {
        let mut connection = memory().await;
        sqlx::raw_sql("CREATE TABLE t (x); PRAGMA max_page_count = 3").execute(&mut connection).await.unwrap();
        let error = sqlx::query("INSERT INTO t VALUES (zeroblob(1000000))").execute(&mut connection).await.unwrap_err();
        assert_eq!(code(&error), Some(13));
        assert!(matches!(of_write(error), StoreError::Unavailable(_)));
    }

    #[tokio::test]
    async fn missing_tables_are_corrupt() {
        let error = sqlx::query("SELECT * FROM runtime_records").execute(&mut memory().await).await.unwrap_err();
        assert!(matches!(of_read(error), StoreError::Corrupt(_)));
    }

    #[test]
    fn a_dead_connection_leaves_a_write_unknown_but_not_a_read() {
        assert!(matches!(of_write(sqlx::Error::WorkerCrashed), StoreError::Unknown(_)));
        assert!(matches!(of_read(sqlx::Error::WorkerCrashed), StoreError::Unavailable(_)));
    }

    #[test]
    fn a_write_that_never_got_a_connection_is_unavailable() {
        assert!(matches!(of_write(sqlx::Error::PoolTimedOut), StoreError::Unavailable(_)));
        assert!(matches!(of_write(sqlx::Error::PoolClosed), StoreError::Unavailable(_)));
    }
}
