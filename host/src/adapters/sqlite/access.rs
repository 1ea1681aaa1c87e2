//! Tokens, ceilings and trusted keys in SQLite.

use async_trait::async_trait;

use super::generations::{RAISE_EPOCH, Waiters};
use super::{Connections, Query, error};
use crate::adapters::sql::{ceiling, ceiling_changes, grants_json, key, limits_json, micros, number, token};
use crate::model::{ApiToken, Ceiling, PolicyScope, TenantId, Timestamp, TrustedKey};
use crate::ports::{AccessStore, CeilingChanges, StoreError};

/// Who may do what in an open file.
pub struct SqliteAccess {
    connections: Connections,
    waiters: Waiters,
}

impl SqliteAccess {
    pub(super) fn new(connections: Connections, waiters: Waiters) -> Self {
        Self { connections, waiters }
    }
}

const ADD_TOKEN: &str =
    "INSERT INTO api_tokens (name, hash, role, tenant, created_at, created_by, expires_at, revoked_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";

const TOKEN: &str =
    "SELECT name, hash, role, tenant, created_at, created_by, expires_at, revoked_at, last_used_at FROM api_tokens
    WHERE hash = ?1";

const TOKENS: &str =
    "SELECT name, hash, role, tenant, created_at, created_by, expires_at, revoked_at, last_used_at FROM api_tokens
    ORDER BY name";

const NOTE_USED: &str = "UPDATE api_tokens SET last_used_at = max(coalesce(last_used_at, ?2), ?2) WHERE name = ?1";

const END_TOKEN: &str = "UPDATE api_tokens SET expires_at = min(coalesce(expires_at, ?2), ?2)
    WHERE name = ?1 AND revoked_at IS NULL";

const REVOKE_TOKEN: &str = "UPDATE api_tokens SET revoked_at = coalesce(revoked_at, ?2) WHERE name = ?1";

const CEILING: &str =
    "SELECT scope, limits, grants, signature_required, retention_days FROM policy_ceilings WHERE scope = ?1";

const CEILINGS: &str =
    "SELECT scope, limits, grants, signature_required, retention_days FROM policy_ceilings ORDER BY scope";

const CEILINGS_SINCE: &str = "SELECT n.scope, c.scope, c.limits, c.grants, c.signature_required, c.retention_days
    FROM policy_ceiling_changes n LEFT JOIN policy_ceilings c ON c.scope = n.scope
    WHERE n.changed > ?1 ORDER BY n.scope";

const SET_CEILING: &str = "INSERT INTO policy_ceilings (scope, limits, grants, signature_required, retention_days)
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (scope) DO UPDATE SET limits = excluded.limits, grants = excluded.grants,
        signature_required = excluded.signature_required, retention_days = excluded.retention_days";

const REMOVE_CEILING: &str = "DELETE FROM policy_ceilings WHERE scope = ?1";

/// The update changes nothing; it is there to make the answer one row where there is one that is trusted.
const ADD_KEY: &str = "INSERT INTO policy_keys (scope, id, public_key, added_at, added_by, revoked_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (scope, id) DO UPDATE SET id = policy_keys.id
    WHERE policy_keys.revoked_at IS NULL";

const REVOKE_KEY: &str = "UPDATE policy_keys SET revoked_at = coalesce(revoked_at, ?3) WHERE scope = ?1 AND id = ?2";

const KEYS: &str =
    "SELECT id, public_key, added_at, added_by, revoked_at FROM policy_keys WHERE scope = ?1 ORDER BY id";

#[async_trait]
impl AccessStore for SqliteAccess {
    async fn add_token(&self, token: &ApiToken) -> Result<bool, StoreError> {
        Ok(self.connections.write(token_query(token)).await? > 0)
    }

    async fn token(&self, hash: &[u8; 32]) -> Result<Option<ApiToken>, StoreError> {
        let row = self.connections.read_one(sqlx::query(TOKEN).bind(hash.as_slice())).await?;
        row.as_ref().map(token).transpose()
    }

