//! Pauses in memory.

use async_trait::async_trait;

use super::{Allowance, MemoryStore, State};
use crate::model::{Pause, PauseCause, PauseScope, Timestamp};
use crate::ports::{PauseStore, StoreError};

/// The pauses of a [`MemoryStore`].
pub struct MemoryPauses {
    store: MemoryStore,
}

impl MemoryPauses {
    pub(super) fn new(store: MemoryStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl PauseStore for MemoryPauses {
    async fn pause(&self, pause: &Pause) -> Result<bool, StoreError> {
        let mut state = self.store.lock();
        let in_force = state.pauses.get(&pause.scope).map(|in_force| in_force.cause);
        let replaces = pause.cause == PauseCause::Operator && in_force == Some(PauseCause::ClockJump);
        if in_force.is_some() && !replaces {
            return Ok(false);
        }
        state.pauses.insert(pause.scope.clone(), pause.clone());
        Ok(true)
    }

    async fn resume(&self, scope: &PauseScope, at: Timestamp) -> Result<Option<Pause>, StoreError> {
        Ok(self.store.lock().resume(scope, None, at))
    }

    async fn resume_if(
        &self,
        scope: &PauseScope,
        cause: PauseCause,
        at: Timestamp,
    ) -> Result<Option<Pause>, StoreError> {
        Ok(self.store.lock().resume(scope, Some(cause), at))
    }

    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        Ok(self.store.lock().pauses.values().cloned().collect())
    }
}

impl State {
    fn resume(&mut self, scope: &PauseScope, only: Option<PauseCause>, at: Timestamp) -> Option<Pause> {
        let in_force = self.pauses.get(scope)?.cause;
        if only.is_some_and(|cause| cause != in_force) {
            return None;
        }
        if let (PauseScope::Engine(engine), PauseCause::Breaker { removals }) = (scope, in_force) {
            self.allowances.push(Allowance { engine: engine.clone(), removals, at });
        }
        self.pauses.remove(scope)
    }
}
