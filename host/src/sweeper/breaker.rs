//! The blast-radius breaker: a wrong retention, a clock that is off or a bad policy must not empty an
//! engine. Also what makes the first sweep over a backlog safe.

use crate::model::{Census, EngineName};

/// However few records an engine has, so many removals a day are never too many.
const ALWAYS_ALLOWED: u64 = 20;

/// When so many removals are too many.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerOptions {
    /// The share of an engine's records that may be removed within a rolling day, from 0 to 1.
    pub max_share: f64,
}

/// How many removals an engine has left in the rolling day.
pub(super) struct Budget {
    limit: u64,
    left: u64,
    left_for_walk: u64,
    overdrawn: u64,
}

impl Budget {
    pub(super) fn of(options: &BreakerOptions, census: &Census) -> Self {
        // What was removed within the day counts as present: the share is of what there was.
        let records = census.not_removed.saturating_add(census.removed_recently);
        let share = share_of(records, options.max_share);
        let limit = share.max(ALWAYS_ALLOWED).saturating_add(census.allowance);
        let left = limit.saturating_sub(census.removed_recently);
        let by_others = census.removed_recently.saturating_sub(census.removed_by_walk).saturating_add(census.claimed);
        Self {
            limit,
            left,
            left_for_walk: limit.saturating_sub(by_others),
            overdrawn: census.removed_recently.saturating_sub(limit),
        }
    }

    /// Whether so many more removals would pass the limit.
    pub(super) fn is_exceeded_by(&self, candidates: u64) -> bool {
        candidates > self.left
    }

    /// How many removals one walk may make from its beginning to its end: what others have claimed they may remove
    /// meanwhile.
    pub(super) fn left_for_walk(&self) -> u64 {
        self.left_for_walk
    }

    /// How many removals there were beyond the limit.
    pub(super) fn overdrawn(&self) -> u64 {
        self.overdrawn
    }

    pub(super) fn explain(&self, engine: &EngineName, census: &Census, due: u64) -> String {
        format!(
            "{} candidates on engine {engine} and {} removals within the last 24 h would pass the limit of {} \
             ({} records are not removed). See what is due and why with `rtmanager sweep --dry-run --engine {engine}`; \
             allow these {} removals with `rtmanager resume --engine {engine}`",
            due, census.removed_recently, self.limit, census.not_removed, due
        )
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count needs no more than 52 bits, and is clamped to 0..=1"
)]
fn share_of(records: u64, share: f64) -> u64 {
    (records as f64 * share.clamp(0.0, 1.0)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(not_removed: u64, removed_recently: u64, allowance: u64) -> Census {
        Census { not_removed, removed_recently, allowance, ..Census::default() }
    }

    fn budget(census: Census) -> Budget {
        Budget::of(&BreakerOptions { max_share: 0.2 }, &census)
    }

    #[test]
    fn twenty_a_day_are_never_too_many() {
        assert!(!budget(census(20, 0, 0)).is_exceeded_by(20));
        assert!(budget(census(20, 0, 0)).is_exceeded_by(21));
        assert!(budget(census(10, 10, 0)).is_exceeded_by(11));
    }

    #[test]
    fn the_share_is_of_what_there_was_when_the_day_began() {
        assert!(!budget(census(1_000, 0, 0)).is_exceeded_by(200));
        assert!(budget(census(900, 100, 0)).is_exceeded_by(101));
    }

    #[test]
    fn an_allowance_adds_to_the_limit() {
        assert!(!budget(census(1_000, 0, 500)).is_exceeded_by(700));
        assert!(budget(census(1_000, 0, 500)).is_exceeded_by(701));
    }

    #[test]
    fn what_other_walks_have_claimed_is_left_to_them_but_is_among_the_candidates() {
        let budget = budget(Census { claimed: 12, ..census(50, 5, 0) });
        assert_eq!(budget.left_for_walk(), 3);
        assert!(!budget.is_exceeded_by(15));
    }

    #[test]
    fn what_the_walk_itself_has_removed_is_its_own() {
        assert_eq!(budget(Census { removed_by_walk: 4, ..census(50, 5, 0) }).left_for_walk(), 19);
    }

    #[test]
    fn what_was_removed_within_the_day_is_used_up() {
        assert_eq!(budget(census(50, 5, 0)).left_for_walk(), 15);
        assert_eq!(budget(census(50, 500, 0)).left_for_walk(), 0);
    }
}
