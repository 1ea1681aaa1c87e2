//! Pauses of the sweeper.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{Pause, PauseCause, PauseScope, Timestamp};

/// Pauses of the sweeper, and the allowances given by resuming from a breaker.
#[async_trait]
pub trait PauseStore: Send + Sync {
    /// Pauses a scope. A pause in force stays as it is, but an operator's replaces that for a clock jump, which
    /// would end by itself. Answers whether this one was set.
    async fn pause(&self, pause: &Pause) -> Result<bool, StoreError>;

    /// Lifts a pause and answers it. If its cause was the breaker, allows that many removals
    /// beyond the limit on that engine, dated `at`.
    async fn resume(&self, scope: &PauseScope, at: Timestamp) -> Result<Option<Pause>, StoreError>;

    /// The same, but only if the pause in force has this cause.
    async fn resume_if(
        &self,
        scope: &PauseScope,
        cause: PauseCause,
        at: Timestamp,
    ) -> Result<Option<Pause>, StoreError>;

    /// The pauses in force, by scope.
    async fn pauses(&self) -> Result<Vec<Pause>, StoreError>;
}
