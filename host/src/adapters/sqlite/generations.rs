//! Generations in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{Connections, changes, error};
use crate::adapters::scope::Swap;
use crate::adapters::sql::{
    Reader, UNUSED, binding_columns, change_of, divergence, generation, generation_columns, micros, number, ready_json,
    revocation, revoked_subject, scope_states, serving, states_sql,
};
use crate::model::{
    BindingSpec, Divergence, Generation, PolicyChange, PolicyName, PolicyScope, PolicyVersion, Revocation, Rollout,
    RolloutCounts, Serving, Signed, Timestamp,
};
use crate::ports::{Changes, GenerationStore, PruneBefore, ScopeState, StoreError, SwapError, SwapKind};

/// Those of this process that wait for a change.
pub(super) type Waiters = Arc<Notify>;

/// The generations of an open file. A change by another process wakes nobody: it is found by asking.
pub struct SqliteGenerations {
    connections: Connections,
    waiters: Waiters,
}

impl SqliteGenerations {
    pub(super) fn new(connections: Connections, waiters: Waiters) -> Self {
        Self { connections, waiters }
    }

    /// Wakes whoever waits, if there was a change, or may have been.
    fn tell<T, E>(&self, outcome: Result<T, E>) -> Result<T, E> {
        self.waiters.notify_waiters();
        outcome
    }
}

pub(super) const RAISE_EPOCH: &str = "UPDATE policy_epoch SET epoch = epoch + 1 RETURNING epoch";

const GENERATION: &str =
    concat!("SELECT ", generation_columns!(""), " FROM policy_generations g WHERE g.scope = ?1 AND g.number = ?2");

const MARK: &str = "SELECT version FROM policy_marks WHERE scope = ?1 AND name = ?2";

const COUNT: &str = "UPDATE policy_scopes SET runs = runs + ?3, faults = faults + ?4, divergences = divergences + ?5
    WHERE scope = ?1 AND rollout = ?2 RETURNING runs, faults, divergences";

const ADD_DIVERGENCE: &str = "INSERT INTO policy_divergences
        (scope, generation, game_id, run_id, kind, current, candidate, at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const PRUNE_DIVERGENCES: &str = "DELETE FROM policy_divergences WHERE scope = ?1 AND generation = ?2 AND id <= (
    SELECT id FROM policy_divergences WHERE scope = ?1 AND generation = ?2 ORDER BY id DESC LIMIT 1 OFFSET 1000)";

const DIVERGENCES: &str = "SELECT game_id, run_id, kind, current, candidate, at FROM policy_divergences
    WHERE scope = ?1 AND generation = ?2 ORDER BY id DESC LIMIT ?3";

/// Nothing else of a revocation, for that may be damaged.
const REVOKED_SINCE: &str = "SELECT id, subject FROM policy_revocations WHERE id > ?1 ORDER BY id LIMIT ?2";

const REVOCATIONS: &str = "SELECT subject, at, actor, reason FROM policy_revocations ORDER BY id DESC LIMIT ?1";

const EPOCH: &str = "SELECT epoch FROM policy_epoch";

const CHANGED: &str = states_sql!("", "");

const STATE: &str = states_sql!("", " AND s.scope = $2");

const HISTORY: &str = "SELECT id, event, from_generation, to_generation, at, actor, reason FROM policy_history
    WHERE scope = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";

const REPORT: &str = "INSERT INTO policy_serving (replica, scope, generation, ready, problem, at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (replica, scope) DO UPDATE SET generation = excluded.generation,
        ready = excluded.ready, problem = excluded.problem, at = excluded.at";

const FORGET: &str = "DELETE FROM policy_serving WHERE at < ?1 OR replica = ?2";

const REPORTS: &str = "SELECT replica, scope, generation, ready, problem, at FROM policy_serving
    WHERE scope = ?1 AND at >= ?2 ORDER BY replica";

#[async_trait]
impl GenerationStore for SqliteGenerations {
    async fn stage(&self, scope: &PolicyScope, spec: &BindingSpec, staged: &Signed) -> Result<Generation, StoreError> {
        self.tell(changes::stage(&self.connections, scope, spec, staged).await)
    }

    async fn generation(&self, scope: &PolicyScope, wanted: u64) -> Result<Option<Generation>, StoreError> {
        let query = sqlx::query(GENERATION).bind(scope.as_str()).bind(number(wanted));
        self.connections.read_one(query).await?.as_ref().map(generation).transpose()
    }

    async fn swap(
        &self,
        scope: &PolicyScope,
        expected: Option<u64>,
        to: u64,
        kind: SwapKind,
        mark: Option<(&PolicyName, &PolicyVersion)>,
        signed: &Signed,
    ) -> Result<(), SwapError> {
        let swap = Swap { expected, to, kind };
        self.tell(changes::swap(&self.connections, scope, swap, mark, signed).await)
    }

    async fn unbind(&self, scope: &PolicyScope, expected: u64, signed: &Signed) -> Result<(), SwapError> {
        self.tell(changes::unbind(&self.connections, scope, expected, signed).await)
    }

    async fn unused(&self, scope: &PolicyScope) -> Result<u64, StoreError> {
        let row = self.connections.read_one(sqlx::query(UNUSED).bind(scope.as_str())).await?;
        row.map_or(Ok(0), |row| Reader::new("policy_generations", &row).count())
    }

    async fn prune(&self, before: &PruneBefore) -> Result<u64, StoreError> {
        self.tell(changes::prune(&self.connections, before).await)
    }

