//! Reading many records: lists, the walk over due rows, and the breaker's count.

use sqlx::{QueryBuilder, Sqlite};

use super::{Connections, error};
use crate::adapters::sql::{
    Place, Reader, engines_with_stopped, micros, missing, places, readable, runtime_columns, tracked,
};
use crate::model::{Census, EngineName, GameId, Timestamp, TrackedRuntime};
use crate::ports::{Claim, DueCursor, DuePage, RecordFilter, StoreError};

#[cfg(test)]
mod plans;

const LIST: &str = concat!("SELECT ", runtime_columns!("labels"), " FROM runtime_records WHERE game_id > ");

/// Floor, place, limit, the present and the engine. The index is named, so that the statement fails to prepare rather
/// than scan if they ever part.
macro_rules! fresh {
    () => {
        " FROM runtime_records INDEXED BY runtime_records_due_fresh
        WHERE status = 'stopped' AND cleanup_wait_until IS NULL AND cleanup_parked_at IS NULL
            AND engine = ?6 AND stopped_at <= ?1 AND (stopped_at, game_id) > (?2, ?3) "
    };
}

macro_rules! waited {
    () => {
        " FROM runtime_records INDEXED BY runtime_records_due_waited
        WHERE status = 'stopped' AND cleanup_wait_until IS NOT NULL AND cleanup_parked_at IS NULL
            AND engine = ?6 AND cleanup_wait_until <= ?5 AND (cleanup_wait_until, game_id) > (?2, ?3)
            AND stopped_at <= ?1 "
    };
}

macro_rules! read {
    ($due:expr, $place:literal) => {
        concat!(
            "SELECT ",
            runtime_columns!("labels"),
            ", ",
            $place,
            " AS place ",
            $due,
            "ORDER BY ",
            $place,
            ", game_id LIMIT ?4"
        )
    };
}

/// One statement, so that of two walks at once one gets a row. Answers its rows in any order.
macro_rules! claim {
    ($due:expr, $place:literal) => {
        concat!(
            "UPDATE runtime_records SET claimed_by = ?7, claimed_until = ?8
            WHERE game_id IN (SELECT game_id",
            $due,
            "AND (claimed_until IS NULL OR claimed_until <= ?5 OR claimed_by = ?7)
            ORDER BY ",
            $place,
            ", game_id LIMIT ?4) RETURNING ",
            runtime_columns!("labels"),
            ", ",
            $place,
            " AS place"
        )
    };
}

const FRESH: &str = read!(fresh!(), "stopped_at");
const WAITED: &str = read!(waited!(), "cleanup_wait_until");
const CLAIM_FRESH: &str = claim!(fresh!(), "stopped_at");
const CLAIM_WAITED: &str = claim!(waited!(), "cleanup_wait_until");

const RELEASE: &str = "UPDATE runtime_records SET claimed_by = NULL, claimed_until = NULL
    WHERE claimed_until IS NOT NULL AND claimed_by = ?1";

const ABANDONED: &str = "UPDATE runtime_records INDEXED BY runtime_records_claimed
    SET claimed_by = NULL, claimed_until = NULL
    WHERE claimed_until IS NOT NULL AND claimed_until <= ?1
    RETURNING engine, status = 'stopped'";

/// Counts of index entries only: held rows, which have to be looked at one by one, are few, and are counted by
/// themselves and taken off.
const CENSUS: &str = "SELECT
    (SELECT count(*) FROM runtime_records INDEXED BY runtime_records_not_removed
        WHERE engine = ?1 AND status <> 'removed'),
    (SELECT count(*) FROM runtime_records INDEXED BY runtime_records_due_fresh
        WHERE status = 'stopped' AND cleanup_wait_until IS NULL AND cleanup_parked_at IS NULL
            AND stopped_at <= ?2 AND engine = ?1)
    + (SELECT count(*) FROM runtime_records INDEXED BY runtime_records_due_waited
        WHERE status = 'stopped' AND cleanup_wait_until IS NOT NULL AND cleanup_parked_at IS NULL
            AND cleanup_wait_until <= ?3 AND stopped_at <= ?2 AND engine = ?1)
    - (SELECT count(*) FROM runtime_records INDEXED BY runtime_records_held
        WHERE cleanup_hold_reason IS NOT NULL AND status = 'stopped' AND cleanup_parked_at IS NULL
            AND engine = ?1 AND (cleanup_hold_until IS NULL OR cleanup_hold_until > ?3)
            AND (cleanup_wait_until IS NULL OR cleanup_wait_until <= ?3) AND stopped_at <= ?2),
    (SELECT count(*) FROM runtime_removals WHERE engine = ?1 AND removed_at BETWEEN ?4 AND ?3),
    (SELECT coalesce(sum(removals), 0) FROM breaker_allowances WHERE engine = ?1 AND allowed_at BETWEEN ?4 AND ?3),
    (SELECT count(*) FROM runtime_removals
        WHERE engine = ?1 AND removed_at BETWEEN ?4 AND ?3 AND walk = ?5),
    (SELECT count(*) FROM runtime_records INDEXED BY runtime_records_claimed
        WHERE claimed_until IS NOT NULL AND claimed_until > ?3 AND engine = ?1 AND status = 'stopped'
            AND claimed_by <> ?5)";

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
            Some(last) if rows.len() == wanted => after = Reader::new("runtime_records", last).string()?,
            _ => break,
        }
    }
    Ok(listed)
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

