//! What changes a scope, in PostgreSQL: each in one transaction. Changes come one after the other, for each raises the
//! epoch first and so has the epoch's row until it ends; and a change that is seen is seen with all before it.

use super::connections::{Connections, Query, Transaction};
use super::error::Failure;
use super::row::{Moment, storable};
use crate::adapters::scope::{Found, Line, Scope, Swap, raises};
use crate::adapters::sql::{
    ANY_UNUSED, FOUND, PRUNE_DIVERGENCES_BEFORE, PRUNE_HISTORY, PRUNE_SURPLUS_DIVERGENCES, PRUNE_UNUSED, Reader,
    ScopeColumns, TOUCH_UNUSED, binding_columns, found, grants_json, limits_json, number, revoked_columns, scope,
    settings_json,
};
use crate::model::{BindingSpec, Generation, PolicyName, PolicyScope, PolicyVersion, Revocation, Rollout, Signed};
use crate::ports::{PruneBefore, StoreError, SwapError};

/// Tells whoever listens, when the transaction is committed.
pub(super) const RAISE_EPOCH: &str =
    "WITH raised AS (UPDATE policy_epoch SET epoch = epoch + 1 RETURNING epoch), told AS MATERIALIZED (
        SELECT pg_notify('rtmanager_policies', '') FROM raised)
    SELECT epoch FROM raised WHERE (SELECT count(*) FROM told) > 0";

/// Locked, for what has been seen of a rollout is counted without raising the epoch.
const SCOPE: &str = concat!("SELECT ", binding_columns!(""), " FROM policy_scopes WHERE scope = $1 FOR UPDATE");

const PUT: &str = concat!(
    "INSERT INTO policy_scopes (",
    binding_columns!(""),
    ", changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    ON CONFLICT (scope) DO UPDATE SET current = excluded.current, last_generation = excluded.last_generation,
        rollout = excluded.rollout, rollout_myriad = excluded.rollout_myriad, clean_runs = excluded.clean_runs,
        promote_at = excluded.promote_at, stop_on_divergence = excluded.stop_on_divergence, runs = excluded.runs,
        faults = excluded.faults, divergences = excluded.divergences, rollout_at = excluded.rollout_at,
        rollout_by = excluded.rollout_by, rollout_reason = excluded.rollout_reason, changed = excluded.changed"
);

const ADD_GENERATION: &str = "INSERT INTO policy_generations
        (scope, number, digest, settings, limits, grants, staged_at, staged_by, reason, name, version)
    VALUES ($1, $2, $3, $4::json, $5::json, $6::json, $7, $8, $9, $10, $11)";

const ADD_LINE: &str = "INSERT INTO policy_history (scope, event, from_generation, to_generation, at, actor, reason)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

const MARK: &str = "SELECT version FROM policy_marks WHERE scope = $1 AND name = $2";

const SET_MARK: &str = "INSERT INTO policy_marks (scope, name, version) VALUES ($1, $2, $3)
    ON CONFLICT (scope, name) DO UPDATE SET version = excluded.version";

const FORGET_DIVERGENCES: &str = "DELETE FROM policy_divergences WHERE scope = $1 AND generation = $2";

/// Whether there is what is to be revoked: the component $1, or else the generation $3 of the scope $2.
const IS_THERE: &str = "SELECT (SELECT count(*) FROM policies WHERE digest = $1)
    + (SELECT count(*) FROM policy_generations WHERE scope = $2 AND number = $3)";

const IS_REVOKED_ALREADY: &str = "SELECT count(*) FROM policy_revocations WHERE subject = $1";

/// Waits for changes of records that were made and are about to be committed; later ones wait for the revocation. See
/// `refuse_revoked`.
const FENCE: &str = "LOCK TABLE policy_revocations IN EXCLUSIVE MODE";

const REVOKE: &str = "INSERT INTO policy_revocations (subject, at, actor, reason) VALUES ($1, $2, $3, $4)";

/// What is revoked and serves a scope, or is tried there.
const NOTE_REVOKED: &str =
    "INSERT INTO policy_history (scope, event, from_generation, to_generation, at, actor, reason)
    SELECT s.scope, 'revoked', s.current, g.number, $4, $5, $6 FROM policy_scopes s
    JOIN policy_generations g ON g.scope = s.scope AND g.number IN (s.current, s.rollout)
    WHERE g.digest = $1 OR (g.scope = $2 AND g.number = $3)
    ORDER BY g.scope, g.number";

const END_REVOKED_ROLLOUTS: &str = "UPDATE policy_scopes SET rollout = NULL WHERE EXISTS (
    SELECT 1 FROM policy_generations g WHERE g.scope = policy_scopes.scope AND g.number = policy_scopes.rollout
        AND (g.digest = $1 OR (g.scope = $2 AND g.number = $3)))";

