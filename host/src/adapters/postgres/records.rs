//! Records in PostgreSQL.

use async_trait::async_trait;
use sqlx::postgres::PgRow;

use super::connections::{Connections, Query, Transaction};
use super::registration;
use super::row::{Moment, storable};
use super::walk::{self, Walk};
use super::{error, runs};
use crate::adapters::sql::{Decided, Reader, number, runtime_columns, tracked, with_standing};
use crate::model::{
    Begun, Census, ContainerId, EngineName, Fence, GameId, GenerationId, Hold, Intent, OpenRun, PolicyRef,
    Registration, RunId, RuntimeRecord, Status, TenantId, Timestamp, TrackedRuntime,
};
use crate::ports::{
    CasError, Claim, Disposition, DueCursor, DuePage, RecordFilter, RecordStore, RegisterError, Standing, StatusChange,
    StoreError,
};

/// The records of a database.
///
/// A row that another writer has got wrong answers `Corrupt`, with game and column, when it is asked for
/// by its game or container. Lists and the walk over due rows pass over it with a warning each time they read it.
pub struct PostgresRecords {
    connections: Connections,
}

impl PostgresRecords {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

pub(super) const GET: &str =
    concat!("SELECT ", runtime_columns!("labels::text AS labels"), " FROM runtime_records WHERE game_id = $1");

const GET_FOR_EFFECT: &str = concat!(
    "SELECT ",
    runtime_columns!("labels::text AS labels"),
    ", (SELECT count(*) FROM policy_revocations WHERE subject IN ($2, $3)) FROM runtime_records WHERE game_id = $1"
);

/// One statement when all is as expected; why it changed nothing is asked only when it did. If the row is being changed
/// by another, this waits, and then looks at the row as it has become: of two changes at once, or of a change and a
/// supersession, the second one sees the first. What the change notes with the run is committed with it.
///
/// Of a change and a revocation, one waits for the other too. That the policy is not revoked is asked twice: here as of
/// the start of the statement, which spares the record; and by `refuse_revoked` when the record has been changed, as of
/// then, which is what holds. Changes do not wait for one another there, and none holds up a revocation while it waits
/// for its record.
const CHANGE: &str = concat!(
    "WITH changed AS (
        UPDATE runtime_records SET status = $2, last_op_at = $3, version = version + 1,
            own_version = version + 1, fence = $4, last_run_id = $5,
            current_container_id = CASE WHEN $2 = 'removed' THEN NULL ELSE current_container_id END,
            removed_at = CASE WHEN $2 = 'removed' THEN $3 END,
            stopped_at = CASE WHEN $2 = 'stopped' AND status <> 'stopped' THEN $3 ELSE stopped_at END,
            cleanup_wait_until = CASE WHEN $8 OR cleanup_wait_generation IS NOT NULL THEN NULL
                ELSE cleanup_wait_until END,
            cleanup_wait_reason = CASE WHEN $8 OR cleanup_wait_generation IS NOT NULL THEN NULL
                ELSE cleanup_wait_reason END,
            cleanup_wait_generation = NULL,
            cleanup_failed_attempts = CASE WHEN $8 THEN 0 ELSE cleanup_failed_attempts END,
            cleanup_parked_at = CASE WHEN $8 THEN NULL ELSE cleanup_parked_at END,
            cleanup_park_reason = CASE WHEN $8 THEN NULL ELSE cleanup_park_reason END,
            claimed_by = CASE WHEN $8 THEN NULL ELSE claimed_by END,
            claimed_until = CASE WHEN $8 THEN NULL ELSE claimed_until END
        WHERE game_id = $1 AND status = $6 AND current_container_id IS NOT DISTINCT FROM $7 AND fence <= $4
            AND (cleanup_hold_reason IS NULL OR cleanup_hold_until <= $3)
            AND NOT EXISTS (SELECT FROM policy_revocations WHERE subject IN ($9, $10))
        RETURNING ",
    runtime_columns!("labels"),
    "
    ), noted AS (
        UPDATE run_intents SET committed_at = $3 WHERE run_id = $5 AND EXISTS (SELECT FROM changed)
    )
    SELECT ",
    runtime_columns!("labels::text AS labels"),
    ", refuse_revoked($9, $10) FROM changed"
);

const LOCK: &str = concat!(
    "SELECT ",
    runtime_columns!("labels::text AS labels"),
    ", fence FROM runtime_records WHERE game_id = $1 FOR NO KEY UPDATE"
);

/// Where the fence is in [`LOCK`].
const FENCE_COLUMN: usize = 22;

const BY_CONTAINER: &str = concat!(
    "SELECT ",
    runtime_columns!("labels::text AS labels"),
    " FROM runtime_records WHERE current_container_id = $1"
);

