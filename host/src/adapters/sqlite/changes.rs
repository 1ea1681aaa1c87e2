//! What changes a scope, in SQLite: each in one transaction that has the file's lock from its start.

use sqlx::SqliteConnection;

use super::generations::RAISE_EPOCH;
use super::{Connections, Query, error};
use crate::adapters::scope::{Found, Line, Scope, Swap, raises};
use crate::adapters::sql::{
    ANY_UNUSED, FOUND, PRUNE_DIVERGENCES_BEFORE, PRUNE_HISTORY, PRUNE_SURPLUS_DIVERGENCES, PRUNE_UNUSED, Reader,
    ScopeColumns, TOUCH_UNUSED, binding_columns, found, grants_json, limits_json, micros, number, revoked_columns,
    scope, settings_json,
};
use crate::model::{BindingSpec, Generation, PolicyName, PolicyScope, PolicyVersion, Revocation, Rollout, Signed};
use crate::ports::{PruneBefore, StoreError, SwapError};

const SCOPE: &str = concat!("SELECT ", binding_columns!(""), " FROM policy_scopes WHERE scope = ?1");

const PUT: &str = concat!(
    "INSERT INTO policy_scopes (",
    binding_columns!(""),
    ", changed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
    ON CONFLICT (scope) DO UPDATE SET current = excluded.current, last_generation = excluded.last_generation,
        rollout = excluded.rollout, rollout_myriad = excluded.rollout_myriad, clean_runs = excluded.clean_runs,
        promote_at = excluded.promote_at, stop_on_divergence = excluded.stop_on_divergence, runs = excluded.runs,
        faults = excluded.faults, divergences = excluded.divergences, rollout_at = excluded.rollout_at,
        rollout_by = excluded.rollout_by, rollout_reason = excluded.rollout_reason, changed = excluded.changed"
);

const ADD_GENERATION: &str = "INSERT INTO policy_generations
        (scope, number, digest, settings, limits, grants, staged_at, staged_by, reason, name, version)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

const ADD_LINE: &str = "INSERT INTO policy_history (scope, event, from_generation, to_generation, at, actor, reason)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const MARK: &str = "SELECT version FROM policy_marks WHERE scope = ?1 AND name = ?2";

const SET_MARK: &str = "INSERT INTO policy_marks (scope, name, version) VALUES (?1, ?2, ?3)
    ON CONFLICT (scope, name) DO UPDATE SET version = excluded.version";

const FORGET_DIVERGENCES: &str = "DELETE FROM policy_divergences WHERE scope = ?1 AND generation = ?2";

/// Whether there is what is to be revoked: the component ?1, or else the generation ?3 of the scope ?2.
const IS_THERE: &str = "SELECT (SELECT count(*) FROM policies WHERE digest = ?1)
    + (SELECT count(*) FROM policy_generations WHERE scope = ?2 AND number = ?3)";

const REVOKE: &str = "INSERT INTO policy_revocations (subject, at, actor, reason) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (subject) DO NOTHING";

/// What is revoked and serves a scope, or is tried there.
const NOTE_REVOKED: &str =
    "INSERT INTO policy_history (scope, event, from_generation, to_generation, at, actor, reason)
    SELECT s.scope, 'revoked', s.current, g.number, ?4, ?5, ?6 FROM policy_scopes s
    JOIN policy_generations g ON g.scope = s.scope AND g.number IN (s.current, s.rollout)
    WHERE g.digest = ?1 OR (g.scope = ?2 AND g.number = ?3)
    ORDER BY g.scope, g.number";

const END_REVOKED_ROLLOUTS: &str = "UPDATE policy_scopes SET rollout = NULL WHERE EXISTS (
    SELECT 1 FROM policy_generations g WHERE g.scope = policy_scopes.scope AND g.number = policy_scopes.rollout
        AND (g.digest = ?1 OR (g.scope = ?2 AND g.number = ?3)))";

const TOUCH_REVOKED: &str = "UPDATE policy_scopes SET changed = ?4 WHERE scope IN (
    SELECT g.scope FROM policy_generations g WHERE g.digest = ?1 OR (g.scope = ?2 AND g.number = ?3))";

pub(super) async fn stage(
    connections: &Connections,
    name: &PolicyScope,
    spec: &BindingSpec,
    staged: &Signed,
) -> Result<Generation, StoreError> {
    let mut transaction = connections.begin().await?;
    let mut scope = read(&mut transaction, name).await?;
    let number = scope.stage();
    let generation = Generation { scope: name.clone(), number, spec: spec.clone(), staged: staged.clone() };
    run(&mut transaction, generation_query(&generation)?).await?;
    put(&mut transaction, name, &scope, &[], staged).await?;
    transaction.commit().await.map_err(error::of_write)?;
    Ok(generation)
}

