//! The operation log in PostgreSQL.

use async_trait::async_trait;
use sqlx::{Postgres, QueryBuilder};

use super::connections::{Connections, Query};
use super::error;
use super::row::{Moment, storable};
use crate::adapters::sql::{Reader, logged, number};
use crate::model::{EntryId, ErrorCode, Fault, LoggedOperation, OperationEntry, Outcome, Timestamp};
use crate::ports::{OperationFilter, OperationLog, StoreError};

/// The operation log of a database.
pub struct PostgresOperationLog {
    connections: Connections,
}

impl PostgresOperationLog {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

/// The update changes nothing; it is there to make the first entry's id the answer in one statement. Of two appends at
/// once the second waits for the first, and then closes the run as well, which does nothing.
const APPEND: &str = "WITH closed AS (DELETE FROM run_intents WHERE run_id = $1)
    INSERT INTO operation_log (run_id, game_id, tenant, op_kind, op_source, source_ref, actor,
        image_ref, container_id, outcome, error_code, error_message, started_at, finished_at, policy_generation,
        policy_digest, fence, author, fault_code, fault_message)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
    ON CONFLICT (run_id) DO UPDATE SET run_id = operation_log.run_id
    RETURNING run_id, id";

const NOTE_FAULT: &str =
    "UPDATE operation_log SET fault_code = $2, fault_message = $3 WHERE id = $1 AND fault_code IS NULL";

const LIST: &str = "SELECT run_id, id, game_id, tenant, op_kind, op_source, source_ref, actor, image_ref,
        container_id, outcome, error_code, error_message, started_at, finished_at, policy_generation, policy_digest,
        fence, author, fault_code, fault_message
    FROM operation_log WHERE id < ";

/// Hosts that prune at once pass over what the other has.
const PRUNE: &str = "DELETE FROM operation_log WHERE id = ANY (ARRAY(
    SELECT id FROM operation_log WHERE finished_at < $1 ORDER BY finished_at, id LIMIT $2 FOR UPDATE SKIP LOCKED))";

#[async_trait]
impl OperationLog for PostgresOperationLog {
    async fn append(&self, entry: &OperationEntry) -> Result<EntryId, StoreError> {
        let row = self.connections.write_one(append_query(entry)).await?;
        let row = row.ok_or_else(|| StoreError::Corrupt("operation_log answered no id".to_owned()))?;
        Reader::at("operation_log", &row, 1).count().map(EntryId).map_err(error::of_answer)
    }

    async fn note_fault(&self, entry: EntryId, fault: &Fault) -> Result<(), StoreError> {
        let query = sqlx::query(NOTE_FAULT).bind(number(entry.0)).bind(fault.code.as_str());
        self.connections.write(query.bind(storable(&fault.message))).await.map(|_| ())
    }

    async fn list(
        &self,
        filter: &OperationFilter,
        before: Option<EntryId>,
        limit: u32,
    ) -> Result<Vec<LoggedOperation>, StoreError> {
        let rows = self.connections.read_built(|| list_query(filter, before, limit)).await?;
        rows.iter().map(logged).collect()
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let query = sqlx::query(PRUNE).bind(Moment::from(before)).bind(i64::from(limit));
        self.connections.write(query).await
    }
}

fn append_query(entry: &OperationEntry) -> Query<'_> {
    let fault = entry.fault.as_ref();
    sqlx::query(APPEND)
        .bind(entry.run_id.as_str())
        .bind(storable(&entry.game_id))
        .bind(entry.tenant.as_ref().map(|tenant| tenant.as_str()))
        .bind(storable(&entry.op_kind))
        .bind(storable(&entry.op_source))
        .bind(storable(&entry.source_ref))
        .bind(entry.actor.as_deref().map(storable))
        .bind(entry.image_ref.as_deref().map(storable))
        .bind(entry.container_id.as_ref().map(|container| container.as_str()))
        .bind(entry.outcome.as_str())
        .bind(entry.error_code.as_ref().map(ErrorCode::as_str))
        .bind(entry.error_message.as_deref().map(storable))
        .bind(Moment::from(entry.started_at))
        .bind(Moment::from(entry.finished_at))
        .bind(entry.policy.generation.as_str())
        .bind(entry.policy.digest.as_str())
        .bind(entry.fence.map(|fence| number(fence.0)))
        .bind(entry.author.as_str())
        .bind(fault.map(|fault| fault.code.as_str()))
        .bind(fault.map(|fault| storable(&fault.message)))
}

fn list_query(filter: &OperationFilter, before: Option<EntryId>, limit: u32) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(LIST);
    query.push_bind(before.map_or(i64::MAX, |before| number(before.0)));
    restrict(&mut query, filter);
    query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(limit));
    query
}

fn restrict(query: &mut QueryBuilder<Postgres>, filter: &OperationFilter) {
    if let Some(game) = &filter.game {
        query.push(" AND game_id = ").push_bind(storable(game).into_owned());
    }
    if let Some(tenant) = &filter.tenant {
        query.push(" AND tenant = ").push_bind(tenant.to_string());
    }
    match filter.outcome {
        Some(Outcome::Failure) => query.push(" AND (outcome = 'failure' OR fault_code IS NOT NULL)"),
        Some(Outcome::Success) => query.push(" AND outcome = 'success' AND fault_code IS NULL"),
        None => query,
    };
    if let Some(code) = &filter.error_code {
        query.push(" AND ").push_bind(storable(code).into_owned()).push(" IN (error_code, fault_code)");
    }
    if let Some(source) = &filter.op_source {
        query.push(" AND op_source = ").push_bind(storable(source).into_owned());
    }
    if let Some(since) = filter.since {
        query.push(" AND finished_at >= ").push_bind(Moment::from(since));
    }
    if let Some(until) = filter.until {
        query.push(" AND finished_at < ").push_bind(Moment::from(until));
    }
}
