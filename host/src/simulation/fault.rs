//! What can go wrong at a call.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::plan::Deed;

/// How a call of a port goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No effect: the backend is unavailable (an engine's 500).
    Unavailable,
    /// No effect: the backend answers with something that it must not.
    Corrupt,
    /// No effect, but the caller cannot know.
    LoseRequest,
    /// The effect happens and its answer is lost.
    LoseReply,
    /// No effect, and no answer for longer than any caller waits.
    Hang,
    /// The effect happens, and there is no answer.
    HangAfterEffect,
    /// The effect happens late, and the caller still waits.
    Slow,
    /// The effect happens after the caller has given up.
    LateEffect,
    /// The port says no: a conflict, a lease that another holds, an engine's 409.
    Refuse,
    /// The replica dies before the call.
    CrashBefore,
    /// The call has its effect, and the replica dies before it has the answer.
    CrashAfter,
    /// The replica stands still past every lease, and then the call goes on.
    Pause,
    /// The replica's wall clock is set forward by an hour.
    JumpForward,
    /// The replica's wall clock is set back by an hour.
    JumpBack,
    /// The operation log takes nothing for ten seconds.
    LogDown,
    /// Others do something just before the call.
    Meanwhile(Deed),
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::Unavailable,
        Self::Corrupt,
        Self::LoseRequest,
        Self::LoseReply,
        Self::Hang,
        Self::HangAfterEffect,
        Self::Slow,
        Self::LateEffect,
        Self::Refuse,
        Self::CrashBefore,
        Self::CrashAfter,
        Self::Pause,
        Self::JumpForward,
        Self::JumpBack,
        Self::LogDown,
        Self::Meanwhile(Deed::Start),
        Self::Meanwhile(Deed::Stop),
        Self::Meanwhile(Deed::Vanish),
        Self::Meanwhile(Deed::RemoveElsewhere),
        Self::Meanwhile(Deed::Renew),
        Self::Meanwhile(Deed::Rewrite),
        Self::Meanwhile(Deed::Delete),
        Self::Meanwhile(Deed::Hold),
        Self::Meanwhile(Deed::Unhold),
        Self::Meanwhile(Deed::ForgetLease),
        Self::Meanwhile(Deed::TakeLease),
        Self::Meanwhile(Deed::Swap),
        Self::Meanwhile(Deed::RollBack),
        Self::Meanwhile(Deed::RevokeGeneration),
        Self::Meanwhile(Deed::RevokeComponent),
    ];

    /// Whether it keeps its caller waiting for so long that the run may exceed its time without a fault of its policy's.
    pub fn takes_time(self) -> bool {
        matches!(self, Self::Hang | Self::HangAfterEffect | Self::Slow | Self::LateEffect | Self::Pause)
    }

    /// Its name, as it stands in a plan.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::LoseRequest => "lose_request",
            Self::LoseReply => "lose_reply",
            Self::Hang => "hang",
            Self::HangAfterEffect => "hang_after_effect",
            Self::Slow => "slow",
            Self::LateEffect => "late_effect",
            Self::Refuse => "refuse",
            Self::CrashBefore => "crash_before",
            Self::CrashAfter => "crash_after",
            Self::Pause => "pause",
            Self::JumpForward => "jump_forward",
            Self::JumpBack => "jump_back",
            Self::LogDown => "log_down",
            Self::Meanwhile(deed) => deed.as_str(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Deed {
    /// Its name, as it stands in a plan.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Vanish => "vanish",
            Self::RemoveElsewhere => "remove_elsewhere",
            Self::Renew => "renew",
            Self::Rewrite => "rewrite",
            Self::Delete => "delete",
            Self::Hold => "hold",
            Self::Unhold => "unhold",
            Self::ForgetLease => "forget_lease",
            Self::TakeLease => "take_lease",
            Self::Swap => "swap",
            Self::RollBack => "roll_back",
            Self::RevokeGeneration => "revoke_generation",
            Self::RevokeComponent => "revoke_component",
        }
    }
}
