//! The time of a history: tokio's paused clock, which moves when nothing else is to be done.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Timestamp;
use crate::ports::Clock;

/// When every history begins: noon of 1 January 2026, UTC.
const BEGINNING: u64 = 1_767_268_800_000_000;

/// The clock of one machine.
pub(crate) struct VirtualClock {
    start: Instant,
    ahead_micros: AtomicI64,
}

impl VirtualClock {
    /// A clock of a history that began at `start`, so many milliseconds ahead of the true time.
    pub(crate) fn new(start: Instant, ahead_ms: i64) -> Self {
        Self { start, ahead_micros: AtomicI64::new(ahead_ms.saturating_mul(1_000)) }
    }

    /// A clock that shows `now` at `start`, to the millisecond.
    pub(crate) fn showing(start: Instant, now: Timestamp) -> Self {
        let ahead = i128::from(now.as_micros()) - i128::from(BEGINNING);
        Self::new(start, i64::try_from(ahead / 1_000).unwrap_or_default())
    }

    /// Sets the wall clock forward, or back.
    pub(crate) fn jump(&self, by_ms: i64) {
        self.ahead_micros.fetch_add(by_ms.saturating_mul(1_000), Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.monotonic().as_micros()).unwrap_or(u64::MAX);
        let ahead = self.ahead_micros.load(Ordering::Relaxed);
        Timestamp::from_micros(BEGINNING.saturating_add(elapsed).saturating_add_signed(ahead))
    }

    fn monotonic(&self) -> Duration {
        Instant::now().saturating_duration_since(self.start)
    }
}
