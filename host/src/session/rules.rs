//! What a session refuses, and how its answers look to a policy.

use std::fmt;

use crate::model::ErrorChain;
use crate::ports::StoreError;

/// Why a call had no, or no known, effect: the policy's view, free of any backend's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// Does not exist, or is not this run's to see.
    NotFound,
    /// The state found is not the expected one.
    Conflict,
    /// The call breaks a rule.
    Denied(Rule),
    /// The lease is gone, or too near its end.
    LeaseLost,
    /// A backend did not do it.
    Unavailable(&'static str),
    /// The effect could not be learned.
    OutcomeUnknown,
    /// No caller can mend it.
    Internal(&'static str),
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// The rules of the protocol, by their stable names in `wit/types.wit`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The rule's stable name.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The rule with that name.
            pub fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|rule| rule.as_str() == text)
            }
        }
    };
}

rules! {
    /// The request names no valid game.
    InvalidRequest = "invalid-request";
    /// Nothing is written during review.
    ReviewIsReadOnly = "review-is-read-only";
    /// A run takes one lease.
    OneLeaseARun = "one-lease-a-run";
    /// The lease was released.
    LeaseRequired = "lease-required";
    /// The record must be read under the lease first.
    RecordNotLoaded = "record-not-loaded";
    /// The record was not read as stopped.
    NotStopped = "not-stopped";
    /// Only the record's own container.
    NotTheRecordsContainer = "not-the-records-container";
    /// The container's labels name another owner, tenant or game.
    OwnerMismatch = "owner-mismatch";
    /// The only change of status.
    OnlyStoppedToRemoved = "only-stopped-to-removed";
    /// The container was not seen to be gone.
    AbsenceUnproven = "absence-unproven";
    /// A run writes one entry.
    OneEntryARun = "one-entry-a-run";
    /// Nothing is done after the entry.
    EntryIsLast = "entry-is-last";
    /// Success is written once it is proven.
    SuccessUnproven = "success-unproven";
    /// The entry's code does not have the form of one, or is the host's to give.
    MalformedEntry = "malformed-entry";
    /// An operator holds the game.
    Held = "held";
    /// The run's policy was revoked.
    PolicyRevoked = "policy-revoked";
    /// The tenant's binding does not grant this import.
    NotGranted = "not-granted";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Error {
    /// A failed store, as a policy sees it; the failure itself goes to the platform's log.
    pub(super) fn from_store(error: &StoreError, what: &'static str) -> Self {
        tracing::warn!(error = %ErrorChain(error), "{what} failed");
        match error {
            StoreError::Unavailable(_) => Self::Unavailable("the store is not available"),
            StoreError::Unknown(_) => Self::OutcomeUnknown,
            StoreError::Corrupt(_) => Self::Internal("the store holds what it must not"),
        }
    }
}
