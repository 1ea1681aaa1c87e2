//! Removals whose record does not say so yet: the policy removed the container, and then its run failed. For the
//! breaker they are removals all the same. A later run closes the record; until then this process remembers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::WINDOW;
use crate::model::{ContainerId, EngineName};

#[derive(Default)]
pub(super) struct Unrecorded(Mutex<BTreeMap<(EngineName, ContainerId), Duration>>);

impl Unrecorded {
    /// Remembers a removal, made at `at` on the monotonic clock.
    pub(super) fn note(&self, engine: &EngineName, container: &ContainerId, at: Duration) {
        self.lock().insert((engine.clone(), container.clone()), at);
    }

    /// Forgets a removal: its record says so now, and counts itself.
    pub(super) fn settle(&self, engine: &EngineName, container: &ContainerId) {
        self.lock().remove(&(engine.clone(), container.clone()));
    }

    /// The engine's removals within the rolling day before `now`.
    pub(super) fn count(&self, engine: &EngineName, now: Duration) -> u64 {
        let mut removals = self.lock();
        removals.retain(|_, at| now.saturating_sub(*at) < WINDOW);
        removals.keys().filter(|(on, _)| on == engine).count() as u64
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(EngineName, ContainerId), Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
