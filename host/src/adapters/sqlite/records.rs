//! Records in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::walk::Walk;
use super::{Connections, Query, error, runs, walk};
use crate::adapters::sql::{Decided, Reader, micros, number, readable, runtime_columns, tracked, with_standing};
use crate::model::{
    Begun, Census, ContainerId, EngineName, Fence, GameId, GenerationId, Hold, Intent, OpenRun, PolicyRef,
    Registration, RunId, RuntimeRecord, Status, TenantId, Timestamp, TrackedRuntime,
};
use crate::ports::{
    CasError, Claim, Disposition, DueCursor, DuePage, RecordFilter, RecordStore, RegisterError, Standing, StatusChange,
    StoreError,
};

/// The records of an open file.
///
/// A row that another writer has got wrong answers `Corrupt`, with game and column, when it is asked for
/// by its game or container. Lists and the walk over due rows pass over it with a warning each time they read it.
pub struct SqliteRecords {
    connections: Connections,
}

impl SqliteRecords {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

const GET: &str = concat!("SELECT ", runtime_columns!("labels"), " FROM runtime_records WHERE game_id = ?1");

const GET_FOR_EFFECT: &str = concat!(
    "SELECT ",
    runtime_columns!("labels"),
    ", EXISTS (SELECT 1 FROM policy_revocations WHERE subject IN (?2, ?3)) FROM runtime_records WHERE game_id = ?1"
);

/// One statement when all is as expected; why it changed nothing is asked only when it did.
const CHANGE: &str = concat!(
    "UPDATE runtime_records SET status = ?2, last_op_at = ?3, version = version + 1,
        own_version = version + 1, fence = ?4, last_run_id = ?5,
        current_container_id = CASE WHEN ?2 = 'removed' THEN NULL ELSE current_container_id END,
        removed_at = CASE WHEN ?2 = 'removed' THEN ?3 END,
        stopped_at = CASE WHEN ?2 = 'stopped' AND status <> 'stopped' THEN ?3 ELSE stopped_at END,
        cleanup_wait_until = CASE WHEN ?8 OR cleanup_wait_generation IS NOT NULL THEN NULL ELSE cleanup_wait_until END,
        cleanup_wait_reason = CASE WHEN ?8 OR cleanup_wait_generation IS NOT NULL THEN NULL ELSE cleanup_wait_reason END,
        cleanup_wait_generation = NULL,
        cleanup_failed_attempts = CASE WHEN ?8 THEN 0 ELSE cleanup_failed_attempts END,
        cleanup_parked_at = CASE WHEN ?8 THEN NULL ELSE cleanup_parked_at END,
        claimed_by = CASE WHEN ?8 THEN NULL ELSE claimed_by END,
        claimed_until = CASE WHEN ?8 THEN NULL ELSE claimed_until END,
        cleanup_park_reason = CASE WHEN ?8 THEN NULL ELSE cleanup_park_reason END
    WHERE game_id = ?1 AND status = ?6 AND current_container_id IS ?7 AND fence <= ?4
        AND (cleanup_hold_reason IS NULL OR cleanup_hold_until <= ?3)
        AND NOT EXISTS (SELECT 1 FROM policy_revocations WHERE subject IN (?9, ?10))
    RETURNING ",
    runtime_columns!("labels")
);

const FENCE: &str = "SELECT fence FROM runtime_records WHERE game_id = ?1";

const REMOVED_UNDER: &str = "SELECT game_id FROM runtime_removals WHERE container_id = ?1";

const CONTAINER_OWNER: &str = "SELECT game_id FROM runtime_records WHERE current_container_id = ?1";

const REFRESH: &str = "UPDATE runtime_records SET last_op_at = ?2 WHERE game_id = ?1";

const PUT: &str = "INSERT INTO runtime_records (game_id, tenant, engine, status, current_container_id,
        current_image_ref, labels, created_at, started_at, stopped_at, removed_at, last_op_at, version, own_version)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)
    ON CONFLICT (game_id) DO UPDATE SET
        engine = excluded.engine, status = excluded.status, current_container_id = excluded.current_container_id,
        current_image_ref = excluded.current_image_ref, labels = excluded.labels, created_at = excluded.created_at,
        started_at = excluded.started_at, stopped_at = excluded.stopped_at, removed_at = excluded.removed_at,
        last_op_at = excluded.last_op_at, version = excluded.version, own_version = excluded.own_version,
        cleanup_wait_until = ?14, cleanup_wait_reason = ?15, cleanup_wait_generation = ?16,
        cleanup_failed_attempts = ?17, cleanup_parked_at = ?18, cleanup_park_reason = ?19";

