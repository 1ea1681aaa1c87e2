//! Pauses in PostgreSQL.

use async_trait::async_trait;

use super::connections::Connections;
use super::error;
use super::row::{Moment, storable};
use crate::adapters::sql::{cause_columns, number, pause_of, scope_columns};
use crate::model::{Pause, PauseCause, PauseScope, Timestamp};
use crate::ports::{PauseStore, StoreError};

/// The pauses of a database.
pub struct PostgresPauses {
    connections: Connections,
}

impl PostgresPauses {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

const PAUSE: &str = "INSERT INTO pauses (scope, name, cause, removals, reason, actor, paused_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (scope, name) DO UPDATE
    SET cause = excluded.cause, reason = excluded.reason, actor = excluded.actor, paused_at = excluded.paused_at
    WHERE pauses.cause = 'clock_jump' AND excluded.cause = 'operator'";

/// Lifts and allows in one statement.
const RESUME: &str = "WITH lifted AS (
        DELETE FROM pauses WHERE scope = $1 AND name = $2
            AND ($3::text IS NULL OR (cause = $3 AND removals = $4))
        RETURNING scope, name, cause, removals, reason, actor, paused_at
    ), allowed AS (
        INSERT INTO breaker_allowances (engine, removals, allowed_at)
        SELECT name, removals, $5 FROM lifted WHERE scope = 'engine' AND cause = 'breaker'
    )
    SELECT scope, name, cause, removals, reason, actor, paused_at FROM lifted";

const PAUSES: &str = "SELECT scope, name, cause, removals, reason, actor, paused_at FROM pauses";

#[async_trait]
impl PauseStore for PostgresPauses {
    async fn pause(&self, pause: &Pause) -> Result<bool, StoreError> {
        let (scope, name) = scope_columns(&pause.scope);
        let (cause, removals) = cause_columns(pause.cause);
        let query = sqlx::query(PAUSE).bind(scope).bind(name).bind(cause).bind(number(removals));
        let query = query.bind(storable(&pause.reason)).bind(storable(&pause.actor)).bind(Moment::from(pause.at));
        Ok(self.connections.write(query).await? > 0)
    }

    async fn resume(&self, scope: &PauseScope, at: Timestamp) -> Result<Option<Pause>, StoreError> {
        self.lift(scope, None, at).await
    }

    async fn resume_if(
        &self,
        scope: &PauseScope,
        cause: PauseCause,
        at: Timestamp,
    ) -> Result<Option<Pause>, StoreError> {
        self.lift(scope, Some(cause), at).await
    }

    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        let rows = self.connections.read_all(|| sqlx::query(PAUSES)).await?;
        let mut pauses = rows.iter().map(pause_of).collect::<Result<Vec<_>, _>>()?;
        pauses.sort_by(|a, b| a.scope.cmp(&b.scope));
        Ok(pauses)
    }
}

impl PostgresPauses {
    async fn lift(
        &self,
        scope: &PauseScope,
        only: Option<PauseCause>,
        at: Timestamp,
    ) -> Result<Option<Pause>, StoreError> {
        let (kind, name) = scope_columns(scope);
        let (cause, removals) = only.map(cause_columns).unzip();
        let query = sqlx::query(RESUME).bind(kind).bind(name).bind(cause).bind(removals.map(number));
        let lifted = self.connections.write_one(query.bind(Moment::from(at))).await?;
        lifted.as_ref().map(pause_of).transpose().map_err(error::of_answer)
    }
}