const TOUCH_REVOKED: &str = "UPDATE policy_scopes SET changed = $4 WHERE scope IN (
    SELECT g.scope FROM policy_generations g WHERE g.digest = $1 OR (g.scope = $2 AND g.number = $3))";

/// A change under way.
struct Change {
    transaction: Transaction,
    epoch: u64,
}

impl Change {
    /// Waits for the change before it.
    async fn begin(connections: &Connections) -> Result<Self, StoreError> {
        let mut change = Self { transaction: connections.begin().await?, epoch: 0 };
        change.epoch = change.count(sqlx::query(RAISE_EPOCH)).await?;
        Ok(change)
    }

    /// Commits what went well, and takes back what did not.
    async fn end<T, E: From<StoreError>>(self, outcome: Result<T, E>) -> Result<T, E> {
        self.transaction.end(outcome).await
    }

    async fn read(&mut self, name: &PolicyScope) -> Result<Scope, StoreError> {
        let row = self.transaction.one(sqlx::query(SCOPE).bind(name.as_str())).await?;
        row.as_ref().map(scope).transpose().map(Option::unwrap_or_default)
    }

    async fn look_for(&mut self, name: &PolicyScope, to: u64) -> Result<Found, StoreError> {
        let row = self.transaction.one(sqlx::query(FOUND).bind(name.as_str()).bind(number(to))).await?;
        row.as_ref().map_or(Ok(Found::Nothing), found)
    }

    /// Writes a scope back as the change has made it, with its lines of the history.
    async fn put(
        &mut self,
        name: &PolicyScope,
        scope: &Scope,
        lines: &[Line],
        signed: &Signed,
    ) -> Result<(), StoreError> {
        self.run(put_query(name, scope, self.epoch)).await?;
        for line in lines {
            self.run(line_query(name, *line, signed)).await?;
        }
        Ok(())
    }

    async fn raise_mark(
        &mut self,
        scope: &PolicyScope,
        policy: &PolicyName,
        version: &PolicyVersion,
    ) -> Result<(), SwapError> {
        let mark = self.transaction.one(sqlx::query(MARK).bind(scope.as_str()).bind(policy.as_str())).await?;
        let mark = mark.map(|row| Reader::new("policy_marks", &row).parsed::<PolicyVersion>()).transpose()?;
        if raises(mark.as_ref(), policy, version)? {
            let query = sqlx::query(SET_MARK).bind(scope.as_str()).bind(policy.as_str());
            self.run(query.bind(version.to_string())).await?;
        }
        Ok(())
    }

    async fn run(&mut self, query: Query<'_>) -> Result<(), StoreError> {
        self.transaction.all(query).await.map(|_| ()).map_err(Failure::of_read)
    }

    /// A statement that answers one number.
    async fn count(&mut self, query: Query<'_>) -> Result<u64, StoreError> {
        let row = self.transaction.one(query).await?;
        let row = row.ok_or_else(|| StoreError::Corrupt("policy_epoch has no row".to_owned()))?;
        Reader::new("policy_epoch", &row).count()
    }
}

pub(super) async fn stage(
    connections: &Connections,
    name: &PolicyScope,
    spec: &BindingSpec,
    staged: &Signed,
) -> Result<Generation, StoreError> {
    let mut change = Change::begin(connections).await?;
    let outcome = async {
        let mut scope = change.read(name).await?;
        let number = scope.stage();
        let generation =
            Generation { scope: name.clone(), number, spec: spec.clone(), staged: storable_signed(staged) };
        change.run(generation_query(&generation)?).await?;
        change.put(name, &scope, &[], staged).await?;
        Ok(generation)
    };
    let outcome = outcome.await;
    change.end(outcome).await
}

pub(super) async fn swap(
    connections: &Connections,
    name: &PolicyScope,
    swap: Swap,
    mark: Option<(&PolicyName, &PolicyVersion)>,
    signed: &Signed,
) -> Result<(), SwapError> {
    let mut change = Change::begin(connections).await?;
    let outcome = async {
        let mut scope = change.read(name).await?;
        let lines = scope.swap(swap, change.look_for(name, swap.to).await?)?;
        if let Some((policy, version)) = mark {
            change.raise_mark(name, policy, version).await?;
        }
        Ok(change.put(name, &scope, &lines, signed).await?)
    };
    let outcome = outcome.await;
    change.end(outcome).await
}

pub(super) async fn unbind(
    connections: &Connections,
    name: &PolicyScope,
    expected: u64,
    signed: &Signed,
) -> Result<(), SwapError> {
    let mut change = Change::begin(connections).await?;
    let outcome = async {
        let mut scope = change.read(name).await?;
        let lines = scope.unbind(expected)?;
        Ok(change.put(name, &scope, &lines, signed).await?)
    };
    let outcome = outcome.await;
    change.end(outcome).await
}