const BY_CONTAINER: &str =
    concat!("SELECT ", runtime_columns!("labels"), " FROM runtime_records WHERE current_container_id = ?1");

const DISPOSE: &str = "UPDATE runtime_records SET cleanup_wait_until = ?3, cleanup_wait_reason = ?4,
        cleanup_wait_generation = ?5, cleanup_failed_attempts = ?6, cleanup_parked_at = ?7, cleanup_park_reason = ?8,
        claimed_by = NULL, claimed_until = NULL
    WHERE game_id = ?1 AND version = ?2";

const VOID_WAITS: &str = "UPDATE runtime_records SET cleanup_wait_until = NULL, cleanup_wait_reason = NULL,
        cleanup_wait_generation = NULL
    WHERE tenant = ?1 AND cleanup_wait_generation IS NOT NULL 
        AND cleanup_wait_generation NOT IN (SELECT value FROM json_each(?2))";

const TENANTS: &str = "SELECT DISTINCT tenant FROM runtime_records ORDER BY tenant";

const SET_HOLD: &str = "UPDATE runtime_records SET cleanup_hold_until = ?2, cleanup_hold_reason = ?3,
        cleanup_hold_actor = ?4, cleanup_wait_until = NULL, cleanup_wait_reason = NULL, cleanup_wait_generation = NULL
    WHERE game_id = ?1";

const UNPARK: &str = "UPDATE runtime_records SET cleanup_parked_at = NULL, cleanup_park_reason = NULL,
        cleanup_failed_attempts = 0, cleanup_wait_until = NULL, cleanup_wait_reason = NULL,
        cleanup_wait_generation = NULL
    WHERE game_id = ?1 AND cleanup_parked_at IS NOT NULL";

#[async_trait]
impl RecordStore for SqliteRecords {
    async fn get(&self, game: &GameId) -> Result<Option<TrackedRuntime>, StoreError> {
        let row = self.connections.read_one(sqlx::query(GET).bind(game.as_str())).await?;
        row.as_ref().map(tracked).transpose()
    }

    async fn get_for_effect(
        &self,
        game: &GameId,
        policy: &PolicyRef,
    ) -> Result<Option<(TrackedRuntime, Standing)>, StoreError> {
        let query = sqlx::query(GET_FOR_EFFECT).bind(game.as_str());
        let query = query.bind(policy.generation.as_str()).bind(policy.digest.as_str());
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
        if let Some(row) = self.connections.write_one(change_query(change)).await? {
            return Ok(tracked(&row).map_err(error::of_answer)?.record);
        }
        self.change_or_say_why_not(change).await
    }

    async fn register(&self, registration: &Registration, at: Timestamp) -> Result<RuntimeRecord, RegisterError> {
        let mut transaction = self.connections.begin().await?;
        let current = current(&mut transaction, &registration.game_id).await?;
        let record = put(&mut transaction, current, registration, at).await?;
        transaction.commit().await.map_err(error::of_write)?;
        Ok(record)
    }

