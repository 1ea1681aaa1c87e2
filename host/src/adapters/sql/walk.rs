//! Where a walk over due rows stands.

use std::collections::BTreeSet;

use super::{Reader, SqlRow, micros};
use crate::model::{EngineName, GameId, Timestamp, TrackedRuntime};
use crate::ports::{DueCursor, StoreError};

/// Where a row of the walk has its place: after the columns of a tracked runtime.
const PLACE: usize = 22;

/// A place in one of the two parts of a walk. The game is a text, for the row there may be one that cannot be read.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::adapters) struct Place {
    pub(in crate::adapters) at: i64,
    pub(in crate::adapters) game: String,
}

impl Place {
    fn start() -> Self {
        Self { at: -1, game: String::new() }
    }

    fn after(at: Timestamp, game: &GameId) -> Self {
        Self { at: micros(at), game: game.to_string() }
    }

    /// That of a row which has it after its other columns.
    pub(in crate::adapters) fn of(row: &impl SqlRow) -> Result<Self, StoreError> {
        let mut reader = Reader::new("runtime_records", row);
        let game = reader.string()?;
        let at = row.micros(PLACE).map_err(|error| reader.corrupt(error))?;
        Ok(Self { at: at.unwrap_or_default(), game })
    }
}

/// Where a walk stands in its two parts; the first is over if there is no place in it.
pub(in crate::adapters) fn places(after: Option<&DueCursor>) -> (Option<Place>, Place) {
    match after {
        None => (Some(Place::start()), Place::start()),
        Some(DueCursor::Fresh(at, game)) => (Some(Place::after(*at, game)), Place::start()),
        Some(DueCursor::WaitedStart) => (None, Place::start()),
        Some(DueCursor::Waited(at, game)) => (None, Place::after(*at, game)),
    }
}

/// Of rows of engine and whether the record is stopped: the engines with one that is, each once.
pub(in crate::adapters) fn engines_with_stopped(rows: &[impl SqlRow]) -> Vec<EngineName> {
    let stopped = rows.iter().filter_map(|row| {
        let mut reader = Reader::new("runtime_records", row);
        let engine = readable(reader.parsed::<EngineName>())?;
        let is_stopped: u64 = readable(reader.count())?;
        (is_stopped == 1).then_some(engine)
    });
    stopped.collect::<BTreeSet<_>>().into_iter().collect()
}

/// How many rows a page of `limit` still lacks.
pub(in crate::adapters) fn missing(limit: u32, rows: &[TrackedRuntime]) -> usize {
    (limit as usize).saturating_sub(rows.len())
}

/// What could be read of a row; what could not is reported, and its row passed over.
pub(in crate::adapters) fn readable<T>(read: Result<T, StoreError>) -> Option<T> {
    read.inspect_err(|error| tracing::warn!(%error, "passing over a row that cannot be read")).ok()
}