    async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        self.connections.read_all(sqlx::query(TOKENS)).await?.iter().map(token).collect()
    }

    async fn note_token_used(&self, name: &str, at: Timestamp) -> Result<(), StoreError> {
        self.connections.write(sqlx::query(NOTE_USED).bind(name).bind(micros(at))).await.map(|_| ())
    }

    async fn replace_token(&self, name: &str, end: Timestamp, new: &ApiToken) -> Result<bool, StoreError> {
        let mut transaction = self.connections.begin().await?;
        for query in [sqlx::query(END_TOKEN).bind(name).bind(micros(end)), token_query(new)] {
            let done = query.execute(&mut *transaction).await.map_err(error::of_read)?;
            if done.rows_affected() == 0 {
                transaction.rollback().await.map_err(error::of_read)?;
                return Ok(false);
            }
        }
        transaction.commit().await.map_err(error::of_write)?;
        Ok(true)
    }

    async fn revoke_token(&self, name: &str, at: Timestamp) -> Result<bool, StoreError> {
        Ok(self.connections.write(sqlx::query(REVOKE_TOKEN).bind(name).bind(micros(at))).await? > 0)
    }

    async fn ceiling(&self, scope: &PolicyScope) -> Result<Option<Ceiling>, StoreError> {
        let row = self.connections.read_one(sqlx::query(CEILING).bind(scope.as_str())).await?;
        row.as_ref().map(ceiling).transpose().map(|found| found.map(|(_, ceiling)| ceiling))
    }

    async fn set_ceiling(&self, scope: &PolicyScope, ceiling: Option<&Ceiling>) -> Result<(), StoreError> {
        let change = match ceiling {
            Some(ceiling) => ceiling_query(scope, ceiling)?,
            None => sqlx::query(REMOVE_CEILING).bind(scope.as_str()),
        };
        let mut transaction = self.connections.begin().await?;
        for query in [change, sqlx::query(RAISE_EPOCH)] {
            query.execute(&mut *transaction).await.map_err(error::of_read)?;
        }
        transaction.commit().await.map_err(error::of_write)?;
        self.waiters.notify_waiters();
        Ok(())
    }

    async fn ceilings_since(&self, epoch: u64) -> Result<CeilingChanges, StoreError> {
        let query = sqlx::query(CEILINGS_SINCE).bind(number(epoch));
        Ok(ceiling_changes(&self.connections.read_all(query).await?))
    }

    async fn ceilings(&self) -> Result<Vec<(PolicyScope, Ceiling)>, StoreError> {
        self.connections.read_all(sqlx::query(CEILINGS)).await?.iter().map(ceiling).collect()
    }

    async fn add_key(&self, scope: &PolicyScope, key: &TrustedKey) -> Result<bool, StoreError> {
        Ok(self.connections.write(key_query(scope, key)).await? > 0)
    }

    async fn revoke_key(&self, scope: &PolicyScope, id: &str, at: Timestamp) -> Result<bool, StoreError> {
        let query = sqlx::query(REVOKE_KEY).bind(scope.as_str()).bind(id).bind(micros(at));
        Ok(self.connections.write(query).await? > 0)
    }

    async fn keys(&self, scope: &PolicyScope) -> Result<Vec<TrustedKey>, StoreError> {
        self.connections.read_all(sqlx::query(KEYS).bind(scope.as_str())).await?.iter().map(key).collect()
    }
}

fn token_query(token: &ApiToken) -> Query<'_> {
    sqlx::query(ADD_TOKEN)
        .bind(&*token.name)
        .bind(token.hash.as_slice())
        .bind(token.role.as_str())
        .bind(token.role.tenant().map(TenantId::as_str))
        .bind(micros(token.created_at))
        .bind(&*token.created_by)
        .bind(token.expires_at.map(micros))
        .bind(token.revoked_at.map(micros))
}

fn ceiling_query<'q>(scope: &'q PolicyScope, ceiling: &Ceiling) -> Result<Query<'q>, StoreError> {
    Ok(sqlx::query(SET_CEILING)
        .bind(scope.as_str())
        .bind(limits_json(&ceiling.limits)?)
        .bind(ceiling.grants.as_ref().map(grants_json).transpose()?)
        .bind(ceiling.signature_required)
        .bind(i64::from(ceiling.retention_days)))
}

fn key_query<'q>(scope: &'q PolicyScope, key: &'q TrustedKey) -> Query<'q> {
    sqlx::query(ADD_KEY)
        .bind(scope.as_str())
        .bind(&*key.id)
        .bind(&*key.public_key)
        .bind(micros(key.added_at))
        .bind(&*key.added_by)
        .bind(key.revoked_at.map(micros))
}
