//! What becomes of candidates that were not removed: when they are asked about again.

use std::time::Duration;

use crate::model::{GenerationId, Parked, Timestamp, TrackedRuntime, bounded_text};
use crate::ports::Disposition;

const REASON_BYTES: usize = 512;

/// The times of waits and backoff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOptions {
    /// The first failure waits for up to this long; each further one for up to twice as long.
    pub backoff_base: Duration,
    /// No failure waits longer.
    pub backoff_cap: Duration,
    /// So many failures in a row park a game.
    pub park_after: u32,
    /// When a policy keeps without a time, it is asked again after this.
    pub keep_recheck: Duration,
    /// No word of a policy is taken for longer than this.
    pub max_wait: Duration,
}

/// What a failure leads to.
pub(super) enum Failure {
    Retry(Disposition),
    Park(Disposition),
}

impl RetryOptions {
    pub(super) fn wait(
        &self,
        runtime: &TrackedRuntime,
        now: Timestamp,
        until: Timestamp,
        reason: &str,
        generation: GenerationId,
    ) -> Disposition {
        wait(runtime, now, until.min(now.saturating_add(self.max_wait)), reason, Some(generation))
    }

    pub(super) fn keep(
        &self,
        runtime: &TrackedRuntime,
        now: Timestamp,
        reason: &str,
        generation: GenerationId,
    ) -> Disposition {
        wait(runtime, now, now.saturating_add(self.keep_recheck), reason, Some(generation))
    }

    /// A held game is taken out of the walk while the hold lasts; lifting the hold ends the wait.
    pub(super) fn hold(
        &self,
        runtime: &TrackedRuntime,
        now: Timestamp,
        until: Option<Timestamp>,
        reason: &str,
    ) -> Disposition {
        let latest = now.saturating_add(self.max_wait);
        wait(runtime, now, until.map_or(latest, |until| until.min(latest)), reason, None)
    }

    /// Exponential backoff with full jitter (`draw` in 0..=1), and parking in the end.
    pub(super) fn failure(
        &self,
        runtime: &TrackedRuntime,
        now: Timestamp,
        reason: &str,
        generation: Option<GenerationId>,
        draw: f64,
    ) -> Failure {
        let failed_attempts = runtime.cleanup.failed_attempts.saturating_add(1);
        let reason = bounded_text(reason, REASON_BYTES);
        if failed_attempts >= self.park_after {
            return Failure::Park(Disposition::Park { parked: Parked { at: now, reason }, failed_attempts });
        }
        let doublings = (failed_attempts - 1).min(30);
        let longest = self.backoff_base.saturating_mul(1 << doublings).min(self.backoff_cap);
        let until = after(now, now.saturating_add(longest.mul_f64(draw.clamp(0.0, 1.0))));
        Failure::Retry(Disposition::Wait { until, reason, generation, failed_attempts })
    }
}

fn wait(
    runtime: &TrackedRuntime,
    now: Timestamp,
    until: Timestamp,
    reason: &str,
    generation: Option<GenerationId>,
) -> Disposition {
    let failed_attempts = runtime.cleanup.failed_attempts;
    let reason = bounded_text(reason, REASON_BYTES);
    Disposition::Wait { until: after(now, until), reason, generation, failed_attempts }
}

/// A wait ends after the present, so that the sweep which wrote it does not come upon its row again.
fn after(now: Timestamp, until: Timestamp) -> Timestamp {
    until.max(now.saturating_add(Duration::from_micros(1)))
}
