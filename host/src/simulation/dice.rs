//! Choices that follow from a seed, the same on every machine.

use crate::adapters::memory::SeededRandomness;

/// A sequence of choices.
pub(super) struct Dice(SeededRandomness);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(SeededRandomness::new(seed))
    }

    /// A number below `bound`, or zero.
    pub(super) fn below(&self, bound: u64) -> u64 {
        // The bias of a remainder is below 2^-50 for the small bounds here.
        self.0.draw().checked_rem(bound).unwrap_or_default()
    }

    pub(super) fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or_default()
    }

    /// True `percent` times of a hundred.
    pub(super) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these, each as likely as it stands here often.
    pub(super) fn pick<T: Copy>(&self, among: &[T], otherwise: T) -> T {
        among.get(self.index(among.len())).copied().unwrap_or(otherwise)
    }
}

/// A seed that follows from two numbers.
pub(super) fn mixed(seed: u64, purpose: u64) -> u64 {
    SeededRandomness::new(seed ^ purpose.wrapping_mul(0xa24b_aed4_963e_e407)).draw()
}
