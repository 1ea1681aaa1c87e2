//! Keeps the sweeper from games that containers claim against each other.

use super::Reconciler;
use crate::model::{GameId, RuntimeRecord, Status, Timestamp, TrackedRuntime};
use crate::ports::{Disposition, StoreError};

/// Stands as the reason of a wait while containers claim one game.
const CONFLICT: &str = "containers claim this game against each other; neither is touched";
/// Tries to protect a record that others write at the same time.
const PROTECTION_TRIES: u32 = 3;

impl Reconciler {
    /// Keeps the sweeper from the game's record while the conflict lasts, if it concerns the record: what only
    /// other tenants claim does not. A parked record is kept already.
    pub(super) async fn protect(
        &self,
        game: &GameId,
        concerns: impl Fn(&RuntimeRecord) -> bool,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        for _ in 0..PROTECTION_TRIES {
            let Some(current) = self.records.get(game).await? else { return Ok(()) };
            let kept = current.record.status == Status::Removed || current.cleanup.parked.is_some();
            if kept || !concerns(&current.record) {
                return Ok(());
            }
            let until =
                now.saturating_add(self.options.conflict_wait).max(current.cleanup.wait_until.unwrap_or_default());
            if self.is_protected(&current, now) || self.wait(&current, until, CONFLICT).await? {
                return Ok(());
            }
        }
        tracing::warn!(%game, "a game with a conflict is not protected: its record keeps changing");
        Ok(())
    }

    fn is_protected(&self, current: &TrackedRuntime, now: Timestamp) -> bool {
        let soon = now.saturating_add(self.options.conflict_wait / 2);
        has_conflict(current) && current.cleanup.wait_until.is_some_and(|until| until > soon)
    }

    /// Gives the game back to the sweeper once nothing contradicts its container any more. Should the
    /// record have changed in between, its change has ended the wait.
    pub(super) async fn end_protection(&self, current: &TrackedRuntime) -> Result<(), StoreError> {
        self.wait(current, self.clock.now(), "the conflict about this game is over").await.map(|_| ())
    }

    async fn wait(&self, current: &TrackedRuntime, until: Timestamp, reason: &str) -> Result<bool, StoreError> {
        let disposition = Disposition::Wait {
            until,
            reason: reason.to_owned(),
            generation: None,
            failed_attempts: current.cleanup.failed_attempts,
        };
        self.records.dispose(&current.record.game_id, current.record.version, &disposition).await
    }
}

pub(super) fn has_conflict(current: &TrackedRuntime) -> bool {
    current.cleanup.wait_reason.as_deref() == Some(CONFLICT)
}
