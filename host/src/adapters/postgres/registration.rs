//! Registering a runtime in PostgreSQL: what it makes of a record is the model's rule; here it is kept from coming
//! between two others.

use std::borrow::Cow;

use super::connections::{Connections, Query, Transaction};
use super::error::Failure;
use super::records::GET;
use super::row::{Moment, storable};
use crate::adapters::sql::{Reader, number, runtime_columns, tracked};
use crate::model::{ContainerId, GameId, GenerationId, Labels, Registration, RuntimeRecord, Timestamp, TrackedRuntime};
use crate::ports::{RegisterError, StoreError};

/// How often it looks again when another registration of the same game or container comes first.
const ATTEMPTS: usize = 5;

const LOCK: &str = concat!(
    "SELECT ",
    runtime_columns!("labels::text AS labels"),
    " FROM runtime_records WHERE game_id = $1 FOR NO KEY UPDATE"
);

/// In one statement, so that a container that is being removed is seen in one place or the other.
const CLAIMANTS: &str = "SELECT game_id, 'removed' FROM runtime_removals WHERE container_id = $1
    UNION ALL SELECT game_id, 'owner' FROM runtime_records WHERE current_container_id = $1";

/// Only as long as the record is the one that was read.
const REFRESH: &str = "UPDATE runtime_records SET last_op_at = $2 WHERE game_id = $1 AND version = $3";

const MAKE: &str = "INSERT INTO runtime_records (game_id, tenant, engine, status, current_container_id,
        current_image_ref, labels, created_at, started_at, stopped_at, removed_at, last_op_at, version, own_version)
    VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11, $12, $13, $13)
    ON CONFLICT (game_id) DO NOTHING RETURNING game_id";

const REPLACE: &str = "UPDATE runtime_records SET tenant = $2, engine = $3, status = $4, current_container_id = $5,
        current_image_ref = $6, labels = $7::jsonb, created_at = $8, started_at = $9, stopped_at = $10,
        removed_at = $11, last_op_at = $12, version = $13, own_version = $13,
        cleanup_wait_until = $14, cleanup_wait_reason = $15, cleanup_wait_generation = $16,
        cleanup_failed_attempts = $17, cleanup_parked_at = $18, cleanup_park_reason = $19
    WHERE game_id = $1 RETURNING game_id";

pub(super) async fn register(
    connections: &Connections,
    registration: &Registration,
    at: Timestamp,
) -> Result<RuntimeRecord, RegisterError> {
    let registration = &with_storable_texts(registration);
    for _ in 0..ATTEMPTS {
        if let Some(refreshed) = refresh(connections, registration, at).await? {
            return Ok(refreshed);
        }
        let mut transaction = connections.begin().await?;
        let outcome = attempt(&mut transaction, registration, at).await;
        if let Some(record) = transaction.end(outcome).await? {
            return Ok(record);
        }
    }
    Err(busy())
}

pub(super) async fn register_if(
    connections: &Connections,
    version: Option<u64>,
    registration: &Registration,
    at: Timestamp,
) -> Result<Option<RuntimeRecord>, RegisterError> {
    let registration = &with_storable_texts(registration);
    for _ in 0..ATTEMPTS {
        let mut transaction = connections.begin().await?;
        let outcome = attempt_if(&mut transaction, version, registration, at).await;
        match transaction.end(outcome).await? {
            Attempt::Done(record) => return Ok(Some(*record)),
            Attempt::OtherVersion => return Ok(None),
            Attempt::Outrun => {}
        }
    }
    Err(busy())
}

/// What came of an attempt.
enum Attempt {
    Done(Box<RuntimeRecord>),
    /// The record is not of the version that it is to be of.
    OtherVersion,
    /// Another registration came first.
    Outrun,
}

fn busy() -> RegisterError {
    StoreError::Unavailable("others register the same game or container all the time".into()).into()
}

/// What most registrations are: word that all is as it was. Needs no transaction. None if it is not that.
async fn refresh(
    connections: &Connections,
    registration: &Registration,
    at: Timestamp,
) -> Result<Option<RuntimeRecord>, RegisterError> {
    let game = registration.game_id.as_str();
    let row = connections.read_one(|| sqlx::query(GET).bind(game)).await?;
    let Some(current) = row.as_ref().map(tracked).transpose()? else {
        return Ok(None);
    };
    let next = registration.apply(Some(&current), at).record;
    if current.record.tenant != registration.tenant || current.record.version != next.version {
        return Ok(None);
    }
    let query = sqlx::query(REFRESH).bind(game).bind(Moment::from(at)).bind(number(next.version));
    let refreshed = connections.write(query).await?;
    Ok(Some(next).filter(|_| refreshed > 0))
}

async fn attempt(
    transaction: &mut Transaction,
    registration: &Registration,
    at: Timestamp,
) -> Result<Option<RuntimeRecord>, RegisterError> {
    let current = locked(transaction, &registration.game_id).await?;
    put(transaction, current, registration, at).await
}

