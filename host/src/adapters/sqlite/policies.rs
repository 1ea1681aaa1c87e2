//! Policies in SQLite.

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;

use super::{Connections, Query, error};
use crate::adapters::scope::known_as;
use crate::adapters::sql::{artifact, artifact_columns, micros, next_page, number};
use crate::model::{PolicyArtifact, PolicyDigest, TenantId};
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

const GET: &str = concat!("SELECT ", artifact_columns!(), " FROM policies WHERE digest = ?1");

const NAMED: &str =
    concat!("SELECT ", artifact_columns!(), " FROM policies WHERE owner = ?1 AND name = ?2 AND version = ?3");

const ADD: &str = concat!("INSERT INTO policies (", artifact_columns!(), ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");

const ADD_COMPONENT: &str = "INSERT INTO policy_components (digest, component) VALUES (?1, ?2)";

const COMPONENT: &str = "SELECT component FROM policy_components WHERE digest = ?1";

/// From the name ?1 on, whole names of as many policies as a page needs.
const LIST: &str = concat!(
    "SELECT ",
    artifact_columns!(),
    " FROM policies WHERE name >= ?1
        AND (?2 IS NULL OR name = ?2) AND (?3 IS NULL OR owner IN ('', ?3))
        AND name <= coalesce((SELECT name FROM policies
            WHERE name > ?1 AND (?2 IS NULL OR name = ?2) AND (?3 IS NULL OR owner IN ('', ?3))
            ORDER BY name LIMIT 1 OFFSET ?4), '~')"
);

const SIGN: &str = "INSERT INTO policy_signatures (digest, envelope, hash)
    SELECT digest, ?2, ?3 FROM policies WHERE digest = ?1
    ON CONFLICT (digest, hash) DO UPDATE SET hash = excluded.hash";

const SIGNATURES: &str = "SELECT envelope FROM policy_signatures WHERE digest = ?1 ORDER BY id";

#[async_trait]
impl PolicyStore for SqlitePolicies {
    async fn add(&self, policy: &PolicyArtifact, component: &[u8]) -> Result<PolicyArtifact, AddPolicyError> {
        let mut transaction = self.connections.begin().await?;
        let known = sqlx::query(GET).bind(policy.digest.as_str()).fetch_optional(&mut *transaction).await;
        if let Some(known) = known.map_err(error::of_read)?.as_ref().map(artifact).transpose()? {
            return match known.place() == policy.place() {
                true => Ok(known),
                false => Err(AddPolicyError::KnownAs(known_as(&known, policy.owner.as_ref()))),
            };
        }
        let taken = named_query(policy).fetch_optional(&mut *transaction).await.map_err(error::of_read)?;
        if let Some(PolicyArtifact { name, version, digest, .. }) = taken.as_ref().map(artifact).transpose()? {
            return Err(AddPolicyError::VersionTaken { name, version, digest });
        }
        let component = sqlx::query(ADD_COMPONENT).bind(policy.digest.as_str()).bind(component);
        for query in [add_query(policy), component] {
            query.execute(&mut *transaction).await.map_err(error::of_read)?;
        }
        transaction.commit().await.map_err(error::of_write)?;
        Ok(policy.clone())
    }

    async fn get(&self, digest: &PolicyDigest) -> Result<Option<PolicyArtifact>, StoreError> {
        let row = self.connections.read_one(sqlx::query(GET).bind(digest.as_str())).await?;
        row.as_ref().map(artifact).transpose()
    }

    async fn component(&self, digest: &PolicyDigest) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.connections.read_one(sqlx::query(COMPONENT).bind(digest.as_str())).await?;
        row.map(|row| row.try_get(0)).transpose().map_err(error::of_read)
    }

    async fn list(
        &self,
        filter: &PolicyFilter,
        after: Option<&PolicyDigest>,
        limit: u32,
    ) -> Result<Vec<PolicyArtifact>, StoreError> {
        let after = match after {
            None => None,
            Some(digest) => match self.get(digest).await? {
                None => return Ok(Vec::new()),
                found => found,
            },
        };
        let query = sqlx::query(LIST)
            .bind(after.as_ref().map_or("", |after| after.name.as_str()))
            .bind(filter.name.as_ref().map(|name| name.as_str()))
            .bind(filter.visible_to.as_ref().map(TenantId::as_str))
            .bind(i64::from(limit));
        next_page(&self.connections.read_all(query).await?, after.as_ref(), limit)
    }

    async fn add_signature(&self, digest: &PolicyDigest, envelope: &str) -> Result<bool, StoreError> {
        let hash: [u8; 32] = Sha256::digest(envelope).into();
        let query = sqlx::query(SIGN).bind(digest.as_str()).bind(envelope).bind(hash.to_vec());
        Ok(self.connections.write(query).await? > 0)
    }

    async fn signatures(&self, digest: &PolicyDigest) -> Result<Vec<String>, StoreError> {
        let rows = self.connections.read_all(sqlx::query(SIGNATURES).bind(digest.as_str())).await?;
        rows.iter().map(|row| row.try_get(0).map_err(error::of_read)).collect()
    }
}

fn owner(policy: &PolicyArtifact) -> &str {
    policy.owner.as_ref().map_or("", TenantId::as_str)
}

fn named_query(policy: &PolicyArtifact) -> Query<'_> {
    sqlx::query(NAMED).bind(owner(policy)).bind(policy.name.as_str()).bind(policy.version.to_string())
}

fn add_query(policy: &PolicyArtifact) -> Query<'_> {
    sqlx::query(ADD)
        .bind(policy.digest.as_str())
        .bind(policy.name.as_str())
        .bind(policy.version.to_string())
        .bind(owner(policy))
        .bind(number(policy.size))
        .bind(micros(policy.pushed_at))
        .bind(&*policy.pushed_by)
}