    async fn mark(&self, scope: &PolicyScope, name: &PolicyName) -> Result<Option<PolicyVersion>, StoreError> {
        let row = self.connections.read_one(sqlx::query(MARK).bind(scope.as_str()).bind(name.as_str())).await?;
        row.map(|row| Reader::new("policy_marks", &row).parsed()).transpose()
    }

    async fn start_rollout(
        &self,
        scope: &PolicyScope,
        expected: Option<u64>,
        rollout: &Rollout,
    ) -> Result<(), SwapError> {
        self.tell(changes::start_rollout(&self.connections, scope, expected, rollout).await)
    }

    async fn end_rollout(&self, scope: &PolicyScope, number: u64, signed: &Signed) -> Result<bool, StoreError> {
        self.tell(changes::end_rollout(&self.connections, scope, number, signed).await)
    }

    async fn count_rollout(
        &self,
        scope: &PolicyScope,
        tried: u64,
        seen: &RolloutCounts,
    ) -> Result<Option<RolloutCounts>, StoreError> {
        let query = sqlx::query(COUNT).bind(scope.as_str()).bind(number(tried));
        let query = query.bind(number(seen.runs)).bind(number(seen.faults)).bind(number(seen.divergences));
        let Some(row) = self.connections.write_one(query).await? else { return Ok(None) };
        let mut reader = Reader::new("policy_scopes", &row);
        let mut count = || reader.count().map_err(error::of_answer);
        Ok(Some(RolloutCounts { runs: count()?, faults: count()?, divergences: count()? }))
    }

    async fn add_divergence(&self, scope: &PolicyScope, tried: u64, seen: &Divergence) -> Result<(), StoreError> {
        let add = sqlx::query(ADD_DIVERGENCE)
            .bind(scope.as_str())
            .bind(number(tried))
            .bind(&*seen.game_id)
            .bind(seen.run_id.as_str())
            .bind(seen.kind.as_str())
            .bind(&*seen.current)
            .bind(&*seen.candidate)
            .bind(micros(seen.at));
        let mut transaction = self.connections.begin().await?;
        for query in [add, sqlx::query(PRUNE_DIVERGENCES).bind(scope.as_str()).bind(number(tried))] {
            query.execute(&mut *transaction).await.map_err(error::of_read)?;
        }
        transaction.commit().await.map_err(error::of_write)
    }

    async fn divergences(&self, scope: &PolicyScope, tried: u64, limit: u32) -> Result<Vec<Divergence>, StoreError> {
        let query = sqlx::query(DIVERGENCES).bind(scope.as_str()).bind(number(tried)).bind(i64::from(limit));
        self.connections.read_all(query).await?.iter().map(divergence).collect()
    }

    async fn revoke(&self, revocation: &Revocation, signed: &Signed) -> Result<bool, StoreError> {
        self.tell(changes::revoke(&self.connections, revocation, signed).await)
    }

    async fn revoked_since(&self, after: u64, limit: u32) -> Result<Vec<(u64, String)>, StoreError> {
        let query = sqlx::query(REVOKED_SINCE).bind(number(after)).bind(i64::from(limit));
        self.connections.read_all(query).await?.iter().map(revoked_subject).collect()
    }

    async fn revocations(&self, limit: u32) -> Result<Vec<(String, Signed)>, StoreError> {
        self.connections
            .read_all(sqlx::query(REVOCATIONS).bind(i64::from(limit)))
            .await?
            .iter()
            .map(revocation)
            .collect()
    }

    async fn epoch(&self) -> Result<u64, StoreError> {
        let row = self.connections.read_one(sqlx::query(EPOCH)).await?;
        let row = row.ok_or_else(|| StoreError::Corrupt("policy_epoch has no row".to_owned()))?;
        Reader::new("policy_epoch", &row).count()
    }

    async fn changed_since(&self, epoch: u64) -> Result<Changes, StoreError> {
        scope_states(&self.connections.read_all(sqlx::query(CHANGED).bind(number(epoch))).await?)
    }

    async fn state(&self, scope: &PolicyScope) -> Result<Option<ScopeState>, StoreError> {
        let rows = self.connections.read_all(sqlx::query(STATE).bind(-1_i64).bind(scope.as_str())).await?;
        let Changes { mut states, unreadable, .. } = scope_states(&rows)?;
        match unreadable.into_iter().next() {
            Some(unreadable) => Err(StoreError::Corrupt(unreadable.reason)),
            None => Ok(states.pop()),
        }
    }

    async fn history(
        &self,
        scope: &PolicyScope,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<PolicyChange>, StoreError> {
        let before = before.map_or(i64::MAX, number);
        let query = sqlx::query(HISTORY).bind(scope.as_str()).bind(before).bind(i64::from(limit));
        self.connections.read_all(query).await?.iter().map(change_of).collect()
    }

    async fn changed(&self) {
        self.waiters.notified().await;
    }

    async fn report(&self, serving: &Serving) -> Result<(), StoreError> {
        let query = sqlx::query(REPORT)
            .bind(&*serving.replica)
            .bind(serving.scope.as_str())
            .bind(serving.generation.as_str())
            .bind(ready_json(&serving.ready)?)
            .bind(serving.problem.as_deref())
            .bind(micros(serving.at));
        self.connections.write(query).await.map(|_| ())
    }

    async fn forget_reports(&self, before: Timestamp, replica: Option<&str>) -> Result<(), StoreError> {
        self.connections.write(sqlx::query(FORGET).bind(micros(before)).bind(replica)).await.map(|_| ())
    }

    async fn reports(&self, scope: &PolicyScope, since: Timestamp) -> Result<Vec<Serving>, StoreError> {
        let query = sqlx::query(REPORTS).bind(scope.as_str()).bind(micros(since));
        self.connections.read_all(query).await?.iter().map(serving).collect()
    }
}
