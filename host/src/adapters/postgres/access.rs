//! Tokens, ceilings and trusted keys in PostgreSQL.

use async_trait::async_trait;

use super::changes::RAISE_EPOCH;
use super::connections::{Connections, Query, Transaction};
use super::error::Failure;
use super::row::{Moment, storable};
use crate::adapters::sql::{ceiling, ceiling_changes, grants_json, key, limits_json, number, token};
use crate::model::{ApiToken, Ceiling, PolicyScope, TenantId, Timestamp, TrustedKey};
use crate::ports::{AccessStore, CeilingChanges, StoreError};

/// Who may do what in a database.
pub struct PostgresAccess {
    connections: Connections,
}

impl PostgresAccess {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

const ADD_TOKEN: &str =
    "INSERT INTO api_tokens (name, hash, role, tenant, created_at, created_by, expires_at, revoked_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";

const TOKEN: &str =
    "SELECT name, hash, role, tenant, created_at, created_by, expires_at, revoked_at, last_used_at FROM api_tokens
    WHERE hash = $1";

const TOKENS: &str =
    "SELECT name, hash, role, tenant, created_at, created_by, expires_at, revoked_at, last_used_at FROM api_tokens
    ORDER BY name";

const NOTE_USED: &str = "UPDATE api_tokens SET last_used_at = greatest(last_used_at, $2) WHERE name = $1";

const END_TOKEN: &str = "UPDATE api_tokens SET expires_at = least(expires_at, $2)
    WHERE name = $1 AND revoked_at IS NULL AND NOT EXISTS (SELECT FROM api_tokens WHERE name = $3 OR hash = $4)
    RETURNING name";

const REVOKE_TOKEN: &str = "UPDATE api_tokens SET revoked_at = coalesce(revoked_at, $2) WHERE name = $1";

const CEILING: &str = "SELECT scope, limits::text, grants::text, signature_required, retention_days FROM policy_ceilings WHERE scope = $1";

const CEILINGS: &str =
    "SELECT scope, limits::text, grants::text, signature_required, retention_days FROM policy_ceilings ORDER BY scope";

const CEILINGS_SINCE: &str =
    "SELECT n.scope, c.scope, c.limits::text, c.grants::text, c.signature_required, c.retention_days
    FROM policy_ceiling_changes n LEFT JOIN policy_ceilings c ON c.scope = n.scope
    WHERE n.changed > $1 ORDER BY n.scope";

const SET_CEILING: &str = "INSERT INTO policy_ceilings (scope, limits, grants, signature_required, retention_days)
    VALUES ($1, $2::json, $3::json, $4, $5) ON CONFLICT (scope) DO UPDATE SET limits = excluded.limits, grants = excluded.grants,
        signature_required = excluded.signature_required, retention_days = excluded.retention_days";

const REMOVE_CEILING: &str = "DELETE FROM policy_ceilings WHERE scope = $1";

/// The update changes nothing; it is there to make the answer one row where there is one that is trusted.
const ADD_KEY: &str = "INSERT INTO policy_keys (scope, id, public_key, added_at, added_by, revoked_at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (scope, id) DO UPDATE SET id = policy_keys.id
    WHERE policy_keys.revoked_at IS NULL";

const REVOKE_KEY: &str = "UPDATE policy_keys SET revoked_at = coalesce(revoked_at, $3) WHERE scope = $1 AND id = $2";

const KEYS: &str =
    "SELECT id, public_key, added_at, added_by, revoked_at FROM policy_keys WHERE scope = $1 ORDER BY id";

#[async_trait]
impl AccessStore for PostgresAccess {
    async fn add_token(&self, token: &ApiToken) -> Result<bool, StoreError> {
        Ok(self.connections.write(token_query(token)).await? > 0)
    }

    async fn token(&self, hash: &[u8; 32]) -> Result<Option<ApiToken>, StoreError> {
        let row = self.connections.read_one(|| sqlx::query(TOKEN).bind(hash.as_slice())).await?;
        row.as_ref().map(token).transpose()
    }

    async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        self.connections.read_all(|| sqlx::query(TOKENS)).await?.iter().map(token).collect()
    }

    async fn note_token_used(&self, name: &str, at: Timestamp) -> Result<(), StoreError> {
        let query = sqlx::query(NOTE_USED).bind(storable(name)).bind(Moment::from(at));
        self.connections.write(query).await.map(|_| ())
    }

