//! Time and randomness of the system: the only place that reads either.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;
use crate::ports::{Clock, Randomness, RandomnessError};

/// What [`SystemClock::monotonic`] counts from; one moment for the whole process, so that times of
/// different clocks compare.
#[allow(clippy::disallowed_methods, reason = "this is the one file that reads the system's clocks")]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The system's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[allow(clippy::disallowed_methods, reason = "this is the one file that reads the system's clocks")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::EPOCH.saturating_add(since_epoch)
    }

    fn monotonic(&self) -> Duration {
        // Forced first: otherwise the first caller's "now" would lie before the start.
        let start = *START;
        Instant::now().saturating_duration_since(start)
    }
}

/// The system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomnessError> {
        getrandom::fill(buffer).map_err(|error| RandomnessError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_of_this_century_and_monotonic_time_never_goes_back() {
        let clock = SystemClock;
        assert!(clock.now() > Timestamp::from_micros(1_700_000_000_000_000));
        let earlier = clock.monotonic();
        assert!(clock.monotonic() >= earlier);
    }

    #[test]
    fn two_draws_differ() {
        let (mut one, mut two) = ([0_u8; 32], [0_u8; 32]);
        assert_eq!(SystemRandomness.fill(&mut one), Ok(()));
        assert_eq!(SystemRandomness.fill(&mut two), Ok(()));
        assert_ne!(one, two);
    }
}
