//! What a policy's runs cost: measured where they are made, by clocks that run on while a scenario's stands still.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::runtime::processor;

/// What something took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// By the clock on the wall.
    pub wall: Duration,
    /// Of this thread's processor.
    pub cpu: Duration,
}

/// Both clocks as something begins.
pub struct Meter {
    wall: Duration,
    cpu: Duration,
}

impl Meter {
    /// Begins now.
    pub fn start() -> Self {
        Self { wall: on_the_wall(), cpu: processor::time_of_this_thread() }
    }

    /// What has been spent since, on this thread.
    pub fn stop(self) -> Cost {
        Cost {
            wall: on_the_wall().saturating_sub(self.wall),
            cpu: processor::time_of_this_thread().saturating_sub(self.cpu),
        }
    }
}

impl Cost {
    /// One after the other.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { wall: self.wall.saturating_add(other.wall), cpu: self.cpu.saturating_add(other.cpu) }
    }
}

fn on_the_wall() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    Duration::new(u64::try_from(tv_sec).unwrap_or_default(), u32::try_from(tv_nsec).unwrap_or_default())
}
