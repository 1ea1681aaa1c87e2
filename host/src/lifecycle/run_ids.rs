//! Names for runs: unique, and sorted by time. They are no secret.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{RunId, Timestamp};
use crate::ports::{Randomness, RandomnessError};

pub(super) struct RunIds {
    /// Random, so that two processes that start runs in one microsecond name them differently.
    next: AtomicU64,
}

impl RunIds {
    pub(super) fn new(randomness: &dyn Randomness) -> Result<Self, RandomnessError> {
        let mut seed = [0; 8];
        randomness.fill(&mut seed)?;
        Ok(Self { next: AtomicU64::new(u64::from_le_bytes(seed)) })
    }

    pub(super) fn next(&self, at: Timestamp) -> RunId {
        let serial = self.next.fetch_add(1, Ordering::Relaxed);
        let id = (u128::from(at.as_micros()) << 64) | u128::from(serial);
        RunId::from_bytes(id.to_be_bytes())
    }
}
