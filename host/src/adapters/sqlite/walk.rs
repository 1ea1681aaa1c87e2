//! Reading many records: lists, the walk over due rows, and the breaker's count.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::row::{Reader, micros, runtime_columns, tracked};
use super::{Connections, error};
use crate::model::{Census, EngineName, GameId, Timestamp, TrackedRuntime};
use crate::ports::{DueCursor, DuePage, RecordFilter, StoreError};

#[cfg(test)]
mod plans;

const LIST: &str = concat!("SELECT ", runtime_columns!(), " FROM runtime_records WHERE game_id > ");

/// Floor, place, limit and (for the waits) the present. The index is named, so that the statement fails to prepare rather than scan if they ever part.
const FRESH: &str = concat!(
    "SELECT ",
    runtime_columns!(),
    ", stopped_at AS place FROM runtime_records INDEXED BY runtime_records_due_fresh
    WHERE status = 'stopped' AND cleanup_wait_until IS NULL AND cleanup_parked_at IS NULL
        AND engine = ?6 AND stopped_at <= ?1 AND (stopped_at, game_id) > (?2, ?3)
    ORDER BY stopped_at, game_id LIMIT ?4"
);

const WAITED: &str = concat!(
    "SELECT ",
    runtime_columns!(),
    ", cleanup_wait_until AS place FROM runtime_records INDEXED BY runtime_records_due_waited
    WHERE status = 'stopped' AND cleanup_wait_until IS NOT NULL AND cleanup_parked_at IS NULL
        AND engine = ?6 AND cleanup_wait_until <= ?5 AND (cleanup_wait_until, game_id) > (?2, ?3)
        AND stopped_at <= ?1
    ORDER BY cleanup_wait_until, game_id LIMIT ?4"
);

const CENSUS: &str = "SELECT
    (SELECT count(*) FROM runtime_records INDEXED BY runtime_records_not_removed
        WHERE engine = ?1 AND status <> 'removed'),
    (SELECT count(*) FROM runtime_records INDEXED BY runtime_records_due_fresh
        WHERE status = 'stopped' AND cleanup_wait_until IS NULL AND cleanup_parked_at IS NULL
            AND stopped_at <= ?2 AND engine = ?1
            AND (cleanup_hold_reason IS NULL OR cleanup_hold_until <= ?3))
    + (SELECT count(*) FROM runtime_records INDEXED BY runtime_records_due_waited
        WHERE status = 'stopped' AND cleanup_wait_until IS NOT NULL AND cleanup_parked_at IS NULL
            AND cleanup_wait_until <= ?3 AND stopped_at <= ?2 AND engine = ?1
            AND (cleanup_hold_reason IS NULL OR cleanup_hold_until <= ?3)),
    (SELECT count(*) FROM runtime_removals WHERE engine = ?1 AND removed_at BETWEEN ?4 AND ?3),
    (SELECT coalesce(sum(removals), 0) FROM breaker_allowances WHERE engine = ?1 AND allowed_at BETWEEN ?4 AND ?3)";

/// What could be read of a row; what could not is reported, and its row passed over.
pub(super) fn readable<T>(read: Result<T, StoreError>) -> Option<T> {
    read.inspect_err(|error| tracing::warn!(%error, "passing over a row that cannot be read")).ok()
}

pub(super) async fn list(
    connections: &Connections,
    filter: &RecordFilter,
    after: Option<&GameId>,
    limit: u32,
) -> Result<Vec<TrackedRuntime>, StoreError> {
    let mut listed = Vec::new();
    let mut after = after.map(ToString::to_string).unwrap_or_default();
    // Rows passed over are made up for: a short page would be taken for the end.
    while let wanted @ 1.. = missing(limit, &listed) {
        let mut query = list_query(filter, after, wanted);
        let rows = query.build().fetch_all(&connections.readers).await.map_err(error::of_read)?;
        listed.extend(rows.iter().map(tracked).filter_map(readable));
        match rows.last() {
            Some(last) if rows.len() == wanted => after = Reader::new("runtime_records", last).raw()?,
            _ => break,
        }
    }
    Ok(listed)
}

fn missing(limit: u32, rows: &[TrackedRuntime]) -> usize {
    (limit as usize).saturating_sub(rows.len())
}

