//! What the system needs from the world. The contract of each port stands on its trait; the contract
//! suites in `tests/` check every adapter against it.

use std::time::Duration;

use crate::model::Timestamp;

mod access;
mod engine;
mod generations;
mod journals;
mod leases;
mod operations;
mod pauses;
mod policies;
mod records;

pub use access::{AccessStore, AuditLog, CeilingChanges};
pub use engine::{ContainerEngine, EngineError, Hints, Listing, PassedOver};
pub use generations::{Changes, GenerationStore, PruneBefore, ScopeState, SwapError, SwapKind, Unreadable};
pub use journals::{JournalFilter, JournalStore, KeptJournal};
pub use leases::{LeaseStore, LeaseToken};
pub use operations::{OperationFilter, OperationLog};
pub use pauses::PauseStore;
pub use policies::{AddPolicyError, PolicyFilter, PolicyStore};
pub use records::{
    CasError, Claim, Disposition, DueCursor, DuePage, RecordFilter, RecordStore, RegisterError, Standing, StatusChange,
};

/// A backend failed. What it said is for the platform's log, never for a policy.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Did not answer, or refused service; there was no effect. Worth trying again.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The call was sent and its answer was lost: it may have had its effect.
    #[error("the store's answer was lost")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Holds, or answered, something that it must not.
    #[error("the store is corrupt or of another version: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Corrupt(_))
    }
}

/// Time, as the system sees it.
pub trait Clock: Send + Sync {
    /// The wall clock. It can be set, so it can jump.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment; never jumps.
    fn monotonic(&self) -> Duration;
}

/// Randomness from the system; fails rather than repeat itself.
pub trait Randomness: Send + Sync {
    /// Fills `buffer`.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomnessError>;
}

/// The system gave no randomness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the system's randomness failed: {0}")]
pub struct RandomnessError(pub String);