/// One page of a walk.
pub(super) struct Walk<'w> {
    pub(super) connections: &'w Connections,
    pub(super) engine: &'w EngineName,
    pub(super) floor: Timestamp,
    pub(super) now: Timestamp,
    pub(super) limit: u32,
    /// None to read only.
    pub(super) claim: Option<&'w Claim>,
}

impl Walk<'_> {
    pub(super) async fn page(&self, after: Option<&DueCursor>) -> Result<DuePage, StoreError> {
        let (fresh, waited) = places(after);
        let mut rows = Vec::new();
        if let Some(fresh) = fresh {
            self.fill(&mut rows, [FRESH, CLAIM_FRESH], fresh).await?;
        }
        self.fill(&mut rows, [WAITED, CLAIM_WAITED], waited).await?;
        let next = rows.last().filter(|_| missing(self.limit, &rows) == 0).map(DueCursor::after);
        Ok(DuePage { rows, next })
    }

    /// Adds rows after `place` until the page is full or this part of the walk ends.
    async fn fill(
        &self,
        page: &mut Vec<TrackedRuntime>,
        [read, claim]: [&'static str; 2],
        mut place: Place,
    ) -> Result<(), StoreError> {
        while let wanted @ 1.. = missing(self.limit, page) {
            let query = sqlx::query(if self.claim.is_some() { claim } else { read });
            let query = query.bind(micros(self.floor)).bind(place.at).bind(place.game).bind(wanted as i64);
            let query = query.bind(micros(self.now)).bind(self.engine.as_str());
            let rows = match self.claim {
                None => self.connections.read_all(query).await?,
                Some(claim) => self.connections.write_all(query.bind(&*claim.walk).bind(micros(claim.until))).await?,
            };
            let mut rows = rows.iter().map(|row| Ok((Place::of(row)?, row))).collect::<Result<Vec<_>, StoreError>>()?;
            rows.sort_by(|(a, _), (b, _)| a.cmp(b));
            page.extend(rows.iter().filter_map(|(_, row)| readable(tracked(*row))));
            match rows.pop() {
                Some((last, _)) if rows.len() + 1 == wanted => place = last,
                _ => return Ok(()),
            }
        }
        Ok(())
    }
}

pub(super) async fn release_claims(connections: &Connections, walk: &str) -> Result<(), StoreError> {
    connections.write(sqlx::query(RELEASE).bind(walk)).await.map(|_| ())
}

pub(super) async fn end_abandoned_claims(
    connections: &Connections,
    now: Timestamp,
) -> Result<Vec<EngineName>, StoreError> {
    let rows = connections.write_all(sqlx::query(ABANDONED).bind(micros(now))).await?;
    Ok(engines_with_stopped(&rows))
}

pub(super) async fn census(
    connections: &Connections,
    engine: &EngineName,
    floor: Timestamp,
    now: Timestamp,
    window_start: Timestamp,
    walk: &str,
) -> Result<Census, StoreError> {
    let query = sqlx::query(CENSUS).bind(engine.as_str()).bind(micros(floor)).bind(micros(now));
    let Some(row) = connections.read_one(query.bind(micros(window_start)).bind(walk)).await? else {
        return Ok(Census::default());
    };
    let mut reader = Reader::new("census", &row);
    Ok(Census {
        not_removed: reader.count()?,
        due: reader.count()?,
        removed_recently: reader.count()?,
        allowance: reader.count()?,
        removed_by_walk: reader.count()?,
        claimed: reader.count()?,
    })
}