    async fn register_if(
        &self,
        version: Option<u64>,
        registration: &Registration,
        at: Timestamp,
    ) -> Result<Option<RuntimeRecord>, RegisterError> {
        let mut transaction = self.connections.begin().await?;
        let current = current(&mut transaction, &registration.game_id).await?;
        if current.as_ref().map(|row| row.record.version) != version {
            return Ok(None);
        }
        let record = put(&mut transaction, current, registration, at).await?;
        transaction.commit().await.map_err(error::of_write)?;
        Ok(Some(record))
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
        let row = self.connections.read_one(sqlx::query(BY_CONTAINER).bind(container.as_str())).await?;
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
        let (connections, limit) = (&self.connections, limit.max(1));
        Walk { connections, engine, floor, now, limit, claim: None }.page(after).await
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
        let (connections, limit) = (&self.connections, limit.max(1));
        Walk { connections, engine, floor, now, limit, claim: Some(claim) }.page(after).await
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
        let serving: Vec<_> = serving.iter().map(GenerationId::as_str).collect();
        let serving = serde_json::Value::from(serving).to_string();
        self.connections.write(sqlx::query(VOID_WAITS).bind(tenant.as_str()).bind(serving)).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let rows = self.connections.read_all(sqlx::query(TENANTS)).await?;
        let tenants = rows.iter().map(|row| Reader::new("runtime_records", row).parsed());
        Ok(tenants.filter_map(readable).collect())
    }

    async fn set_hold(&self, game: &GameId, hold: Option<&Hold>) -> Result<bool, StoreError> {
        let query = sqlx::query(SET_HOLD)
            .bind(game.as_str())
            .bind(hold.and_then(|hold| hold.until).map(micros))
            .bind(hold.map(|hold| &*hold.reason))
            .bind(hold.map(|hold| &*hold.actor));
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
        self.connections.read_one(sqlx::query("SELECT 1 FROM runtime_records LIMIT 1")).await.map(|_| ())
    }
}

impl SqliteRecords {
    /// Tries again in a transaction that nobody can come between, so that what it answers is the reason.
    async fn change_or_say_why_not(&self, change: &StatusChange) -> Result<RuntimeRecord, CasError> {
        let mut transaction = self.connections.begin().await?;
        let changed = change_query(change).fetch_all(&mut *transaction).await.map_err(error::of_read);
        if let Some(row) = changed.map_err(CasError::Store)?.pop() {
            transaction.commit().await.map_err(error::of_write)?;
            return Ok(tracked(&row).map_err(error::of_answer)?.record);
        }
        let current = fetch(&mut transaction, sqlx::query(GET).bind(change.game_id.as_str())).await?;
        let current = tracked(&current.ok_or(CasError::NotFound)?)?;
        let found = &current.record;
        if found.status != change.expected_status || found.container_id != change.expected_container {
            return Err(CasError::Conflict);
        }
        let seen = fetch(&mut transaction, sqlx::query(FENCE).bind(change.game_id.as_str())).await?;
        let seen: u64 = Reader::new("runtime_records", &seen.ok_or(CasError::NotFound)?).count()?;
        if seen > change.fence.0 {
            return Err(CasError::Superseded);
        }
        match current.cleanup.hold.is_some_and(|hold| hold.is_active(change.at)) {
            true => Err(CasError::Held),
            false => Err(CasError::Revoked),
        }
    }
}

async fn fetch(connection: &mut SqliteConnection, query: Query<'_>) -> Result<Option<SqliteRow>, StoreError> {
    query.fetch_optional(connection).await.map_err(error::of_read)
}

fn change_query(change: &StatusChange) -> Query<'_> {
    let voids = change.new_status == Status::Removed || change.new_status != change.expected_status;
    sqlx::query(CHANGE)
        .bind(change.game_id.as_str())
        .bind(change.new_status.as_str())
        .bind(micros(change.at))
        .bind(number(change.fence.0))
        .bind(change.run_id.as_str())
        .bind(change.expected_status.as_str())
        .bind(change.expected_container.as_ref().map(|container| container.as_str()))
        .bind(voids)
        .bind(change.policy.generation.as_str())
        .bind(change.policy.digest.as_str())
}

async fn current(connection: &mut SqliteConnection, game: &GameId) -> Result<Option<TrackedRuntime>, StoreError> {
    fetch(connection, sqlx::query(GET).bind(game.as_str())).await?.as_ref().map(tracked).transpose()
}

