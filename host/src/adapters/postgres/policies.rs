//! Policies in PostgreSQL.

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;

use super::connections::{Connections, Query, Transaction};
use super::error::Failure;
use super::row::{Moment, storable};
use crate::adapters::scope::known_as;
use crate::adapters::sql::{artifact, artifact_columns, next_page, number};
use crate::model::{PolicyArtifact, PolicyDigest, TenantId};
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

const GET: &str = concat!("SELECT ", artifact_columns!(), " FROM policies WHERE digest = $1");

const NAMED: &str =
    concat!("SELECT ", artifact_columns!(), " FROM policies WHERE owner = $1 AND name = $2 AND version = $3");

const ADD: &str = concat!("INSERT INTO policies (", artifact_columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7)");

const ADD_COMPONENT: &str = "INSERT INTO policy_components (digest, component) VALUES ($1, $2)";

const COMPONENT: &str = "SELECT component FROM policy_components WHERE digest = $1";

/// From the name $1 on, whole names of as many policies as a page needs.
const LIST: &str = concat!(
    "SELECT ",
    artifact_columns!(),
    " FROM policies WHERE name >= $1
        AND ($2::text IS NULL OR name = $2) AND ($3::text IS NULL OR owner IN ('', $3))
        AND name <= coalesce((SELECT name FROM policies
            WHERE name > $1 AND ($2::text IS NULL OR name = $2) AND ($3::text IS NULL OR owner IN ('', $3))
            ORDER BY name LIMIT 1 OFFSET $4), '~')"
);

const SIGN: &str = "INSERT INTO policy_signatures (digest, envelope, hash)
    SELECT digest, $2, $3 FROM policies WHERE digest = $1
    ON CONFLICT (digest, hash) DO UPDATE SET hash = excluded.hash";

const SIGNATURES: &str = "SELECT envelope FROM policy_signatures WHERE digest = $1 ORDER BY id";

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

    async fn get(&self, digest: &PolicyDigest) -> Result<Option<PolicyArtifact>, StoreError> {
        let row = self.connections.read_one(|| sqlx::query(GET).bind(digest.as_str())).await?;
        row.as_ref().map(artifact).transpose()
    }

    async fn component(&self, digest: &PolicyDigest) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.connections.read_one(|| sqlx::query(COMPONENT).bind(digest.as_str())).await?;
        row.map(|row| row.try_get(0)).transpose().map_err(undecodable)
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
        let query = || {
            sqlx::query(LIST)
                .bind(after.as_ref().map_or("", |after| after.name.as_str()))
                .bind(filter.name.as_ref().map(|name| name.as_str()))
                .bind(filter.visible_to.as_ref().map(TenantId::as_str))
                .bind(i64::from(limit))
        };
        next_page(&self.connections.read_all(query).await?, after.as_ref(), limit)
    }

    async fn add_signature(&self, digest: &PolicyDigest, envelope: &str) -> Result<bool, StoreError> {
        let envelope = storable(envelope);
        let hash: [u8; 32] = Sha256::digest(&*envelope).into();
        let query = sqlx::query(SIGN).bind(digest.as_str()).bind(envelope).bind(hash.to_vec());
        Ok(self.connections.write(query).await? > 0)
    }

    async fn signatures(&self, digest: &PolicyDigest) -> Result<Vec<String>, StoreError> {
        let rows = self.connections.read_all(|| sqlx::query(SIGNATURES).bind(digest.as_str())).await?;
        rows.iter().map(|row| row.try_get(0).map_err(undecodable)).collect()
    }
}

/// None if another host has just added a component with this digest, or with this name.
async fn add(
    transaction: &mut Transaction,
    policy: &PolicyArtifact,
    component: &[u8],
) -> Result<Option<PolicyArtifact>, AddPolicyError> {
    let known = transaction.one(sqlx::query(GET).bind(policy.digest.as_str())).await?;
    if let Some(known) = known.as_ref().map(artifact).transpose()? {
        return match known.place() == policy.place() {
            true => Ok(Some(known)),
            false => Err(AddPolicyError::KnownAs(known_as(&known, policy.owner.as_ref()))),
        };
    }
    let taken = transaction.one(named_query(policy)).await?;
    if let Some(PolicyArtifact { name, version, digest, .. }) = taken.as_ref().map(artifact).transpose()? {
        // Between the two reads, somebody else has added this very component.
        if digest == policy.digest {
            return Ok(None);
        }
        return Err(AddPolicyError::VersionTaken { name, version, digest });
    }
    let component = sqlx::query(ADD_COMPONENT).bind(policy.digest.as_str()).bind(component);
    for query in [add_query(policy), component] {
        match transaction.all(query).await {
            Ok(_) => {}
            Err(failure) if failure.is_unique_violation() => return Ok(None),
            Err(failure) => return Err(failure.of_read().into()),
        }
    }
    Ok(Some(PolicyArtifact { pushed_by: storable(&policy.pushed_by).into_owned(), ..policy.clone() }))
}

/// What the driver cannot read is not what the tables are made to hold.
fn undecodable(error: sqlx::Error) -> StoreError {
    Failure::Call(error).of_read()
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
        .bind(Moment::from(policy.pushed_at))
        .bind(storable(&policy.pushed_by))
}
