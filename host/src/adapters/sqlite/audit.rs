//! The trail in SQLite.

use async_trait::async_trait;

use super::{Connections, Query, error};
use crate::adapters::sql::{audited, micros, number};
use crate::model::{AuditEntry, AuditEvent};
use crate::ports::{AuditLog, StoreError};

/// The trail of an open file.
pub struct SqliteAudit {
    connections: Connections,
}

impl SqliteAudit {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

const APPEND: &str = "INSERT INTO audit_log (sequence, at, actor, role, action, subject, detail, previous, hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

const READ: &str = "SELECT sequence, at, actor, role, action, subject, detail, previous, hash FROM audit_log
    WHERE sequence >= ?1 ORDER BY sequence LIMIT ?2";

const LAST: &str = "SELECT sequence, at, actor, role, action, subject, detail, previous, hash FROM audit_log
    ORDER BY sequence DESC LIMIT 1";

const REMOVE: &str = "DELETE FROM audit_log WHERE sequence <= ?1 AND sequence < (SELECT max(sequence) FROM audit_log)";

#[async_trait]
impl AuditLog for SqliteAudit {
    async fn append(&self, event: &AuditEvent) -> Result<AuditEntry, StoreError> {
        let mut transaction = self.connections.begin().await?;
        let last = sqlx::query(LAST).fetch_optional(&mut *transaction).await.map_err(error::of_read)?;
        let last = last.as_ref().map(audited).transpose()?;
        let entry = AuditEntry::after(last.as_ref(), event.clone());
        append_query(&entry).execute(&mut *transaction).await.map_err(error::of_read)?;
        transaction.commit().await.map_err(error::of_write)?;
        Ok(entry)
    }

    async fn read(&self, from: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let query = sqlx::query(READ).bind(number(from)).bind(i64::from(limit));
        self.connections.read_all(query).await?.iter().map(audited).collect()
    }

    async fn last(&self) -> Result<Option<AuditEntry>, StoreError> {
        self.connections.read_one(sqlx::query(LAST)).await?.as_ref().map(audited).transpose()
    }

    async fn remove_through(&self, sequence: u64) -> Result<u64, StoreError> {
        self.connections.write(sqlx::query(REMOVE).bind(number(sequence))).await
    }
}

fn append_query(entry: &AuditEntry) -> Query<'_> {
    let AuditEntry { sequence, event, previous, hash } = entry;
    sqlx::query(APPEND)
        .bind(number(*sequence))
        .bind(micros(event.at))
        .bind(&*event.actor)
        .bind(&*event.role)
        .bind(&*event.action)
        .bind(&*event.subject)
        .bind(&*event.detail)
        .bind(previous.as_slice())
        .bind(hash.as_slice())
}
