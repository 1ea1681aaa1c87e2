//! How long a run computes, however long it waits.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

const STOPPED: u64 = u64::MAX;

/// Runs while a future is being polled, and stands still while it waits: for a host call, for a WASI poll, or
/// for its turn behind others that compute.
pub(super) struct Stopwatch {
    base: Instant,
    /// Nanoseconds of all polls that have ended.
    spent: AtomicU64,
    /// When the poll under way began, in nanoseconds since `base`.
    since: AtomicU64,
}

impl Stopwatch {
    pub(super) fn new() -> Self {
        Self { base: Instant::now(), spent: AtomicU64::new(0), since: AtomicU64::new(STOPPED) }
    }

    /// Polls a future, and runs meanwhile.
    pub(super) async fn time<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            self.since.store(self.now(), Ordering::Relaxed);
            let polled = future.as_mut().poll(context);
            self.spent.store(self.elapsed_nanos(), Ordering::Relaxed);
            self.since.store(STOPPED, Ordering::Relaxed);
            polled
        })
        .await
    }

    /// The time so far.
    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed_nanos())
    }

    // One task at a time polls a run, and reads only from within its poll, so the two values fit together.
    fn elapsed_nanos(&self) -> u64 {
        let spent = self.spent.load(Ordering::Relaxed);
        match self.since.load(Ordering::Relaxed) {
            STOPPED => spent,
            since => spent.saturating_add(self.now().saturating_sub(since)),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(STOPPED - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_does_not_count_and_computing_does() {
        let stopwatch = Stopwatch::new();
        stopwatch
            .time(async {
                tokio::time::sleep(Duration::from_secs(60)).await;
                assert_eq!(stopwatch.elapsed(), Duration::ZERO);
            })
            .await;
        tokio::time::resume();
        stopwatch
            .time(async {
                let now = Instant::now();
                while now.elapsed() < Duration::from_millis(20) {
                    std::hint::spin_loop();
                }
            })
            .await;
        assert!(stopwatch.elapsed() >= Duration::from_millis(20));
    }
}
