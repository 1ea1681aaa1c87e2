//! Calls and probes under way: whatever becomes of them, and of those who wait for them, they end.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::{Ended, GuardedEngine, Kind, Probe, Started};
use crate::ports::EngineError;

/// A call or a ping under way. Dropped, it was given up by its caller.
pub(super) struct UnderWay<'g> {
    guard: &'g GuardedEngine,
    began: Duration,
    /// None of a ping.
    call: Option<(Started, OwnedSemaphorePermit)>,
    over: bool,
}

impl<'g> UnderWay<'g> {
    pub(super) fn call(guard: &'g GuardedEngine, kind: Kind, place: OwnedSemaphorePermit) -> Self {
        let began = guard.clock.monotonic();
        let started = guard.change(|state| state.limit.begin(kind, began));
        Self { guard, began, call: Some((started, place)), over: false }
    }

    pub(super) fn ping(guard: &'g GuardedEngine) -> Self {
        Self { guard, began: guard.clock.monotonic(), call: None, over: false }
    }

    /// It came to this. A quick failure in a call can be the container's; a ping tells.
    pub(super) async fn end<T>(mut self, answer: &Result<T, EngineError>) {
        let answered = matches!(answer, Ok(_) | Err(EngineError::Refused(_)));
        let of_engine = !answered && (self.call.is_none() || self.hung() || !self.guard.answers().await);
        self.settle(if answered { Ended::Answered } else { Ended::Failed }, of_engine);
    }

    fn hung(&self) -> bool {
        self.guard.clock.monotonic().saturating_sub(self.began) >= self.guard.patience
    }

    fn settle(&mut self, ended: Ended, of_engine: bool) {
        self.over = true;
        let (now, began, call) = (self.guard.clock.monotonic(), self.began, self.call.take());
        self.guard.change(|state| {
            if of_engine {
                state.circuit.failed(began, now);
            }
            let Some((started, place)) = call else { return };
            if ended == Ended::Answered {
                state.circuit.succeeded(now);
            }
            state.limit.end(started, ended, now);
            if state.places > state.limit.now() {
                state.places -= 1;
                place.forget();
            }
        });
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.over {
            let hung = self.hung();
            self.settle(if hung { Ended::Failed } else { Ended::GivenUp }, hung);
        }
    }
}

/// The ping that decides about an open circuit. Dropped, it decides nothing.
pub(super) struct Probing<'g> {
    guard: &'g GuardedEngine,
    began: Duration,
    over: bool,
}

impl<'g> Probing<'g> {
    pub(super) fn begin(guard: &'g GuardedEngine) -> Self {
        Self { guard, began: guard.clock.monotonic(), over: false }
    }

    pub(super) fn end(mut self, probe: Probe) {
        self.settle(probe);
    }

    fn settle(&mut self, probe: Probe) {
        self.over = true;
        let now = self.guard.clock.monotonic();
        self.guard.change(|state| state.circuit.probed(probe, now));
    }
}

impl Drop for Probing<'_> {
    fn drop(&mut self) {
        if !self.over {
            let hung = self.guard.clock.monotonic().saturating_sub(self.began) >= self.guard.patience;
            self.settle(if hung { Probe::Failed } else { Probe::GivenUp });
        }
    }
}
