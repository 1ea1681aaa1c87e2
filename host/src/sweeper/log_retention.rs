//! Old entries of the operation log are deleted only by a clock that can be trusted: one that was set forward would
//! take every entry for an old one.

use std::time::Duration;

use super::{Inner, Sweeper};
use crate::model::{PauseCause, Timestamp};
use crate::ports::StoreError;

impl Sweeper {
    /// Deletes up to `limit` entries of the operation log that are older than `retention`, and answers how many.
    /// None at all while the wall clock is in doubt.
    pub async fn prune_log(&self, retention: Duration, limit: u32) -> Result<u64, StoreError> {
        let ports = &self.0.ports;
        let now = ports.clock.now();
        if !self.0.trusts_clock(now).await? {
            tracing::warn!("old entries of the operation log stay while the wall clock is in doubt");
            return Ok(0);
        }
        // Those that nobody gave back; a game that is never asked for again would keep its row for ever.
        ports.leases.prune(now, limit).await?;
        ports.operations.prune(now.saturating_sub(retention), limit).await
    }

    /// Whether what is old by the wall clock is old.
    pub async fn trusts_clock(&self) -> Result<bool, StoreError> {
        self.0.trusts_clock(self.0.ports.clock.now()).await
    }
}

impl Inner {
    /// Whether neither this process sees a jump nor a pause for one stands, whoever set it.
    async fn trusts_clock(&self, now: Timestamp) -> Result<bool, StoreError> {
        if self.clock_guard.sees_jump(now, self.ports.clock.monotonic(), self.options.clock_tolerance) {
            return Ok(false);
        }
        Ok(self.pauses.pauses().await?.iter().all(|pause| pause.cause != PauseCause::ClockJump))
    }
}
