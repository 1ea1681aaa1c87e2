//! A clock that stands still until it is told to move.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::Timestamp;
use crate::ports::Clock;

/// Wall and monotonic time, moved by hand.
pub struct ManualClock {
    times: Mutex<Times>,
}

#[derive(Clone, Copy)]
struct Times {
    wall: Timestamp,
    monotonic: Duration,
}

impl ManualClock {
    /// A clock that shows `wall`.
    pub fn at(wall: Timestamp) -> Self {
        Self { times: Mutex::new(Times { wall, monotonic: Duration::ZERO }) }
    }

    /// Lets time pass.
    pub fn advance(&self, span: Duration) {
        let mut times = self.lock();
        times.wall = times.wall.saturating_add(span);
        times.monotonic = times.monotonic.saturating_add(span);
    }

    /// Sets the wall clock, forwards or backwards, while no time passes: a clock jump.
    pub fn jump_to(&self, wall: Timestamp) {
        self.lock().wall = wall;
    }

    fn lock(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.lock().wall
    }

    fn monotonic(&self) -> Duration {
        self.lock().monotonic
    }
}
