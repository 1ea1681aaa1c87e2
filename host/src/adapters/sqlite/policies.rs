//! Policies in SQLite.

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;

use super::{Connections, Query, error};
use crate::adapters::sql::{artifact, artifact_columns, micros, next_page, number};
use crate::model::{PolicyArtifact, PolicyDigest, PolicyPlace, TenantId};
use crate::ports::{AddPolicyError, PolicyFilter, PolicyStore, StoreError};

/// The policies of an open file.
pub struct SqlitePolicies {
    connections: Connections,
}

impl SqlitePolicies {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

/// All that a component is called.
const OF_DIGEST: &str = concat!("SELECT ", artifact_columns!(), " FROM policy_names WHERE digest = ?1");

const IS_THERE: &str = "SELECT digest FROM policies WHERE digest = ?1";

const NAMED: &str =
    concat!("SELECT ", artifact_columns!(), " FROM policy_names WHERE owner = ?1 AND name = ?2 AND version = ?3");

/// The name as well, by a trigger.
const ADD: &str = concat!("INSERT INTO policies (", artifact_columns!(), ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");

const ADD_NAME: &str =
    concat!("INSERT INTO policy_names (", artifact_columns!(), ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");

const ADD_COMPONENT: &str = "INSERT INTO policy_components (digest, component) VALUES (?1, ?2)";

const COMPONENT: &str = "SELECT component FROM policy_components WHERE digest = ?1";

/// From the name ?1 on, whole names of as many policies as a page needs.
const LIST: &str = concat!(
    "SELECT ",
    artifact_columns!(),
    " FROM policy_names WHERE name >= ?1
        AND (?2 IS NULL OR name = ?2) AND (?3 IS NULL OR owner IN ('', ?3))
        AND name <= coalesce((SELECT name FROM policy_names
            WHERE name > ?1 AND (?2 IS NULL OR name = ?2) AND (?3 IS NULL OR owner IN ('', ?3))
            ORDER BY name LIMIT 1 OFFSET ?4), '~')"
);

const OWNS: &str = "SELECT digest FROM policy_names WHERE owner = ?1 AND digest = ?2";

/// Where a program of the version before looks for it.
const SIGN_FIRST: &str = "INSERT INTO policy_signatures (digest, envelope, hash)
    SELECT digest, ?3, ?4 FROM policies WHERE owner = ?1 AND digest = ?2 ON CONFLICT (digest, hash) DO NOTHING";

const SIGN: &str = "INSERT INTO policy_vouchers (owner, digest, envelope, hash) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (owner, digest, hash) DO NOTHING";

const SIGNATURES: &str = "SELECT envelope FROM policy_vouchers WHERE owner = ?1 AND digest = ?2 ORDER BY id";

#[async_trait]
impl PolicyStore for SqlitePolicies {
    async fn add(&self, policy: &PolicyArtifact, component: &[u8]) -> Result<PolicyArtifact, AddPolicyError> {
        let mut transaction = self.connections.begin().await?;
        let known = named_query(policy).fetch_optional(&mut *transaction).await.map_err(error::of_read)?;
        if let Some(known) = known.as_ref().map(artifact).transpose()? {
            let PolicyArtifact { name, version, digest, .. } = known.clone();
            return match digest == policy.digest {
                true => Ok(known),
                false => Err(AddPolicyError::VersionTaken { name, version, digest }),
            };
        }
        let is_there = sqlx::query(IS_THERE).bind(policy.digest.as_str()).fetch_optional(&mut *transaction).await;
        let component = sqlx::query(ADD_COMPONENT).bind(policy.digest.as_str()).bind(component);
        let queries = match is_there.map_err(error::of_read)? {
            Some(_) => vec![add_query(ADD_NAME, policy)],
            None => vec![add_query(ADD, policy), component],
        };
        for query in queries {
            query.execute(&mut *transaction).await.map_err(error::of_read)?;
        }
        transaction.commit().await.map_err(error::of_write)?;
        Ok(policy.clone())
    }

    async fn named(&self, digest: &PolicyDigest) -> Result<Vec<PolicyArtifact>, StoreError> {
        let rows = self.connections.read_all(sqlx::query(OF_DIGEST).bind(digest.as_str())).await?;
        next_page(&rows, None, u32::MAX)
    }

    async fn component(&self, digest: &PolicyDigest) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.connections.read_one(sqlx::query(COMPONENT).bind(digest.as_str())).await?;
        row.map(|row| row.try_get(0)).transpose().map_err(error::of_read)
    }

    async fn list(
        &self,
        filter: &PolicyFilter,
        after: Option<&PolicyPlace>,
        limit: u32,
    ) -> Result<Vec<PolicyArtifact>, StoreError> {
        let query = sqlx::query(LIST)
            .bind(after.map_or("", |after| after.name.as_str()))
            .bind(filter.name.as_ref().map(|name| name.as_str()))
            .bind(filter.visible_to.as_ref().map(TenantId::as_str))
            .bind(i64::from(limit));
        next_page(&self.connections.read_all(query).await?, after, limit)
    }

    async fn add_signature(
        &self,
        owner: Option<&TenantId>,
        digest: &PolicyDigest,
        envelope: &str,
    ) -> Result<bool, StoreError> {
        let hash: [u8; 32] = Sha256::digest(envelope).into();
        let of = |sql: &'static str| sqlx::query(sql).bind(owned(owner)).bind(digest.as_str());
        let mut transaction = self.connections.begin().await?;
        if of(OWNS).fetch_optional(&mut *transaction).await.map_err(error::of_read)?.is_none() {
            return Ok(false);
        }
        for sql in [SIGN_FIRST, SIGN] {
            let query = of(sql).bind(envelope).bind(hash.to_vec());
            query.execute(&mut *transaction).await.map_err(error::of_read)?;
        }
        transaction.commit().await.map_err(error::of_write)?;
        Ok(true)
    }

    async fn signatures(&self, owner: Option<&TenantId>, digest: &PolicyDigest) -> Result<Vec<String>, StoreError> {
        let query = sqlx::query(SIGNATURES).bind(owned(owner)).bind(digest.as_str());
        let rows = self.connections.read_all(query).await?;
        rows.iter().map(|row| row.try_get(0).map_err(error::of_read)).collect()
    }
}

fn owned(owner: Option<&TenantId>) -> &str {
    owner.map_or("", TenantId::as_str)
}

fn named_query(policy: &PolicyArtifact) -> Query<'_> {
    sqlx::query(NAMED).bind(owned(policy.owner.as_ref())).bind(policy.name.as_str()).bind(policy.version.to_string())
}

fn add_query<'q>(sql: &'static str, policy: &'q PolicyArtifact) -> Query<'q> {
    sqlx::query(sql)
        .bind(policy.digest.as_str())
        .bind(policy.name.as_str())
        .bind(policy.version.to_string())
        .bind(owned(policy.owner.as_ref()))
        .bind(number(policy.size))
        .bind(micros(policy.pushed_at))
        .bind(&*policy.pushed_by)
}
