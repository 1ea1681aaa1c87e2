//! The trail in PostgreSQL.

use async_trait::async_trait;

use super::connections::{Connections, Query, Transaction};
use super::error::Failure;
use super::row::{Moment, storable};
use crate::adapters::sql::{audited, number};
use crate::model::{AuditEntry, AuditEvent};
use crate::ports::{AuditLog, StoreError};

/// The trail of a database.
pub struct PostgresAudit {
    connections: Connections,
}

impl PostgresAudit {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

/// One host after the other, also in a database with other tables of this name: until the transaction ends. No lock of
/// the table, which takes a right that one may not want to give on a trail.
const LOCK: &str = "SELECT pg_advisory_xact_lock(1920232801, 'audit_log'::regclass::oid::integer)";

const APPEND: &str = "INSERT INTO audit_log (sequence, at, actor, role, action, subject, detail, previous, hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

const READ: &str = "SELECT sequence, at, actor, role, action, subject, detail, previous, hash FROM audit_log
    WHERE sequence >= $1 ORDER BY sequence LIMIT $2";

const LAST: &str = "SELECT sequence, at, actor, role, action, subject, detail, previous, hash FROM audit_log
    ORDER BY sequence DESC LIMIT 1";

const REMOVE: &str = "DELETE FROM audit_log WHERE sequence <= $1 AND sequence < (SELECT max(sequence) FROM audit_log)";

#[async_trait]
impl AuditLog for PostgresAudit {
    async fn append(&self, event: &AuditEvent) -> Result<AuditEntry, StoreError> {
        let mut transaction = self.connections.begin().await?;
        let outcome = append(&mut transaction, storable_event(event)).await;
        transaction.end(outcome).await
    }

    async fn read(&self, from: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let query = || sqlx::query(READ).bind(number(from)).bind(i64::from(limit));
        self.connections.read_all(query).await?.iter().map(audited).collect()
    }

    async fn last(&self) -> Result<Option<AuditEntry>, StoreError> {
        self.connections.read_one(|| sqlx::query(LAST)).await?.as_ref().map(audited).transpose()
    }

    async fn remove_through(&self, sequence: u64) -> Result<u64, StoreError> {
        self.connections.write(sqlx::query(REMOVE).bind(number(sequence))).await
    }
}

async fn append(transaction: &mut Transaction, event: AuditEvent) -> Result<AuditEntry, StoreError> {
    transaction.one(sqlx::query(LOCK)).await?;
    let last = transaction.one(sqlx::query(LAST)).await?.as_ref().map(audited).transpose()?;
    let entry = AuditEntry::after(last.as_ref(), event);
    transaction.all(append_query(&entry)).await.map_err(Failure::of_read)?;
    Ok(entry)
}

/// Made storable before it is hashed, so that the hash is that of what is stored.
fn storable_event(event: &AuditEvent) -> AuditEvent {
    let own = |text: &str| storable(text).into_owned();
    AuditEvent {
        at: event.at,
        actor: own(&event.actor),
        role: own(&event.role),
        action: own(&event.action),
        subject: own(&event.subject),
        detail: own(&event.detail),
    }
}

fn append_query(entry: &AuditEntry) -> Query<'_> {
    let AuditEntry { sequence, event, previous, hash } = entry;
    sqlx::query(APPEND)
        .bind(number(*sequence))
        .bind(Moment::from(event.at))
        .bind(&*event.actor)
        .bind(&*event.role)
        .bind(&*event.action)
        .bind(&*event.subject)
        .bind(&*event.detail)
        .bind(previous.as_slice())
        .bind(hash.as_slice())
}
