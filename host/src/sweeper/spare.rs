//! What the breaker leaves of a day's removals, for others who make records say `removed`.

use super::breaker::Budget;
use super::{Sweeper, WINDOW};
use crate::model::{EngineName, PauseScope, TenantId};
use crate::ports::StoreError;

/// What may be removed on an engine without asking an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spare {
    /// So many removals fit within the breaker's limit of the rolling day.
    pub removals: u64,
    /// Nothing of these.
    pub paused_tenants: Vec<TenantId>,
}

impl Sweeper {
    /// What a sweep of the engine might remove now; inside, why it would not begin at all: a pause, or a wall clock that
    /// jumped, by which the day cannot be counted.
    pub async fn spare(&self, engine: &EngineName) -> Result<Result<Spare, String>, StoreError> {
        let inner = &self.0;
        let (now, monotonic) = (inner.ports.clock.now(), inner.ports.clock.monotonic());
        if inner.clock_guard.sees_jump(now, monotonic, inner.options.clock_tolerance) {
            return Ok(Err("the wall clock jumped".to_owned()));
        }
        let mut paused_tenants = Vec::new();
        for pause in inner.pauses.pauses().await? {
            match pause.scope {
                PauseScope::Tenant(tenant) => paused_tenants.push(tenant),
                PauseScope::Engine(other) if other != *engine => {}
                PauseScope::Global | PauseScope::Engine(_) => {
                    return Ok(Err(format!("paused by {}: {}", pause.actor, pause.reason)));
                }
            }
        }
        let floor = now.saturating_sub(inner.options.retention);
        let window = now.saturating_sub(WINDOW);
        let mut census = inner.ports.records.census(engine, floor, now, window, "").await?;
        let unrecorded = inner.unrecorded.count(engine, monotonic);
        census.removed_recently = census.removed_recently.saturating_add(unrecorded);
        let removals = Budget::of(&inner.options.breaker, &census).left_for_walk();
        Ok(Ok(Spare { removals, paused_tenants }))
    }
}
