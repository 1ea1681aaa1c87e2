//! What a thread has had of its processor: not what the machine did meanwhile for others.

use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::time::Instant;

/// To ask what a thread has had costs half a microsecond, so that is done now and then, and after what took long.
const FRESH: Duration = Duration::from_micros(500);

thread_local! {
    /// What this thread had had, some time ago.
    static KNOWN: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// So much has this thread had.
pub(crate) fn time_of_this_thread() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(tv_sec).unwrap_or_default(), u32::try_from(tv_nsec).unwrap_or_default())
}

/// Something that begins, and ends on the same thread.
pub(super) struct Span(Instant);

impl Span {
    pub(super) fn begin() -> Self {
        let now = Instant::now();
        if KNOWN.get().is_none_or(|(at, _)| now.saturating_duration_since(at) > FRESH) {
            KNOWN.set(Some((now, time_of_this_thread())));
        }
        Self(now)
    }

    /// What it had of the processor. If it took longer than [`FRESH`], that is told up to so much too high.
    pub(super) fn end(self) -> Duration {
        let passed = self.0.elapsed();
        match KNOWN.get() {
            Some((_, before)) if passed > FRESH => passed.min(time_of_this_thread().saturating_sub(before)),
            _ => passed,
        }
    }
}