fn list_query(filter: &RecordFilter, after: String, limit: usize) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(LIST);
    query.push_bind(after);
    if let Some(tenant) = &filter.tenant {
        query.push(" AND tenant = ").push_bind(tenant.to_string());
    }
    if let Some(engine) = &filter.engine {
        query.push(" AND engine = ").push_bind(engine.to_string());
    }
    if let Some(status) = &filter.status {
        query.push(" AND status = ").push_bind(status.to_string());
    }
    query.push(" ORDER BY game_id LIMIT ").push_bind(limit as i64);
    query
}

/// A place in one of the two walks. The game is a text, for the row there may be one that cannot be read.
struct Place {
    at: i64,
    game: String,
}

impl Place {
    fn start() -> Self {
        Self { at: -1, game: String::new() }
    }

    fn after(at: Timestamp, game: &GameId) -> Self {
        Self { at: micros(at), game: game.to_string() }
    }

    fn of(row: &SqliteRow) -> Result<Self, StoreError> {
        let at = row.try_get("place").map_err(error::of_read)?;
        Ok(Self { at, game: Reader::new("runtime_records", row).raw()? })
    }
}

pub(super) async fn due(
    connections: &Connections,
    engine: &EngineName,
    floor: Timestamp,
    now: Timestamp,
    after: Option<&DueCursor>,
    limit: u32,
) -> Result<DuePage, StoreError> {
    let (fresh, waited) = match after {
        None => (Some(Place::start()), Place::start()),
        Some(DueCursor::Fresh(at, game)) => (Some(Place::after(*at, game)), Place::start()),
        Some(DueCursor::WaitedStart) => (None, Place::start()),
        Some(DueCursor::Waited(at, game)) => (None, Place::after(*at, game)),
    };
    let walk = Walk { connections, engine, floor, now, limit: limit.max(1) };
    let mut rows = Vec::new();
    if let Some(fresh) = fresh {
        walk.fill(&mut rows, FRESH, fresh).await?;
    }
    walk.fill(&mut rows, WAITED, waited).await?;
    let next = rows.last().filter(|_| missing(walk.limit, &rows) == 0).map(cursor);
    Ok(DuePage { rows, next })
}

/// Where the walk goes on after this row.
fn cursor(row: &TrackedRuntime) -> DueCursor {
    let game = row.record.game_id.clone();
    match row.cleanup.wait_until {
        Some(until) => DueCursor::Waited(until, game),
        None => DueCursor::Fresh(row.record.stopped_at.unwrap_or_default(), game),
    }
}

struct Walk<'w> {
    connections: &'w Connections,
    engine: &'w EngineName,
    floor: Timestamp,
    now: Timestamp,
    limit: u32,
}

impl Walk<'_> {
    /// Adds rows after `place` until the page is full or the walk ends.
    async fn fill(
        &self,
        page: &mut Vec<TrackedRuntime>,
        sql: &'static str,
        mut place: Place,
    ) -> Result<(), StoreError> {
        while let wanted @ 1.. = missing(self.limit, page) {
            let query = sqlx::query(sql).bind(micros(self.floor)).bind(place.at).bind(place.game);
            let query = query.bind(wanted as i64).bind(micros(self.now)).bind(self.engine.as_str());
            let rows = self.connections.read_all(query).await?;
            page.extend(rows.iter().map(tracked).filter_map(readable));
            match rows.last() {
                Some(last) if rows.len() == wanted => place = Place::of(last)?,
                _ => return Ok(()),
            }
        }
        Ok(())
    }
}

pub(super) async fn census(
    connections: &Connections,
    engine: &EngineName,
    floor: Timestamp,
    now: Timestamp,
    window_start: Timestamp,
) -> Result<Census, StoreError> {
    let query = sqlx::query(CENSUS).bind(engine.as_str()).bind(micros(floor)).bind(micros(now));
    let Some(row) = connections.read_one(query.bind(micros(window_start))).await? else {
        return Ok(Census::default());
    };
    let mut reader = Reader::new("census", &row);
    Ok(Census {
        not_removed: reader.count()?,
        due: reader.count()?,
        removed_recently: reader.count()?,
        allowance: reader.count()?,
    })
}
