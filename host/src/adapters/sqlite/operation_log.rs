//! The operation log in SQLite.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite};

use super::{Connections, error};
use crate::adapters::sql::{Reader, logged, micros, number};
use crate::model::{EntryId, ErrorCode, Fault, LoggedOperation, OperationEntry, Outcome, Timestamp};
use crate::ports::{OperationFilter, OperationLog, StoreError};

/// The operation log of an open file.
pub struct SqliteOperationLog {
    connections: Connections,
}

impl SqliteOperationLog {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

/// The update changes nothing; it is there to make the first entry's id the answer in one statement. A trigger
/// closes the run.
const APPEND: &str = "INSERT INTO operation_log (run_id, game_id, tenant, op_kind, op_source, source_ref, actor,
        image_ref, container_id, outcome, error_code, error_message, started_at, finished_at, policy_generation,
        policy_digest, fence, author, fault_code, fault_message)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
    ON CONFLICT (run_id) DO UPDATE SET run_id = run_id
    RETURNING id";

const NOTE_FAULT: &str =
    "UPDATE operation_log SET fault_code = ?2, fault_message = ?3 WHERE id = ?1 AND fault_code IS NULL";

const LIST: &str = "SELECT run_id, id, game_id, tenant, op_kind, op_source, source_ref, actor, image_ref,
        container_id, outcome, error_code, error_message, started_at, finished_at, policy_generation, policy_digest,
        fence, author, fault_code, fault_message
    FROM operation_log WHERE id < ";

const PRUNE: &str = "DELETE FROM operation_log WHERE id IN (
    SELECT id FROM operation_log WHERE finished_at < ?1 ORDER BY finished_at, id LIMIT ?2)";

#[async_trait]
impl OperationLog for SqliteOperationLog {
    async fn append(&self, entry: &OperationEntry) -> Result<EntryId, StoreError> {
        let fault = entry.fault.as_ref();
        let query = sqlx::query(APPEND)
            .bind(entry.run_id.as_str())
            .bind(&*entry.game_id)
            .bind(entry.tenant.as_ref().map(|tenant| tenant.as_str()))
            .bind(&*entry.op_kind)
            .bind(&*entry.op_source)
            .bind(&*entry.source_ref)
            .bind(entry.actor.as_deref())
            .bind(entry.image_ref.as_deref())
            .bind(entry.container_id.as_ref().map(|container| container.as_str()))
            .bind(entry.outcome.as_str())
            .bind(entry.error_code.as_ref().map(ErrorCode::as_str))
            .bind(entry.error_message.as_deref())
            .bind(micros(entry.started_at))
            .bind(micros(entry.finished_at))
            .bind(entry.policy.generation.as_str())
            .bind(entry.policy.digest.as_str())
            .bind(entry.fence.map(|fence| number(fence.0)))
            .bind(entry.author.as_str())
            .bind(fault.map(|fault| fault.code.as_str()))
            .bind(fault.map(|fault| &*fault.message));
        let row = self.connections.write_one(query).await?;
        let row = row.ok_or_else(|| StoreError::Corrupt("operation_log answered no id".to_owned()))?;
        Reader::new("operation_log", &row).count().map(EntryId).map_err(error::of_answer)
    }

    async fn note_fault(&self, entry: EntryId, fault: &Fault) -> Result<(), StoreError> {
        let query = sqlx::query(NOTE_FAULT).bind(number(entry.0)).bind(fault.code.as_str()).bind(&*fault.message);
        self.connections.write(query).await.map(|_| ())
    }

    async fn list(
        &self,
        filter: &OperationFilter,
        before: Option<EntryId>,
        limit: u32,
    ) -> Result<Vec<LoggedOperation>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(LIST);
        query.push_bind(before.map_or(i64::MAX, |before| number(before.0)));
        restrict(&mut query, filter);
        query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&self.connections.readers).await.map_err(error::of_read)?;
        rows.iter().map(logged).collect()
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let query = sqlx::query(PRUNE).bind(micros(before)).bind(i64::from(limit));
        self.connections.write(query).await
    }
}

fn restrict(query: &mut QueryBuilder<Sqlite>, filter: &OperationFilter) {
    if let Some(game) = &filter.game {
        query.push(" AND game_id = ").push_bind(game.clone());
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
        query.push(" AND ").push_bind(code.clone()).push(" IN (error_code, fault_code)");
    }
    if let Some(source) = &filter.op_source {
        query.push(" AND op_source = ").push_bind(source.clone());
    }
    if let Some(since) = filter.since {
        query.push(" AND finished_at >= ").push_bind(micros(since));
    }
    if let Some(until) = filter.until {
        query.push(" AND finished_at < ").push_bind(micros(until));
    }
}
