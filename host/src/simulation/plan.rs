//! What a history consists of, as a value: it can be printed, kept, made smaller and played again.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// A history. Playing it twice gives the same calls, answers and end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What the order of calls, run ids and lease tokens follow from. Also read from a text of digits, since an integer
    /// of TOML is at most 2^63-1.
    #[serde(deserialize_with = "number_or_digits")]
    pub seed: u64,
    /// How leases are granted.
    #[serde(default)]
    pub leases: Leases,
    /// How long a removal takes, in milliseconds.
    #[serde(default)]
    pub removal_ms: u64,
    /// By how many milliseconds each replica's wall clock is ahead; one number a replica.
    pub skew_ms: Vec<i64>,
    /// The games; a number elsewhere is a place in this list.
    pub games: Vec<Game>,
    /// What happens, and when.
    pub steps: Vec<Step>,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Vec<Mishap>,
}

/// How the lease store grants leases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leases {
    /// To one at a time.
    #[default]
    Honest,
    /// To whoever asks.
    ToEveryone,
    /// To nobody.
    ToNobody,
}

/// A game as the history begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Game {
    /// What the platform says.
    pub record: Recorded,
    /// What the engine says.
    pub container: Contained,
    /// Whether the container's labels name another owner.
    #[serde(default)]
    pub foreign: bool,
    /// Whether an operator holds it.
    #[serde(default)]
    pub held: bool,
}

/// What the platform's record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// There is no record.
    Absent,
    /// `running`.
    Running,
    /// `stopped`, long enough ago.
    Stopped,
    /// `removed`.
    Removed,
    /// A status that nobody knows.
    Other,
}

/// What there is on the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contained {
    /// The record names no container.
    None,
    /// The record's container is gone.
    Missing,
    /// It was made and never started.
    Created,
    /// It has ended.
    Exited,
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// A removal of it failed.
    Dead,
    /// Somebody else is removing it.
    Removing,
    /// The engine says something that nobody knows.
    Other,
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Names the step; faults refer to it.
    pub id: u32,
    /// When, in milliseconds from the start.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub act: Act,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
// The name is only ever read by who wrote a step without any of them.
#[serde(rename_all = "snake_case", rename = "`cleanup`, `sweep`, `recover`, `swap` and `deed`")]
pub enum Act {
    /// A replica is asked to clean up a game.
    Cleanup {
        /// Which replica.
        replica: usize,
        /// Which game.
        game: usize,
        /// Who asks.
        source: Source,
    },
    /// A replica sweeps.
    Sweep {
        /// Which replica.
        replica: usize,
    },
    /// A replica looks for runs that dead hosts have left.
    Recover {
        /// Which replica.
        replica: usize,
    },
    /// Another version of the policy is bound. The replica on which that is done knows at once, the others soon.
    Swap {
        /// Which replica.
        replica: usize,
    },
    /// The platform, an operator or the world does something.
    Deed {
        /// To which game.
        game: usize,
        /// What.
        deed: Deed,
    },
}

/// Who asks for a cleanup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The REST endpoint.
    Rest,
    /// The command line.
    Cli,
    /// Something that no policy knows.
    Unknown,
}

/// What others do to a game, or to the policy that serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// The platform starts the container again, and says so.
    Start,
    /// The platform stops what runs, and says so.
    Stop,
    /// The container goes away by somebody else's doing.
    Vanish,
    /// Somebody else begins to remove the container.
    RemoveElsewhere,
    /// The platform starts a new container for the game.
    Renew,
    /// The platform writes something else into the record.
    Rewrite,
    /// The platform deletes the record.
    Delete,
    /// An operator holds the game.
    Hold,
    /// An operator lets go of it.
    Unhold,
    /// The lease store forgets the game's lease.
    ForgetLease,
    /// Somebody else gets the game's lease, whoever holds it.
    TakeLease,
    /// Another version of the policy is bound.
    Swap,
    /// What served before serves again.
    RollBack,
    /// The generation that serves is revoked.
    RevokeGeneration,
    /// The component that serves is revoked.
    RevokeComponent,
}

impl Deed {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Start,
        Self::Stop,
        Self::Vanish,
        Self::RemoveElsewhere,
        Self::Renew,
        Self::Rewrite,
        Self::Delete,
        Self::Hold,
        Self::Unhold,
        Self::ForgetLease,
        Self::TakeLease,
        Self::Swap,
        Self::RollBack,
        Self::RevokeGeneration,
        Self::RevokeComponent,
    ];

    /// Whether it is done to the policy that serves, and not to a game.
    pub fn is_of_policy(self) -> bool {
        matches!(self, Self::Swap | Self::RollBack | Self::RevokeGeneration | Self::RevokeComponent)
    }
}

/// One call that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mishap {
    /// The step in which it happens.
    pub step: u32,
    /// Which of the step's calls, counted from zero.
    pub call: u32,
    /// How.
    pub fault: Fault,
}

fn number_or_digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct NumberOrDigits;

    impl Visitor<'_> for NumberOrDigits {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number from 0 to 2^64-1, or its digits as a text")
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
            Ok(number)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
            u64::try_from(number).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
        }

        fn visit_str<E: Error>(self, digits: &str) -> Result<u64, E> {
            digits.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(digits), &self))
        }
    }

    deserializer.deserialize_any(NumberOrDigits)
}