pub(super) async fn swap(
    connections: &Connections,
    name: &PolicyScope,
    swap: Swap,
    mark: Option<(&PolicyName, &PolicyVersion)>,
    signed: &Signed,
) -> Result<(), SwapError> {
    let mut transaction = connections.begin().await?;
    let mut scope = read(&mut transaction, name).await?;
    let lines = scope.swap(swap, look_for(&mut transaction, name, swap.to).await?)?;
    if let Some((policy, version)) = mark {
        raise_mark(&mut transaction, name, policy, version).await?;
    }
    put(&mut transaction, name, &scope, &lines, signed).await?;
    Ok(transaction.commit().await.map_err(error::of_write)?)
}

pub(super) async fn unbind(
    connections: &Connections,
    name: &PolicyScope,
    expected: u64,
    signed: &Signed,
) -> Result<(), SwapError> {
    let mut transaction = connections.begin().await?;
    let mut scope = read(&mut transaction, name).await?;
    let lines = scope.unbind(expected)?;
    put(&mut transaction, name, &scope, &lines, signed).await?;
    Ok(transaction.commit().await.map_err(error::of_write)?)
}

pub(super) async fn start_rollout(
    connections: &Connections,
    name: &PolicyScope,
    expected: Option<u64>,
    rollout: &Rollout,
) -> Result<(), SwapError> {
    let mut transaction = connections.begin().await?;
    let mut scope = read(&mut transaction, name).await?;
    let found = look_for(&mut transaction, name, rollout.number).await?;
    let lines = scope.start_rollout(expected, rollout, found)?;
    run(&mut transaction, sqlx::query(FORGET_DIVERGENCES).bind(name.as_str()).bind(number(rollout.number))).await?;
    put(&mut transaction, name, &scope, &lines, &rollout.started).await?;
    Ok(transaction.commit().await.map_err(error::of_write)?)
}

pub(super) async fn end_rollout(
    connections: &Connections,
    name: &PolicyScope,
    tried: u64,
    signed: &Signed,
) -> Result<bool, StoreError> {
    let mut transaction = connections.begin().await?;
    let mut scope = read(&mut transaction, name).await?;
    let Some(line) = scope.end_rollout(tried) else { return Ok(false) };
    put(&mut transaction, name, &scope, &[line], signed).await?;
    transaction.commit().await.map_err(error::of_write)?;
    Ok(true)
}

pub(super) async fn revoke(
    connections: &Connections,
    revocation: &Revocation,
    signed: &Signed,
) -> Result<bool, StoreError> {
    let (digest, scope, tried) = revoked_columns(revocation);
    let about = |sql: &'static str| sqlx::query(sql).bind(digest).bind(scope).bind(tried);
    let mut transaction = connections.begin().await?;
    if count(&mut transaction, about(IS_THERE)).await? == 0 {
        return Ok(false);
    }
    let revoke = signed_query(sqlx::query(REVOKE).bind(revocation.subject()), signed);
    if run(&mut transaction, revoke).await? == 0 {
        return Ok(true);
    }
    let epoch = count(&mut transaction, sqlx::query(RAISE_EPOCH)).await?;
    run(&mut transaction, signed_query(about(NOTE_REVOKED), signed)).await?;
    run(&mut transaction, about(END_REVOKED_ROLLOUTS)).await?;
    run(&mut transaction, about(TOUCH_REVOKED).bind(number(epoch))).await?;
    transaction.commit().await.map_err(error::of_write)?;
    Ok(true)
}

pub(super) async fn prune(connections: &Connections, before: &PruneBefore) -> Result<u64, StoreError> {
    let staged = micros(before.staged);
    let mut transaction = connections.begin().await?;
    let unused = count(&mut transaction, sqlx::query(ANY_UNUSED).bind(staged)).await?;
    if unused > 0 {
        let epoch = count(&mut transaction, sqlx::query(RAISE_EPOCH)).await?;
        run(&mut transaction, sqlx::query(TOUCH_UNUSED).bind(staged).bind(number(epoch))).await?;
        run(&mut transaction, sqlx::query(PRUNE_UNUSED).bind(staged)).await?;
    }
    let old = sqlx::query(PRUNE_DIVERGENCES_BEFORE).bind(micros(before.divergences));
    for query in [old, sqlx::query(PRUNE_SURPLUS_DIVERGENCES), sqlx::query(PRUNE_HISTORY)] {
        run(&mut transaction, query).await?;
    }
    transaction.commit().await.map_err(error::of_write)?;
    Ok(unused)
}

