//! Runs that have begun, in PostgreSQL.

use super::connections::{Connections, Query};
use super::row::{Moment, storable};
use crate::adapters::sql::{Reader, number, open_run, readable, run_columns, runtime_columns, tracked};
use crate::model::{Begun, Fence, Intent, OpenRun, RunId, Timestamp};
use crate::ports::StoreError;

/// Where `tracked` has ended.
const FENCE_COLUMN: usize = 22;

/// Of two beginnings at once, the second waits for the record's row and then computes its fence anew, so that fences
/// grow in the order in which the row was had. `fence + 1` is for records that came from elsewhere with a fence that
/// the sequence has not reached. An intent whose answer was lost is replaced.
const BEGIN: &str = concat!(
    "WITH begun AS (
        UPDATE runtime_records SET fence = greatest(nextval('run_fences'), fence + 1) WHERE game_id = $1
        RETURNING ",
    runtime_columns!("labels"),
    ", fence
    ), intent AS (
        INSERT INTO run_intents (run_id, game_id, op_source, source_ref, actor, policy_generation, policy_digest,
            started_at, expires_at, fence, tenant, engine, container_id, image_ref)
        SELECT $2, game_id, $3, $4, $5, $6, $7, $8, $9, fence, tenant, engine, current_container_id,
            current_image_ref
        FROM begun
        ON CONFLICT (run_id) DO UPDATE SET game_id = excluded.game_id, op_source = excluded.op_source,
            source_ref = excluded.source_ref, actor = excluded.actor,
            policy_generation = excluded.policy_generation, policy_digest = excluded.policy_digest,
            started_at = excluded.started_at, expires_at = excluded.expires_at, fence = excluded.fence,
            tenant = excluded.tenant, engine = excluded.engine, container_id = excluded.container_id,
            image_ref = excluded.image_ref, committed_at = NULL
    )
    SELECT ",
    runtime_columns!("labels::text AS labels"),
    ", fence FROM begun"
);

/// Only if no later run has begun, for that one is not to be disturbed.
const SUPERSEDE: &str = "UPDATE runtime_records AS record SET fence = greatest(nextval('run_fences'), record.fence + 1)
    FROM run_intents AS intent
    WHERE intent.run_id = $1 AND record.game_id = intent.game_id AND record.fence = intent.fence";

const OPEN_RUN: &str = concat!("SELECT ", run_columns!(), " FROM run_intents WHERE run_id = $1");

const OVERDUE: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM run_intents WHERE expires_at <= $1 AND (expires_at, fence) > ($3, $4) ORDER BY expires_at, fence LIMIT $2"
);

pub(super) async fn begin(connections: &Connections, intent: &Intent) -> Result<Option<Begun>, StoreError> {
    let begun = connections.write_one(begin_query(intent)).await?;
    let begun = begun.map(|row| {
        let fence = Reader::at("runtime_records", &row, FENCE_COLUMN).count().map(Fence)?;
        Ok(Begun { fence, runtime: tracked(&row)? })
    });
    begun.transpose()
}

fn begin_query(intent: &Intent) -> Query<'_> {
    sqlx::query(BEGIN)
        .bind(intent.game_id.as_str())
        .bind(intent.run_id.as_str())
        .bind(storable(&intent.op_source))
        .bind(storable(&intent.source_ref))
        .bind(intent.actor.as_deref().map(storable))
        .bind(intent.policy.generation.as_str())
        .bind(intent.policy.digest.as_str())
        .bind(Moment::from(intent.started_at))
        .bind(Moment::from(intent.expires_at))
}

/// Two statements, each of which commits, and on purpose: the first one waits for a change of the record that is under
/// way, and only what is read after it is sure to see what that change has noted. Doing it again does no harm.
pub(super) async fn supersede(connections: &Connections, run: &RunId) -> Result<Option<OpenRun>, StoreError> {
    connections.write(sqlx::query(SUPERSEDE).bind(run.as_str())).await?;
    let row = connections.read_one(|| sqlx::query(OPEN_RUN).bind(run.as_str())).await?;
    row.as_ref().map(open_run).transpose()
}

pub(super) async fn overdue(
    connections: &Connections,
    now: Timestamp,
    after: Option<(Timestamp, Fence)>,
    limit: u32,
) -> Result<Vec<OpenRun>, StoreError> {
    let (at, fence) = after.unwrap_or_default();
    let query = || {
        let query = sqlx::query(OVERDUE).bind(Moment::from(now)).bind(i64::from(limit));
        query.bind(Moment::from(at)).bind(number(fence.0))
    };
    Ok(connections.read_all(query).await?.iter().filter_map(|row| readable(open_run(row))).collect())
}
