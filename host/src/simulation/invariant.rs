//! What has to hold, whatever happens.

use std::fmt;

macro_rules! invariants {
    ($($name:ident = $id:literal: $sentence:literal;)*) => {
        /// A rule that every history has to keep.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant {
            $(#[doc = $sentence] $name,)*
        }

        impl Invariant {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its short name: a number for the host's, `P` and a number for the policy's.
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)*
                }
            }

            /// The rule in a sentence.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)*
                }
            }
        }
    };
}

invariants! {
    OwnStoppedContainer = "1": "A container is removed only by a run for its own game, under that game's lease, that has read the record as stopped with that container.";
    NeverLive = "2": "A running container is never removed.";
    SoundRecord = "3": "A record becomes removed once, from stopped, by the latest run, and only when its container is gone; versions only grow.";
    OneOutcome = "4": "Every run ends in exactly one outcome, and every outcome is in the log or its loss was reported.";
    Idempotent = "5": "Running it twice ends as running it once.";
    LeaseEnds = "6": "One run at a time holds a game's lease, and no lease outlives its run beyond its time to live.";
    OneDigest = "7": "A run has one policy: the one that its replica said it serves when it began. None that was revoked has an effect.";
    OwnGameOnly = "8": "Nothing of another game or tenant is read, written or counted.";
    Bounded = "9": "No run takes longer than its limits, or more calls, and no game is tried again for ever.";
    Settles = "11": "Once faults stop, every due record is removed, parked or kept, visibly, within a few sweeps.";
    Baseline = "12": "Leases, claims, open runs and tasks return to none.";
    KeepsToProtocol = "P1": "The policy asks for nothing that the protocol forbids.";
    Answers = "P2": "The policy answers, within its limits and without a trap.";
    WritesEntry = "P3": "The policy writes the run's entry, and its answer fits the entry and what happened.";
    GivesLeaseBack = "P4": "The policy gives its lease back.";
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A rule that a history broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Which rule.
    pub invariant: Invariant,
    /// What happened.
    pub what: String,
}