    async fn replace_token(&self, name: &str, end: Timestamp, new: &ApiToken) -> Result<bool, StoreError> {
        let mut transaction = self.connections.begin().await?;
        let outcome = replace_token(&mut transaction, name, end, new).await;
        transaction.end(outcome).await
    }

    async fn revoke_token(&self, name: &str, at: Timestamp) -> Result<bool, StoreError> {
        Ok(self.connections.write(sqlx::query(REVOKE_TOKEN).bind(storable(name)).bind(Moment::from(at))).await? > 0)
    }

    async fn ceiling(&self, scope: &PolicyScope) -> Result<Option<Ceiling>, StoreError> {
        let row = self.connections.read_one(|| sqlx::query(CEILING).bind(scope.as_str())).await?;
        row.as_ref().map(ceiling).transpose().map(|found| found.map(|(_, ceiling)| ceiling))
    }

    async fn set_ceiling(&self, scope: &PolicyScope, ceiling: Option<&Ceiling>) -> Result<(), StoreError> {
        let change = match ceiling {
            Some(ceiling) => ceiling_query(scope, ceiling)?,
            None => sqlx::query(REMOVE_CEILING).bind(scope.as_str()),
        };
        let mut transaction = self.connections.begin().await?;
        let outcome = set_ceiling(&mut transaction, change).await;
        transaction.end(outcome).await
    }

    async fn ceilings_since(&self, epoch: u64) -> Result<CeilingChanges, StoreError> {
        let query = || sqlx::query(CEILINGS_SINCE).bind(number(epoch));
        Ok(ceiling_changes(&self.connections.read_all(query).await?))
    }

    async fn ceilings(&self) -> Result<Vec<(PolicyScope, Ceiling)>, StoreError> {
        self.connections.read_all(|| sqlx::query(CEILINGS)).await?.iter().map(ceiling).collect()
    }

    async fn add_key(&self, scope: &PolicyScope, key: &TrustedKey) -> Result<bool, StoreError> {
        Ok(self.connections.write(key_query(scope, key)).await? > 0)
    }

    async fn revoke_key(&self, scope: &PolicyScope, id: &str, at: Timestamp) -> Result<bool, StoreError> {
        let query = sqlx::query(REVOKE_KEY).bind(scope.as_str()).bind(storable(id)).bind(Moment::from(at));
        Ok(self.connections.write(query).await? > 0)
    }

    async fn keys(&self, scope: &PolicyScope) -> Result<Vec<TrustedKey>, StoreError> {
        self.connections.read_all(|| sqlx::query(KEYS).bind(scope.as_str())).await?.iter().map(key).collect()
    }
}

/// The old one first, which may be looked for by two at once: then one of them waits, and finds the other's new one.
async fn replace_token(
    transaction: &mut Transaction,
    name: &str,
    end: Timestamp,
    new: &ApiToken,
) -> Result<bool, StoreError> {
    let ending = sqlx::query(END_TOKEN).bind(storable(name)).bind(Moment::from(end));
    let ending = ending.bind(storable(&new.name)).bind(new.hash.as_slice());
    if transaction.one(ending).await?.is_none() {
        return Ok(false);
    }
    transaction.all(token_query(new)).await.map_err(Failure::of_read)?;
    Ok(true)
}

/// The epoch first, as whoever raises it does.
async fn set_ceiling(transaction: &mut Transaction, change: Query<'_>) -> Result<(), StoreError> {
    for query in [sqlx::query(RAISE_EPOCH), change] {
        transaction.all(query).await.map_err(Failure::of_read)?;
    }
    Ok(())
}

fn token_query(token: &ApiToken) -> Query<'_> {
    sqlx::query(ADD_TOKEN)
        .bind(storable(&token.name))
        .bind(token.hash.as_slice())
        .bind(token.role.as_str())
        .bind(token.role.tenant().map(TenantId::as_str))
        .bind(Moment::from(token.created_at))
        .bind(storable(&token.created_by))
        .bind(token.expires_at.map(Moment::from))
        .bind(token.revoked_at.map(Moment::from))
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
        .bind(storable(&key.id))
        .bind(storable(&key.public_key))
        .bind(Moment::from(key.added_at))
        .bind(storable(&key.added_by))
        .bind(key.revoked_at.map(Moment::from))
}
