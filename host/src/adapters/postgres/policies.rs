//! Policies in PostgreSQL.

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;

use super::connections::{Connections, Query, Transaction};
use super::error::Failure;
use super::row::{Moment, storable};
use crate::adapters::sql::{artifact, artifact_columns, next_page, number};
use crate::model::{PolicyArtifact, PolicyDigest, PolicyPlace, TenantId};
use crate::ports::{AddPolicyError, PolicyFilter, PolicyStore, StoreError};

/// The policies of a database.
pub struct PostgresPolicies {
    connections: Connections,
}

impl PostgresPolicies {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

/// An attempt fails if another host has just added the same, which the next one then finds.
const ATTEMPTS: usize = 3;

/// All that a component is called.
const OF_DIGEST: &str = concat!("SELECT ", artifact_columns!(), " FROM policy_names WHERE digest = $1");

const IS_THERE: &str = "SELECT digest FROM policies WHERE digest = $1";

const NAMED: &str =
    concat!("SELECT ", artifact_columns!(), " FROM policy_names WHERE owner = $1 AND name = $2 AND version = $3");

/// The name as well, by a trigger.
const ADD: &str = concat!("INSERT INTO policies (", artifact_columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7)");

const ADD_NAME: &str =
    concat!("INSERT INTO policy_names (", artifact_columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7)");

const ADD_COMPONENT: &str = "INSERT INTO policy_components (digest, component) VALUES ($1, $2)";

const COMPONENT: &str = "SELECT component FROM policy_components WHERE digest = $1";

/// From the name $1 on, whole names of as many policies as a page needs.
const LIST: &str = concat!(
    "SELECT ",
    artifact_columns!(),
    " FROM policy_names WHERE name >= $1
        AND ($2::text IS NULL OR name = $2) AND ($3::text IS NULL OR owner IN ('', $3))
        AND name <= coalesce((SELECT name FROM policy_names
            WHERE name > $1 AND ($2::text IS NULL OR name = $2) AND ($3::text IS NULL OR owner IN ('', $3))
            ORDER BY name LIMIT 1 OFFSET $4), '~')"
);

const OWNS: &str = "SELECT digest FROM policy_names WHERE owner = $1 AND digest = $2";

/// Where a program of the version before looks for it.
const SIGN_FIRST: &str = "INSERT INTO policy_signatures (digest, envelope, hash)
    SELECT digest, $3, $4 FROM policies WHERE owner = $1 AND digest = $2 ON CONFLICT (digest, hash) DO NOTHING";

const SIGN: &str = "INSERT INTO policy_vouchers (owner, digest, envelope, hash) VALUES ($1, $2, $3, $4)
    ON CONFLICT (owner, digest, hash) DO NOTHING";

const SIGNATURES: &str = "SELECT envelope FROM policy_vouchers WHERE owner = $1 AND digest = $2 ORDER BY id";

#[async_trait]
impl PolicyStore for PostgresPolicies {
    async fn add(&self, policy: &PolicyArtifact, component: &[u8]) -> Result<PolicyArtifact, AddPolicyError> {
        for _ in 0..ATTEMPTS {
            let mut transaction = self.connections.begin().await?;
            let outcome = add(&mut transaction, policy, component).await;
            if let Some(added) = transaction.end(outcome).await? {
                return Ok(added);
            }
        }
        Err(StoreError::Unavailable("others add the same policy all the time".into()).into())
    }

    async fn named(&self, digest: &PolicyDigest) -> Result<Vec<PolicyArtifact>, StoreError> {
        let rows = self.connections.read_all(|| sqlx::query(OF_DIGEST).bind(digest.as_str())).await?;
        next_page(&rows, None, u32::MAX)
    }

    async fn component(&self, digest: &PolicyDigest) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.connections.read_one(|| sqlx::query(COMPONENT).bind(digest.as_str())).await?;
        row.map(|row| row.try_get(0)).transpose().map_err(undecodable)
    }

    async fn list(
        &self,
        filter: &PolicyFilter,
        after: Option<&PolicyPlace>,
        limit: u32,
    ) -> Result<Vec<PolicyArtifact>, StoreError> {
        let query = || {
            sqlx::query(LIST)
                .bind(after.map_or("", |after| after.name.as_str()))
                .bind(filter.name.as_ref().map(|name| name.as_str()))
                .bind(filter.visible_to.as_ref().map(TenantId::as_str))
                .bind(i64::from(limit))
        };
        next_page(&self.connections.read_all(query).await?, after, limit)
    }

    async fn add_signature(
        &self,
        owner: Option<&TenantId>,
        digest: &PolicyDigest,
        envelope: &str,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.connections.begin().await?;
        let outcome = sign(&mut transaction, owner, digest, &storable(envelope)).await;
        transaction.end(outcome).await
    }

    async fn signatures(&self, owner: Option<&TenantId>, digest: &PolicyDigest) -> Result<Vec<String>, StoreError> {
        let query = || sqlx::query(SIGNATURES).bind(owned(owner)).bind(digest.as_str());
        let rows = self.connections.read_all(query).await?;
        rows.iter().map(|row| row.try_get(0).map_err(undecodable)).collect()
    }
}

/// None if another host has just added a component with this digest, or with this name.
async fn add(
    transaction: &mut Transaction,
    policy: &PolicyArtifact,
    component: &[u8],
) -> Result<Option<PolicyArtifact>, AddPolicyError> {
    let known = transaction.one(named_query(policy)).await?;
    if let Some(known) = known.as_ref().map(artifact).transpose()? {
        let PolicyArtifact { name, version, digest, .. } = known.clone();
        return match digest == policy.digest {
            true => Ok(Some(known)),
            false => Err(AddPolicyError::VersionTaken { name, version, digest }),
        };
    }
    let component = sqlx::query(ADD_COMPONENT).bind(policy.digest.as_str()).bind(component);
    let queries = match transaction.one(sqlx::query(IS_THERE).bind(policy.digest.as_str())).await? {
        Some(_) => vec![add_query(ADD_NAME, policy)],
        None => vec![add_query(ADD, policy), component],
    };
    for query in queries {
        match transaction.all(query).await {
            Ok(_) => {}
            Err(failure) if failure.is_unique_violation() => return Ok(None),
            Err(failure) => return Err(failure.of_read().into()),
        }
    }
    Ok(Some(PolicyArtifact { pushed_by: storable(&policy.pushed_by).into_owned(), ..policy.clone() }))
}

/// False if that owner has no such component.
async fn sign(
    transaction: &mut Transaction,
    owner: Option<&TenantId>,
    digest: &PolicyDigest,
    envelope: &str,
) -> Result<bool, StoreError> {
    let of = |sql: &'static str| sqlx::query(sql).bind(owned(owner)).bind(digest.as_str());
    if transaction.one(of(OWNS)).await?.is_none() {
        return Ok(false);
    }
    let hash: [u8; 32] = Sha256::digest(envelope).into();
    for sql in [SIGN_FIRST, SIGN] {
        transaction.all(of(sql).bind(envelope).bind(hash.to_vec())).await.map_err(Failure::of_read)?;
    }
    Ok(true)
}

/// What the driver cannot read is not what the tables are made to hold.
fn undecodable(error: sqlx::Error) -> StoreError {
    Failure::Call(error).of_read()
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
        .bind(Moment::from(policy.pushed_at))
        .bind(storable(&policy.pushed_by))
}