async fn read(connection: &mut SqliteConnection, name: &PolicyScope) -> Result<Scope, StoreError> {
    let row = sqlx::query(SCOPE).bind(name.as_str()).fetch_optional(connection).await.map_err(error::of_read)?;
    row.as_ref().map(scope).transpose().map(Option::unwrap_or_default)
}

async fn look_for(connection: &mut SqliteConnection, name: &PolicyScope, to: u64) -> Result<Found, StoreError> {
    let query = sqlx::query(FOUND).bind(name.as_str()).bind(number(to));
    found(&query.fetch_one(connection).await.map_err(error::of_read)?)
}

/// Writes a scope back as a change has made it, with its lines of the history, and raises the epoch.
async fn put(
    connection: &mut SqliteConnection,
    name: &PolicyScope,
    scope: &Scope,
    lines: &[Line],
    signed: &Signed,
) -> Result<(), StoreError> {
    let epoch = count(connection, sqlx::query(RAISE_EPOCH)).await?;
    run(connection, put_query(name, scope, epoch)).await?;
    for line in lines {
        run(connection, line_query(name, *line, signed)).await?;
    }
    Ok(())
}

async fn raise_mark(
    connection: &mut SqliteConnection,
    scope: &PolicyScope,
    policy: &PolicyName,
    version: &PolicyVersion,
) -> Result<(), SwapError> {
    let mark = sqlx::query(MARK).bind(scope.as_str()).bind(policy.as_str()).fetch_optional(&mut *connection).await;
    let mark = mark.map_err(error::of_read)?;
    let mark = mark.map(|row| Reader::new("policy_marks", &row).parsed::<PolicyVersion>()).transpose()?;
    if raises(mark.as_ref(), policy, version)? {
        let query = sqlx::query(SET_MARK).bind(scope.as_str()).bind(policy.as_str()).bind(version.to_string());
        run(connection, query).await?;
    }
    Ok(())
}

/// A statement of a transaction that is not committed yet; answers how many rows it changed.
async fn run(connection: &mut SqliteConnection, query: Query<'_>) -> Result<u64, StoreError> {
    Ok(query.execute(connection).await.map_err(error::of_read)?.rows_affected())
}

/// A statement that answers one number.
async fn count(connection: &mut SqliteConnection, query: Query<'_>) -> Result<u64, StoreError> {
    let row = query.fetch_all(connection).await.map_err(error::of_read)?.pop();
    let row = row.ok_or_else(|| StoreError::Corrupt("policy_epoch has no row".to_owned()))?;
    Reader::new("policy_epoch", &row).count()
}

fn put_query<'q>(name: &'q PolicyScope, scope: &'q Scope, epoch: u64) -> Query<'q> {
    let columns = ScopeColumns::from(scope);
    let [runs, faults, divergences] = columns.counts;
    sqlx::query(PUT)
        .bind(name.as_str())
        .bind(columns.current)
        .bind(columns.last)
        .bind(columns.rollout)
        .bind(columns.myriad)
        .bind(columns.clean_runs)
        .bind(columns.promote_at)
        .bind(columns.stop_on_divergence)
        .bind(runs)
        .bind(faults)
        .bind(divergences)
        .bind(columns.started.map(|started| micros(started.at)))
        .bind(columns.started.map(|started| &*started.actor))
        .bind(columns.started.map(|started| &*started.reason))
        .bind(number(epoch))
}

fn generation_query(generation: &Generation) -> Result<Query<'_>, StoreError> {
    let Generation { scope, number: count, spec, staged } = generation;
    let query = sqlx::query(ADD_GENERATION)
        .bind(scope.as_str())
        .bind(number(*count))
        .bind(spec.digest.as_str())
        .bind(settings_json(&spec.settings)?)
        .bind(limits_json(&spec.limits)?)
        .bind(grants_json(&spec.grants)?);
    let (name, version) = spec.called.as_ref().map(|(name, version)| (name.as_str(), version.to_string())).unzip();
    Ok(signed_query(query, staged).bind(name).bind(version))
}

fn line_query<'q>(name: &'q PolicyScope, line: Line, signed: &'q Signed) -> Query<'q> {
    let query = sqlx::query(ADD_LINE).bind(name.as_str()).bind(line.event.as_str());
    signed_query(query.bind(line.from.map(number)).bind(line.to.map(number)), signed)
}

/// With when, who and why.
fn signed_query<'q>(query: Query<'q>, signed: &'q Signed) -> Query<'q> {
    query.bind(micros(signed.at)).bind(&*signed.actor).bind(&*signed.reason)
}