const DISPOSE: &str = "UPDATE runtime_records SET cleanup_wait_until = $3, cleanup_wait_reason = $4,
        cleanup_wait_generation = $5, cleanup_failed_attempts = $6, cleanup_parked_at = $7, cleanup_park_reason = $8,
        claimed_by = NULL, claimed_until = NULL
    WHERE game_id = $1 AND version = $2";

/// In the order of games, as whoever changes many rows does, so that two of them cannot wait for each other.
const VOID_WAITS: &str = "UPDATE runtime_records SET cleanup_wait_until = NULL, cleanup_wait_reason = NULL,
        cleanup_wait_generation = NULL
    WHERE game_id = ANY (ARRAY(
        SELECT game_id FROM runtime_records
        WHERE tenant = $1 AND cleanup_wait_generation IS NOT NULL AND cleanup_wait_generation <> ALL ($2)
        ORDER BY game_id FOR NO KEY UPDATE))";

const SET_HOLD: &str = "UPDATE runtime_records SET cleanup_hold_until = $2, cleanup_hold_reason = $3,
        cleanup_hold_actor = $4, cleanup_wait_until = NULL, cleanup_wait_reason = NULL, cleanup_wait_generation = NULL
    WHERE game_id = $1";

const UNPARK: &str = "UPDATE runtime_records SET cleanup_parked_at = NULL, cleanup_park_reason = NULL,
        cleanup_failed_attempts = 0, cleanup_wait_until = NULL, cleanup_wait_reason = NULL,
        cleanup_wait_generation = NULL
    WHERE game_id = $1 AND cleanup_parked_at IS NOT NULL";

#[async_trait]
impl RecordStore for PostgresRecords {
    async fn get(&self, game: &GameId) -> Result<Option<TrackedRuntime>, StoreError> {
        let row = self.connections.read_one(|| sqlx::query(GET).bind(game.as_str())).await?;
        row.as_ref().map(tracked).transpose()
    }

    async fn get_for_effect(
        &self,
        game: &GameId,
        policy: &PolicyRef,
    ) -> Result<Option<(TrackedRuntime, Standing)>, StoreError> {
        let query = || {
            let query = sqlx::query(GET_FOR_EFFECT).bind(game.as_str());
            query.bind(policy.generation.as_str()).bind(policy.digest.as_str())
        };
        self.connections.read_one(query).await?.as_ref().map(with_standing).transpose()
    }

    async fn begin_run(&self, intent: &Intent) -> Result<Option<Begun>, StoreError> {
        runs::begin(&self.connections, intent).await
    }

    async fn supersede_run(&self, run: &RunId) -> Result<Option<OpenRun>, StoreError> {
        runs::supersede(&self.connections, run).await
    }

    async fn overdue_runs(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, Fence)>,
        limit: u32,
    ) -> Result<Vec<OpenRun>, StoreError> {
        runs::overdue(&self.connections, now, after, limit).await
    }

    async fn compare_and_set(&self, change: &StatusChange) -> Result<RuntimeRecord, CasError> {
        match self.connections.try_write_all(change_query(change)).await {
            Ok(rows) if rows.is_empty() => {}
            Ok(rows) => return of_changed(&rows).map_err(|error| error::of_answer(error).into()),
            Err(failure) if failure.is_revoked() => return Err(CasError::Revoked),
            Err(failure) => return Err(failure.of_write().into()),
        }
        let mut transaction = self.connections.begin().await?;
        let outcome = change_or_say_why_not(&mut transaction, change).await;
        transaction.end(outcome).await
    }

    async fn register(&self, registration: &Registration, at: Timestamp) -> Result<RuntimeRecord, RegisterError> {
        registration::register(&self.connections, registration, at).await
    }

    async fn register_if(
        &self,
        version: Option<u64>,
        registration: &Registration,
        at: Timestamp,
    ) -> Result<Option<RuntimeRecord>, RegisterError> {
        registration::register_if(&self.connections, version, registration, at).await
    }

    async fn list(
        &self,
        filter: &RecordFilter,
        after: Option<&GameId>,
        limit: u32,
    ) -> Result<Vec<TrackedRuntime>, StoreError> {
        walk::list(&self.connections, filter, after, limit).await
    }

    async fn by_container(&self, container: &ContainerId) -> Result<Option<RuntimeRecord>, StoreError> {
        let row = self.connections.read_one(|| sqlx::query(BY_CONTAINER).bind(container.as_str())).await?;
        row.map(|row| tracked(&row).map(|tracked| tracked.record)).transpose()
    }

    async fn due(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        after: Option<&DueCursor>,
        limit: u32,
    ) -> Result<DuePage, StoreError> {
        let walk = Walk { connections: &self.connections, engine, floor, now, limit: limit.max(1), claim: None };
        walk.page(after).await
    }

    async fn claim_due(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        after: Option<&DueCursor>,
        limit: u32,
        claim: &Claim,
    ) -> Result<DuePage, StoreError> {
        let claim = Some(claim);
        let walk = Walk { connections: &self.connections, engine, floor, now, limit: limit.max(1), claim };
        walk.page(after).await
    }

    async fn release_claims(&self, walk: &str) -> Result<(), StoreError> {
        walk::release_claims(&self.connections, walk).await
    }

    async fn end_abandoned_claims(&self, now: Timestamp) -> Result<Vec<EngineName>, StoreError> {
        walk::end_abandoned_claims(&self.connections, now).await
    }

    async fn dispose(&self, game: &GameId, version: u64, disposition: &Disposition) -> Result<bool, StoreError> {
        Ok(self.connections.write(dispose_query(game, version, disposition)).await? > 0)
    }

    async fn void_waits(&self, tenant: &TenantId, serving: &[GenerationId]) -> Result<u64, StoreError> {
        let serving: Vec<_> = serving.iter().map(|generation| generation.as_str()).collect();
        self.connections.write(sqlx::query(VOID_WAITS).bind(tenant.as_str()).bind(serving)).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        walk::tenants(&self.connections).await
    }

    async fn set_hold(&self, game: &GameId, hold: Option<&Hold>) -> Result<bool, StoreError> {
        let query = sqlx::query(SET_HOLD)
            .bind(game.as_str())
            .bind(hold.and_then(|hold| hold.until).map(Moment::from))
            .bind(hold.map(|hold| storable(&hold.reason)))
            .bind(hold.map(|hold| storable(&hold.actor)));
        Ok(self.connections.write(query).await? > 0)
    }

    async fn unpark(&self, game: &GameId) -> Result<bool, StoreError> {
        Ok(self.connections.write(sqlx::query(UNPARK).bind(game.as_str())).await? > 0)
    }

    async fn census(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        window_start: Timestamp,
        walk: &str,
    ) -> Result<Census, StoreError> {
        walk::census(&self.connections, engine, floor, now, window_start, walk).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.connections.read_one(|| sqlx::query("SELECT 1 FROM runtime_records LIMIT 1")).await.map(|_| ())
    }
}

