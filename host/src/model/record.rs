//! The record of one game's runtime, and what rtmanager keeps beside it.

use std::collections::BTreeMap;
use std::fmt;

use super::{ContainerId, EngineName, GameId, GenerationId, TenantId, Timestamp};

/// Labels of a record or container, sorted by name.
pub type Labels = BTreeMap<String, String>;

/// Where a runtime is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Status {
    /// The platform runs its container.
    Running,
    /// The platform has stopped it; its container may still exist.
    Stopped,
    /// Its container is gone. Final for that container.
    Removed,
    /// Whatever else a platform wrote.
    Other(String),
}

impl Status {
    /// The status as it is stored and shown.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Removed => "removed",
            Self::Other(text) => text,
        }
    }

    /// Never fails: what is not known is [`Status::Other`].
    pub fn from_text(text: &str) -> Self {
        match text {
            "running" => Self::Running,
            "stopped" => Self::Stopped,
            "removed" => Self::Removed,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the platform knows about the runtime of one game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeRecord {
    /// Identifies the record, platform-wide.
    pub game_id: GameId,
    /// Whose game it is.
    pub tenant: TenantId,
    /// The container engine that runs it.
    pub engine: EngineName,
    /// Where it is in its life.
    pub status: Status,
    /// Its container, if it has one.
    pub container_id: Option<ContainerId>,
    /// The image reference its container was started from.
    pub image_ref: Option<String>,
    /// The platform's labels.
    pub labels: Labels,
    /// When the record was made.
    pub created_at: Timestamp,
    /// When it last started, if it ever did.
    pub started_at: Option<Timestamp>,
    /// When the platform stopped it.
    pub stopped_at: Option<Timestamp>,
    /// When its container was found gone.
    pub removed_at: Option<Timestamp>,
    /// The last operation of any kind.
    pub last_op_at: Timestamp,
    /// Grows with every change of the fields above, whoever writes.
    pub version: u64,
}

/// What rtmanager keeps beside a record for its own work. Changing it does not change the version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanupState {
    /// Not to be offered before this time, by the policy's word or by backoff. A policy's is void when the
    /// record or the tenant's policy generation changes; backoff when status, container or stop time change.
    pub wait_until: Option<Timestamp>,
    /// Why it waits, for `explain`.
    pub wait_reason: Option<String>,
    /// The policy generation whose word `wait_until` is.
    pub wait_generation: Option<GenerationId>,
    /// Cleanups that failed in a row.
    pub failed_attempts: u32,
    /// Taken out of the sweep after too many failures, until unparked or changed.
    pub parked: Option<Parked>,
    /// An operator's order to leave it alone.
    pub hold: Option<Hold>,
}

/// Why and since when a game is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Since when.
    pub at: Timestamp,
    /// The last failure, as code and message.
    pub reason: String,
}

/// Keeps a game from any cleanup, the admin's DELETE included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The operator's reason.
    pub reason: String,
    /// Who holds it.
    pub actor: String,
    /// Until when (exclusive); none holds until it is lifted.
    pub until: Option<Timestamp>,
}

impl Hold {
    /// Whether the hold is in force at `now`.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A record together with what rtmanager keeps beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedRuntime {
    /// The platform's record.
    pub record: RuntimeRecord,
    /// rtmanager's own state for it.
    pub cleanup: CleanupState,
}

/// Issued by the record store as a run begins; grows. A change under an older one than the record's is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);