/// Applies the registration to the record that the game has in this transaction.
async fn put(
    connection: &mut SqliteConnection,
    current: Option<TrackedRuntime>,
    registration: &Registration,
    at: Timestamp,
) -> Result<RuntimeRecord, RegisterError> {
    admits(connection, registration, current.as_ref()).await?;
    let next = registration.apply(current.as_ref(), at);
    let only_refreshed = current.is_some_and(|current| current.record.version == next.record.version);
    let labels = labels_json(&next.record)?;
    let query = match only_refreshed {
        true => sqlx::query(REFRESH).bind(next.record.game_id.as_str()).bind(micros(at)),
        false => put_query(&next, &labels),
    };
    query.execute(connection).await.map_err(error::of_read)?;
    Ok(next.record)
}

/// Whether the registration may be applied: tenant first, then the container's past, then its owner.
async fn admits(
    connection: &mut SqliteConnection,
    registration: &Registration,
    current: Option<&TrackedRuntime>,
) -> Result<(), RegisterError> {
    let game = &registration.game_id;
    if let Some(other) = current.map(|row| &row.record.tenant).filter(|tenant| **tenant != registration.tenant) {
        return Err(RegisterError::OtherTenant(other.clone()));
    }
    let Some(container) = &registration.container_id else {
        return Ok(());
    };
    let removed_under = game_of(connection, REMOVED_UNDER, container).await?;
    if removed_under.as_ref() == Some(game) {
        return Err(RegisterError::ContainerRemoved(container.clone()));
    }
    let owner = match removed_under {
        Some(game) => Some(game),
        None => game_of(connection, CONTAINER_OWNER, container).await?,
    };
    match owner.filter(|owner| owner != game) {
        Some(game) => Err(RegisterError::ContainerTaken { container: container.clone(), game }),
        None => Ok(()),
    }
}

async fn game_of(
    connection: &mut SqliteConnection,
    sql: &'static str,
    container: &ContainerId,
) -> Result<Option<GameId>, StoreError> {
    let row = fetch(connection, sqlx::query(sql).bind(container.as_str())).await?;
    row.map(|row| Reader::new("runtime_records", &row).parsed()).transpose()
}

fn labels_json(record: &RuntimeRecord) -> Result<String, StoreError> {
    serde_json::to_string(&record.labels).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn put_query<'q>(row: &'q TrackedRuntime, labels: &'q str) -> Query<'q> {
    let TrackedRuntime { record, cleanup } = row;
    let parked = cleanup.parked.as_ref();
    sqlx::query(PUT)
        .bind(record.game_id.as_str())
        .bind(record.tenant.as_str())
        .bind(record.engine.as_str())
        .bind(record.status.as_str())
        .bind(record.container_id.as_ref().map(|container| container.as_str()))
        .bind(record.image_ref.as_deref())
        .bind(labels)
        .bind(micros(record.created_at))
        .bind(record.started_at.map(micros))
        .bind(record.stopped_at.map(micros))
        .bind(record.removed_at.map(micros))
        .bind(micros(record.last_op_at))
        .bind(number(record.version))
        .bind(cleanup.wait_until.map(micros))
        .bind(cleanup.wait_reason.as_deref())
        .bind(cleanup.wait_generation.as_ref().map(GenerationId::as_str))
        .bind(i64::from(cleanup.failed_attempts))
        .bind(parked.map(|parked| micros(parked.at)))
        .bind(parked.map(|parked| &*parked.reason))
}

fn dispose_query<'q>(game: &'q GameId, version: u64, disposition: &'q Disposition) -> Query<'q> {
    let decided = Decided::from(disposition);
    sqlx::query(DISPOSE)
        .bind(game.as_str())
        .bind(number(version))
        .bind(decided.wait_until)
        .bind(decided.wait_reason)
        .bind(decided.wait_generation)
        .bind(decided.failed_attempts)
        .bind(decided.parked_at)
        .bind(decided.park_reason)
}
