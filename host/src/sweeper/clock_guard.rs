//! Notices when the wall clock is set: it then differs from the monotonic clock by more than drift.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::Timestamp;

/// Remembers both clocks as they were when they last agreed.
#[derive(Default)]
pub(super) struct ClockGuard(Mutex<State>);

#[derive(Default, Clone, Copy)]
struct State {
    baseline: Option<(Timestamp, Duration)>,
    /// A pause stands for a jump that this process noticed. Once it is gone, an operator has confirmed the clock.
    pause_stands: bool,
}

/// What a look at the clocks tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// They agree, as far as this process can tell.
    Fine,
    /// They agree again after a jump that this process had noticed.
    Recovered,
    /// They do not.
    Jumped(Jump),
}

/// By how much the wall clock jumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Jump {
    forward: bool,
    by: Duration,
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.forward { "forward" } else { "back" };
        write!(
            f,
            "the wall clock jumped {direction} by {} s, so ages cannot be trusted; set it right, or \
             confirm that it is right now with `rtmanager resume`",
            self.by.as_secs()
        )
    }
}

impl ClockGuard {
    /// Compares the clocks with the last time they agreed. `paused`: a pause for a jump is in force. If it was
    /// set for one that this process noticed and is gone, the clocks are taken as right.
    pub(super) fn check(&self, wall: Timestamp, monotonic: Duration, tolerance: Duration, paused: bool) -> Look {
        let mut state = self.lock();
        if state.pause_stands && !paused {
            *state = State::default();
        }
        if let Some(jump) = state.baseline.and_then(|baseline| jump_since(baseline, wall, monotonic, tolerance)) {
            return Look::Jumped(jump);
        }
        state.baseline = Some((wall, monotonic));
        if state.pause_stands { Look::Recovered } else { Look::Fine }
    }

    /// Whether the clocks differ from when they last agreed, without confirming anything. The first look of all is
    /// what later ones are compared with.
    pub(super) fn sees_jump(&self, wall: Timestamp, monotonic: Duration, tolerance: Duration) -> bool {
        let baseline = *self.lock().baseline.get_or_insert((wall, monotonic));
        jump_since(baseline, wall, monotonic, tolerance).is_some()
    }

    /// The pause for the jump is stored. Before that, its absence confirms nothing.
    pub(super) fn pause_stands(&self) {
        self.lock().pause_stands = true;
    }

    /// The pause was lifted because the clocks agree again, or an operator's is in its place.
    pub(super) fn settle(&self) {
        self.lock().pause_stands = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn jump_since(
    (wall_then, monotonic_then): (Timestamp, Duration),
    wall: Timestamp,
    monotonic: Duration,
    tolerance: Duration,
) -> Option<Jump> {
    let expected = wall_then.saturating_add(monotonic.saturating_sub(monotonic_then));
    let (forward, by) = if wall >= expected { (true, wall.since(expected)) } else { (false, expected.since(wall)) };
    (by > tolerance).then_some(Jump { forward, by })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Both clocks after so many minutes.
    fn after(minutes: u32) -> (Timestamp, Duration) {
        (Timestamp::from_micros(1_700_000_000_000_000).saturating_add(MINUTE * minutes), MINUTE * minutes)
    }

    fn check(guard: &ClockGuard, (wall, monotonic): (Timestamp, Duration), paused: bool) -> Look {
        guard.check(wall, monotonic, MINUTE, paused)
    }

    fn jumped(minutes: u32) -> (Timestamp, Duration) {
        (after(minutes + 600).0, after(minutes).1)
    }

    #[test]
    fn clocks_that_agree_are_no_jump() {
        let guard = ClockGuard::default();
        assert_eq!(check(&guard, after(0), false), Look::Fine);
        assert_eq!(check(&guard, after(60), false), Look::Fine);
    }

    #[test]
    fn a_jump_in_either_direction_is_noticed() {
        for (wall, forward) in [(after(62).0, true), (after(58).0, false)] {
            let guard = ClockGuard::default();
            check(&guard, after(0), false);
            let jump = check(&guard, (wall, after(60).1), false);
            assert_eq!(jump, Look::Jumped(Jump { forward, by: MINUTE * 2 }));
        }
    }

    #[test]
    fn a_pause_from_before_a_restart_is_not_lifted_by_clocks_that_were_never_compared() {
        let guard = ClockGuard::default();
        assert_eq!(check(&guard, after(0), true), Look::Fine);
        assert_eq!(check(&guard, after(10), true), Look::Fine);
    }

    #[test]
    fn it_stays_noticed_until_the_clock_is_right_again_or_an_operator_confirms() {
        let guard = ClockGuard::default();
        check(&guard, after(0), false);
        assert!(matches!(check(&guard, jumped(10), false), Look::Jumped(_)));
        guard.pause_stands();
        assert!(matches!(check(&guard, jumped(20), true), Look::Jumped(_)));
        assert_eq!(check(&guard, after(30), true), Look::Recovered);
        guard.settle();
        assert!(matches!(check(&guard, jumped(40), false), Look::Jumped(_)));
        guard.pause_stands();
        assert_eq!(check(&guard, jumped(50), false), Look::Fine, "no pause any more: confirmed");
    }

    #[test]
    fn a_pause_that_was_never_stored_confirms_nothing_by_its_absence() {
        let guard = ClockGuard::default();
        check(&guard, after(0), false);
        assert!(matches!(check(&guard, jumped(10), false), Look::Jumped(_)));
        assert!(matches!(check(&guard, jumped(20), false), Look::Jumped(_)));
    }
}