pub(super) async fn start_rollout(
    connections: &Connections,
    name: &PolicyScope,
    expected: Option<u64>,
    rollout: &Rollout,
) -> Result<(), SwapError> {
    let mut change = Change::begin(connections).await?;
    let outcome = async {
        let mut scope = change.read(name).await?;
        let found = change.look_for(name, rollout.number).await?;
        let lines = scope.start_rollout(expected, rollout, found)?;
        change.run(sqlx::query(FORGET_DIVERGENCES).bind(name.as_str()).bind(number(rollout.number))).await?;
        Ok(change.put(name, &scope, &lines, &rollout.started).await?)
    };
    let outcome = outcome.await;
    change.end(outcome).await
}

pub(super) async fn end_rollout(
    connections: &Connections,
    name: &PolicyScope,
    tried: u64,
    signed: &Signed,
) -> Result<bool, StoreError> {
    let mut change = Change::begin(connections).await?;
    let outcome = async {
        let mut scope = change.read(name).await?;
        let Some(line) = scope.end_rollout(tried) else { return Err(Nothing::Happened) };
        Ok(change.put(name, &scope, &[line], signed).await?)
    };
    let outcome = outcome.await;
    Nothing::or(change.end(outcome).await, false)
}

pub(super) async fn revoke(
    connections: &Connections,
    revocation: &Revocation,
    signed: &Signed,
) -> Result<bool, StoreError> {
    let (digest, scope, tried) = revoked_columns(revocation);
    let about = |sql: &'static str| sqlx::query(sql).bind(digest).bind(scope).bind(tried);
    let mut change = Change::begin(connections).await?;
    if change.count(about(IS_THERE)).await? == 0 {
        return Nothing::or(change.end(Err(Nothing::Happened)).await, false);
    }
    let outcome = async {
        if change.count(sqlx::query(IS_REVOKED_ALREADY).bind(revocation.subject())).await? > 0 {
            return Err(Nothing::Happened);
        }
        change.run(signed_query(about(NOTE_REVOKED), signed)).await?;
        change.run(about(END_REVOKED_ROLLOUTS)).await?;
        change.run(about(TOUCH_REVOKED).bind(number(change.epoch))).await?;
        // At the end, since the fence holds up the changes of all records.
        change.run(sqlx::query(FENCE)).await?;
        Ok(change.run(signed_query(sqlx::query(REVOKE).bind(revocation.subject()), signed)).await?)
    };
    let outcome = outcome.await;
    Nothing::or(change.end(outcome).await, true)
}

pub(super) async fn prune(connections: &Connections, before: &PruneBefore) -> Result<u64, StoreError> {
    let staged = Moment::from(before.staged);
    let mut change = Change::begin(connections).await?;
    let outcome = async {
        let unused = change.count(sqlx::query(ANY_UNUSED).bind(staged)).await?;
        if unused > 0 {
            change.run(sqlx::query(TOUCH_UNUSED).bind(staged).bind(number(change.epoch))).await?;
            change.run(sqlx::query(PRUNE_UNUSED).bind(staged)).await?;
        }
        let old = sqlx::query(PRUNE_DIVERGENCES_BEFORE).bind(Moment::from(before.divergences));
        for query in [old, sqlx::query(PRUNE_SURPLUS_DIVERGENCES), sqlx::query(PRUNE_HISTORY)] {
            change.run(query).await?;
        }
        Ok::<_, StoreError>(unused)
    };
    let outcome = outcome.await;
    change.end(outcome).await
}

/// Why a change is taken back.
enum Nothing {
    /// There was nothing to change.
    Happened,
    Failed(StoreError),
}

impl From<StoreError> for Nothing {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Nothing {
    /// True for a change that was made, and the given answer if there was nothing to change.
    fn or(ended: Result<(), Self>, answer: bool) -> Result<bool, StoreError> {
        match ended {
            Ok(()) => Ok(true),
            Err(Self::Happened) => Ok(answer),
            Err(Self::Failed(error)) => Err(error),
        }
    }
}

fn storable_signed(signed: &Signed) -> Signed {
    let own = |text: &str| storable(text).into_owned();
    Signed { at: signed.at, actor: own(&signed.actor), reason: own(&signed.reason) }
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
        .bind(columns.promote_at.map(Moment))
        .bind(columns.stop_on_divergence)
        .bind(runs)
        .bind(faults)
        .bind(divergences)
        .bind(columns.started.map(|started| Moment::from(started.at)))
        .bind(columns.started.map(|started| storable(&started.actor)))
        .bind(columns.started.map(|started| storable(&started.reason)))
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
    query.bind(Moment::from(signed.at)).bind(storable(&signed.actor)).bind(storable(&signed.reason))
}
