//! One process of a replica, from its start to its death.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A process that can be made to stand still, or to die.
#[derive(Default)]
pub(crate) struct Life {
    death: CancellationToken,
    frozen_until: Mutex<Option<Instant>>,
}

impl Life {
    /// From now on nothing that the process does is seen by anybody.
    pub(crate) fn end(&self) {
        self.death.cancel();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.death.is_cancelled()
    }

    /// Returns once the process is dead.
    pub(crate) async fn ended(&self) {
        self.death.cancelled().await;
    }

    /// Nothing of the process goes on for so long.
    pub(super) fn freeze(&self, span: Duration) {
        *self.frozen_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + span);
    }

    /// Whether the process stands still.
    pub(super) fn is_frozen(&self) -> bool {
        let until = *self.frozen_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Waits until the process does not stand still any more.
    pub(super) async fn thawed(&self) {
        loop {
            let until = *self.frozen_until.lock().unwrap_or_else(PoisonError::into_inner);
            match until {
                Some(until) if Instant::now() < until => tokio::time::sleep_until(until).await,
                _ => return,
            }
        }
    }
}
