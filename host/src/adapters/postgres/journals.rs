//! Journals of runs in PostgreSQL.

use async_trait::async_trait;
use sqlx::{Postgres, QueryBuilder};

use super::connections::Connections;
use super::row::{Moment, storable};
use crate::adapters::sql::{journal_text, kept_journal, number};
use crate::model::{RunId, RunJournal, Timestamp};
use crate::ports::{JournalFilter, JournalStore, KeptJournal, StoreError};

/// The journals of a database.
pub struct PostgresJournals {
    connections: Connections,
}

impl PostgresJournals {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

const ADD: &str = "INSERT INTO run_journals (run_id, tenant, game_id, started_at, bytes, journal)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (run_id) DO NOTHING";

const GET: &str = "SELECT run_id, journal FROM run_journals WHERE run_id = $1";

const LIST: &str = "SELECT run_id, journal FROM run_journals WHERE true";

/// Hosts that prune at once pass over what the other has.
const PRUNE: &str = "DELETE FROM run_journals WHERE run_id = ANY (ARRAY(
    SELECT run_id FROM run_journals WHERE started_at < $1 ORDER BY started_at, run_id LIMIT $2 FOR UPDATE SKIP LOCKED))";

const SHRINK: &str = "DELETE FROM run_journals WHERE run_id = ANY (ARRAY(
    SELECT run_id FROM (
        SELECT run_id, sum(bytes) OVER (PARTITION BY tenant ORDER BY run_id DESC) AS sum FROM run_journals) AS summed
    WHERE sum > $1 ORDER BY run_id LIMIT $2))";

#[async_trait]
impl JournalStore for PostgresJournals {
    async fn add(&self, journal: &RunJournal) -> Result<(), StoreError> {
        let text = journal_text(journal)?;
        let query = sqlx::query(ADD)
            .bind(journal.run_id.as_str())
            .bind(journal.tenant.as_ref().map(|tenant| tenant.as_str()))
            .bind(storable(&journal.request.game_id))
            .bind(Moment::from(journal.started_at))
            .bind(number(text.len() as u64))
            .bind(storable(&text));
        self.connections.write(query).await.map(|_| ())
    }

    async fn get(&self, run: &RunId) -> Result<Option<KeptJournal>, StoreError> {
        let row = self.connections.read_one(|| sqlx::query(GET).bind(run.as_str())).await?;
        row.as_ref().map(kept_journal).transpose()
    }

    async fn list(
        &self,
        filter: &JournalFilter,
        before: Option<&RunId>,
        limit: u32,
    ) -> Result<Vec<KeptJournal>, StoreError> {
        let rows = self.connections.read_built(|| list_query(filter, before, limit)).await?;
        rows.iter().map(kept_journal).collect()
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let query = sqlx::query(PRUNE).bind(Moment::from(before)).bind(i64::from(limit));
        self.connections.write(query).await
    }

    async fn shrink(&self, bytes: u64, limit: u32) -> Result<u64, StoreError> {
        let query = sqlx::query(SHRINK).bind(number(bytes)).bind(i64::from(limit));
        self.connections.write(query).await
    }
}

fn list_query(filter: &JournalFilter, before: Option<&RunId>, limit: u32) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(LIST);
    if let Some(tenant) = &filter.tenant {
        query.push(" AND tenant = ").push_bind(tenant.to_string());
    }
    if let Some(game) = &filter.game {
        query.push(" AND game_id = ").push_bind(storable(game).into_owned());
    }
    if let Some(since) = filter.since {
        query.push(" AND started_at >= ").push_bind(Moment::from(since));
    }
    if let Some(before) = before {
        query.push(" AND run_id < ").push_bind(before.to_string());
    }
    query.push(" ORDER BY run_id DESC LIMIT ").push_bind(i64::from(limit));
    query
}
