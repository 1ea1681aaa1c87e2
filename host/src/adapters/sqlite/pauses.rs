//! Pauses in SQLite.

use async_trait::async_trait;

use super::{Connections, error};
use crate::adapters::sql::{cause_columns, micros, number, pause_of, scope_columns};
use crate::model::{Pause, PauseCause, PauseScope, Timestamp};
use crate::ports::{PauseStore, StoreError};

/// The pauses of an open file.
pub struct SqlitePauses {
    connections: Connections,
}

impl SqlitePauses {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

const PAUSE: &str = "INSERT INTO pauses (scope, name, cause, removals, reason, actor, paused_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (scope, name) DO UPDATE
    SET cause = excluded.cause, reason = excluded.reason, actor = excluded.actor, paused_at = excluded.paused_at
    WHERE cause = 'clock_jump' AND excluded.cause = 'operator'";

const RESUME: &str = "DELETE FROM pauses WHERE scope = ?1 AND name = ?2
        AND (?3 IS NULL OR (cause = ?3 AND removals = ?4))
    RETURNING scope, name, cause, removals, reason, actor, paused_at";

const ALLOW: &str = "INSERT INTO breaker_allowances (engine, removals, allowed_at) VALUES (?1, ?2, ?3)";

const PAUSES: &str = "SELECT scope, name, cause, removals, reason, actor, paused_at FROM pauses";

#[async_trait]
impl PauseStore for SqlitePauses {
    async fn pause(&self, pause: &Pause) -> Result<bool, StoreError> {
        let (scope, name) = scope_columns(&pause.scope);
        let (cause, removals) = cause_columns(pause.cause);
        let query = sqlx::query(PAUSE).bind(scope).bind(name).bind(cause).bind(number(removals));
        let query = query.bind(&*pause.reason).bind(&*pause.actor).bind(micros(pause.at));
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
        let rows = self.connections.read_all(sqlx::query(PAUSES)).await?;
        let mut pauses = rows.iter().map(pause_of).collect::<Result<Vec<_>, _>>()?;
        pauses.sort_by(|a, b| a.scope.cmp(&b.scope));
        Ok(pauses)
    }
}

impl SqlitePauses {
    async fn lift(
        &self,
        scope: &PauseScope,
        only: Option<PauseCause>,
        at: Timestamp,
    ) -> Result<Option<Pause>, StoreError> {
        let mut transaction = self.connections.begin().await?;
        let (kind, name) = scope_columns(scope);
        let (cause, removals) = only.map(cause_columns).unzip();
        let query = sqlx::query(RESUME).bind(kind).bind(name).bind(cause).bind(removals.map(number));
        let lifted = query.fetch_all(&mut *transaction).await;
        let Some(row) = lifted.map_err(error::of_read)?.pop() else {
            return Ok(None);
        };
        let pause = pause_of(&row)?;
        if let (PauseScope::Engine(engine), PauseCause::Breaker { removals }) = (scope, pause.cause) {
            let allow = sqlx::query(ALLOW).bind(engine.as_str()).bind(number(removals)).bind(micros(at));
            allow.execute(&mut *transaction).await.map_err(error::of_read)?;
        }
        transaction.commit().await.map_err(error::of_write)?;
        Ok(Some(pause))
    }
}
