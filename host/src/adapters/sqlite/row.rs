//! Rows to values and back. What a row holds was possibly written by others, so it is parsed like any input.

use std::fmt::Display;
use std::str::FromStr;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::model::{CleanupState, Hold, Labels, Parked, RuntimeRecord, Status, Timestamp, TrackedRuntime};
use crate::ports::StoreError;

/// The columns of a tracked runtime, in the order in which [`tracked`] reads them.
macro_rules! runtime_columns {
    () => {
        "game_id, tenant, engine, status, current_container_id, current_image_ref, labels, created_at, started_at, \
         stopped_at, removed_at, last_op_at, version, cleanup_wait_until, cleanup_wait_reason, \
         cleanup_wait_generation, cleanup_failed_attempts, cleanup_parked_at, cleanup_park_reason, \
         cleanup_hold_until, cleanup_hold_reason, cleanup_hold_actor"
    };
}
pub(super) use runtime_columns;

/// Reads one row from left to right; an error names the row and the column.
pub(super) struct Reader<'r> {
    row: &'r SqliteRow,
    next: usize,
    table: &'static str,
}

impl<'r> Reader<'r> {
    pub(super) fn new(table: &'static str, row: &'r SqliteRow) -> Self {
        Self { row, next: 0, table }
    }

    /// The next column as SQLite has it.
    pub(super) fn raw<T>(&mut self) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.next += 1;
        self.row.try_get(self.next - 1).map_err(|error| self.corrupt(error))
    }

    /// The next column as text that must parse.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self) -> Result<T, StoreError> {
        let text: &str = self.raw()?;
        text.parse().map_err(|error| self.corrupt(error))
    }

    /// The next column as text that must parse, or null.
    pub(super) fn parsed_or_null<T: FromStr<Err: Display>>(&mut self) -> Result<Option<T>, StoreError> {
        let text: Option<&str> = self.raw()?;
        text.map(|text| text.parse().map_err(|error| self.corrupt(error))).transpose()
    }

    /// The next column as text that must be one of a closed set.
    pub(super) fn known<T>(&mut self, from_text: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        let text: &str = self.raw()?;
        from_text(text).ok_or_else(|| self.corrupt(format_args!("{text:?} is not known")))
    }

    pub(super) fn count<T: TryFrom<i64, Error: Display>>(&mut self) -> Result<T, StoreError> {
        let number: i64 = self.raw()?;
        T::try_from(number).map_err(|error| self.corrupt(error))
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.count().map(Timestamp::from_micros)
    }

    pub(super) fn time_or_null(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let micros: Option<i64> = self.raw()?;
        let micros = micros.map(u64::try_from).transpose().map_err(|error| self.corrupt(error))?;
        Ok(micros.map(Timestamp::from_micros))
    }

    fn labels(&mut self) -> Result<Labels, StoreError> {
        let text: &str = self.raw()?;
        match text {
            "{}" => Ok(Labels::new()),
            _ => serde_json::from_str(text).map_err(|error| self.corrupt(error)),
        }
    }

    /// An error about the column that was read last.
    pub(super) fn corrupt(&self, error: impl Display) -> StoreError {
        let row: &str = self.row.try_get(0).unwrap_or("?");
        let column = self.row.columns().get(self.next.saturating_sub(1)).map_or("?", sqlx::Column::name);
        StoreError::Corrupt(format!("{}, row {row:?}, column {column}: {error}", self.table))
    }
}

/// Reads [`runtime_columns`].
pub(super) fn tracked(row: &SqliteRow) -> Result<TrackedRuntime, StoreError> {
    let mut reader = Reader::new("runtime_records", row);
    Ok(TrackedRuntime { record: record(&mut reader)?, cleanup: cleanup(&mut reader)? })
}

fn record(reader: &mut Reader<'_>) -> Result<RuntimeRecord, StoreError> {
    Ok(RuntimeRecord {
        game_id: reader.parsed()?,
        tenant: reader.parsed()?,
        engine: reader.parsed()?,
        status: reader.raw().map(Status::from_text)?,
        container_id: reader.parsed_or_null()?,
        image_ref: reader.raw()?,
        labels: reader.labels()?,
        created_at: reader.time()?,
        started_at: reader.time_or_null()?,
        stopped_at: reader.time_or_null()?,
        removed_at: reader.time_or_null()?,
        last_op_at: reader.time()?,
        version: reader.count()?,
    })
}

fn cleanup(reader: &mut Reader<'_>) -> Result<CleanupState, StoreError> {
    Ok(CleanupState {
        wait_until: reader.time_or_null()?,
        wait_reason: reader.raw()?,
        wait_generation: reader.raw()?,
        failed_attempts: reader.count()?,
        parked: parked(reader)?,
        hold: hold(reader)?,
    })
}

fn parked(reader: &mut Reader<'_>) -> Result<Option<Parked>, StoreError> {
    let at = reader.time_or_null()?;
    let reason: Option<String> = reader.raw()?;
    Ok(at.map(|at| Parked { at, reason: reason.unwrap_or_default() }))
}

fn hold(reader: &mut Reader<'_>) -> Result<Option<Hold>, StoreError> {
    let until = reader.time_or_null()?;
    let reason: Option<String> = reader.raw()?;
    let actor: Option<String> = reader.raw()?;
    Ok(reason.map(|reason| Hold { reason, actor: actor.unwrap_or_default(), until }))
}

/// A point in time as it is stored.
pub(super) fn micros(at: Timestamp) -> i64 {
    number(at.as_micros())
}

/// A count as it is stored.
pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
