//! Reading many records: lists, the walk over due rows and its claims, and the breaker's count.

use sqlx::{Postgres, QueryBuilder};

use super::connections::Connections;
use super::row::{Moment, storable};
use crate::adapters::sql::{Place, Reader, engines_with_stopped, missing, places, readable, runtime_columns, tracked};
use crate::model::{Census, EngineName, GameId, TenantId, Timestamp, TrackedRuntime};
use crate::ports::{Claim, DueCursor, DuePage, RecordFilter, StoreError};

const LIST: &str =
    concat!("SELECT ", runtime_columns!("labels::text AS labels"), " FROM runtime_records WHERE game_id > ");

/// Floor, place, limit, the present (which fresh rows do not depend on) and the engine.
macro_rules! fresh {
    () => {
        " FROM runtime_records
        WHERE status = 'stopped' AND cleanup_wait_until IS NULL AND cleanup_parked_at IS NULL
            AND engine = $6 AND stopped_at <= $1 AND (stopped_at, game_id) > ($2, $3) "
    };
}

macro_rules! waited {
    () => {
        " FROM runtime_records
        WHERE status = 'stopped' AND cleanup_wait_until IS NOT NULL AND cleanup_parked_at IS NULL
            AND engine = $6 AND cleanup_wait_until <= $5 AND (cleanup_wait_until, game_id) > ($2, $3)
            AND stopped_at <= $1 "
    };
}

macro_rules! read {
    ($due:expr, $place:literal) => {
        concat!(
            "SELECT ",
            runtime_columns!("labels::text AS labels"),
            ", ",
            $place,
            $due,
            "ORDER BY ",
            $place,
            ", game_id LIMIT $4"
        )
    };
}

/// Passes over rows that others are changing or claiming at this moment, and answers its rows in any order.
///
/// The rows are found by their keys, as an array, so that no plan can find them by reading the table; and not by their
/// places on disk, for a row that has just been changed is at another.
macro_rules! claim {
    ($due:expr, $place:literal) => {
        concat!(
            "UPDATE runtime_records SET claimed_by = $7, claimed_until = $8
            WHERE game_id = ANY (ARRAY(SELECT game_id",
            $due,
            "AND (claimed_until IS NULL OR claimed_until <= $5 OR claimed_by = $7)
            ORDER BY ",
            $place,
            ", game_id LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED)) RETURNING ",
            runtime_columns!("labels::text AS labels"),
            ", ",
            $place
        )
    };
}

const FRESH: &str = read!(fresh!(), "stopped_at");
const WAITED: &str = read!(waited!(), "cleanup_wait_until");
const CLAIM_FRESH: &str = claim!(fresh!(), "stopped_at");
const CLAIM_WAITED: &str = claim!(waited!(), "cleanup_wait_until");

/// In the order of games, as whoever changes many rows does, so that two of them cannot wait for each other.
const RELEASE: &str = "UPDATE runtime_records SET claimed_by = NULL, claimed_until = NULL
    WHERE game_id = ANY (ARRAY(
        SELECT game_id FROM runtime_records WHERE claimed_until IS NOT NULL AND claimed_by = $1
        ORDER BY game_id FOR NO KEY UPDATE))";

/// Locked in the order of the games, as everything that locks several records; those that somebody is changing are left
/// to the next look.
const ABANDONED: &str = "WITH abandoned AS (
        SELECT game_id FROM runtime_records WHERE claimed_until IS NOT NULL AND claimed_until <= $1
        ORDER BY game_id FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE runtime_records AS record SET claimed_by = NULL, claimed_until = NULL FROM abandoned
    WHERE record.game_id = abandoned.game_id
    RETURNING engine, (status = 'stopped')::integer::bigint";

/// From one tenant to the next by the index, however many records each has.
const TENANTS: &str = "WITH RECURSIVE known (tenant) AS (
        (SELECT tenant FROM runtime_records ORDER BY tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT tenant FROM runtime_records WHERE tenant > known.tenant ORDER BY tenant LIMIT 1)
        FROM known WHERE known.tenant IS NOT NULL
    )
    SELECT tenant FROM known WHERE tenant IS NOT NULL";

/// Counts of index entries only, once the table has been vacuumed: held rows, which would have to be looked at one by
/// one, are few, and are counted by themselves and taken off. A million records, half of them due, take two tenths of a second.
const CENSUS: &str = "SELECT 'census',
    (SELECT count(*) FROM runtime_records WHERE engine = $1 AND status <> 'removed'),
    (SELECT count(*) FROM runtime_records
        WHERE status = 'stopped' AND cleanup_wait_until IS NULL AND cleanup_parked_at IS NULL
            AND engine = $1 AND stopped_at <= $2)
    + (SELECT count(*) FROM runtime_records
        WHERE status = 'stopped' AND cleanup_wait_until IS NOT NULL AND cleanup_parked_at IS NULL
            AND engine = $1 AND cleanup_wait_until <= $3 AND stopped_at <= $2)
    - (SELECT count(*) FROM runtime_records
        WHERE cleanup_hold_reason IS NOT NULL AND status = 'stopped' AND cleanup_parked_at IS NULL
            AND engine = $1 AND (cleanup_hold_until IS NULL OR cleanup_hold_until > $3)
            AND (cleanup_wait_until IS NULL OR cleanup_wait_until <= $3) AND stopped_at <= $2),
    (SELECT count(*) FROM runtime_removals WHERE engine = $1 AND removed_at BETWEEN $4 AND $3),
    (SELECT coalesce(sum(removals), 0)::bigint FROM breaker_allowances
        WHERE engine = $1 AND allowed_at BETWEEN $4 AND $3),
    (SELECT count(*) FROM runtime_removals WHERE engine = $1 AND removed_at BETWEEN $4 AND $3 AND walk = $5),
    (SELECT count(*) FROM runtime_records
        WHERE claimed_until IS NOT NULL AND claimed_until > $3 AND engine = $1 AND status = 'stopped'
            AND claimed_by <> $5)";

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
        let rows = connections.read_built(|| list_query(filter, &after, wanted)).await?;
        listed.extend(rows.iter().map(tracked).filter_map(readable));
        match rows.last() {
            Some(last) if rows.len() == wanted => after = Reader::new("runtime_records", last).string()?,
            _ => break,
        }
    }
    Ok(listed)
}

