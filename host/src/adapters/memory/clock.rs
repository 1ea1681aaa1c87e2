//! A clock that stands still until it is told to move.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use crate::model::Timestamp;
use crate::ports::Clock;

/// Wall and monotonic time, moved by hand. Whoever reads it holds up nobody who does, as with a real clock: one policy
/// that asks for the time without end must not slow another down.
pub struct ManualClock {
    times: RwLock<Times>,
}

#[derive(Clone, Copy)]
struct Times {
    wall: Timestamp,
    monotonic: Duration,
}

impl ManualClock {
    /// A clock that shows `wall`.
    pub fn at(wall: Timestamp) -> Self {
        Self { times: RwLock::new(Times { wall, monotonic: Duration::ZERO }) }
    }

    /// Lets time pass.
    pub fn advance(&self, span: Duration) {
        let mut times = self.set();
        times.wall = times.wall.saturating_add(span);
        times.monotonic = times.monotonic.saturating_add(span);
    }

    /// Sets the wall clock, forwards or backwards, while no time passes: a clock jump.
    pub fn jump_to(&self, wall: Timestamp) {
        self.set().wall = wall;
    }

    fn times(&self) -> RwLockReadGuard<'_, Times> {
        self.times.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) -> RwLockWriteGuard<'_, Times> {
        self.times.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    /// Noon of 1 January 2026, UTC.
    fn default() -> Self {
        Self::at(Timestamp::from_micros(1_767_268_800_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.times().wall
    }

    fn monotonic(&self) -> Duration {
        self.times().monotonic
    }
}
