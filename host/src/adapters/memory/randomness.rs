//! Randomness that repeats itself, for tests that must.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ports::{Randomness, RandomnessError};

/// The same bytes for the same seed. Can be made to fail, as a system without entropy does.
pub struct SeededRandomness {
    state: Mutex<u64>,
    failing: AtomicBool,
}

impl SeededRandomness {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: Mutex::new(seed), failing: AtomicBool::new(false) }
    }

    /// From now on every call fails, or none does.
    pub fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    /// The next number of the sequence.
    pub fn draw(&self) -> u64 {
        Self::next(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// SplitMix64: small, and every seed gives a full period.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomnessError> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(RandomnessError("told to fail".to_owned()));
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in buffer.chunks_mut(8) {
            let bytes = Self::next(&mut state).to_le_bytes();
            chunk.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        }
        Ok(())
    }
}