fn list_query(filter: &RecordFilter, after: &str, limit: usize) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(LIST);
    query.push_bind(after.to_owned());
    if let Some(tenant) = &filter.tenant {
        query.push(" AND tenant = ").push_bind(tenant.to_string());
    }
    if let Some(engine) = &filter.engine {
        query.push(" AND engine = ").push_bind(engine.to_string());
    }
    if let Some(status) = &filter.status {
        query.push(" AND status = ").push_bind(storable(status.as_str()).into_owned());
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
            let bound = |sql| {
                let query = sqlx::query(sql).bind(Moment::from(self.floor)).bind(Moment(place.at)).bind(&*place.game);
                query.bind(wanted as i64).bind(Moment::from(self.now)).bind(self.engine.as_str())
            };
            let rows = match self.claim {
                None => self.connections.read_all(|| bound(read)).await?,
                Some(by) => {
                    let query = bound(claim).bind(storable(&by.walk)).bind(Moment::from(by.until));
                    self.connections.write_all(query).await?
                }
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
    connections.write(sqlx::query(RELEASE).bind(storable(walk))).await.map(|_| ())
}

pub(super) async fn end_abandoned_claims(
    connections: &Connections,
    now: Timestamp,
) -> Result<Vec<EngineName>, StoreError> {
    let rows = connections.write_all(sqlx::query(ABANDONED).bind(Moment::from(now))).await?;
    Ok(engines_with_stopped(&rows))
}

pub(super) async fn tenants(connections: &Connections) -> Result<Vec<TenantId>, StoreError> {
    let rows = connections.read_all(|| sqlx::query(TENANTS)).await?;
    Ok(rows.iter().map(|row| Reader::new("runtime_records", row).parsed()).filter_map(readable).collect())
}

pub(super) async fn census(
    connections: &Connections,
    engine: &EngineName,
    floor: Timestamp,
    now: Timestamp,
    window_start: Timestamp,
    walk: &str,
) -> Result<Census, StoreError> {
    let [floor, now, window_start] = [floor, now, window_start].map(Moment::from);
    let query = || {
        let query = sqlx::query(CENSUS).bind(engine.as_str()).bind(floor).bind(now).bind(window_start);
        query.bind(storable(walk))
    };
    let Some(row) = connections.read_one(query).await? else {
        return Ok(Census::default());
    };
    let mut reader = Reader::at("census", &row, 1);
    Ok(Census {
        not_removed: reader.count()?,
        due: reader.count()?,
        removed_recently: reader.count()?,
        allowance: reader.count()?,
        removed_by_walk: reader.count()?,
        claimed: reader.count()?,
    })
}