async fn attempt_if(
    transaction: &mut Transaction,
    version: Option<u64>,
    registration: &Registration,
    at: Timestamp,
) -> Result<Attempt, RegisterError> {
    let current = locked(transaction, &registration.game_id).await?;
    if current.as_ref().map(|row| row.record.version) != version {
        return Ok(Attempt::OtherVersion);
    }
    let record = put(transaction, current, registration, at).await?;
    Ok(record.map_or(Attempt::Outrun, |record| Attempt::Done(Box::new(record))))
}

/// The record as it is and, until the transaction ends, stays.
async fn locked(transaction: &mut Transaction, game: &GameId) -> Result<Option<TrackedRuntime>, StoreError> {
    let row = transaction.one(sqlx::query(LOCK).bind(game.as_str())).await?;
    row.as_ref().map(tracked).transpose()
}

/// None if another registration came first.
async fn put(
    transaction: &mut Transaction,
    current: Option<TrackedRuntime>,
    registration: &Registration,
    at: Timestamp,
) -> Result<Option<RuntimeRecord>, RegisterError> {
    admits(transaction, registration, current.as_ref()).await?;
    let next = registration.apply(current.as_ref(), at);
    let labels = serde_json::to_string(&next.record.labels).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let query = match current {
        None => record_query(MAKE, &next.record, &labels),
        Some(_) => replace_query(&next, &labels),
    };
    match transaction.all(query).await {
        Ok(rows) => Ok(rows.first().map(|_| next.record)),
        // The container has just been registered for another game, or the game by another transaction.
        Err(failure) if failure.is_unique_violation() => Ok(None),
        Err(failure) => Err(Failure::of_read(failure).into()),
    }
}

/// Whether the registration may be applied: tenant first, then the container's past, then its owner.
async fn admits(
    transaction: &mut Transaction,
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
    let (removed_under, owner) = claimants(transaction, container).await?;
    if removed_under.as_ref() == Some(game) {
        return Err(RegisterError::ContainerRemoved(container.clone()));
    }
    match removed_under.or(owner).filter(|owner| owner != game) {
        Some(game) => Err(RegisterError::ContainerTaken { container: container.clone(), game }),
        None => Ok(()),
    }
}

/// Under which game the container was removed, and which game has it.
async fn claimants(
    transaction: &mut Transaction,
    container: &ContainerId,
) -> Result<(Option<GameId>, Option<GameId>), StoreError> {
    let rows = transaction.all(sqlx::query(CLAIMANTS).bind(container.as_str())).await.map_err(Failure::of_read)?;
    let (mut removed_under, mut owner) = (None, None);
    for row in &rows {
        let mut reader = Reader::new("runtime_records", row);
        let game = reader.parsed()?;
        match reader.text()? {
            "removed" => removed_under = Some(game),
            _ => owner = Some(game),
        }
    }
    Ok((removed_under, owner))
}

fn record_query<'q>(sql: &'static str, record: &'q RuntimeRecord, labels: &'q str) -> Query<'q> {
    sqlx::query(sql)
        .bind(record.game_id.as_str())
        .bind(record.tenant.as_str())
        .bind(record.engine.as_str())
        .bind(record.status.as_str())
        .bind(record.container_id.as_ref().map(|container| container.as_str()))
        .bind(record.image_ref.as_deref())
        .bind(labels)
        .bind(Moment::from(record.created_at))
        .bind(record.started_at.map(Moment::from))
        .bind(record.stopped_at.map(Moment::from))
        .bind(record.removed_at.map(Moment::from))
        .bind(Moment::from(record.last_op_at))
        .bind(number(record.version))
}

fn replace_query<'q>(row: &'q TrackedRuntime, labels: &'q str) -> Query<'q> {
    let TrackedRuntime { record, cleanup } = row;
    let parked = cleanup.parked.as_ref();
    record_query(REPLACE, record, labels)
        .bind(cleanup.wait_until.map(Moment::from))
        .bind(cleanup.wait_reason.as_deref())
        .bind(cleanup.wait_generation.as_ref().map(GenerationId::as_str))
        .bind(i64::from(cleanup.failed_attempts))
        .bind(parked.map(|parked| Moment::from(parked.at)))
        .bind(parked.map(|parked| &*parked.reason))
}

/// Made storable before it is applied, so that registering it again finds it unchanged.
fn with_storable_texts(registration: &Registration) -> Cow<'_, Registration> {
    let holds_nul = |labels: &Labels| labels.iter().any(|(name, value)| name.contains('\0') || value.contains('\0'));
    let image_holds_nul = registration.image_ref.as_deref().is_some_and(|image| image.contains('\0'));
    if !image_holds_nul && !registration.labels.as_ref().is_some_and(holds_nul) {
        return Cow::Borrowed(registration);
    }
    let own = |text: &str| storable(text).into_owned();
    let mut storable = registration.clone();
    storable.image_ref = registration.image_ref.as_deref().map(own);
    let labels = |labels: &Labels| labels.iter().map(|(name, value)| (own(name), own(value))).collect();
    storable.labels = registration.labels.as_ref().map(labels);
    Cow::Owned(storable)
}