/// With the row locked, so that what it answers is the reason; or changes it after all, if it has become as expected.
async fn change_or_say_why_not(
    transaction: &mut Transaction,
    change: &StatusChange,
) -> Result<RuntimeRecord, CasError> {
    let row = transaction.one(sqlx::query(LOCK).bind(change.game_id.as_str())).await?;
    let row = row.ok_or(CasError::NotFound)?;
    let TrackedRuntime { record, cleanup } = tracked(&row)?;
    if record.status != change.expected_status || record.container_id != change.expected_container {
        return Err(CasError::Conflict);
    }
    let fence: u64 = Reader::at("runtime_records", &row, FENCE_COLUMN).count()?;
    if fence > change.fence.0 {
        return Err(CasError::Superseded);
    }
    if cleanup.hold.is_some_and(|hold| hold.is_active(change.at)) {
        return Err(CasError::Held);
    }
    match transaction.all(change_query(change)).await {
        Ok(rows) if rows.is_empty() => Err(CasError::Revoked),
        Ok(rows) => Ok(of_changed(&rows)?),
        Err(failure) if failure.is_revoked() => Err(CasError::Revoked),
        Err(failure) => Err(failure.of_read().into()),
    }
}

fn of_changed(rows: &[PgRow]) -> Result<RuntimeRecord, StoreError> {
    let row = rows.first().ok_or_else(|| StoreError::Corrupt("runtime_records answered no row".to_owned()))?;
    Ok(tracked(row)?.record)
}

fn change_query(change: &StatusChange) -> Query<'_> {
    let voids = change.new_status == Status::Removed || change.new_status != change.expected_status;
    sqlx::query(CHANGE)
        .bind(change.game_id.as_str())
        .bind(storable(change.new_status.as_str()))
        .bind(Moment::from(change.at))
        .bind(number(change.fence.0))
        .bind(change.run_id.as_str())
        .bind(storable(change.expected_status.as_str()))
        .bind(change.expected_container.as_ref().map(|container| container.as_str()))
        .bind(voids)
        .bind(change.policy.generation.as_str())
        .bind(change.policy.digest.as_str())
}

fn dispose_query<'q>(game: &'q GameId, version: u64, disposition: &'q Disposition) -> Query<'q> {
    let decided = Decided::from(disposition);
    sqlx::query(DISPOSE)
        .bind(game.as_str())
        .bind(number(version))
        .bind(decided.wait_until.map(Moment))
        .bind(decided.wait_reason.map(storable))
        .bind(decided.wait_generation.map(storable))
        .bind(decided.failed_attempts)
        .bind(decided.parked_at.map(Moment))
        .bind(decided.park_reason.map(storable))
}
