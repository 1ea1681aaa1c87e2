//! Journals of runs in SQLite.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite};

use super::{Connections, error};
use crate::adapters::sql::{journal_text, kept_journal, micros, number};
use crate::model::{RunId, RunJournal, Timestamp};
use crate::ports::{JournalFilter, JournalStore, KeptJournal, StoreError};

/// The journals of an open file.
pub struct SqliteJournals {
    connections: Connections,
}

impl SqliteJournals {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

const ADD: &str = "INSERT INTO run_journals (run_id, tenant, game_id, started_at, bytes, journal)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (run_id) DO NOTHING";

const GET: &str = "SELECT run_id, journal FROM run_journals WHERE run_id = ?1";

const LIST: &str = "SELECT run_id, journal FROM run_journals WHERE true";

const PRUNE: &str = "DELETE FROM run_journals WHERE run_id IN (
    SELECT run_id FROM run_journals WHERE started_at < ?1 ORDER BY started_at, run_id LIMIT ?2)";

const SHRINK: &str = "DELETE FROM run_journals WHERE run_id IN (
    SELECT run_id FROM (
        SELECT run_id, sum(bytes) OVER (PARTITION BY tenant ORDER BY run_id DESC) AS sum FROM run_journals)
    WHERE sum > ?1 ORDER BY run_id LIMIT ?2)";

#[async_trait]
impl JournalStore for SqliteJournals {
    async fn add(&self, journal: &RunJournal) -> Result<(), StoreError> {
        let text = journal_text(journal)?;
        let query = sqlx::query(ADD)
            .bind(journal.run_id.as_str())
            .bind(journal.tenant.as_ref().map(|tenant| tenant.as_str()))
            .bind(&*journal.request.game_id)
            .bind(micros(journal.started_at))
            .bind(number(text.len() as u64))
            .bind(&*text);
        self.connections.write(query).await.map(|_| ())
    }

    async fn get(&self, run: &RunId) -> Result<Option<KeptJournal>, StoreError> {
        let row = self.connections.read_one(sqlx::query(GET).bind(run.as_str())).await?;
        row.as_ref().map(kept_journal).transpose()
    }

    async fn list(
        &self,
        filter: &JournalFilter,
        before: Option<&RunId>,
        limit: u32,
    ) -> Result<Vec<KeptJournal>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(LIST);
        if let Some(tenant) = &filter.tenant {
            query.push(" AND tenant = ").push_bind(tenant.to_string());
        }
        if let Some(game) = &filter.game {
            query.push(" AND game_id = ").push_bind(game.clone());
        }
        if let Some(since) = filter.since {
            query.push(" AND started_at >= ").push_bind(micros(since));
        }
        if let Some(before) = before {
            query.push(" AND run_id < ").push_bind(before.to_string());
        }
        query.push(" ORDER BY run_id DESC LIMIT ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&self.connections.readers).await.map_err(error::of_read)?;
        rows.iter().map(kept_journal).collect()
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.connections.write(sqlx::query(PRUNE).bind(micros(before)).bind(i64::from(limit))).await
    }

    async fn shrink(&self, bytes: u64, limit: u32) -> Result<u64, StoreError> {
        self.connections.write(sqlx::query(SHRINK).bind(number(bytes)).bind(i64::from(limit))).await
    }
}
