//! Runs that have begun, in SQLite. That a change of the record is noted with its run, and that an entry closes it, is
//! the work of triggers: in the same transaction, and for one statement's price.

use super::{Connections, error};
use crate::adapters::sql::{Reader, micros, number, open_run, readable, run_columns, runtime_columns, tracked};
use crate::model::{Begun, Fence, Intent, OpenRun, RunId, Timestamp};
use crate::ports::StoreError;

/// Replaces an intent whose answer was lost: the new one has a fence of its own.
const BEGIN: &str = "INSERT OR REPLACE INTO run_intents (run_id, game_id, op_source, source_ref, actor,
        policy_generation, policy_digest, started_at, expires_at, tenant, engine, container_id, image_ref)
    SELECT ?2, game_id, ?3, ?4, ?5, ?6, ?7, ?8, ?9, tenant, engine, current_container_id, current_image_ref
    FROM runtime_records WHERE game_id = ?1
    RETURNING fence";

const FENCE: &str =
    concat!("UPDATE runtime_records SET fence = ?2 WHERE game_id = ?1 RETURNING ", runtime_columns!("labels"));

const OPEN_RUN: &str = concat!("SELECT ", run_columns!(), " FROM run_intents WHERE run_id = ?1");

const OVERDUE: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM run_intents WHERE expires_at <= ?1 AND (expires_at, fence) > (?3, ?4) ORDER BY expires_at, fence LIMIT ?2"
);

/// Greater than the run's fence and not than the next one's, which is all that it takes to refuse the run.
const SUPERSEDE: &str = "UPDATE runtime_records SET fence = fence + 1 WHERE game_id = ?1 AND fence = ?2";

pub(super) async fn begin(connections: &Connections, intent: &Intent) -> Result<Option<Begun>, StoreError> {
    let mut transaction = connections.begin().await?;
    let query = sqlx::query(BEGIN)
        .bind(intent.game_id.as_str())
        .bind(intent.run_id.as_str())
        .bind(&*intent.op_source)
        .bind(&*intent.source_ref)
        .bind(intent.actor.as_deref())
        .bind(intent.policy.generation.as_str())
        .bind(intent.policy.digest.as_str())
        .bind(micros(intent.started_at))
        .bind(micros(intent.expires_at));
    let Some(row) = query.fetch_all(&mut *transaction).await.map_err(error::of_read)?.pop() else {
        return Ok(None);
    };
    let fence = Reader::new("run_intents", &row).count().map(Fence)?;
    let query = sqlx::query(FENCE).bind(intent.game_id.as_str()).bind(number(fence.0));
    let Some(row) = query.fetch_all(&mut *transaction).await.map_err(error::of_read)?.pop() else {
        return Ok(None);
    };
    let runtime = tracked(&row)?;
    transaction.commit().await.map_err(error::of_write)?;
    Ok(Some(Begun { fence, runtime }))
}

pub(super) async fn supersede(connections: &Connections, run: &RunId) -> Result<Option<OpenRun>, StoreError> {
    let mut transaction = connections.begin().await?;
    let query = sqlx::query(OPEN_RUN).bind(run.as_str());
    let Some(row) = query.fetch_optional(&mut *transaction).await.map_err(error::of_read)? else {
        return Ok(None);
    };
    let open = open_run(&row)?;
    let query = sqlx::query(SUPERSEDE).bind(open.intent.game_id.as_str()).bind(number(open.fence.0));
    query.execute(&mut *transaction).await.map_err(error::of_read)?;
    transaction.commit().await.map_err(error::of_write)?;
    Ok(Some(open))
}

pub(super) async fn overdue(
    connections: &Connections,
    now: Timestamp,
    after: Option<(Timestamp, Fence)>,
    limit: u32,
) -> Result<Vec<OpenRun>, StoreError> {
    let (at, fence) = after.unwrap_or_default();
    let query = sqlx::query(OVERDUE).bind(micros(now)).bind(i64::from(limit));
    let rows = connections.read_all(query.bind(micros(at)).bind(number(fence.0))).await?;
    Ok(rows.iter().filter_map(|row| readable(open_run(row))).collect())
}
