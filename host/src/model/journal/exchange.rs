//! One call at the boundary and its answer.

use serde::{Deserialize, Serialize};

use super::{SeenContainer, SeenRecord};
use crate::model::{EntryId, Outcome, Removal, Timestamp};

/// What the policy was being asked when it called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunPhase {
    /// When.
    Review,
    /// How.
    Handle,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// When it began, in microseconds since the run's start, by the monotonic clock.
    pub at_us: u64,
    /// How long it took.
    pub took_us: u64,
    /// What the policy was being asked.
    pub phase: RunPhase,
    /// What was called.
    #[serde(flatten)]
    pub call: BoundaryCall,
    /// What it was answered.
    pub answer: BoundaryAnswer,
    /// What only the host knows of it.
    #[serde(default, skip_serializing_if = "HostNote::is_empty")]
    pub host: HostNote,
}

/// A function of the contract, with its arguments as text: cut at 1,024 bytes, control characters escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", content = "with")]
pub enum BoundaryCall {
    /// `clock.now`
    #[serde(rename = "clock.now")]
    Now,
    /// `records.get`
    #[serde(rename = "records.get")]
    RecordsGet,
    /// `records.update-status`
    #[serde(rename = "records.update-status")]
    UpdateStatus {
        /// The status that the record must have.
        expected_status: String,
        /// The container that it must have.
        expected_container_id: Option<String>,
        /// The status that it shall have.
        new_status: String,
    },
    /// `docker.inspect`
    #[serde(rename = "docker.inspect")]
    Inspect {
        /// Which container.
        container_id: String,
    },
    /// `docker.remove`
    #[serde(rename = "docker.remove")]
    Remove {
        /// Which container.
        container_id: String,
    },
    /// `leases.try-acquire`
    #[serde(rename = "leases.try-acquire")]
    TryAcquire,
    /// `lease.release`
    #[serde(rename = "lease.release")]
    Release,
    /// The lease's handle was dropped.
    #[serde(rename = "lease.drop")]
    DropLease,
    /// `op-log.append`
    #[serde(rename = "op-log.append")]
    Append(WrittenEntry),
    /// `wasi:config/store.get`
    #[serde(rename = "config.get")]
    Setting {
        /// Which setting.
        name: String,
    },
    /// `wasi:config/store.get-all`
    #[serde(rename = "config.get-all")]
    Settings,
    /// `wasi:logging/logging.log`, of lines within `limits.log_lines`
    #[serde(rename = "logging.log")]
    Log {
        /// `trace` to `critical`.
        level: String,
        /// The policy's word for where it is.
        context: String,
        /// The remark.
        message: String,
    },
}

/// What a policy passed for its entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenEntry {
    /// How it says that it ended.
    pub outcome: Outcome,
    /// Its code.
    pub error_code: Option<String>,
    /// For people.
    pub message: Option<String>,
    /// The container.
    pub container_id: Option<String>,
    /// Its image.
    pub image_ref: Option<String>,
}

/// What a call was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundaryAnswer {
    /// The time.
    Time(Timestamp),
    /// The record.
    Record(Box<SeenRecord>),
    /// The container.
    Container(Box<SeenContainer>),
    /// How the container came to be gone.
    Removal(Removal),
    /// Whether the lease was granted.
    Lease(bool),
    /// The entry's id.
    Entry(EntryId),
    /// Whether there is such a setting. Its value is not kept.
    Setting(bool),
    /// The names of all settings.
    Settings(Vec<String>),
    /// It was done.
    Done,
    /// It was not done, or not known to be.
    Error(BoundaryError),
    /// The run ended before the answer came.
    None,
}

/// The cases of `types.error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundaryError {
    /// Does not exist, or is not this run's to see.
    NotFound,
    /// The state found is not the expected one.
    Conflict,
    /// The rule of this name forbids it.
    Denied(String),
    /// The lease is gone, or too near its end.
    LeaseLost,
    /// A backend did not do it.
    Unavailable(String),
    /// The effect could not be learned.
    OutcomeUnknown,
    /// No caller can mend it.
    Internal(String),
}

/// What the host knows of a call beyond its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostNote {
    /// Whether an engine was asked to remove the container.
    #[serde(skip_serializing_if = "is_false")]
    pub engine_asked: bool,
    /// Whether the record was read, and an operator held the game.
    #[serde(skip_serializing_if = "is_false")]
    pub held: bool,
    /// The record as the host read it again, where that was not as the policy had read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_record: Option<Box<SeenRecord>>,
}

impl HostNote {
    /// Whether there is nothing to note.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl BoundaryCall {
    /// The function's name, as in the JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Now => "clock.now",
            Self::RecordsGet => "records.get",
            Self::UpdateStatus { .. } => "records.update-status",
            Self::Inspect { .. } => "docker.inspect",
            Self::Remove { .. } => "docker.remove",
            Self::TryAcquire => "leases.try-acquire",
            Self::Release => "lease.release",
            Self::DropLease => "lease.drop",
            Self::Append(_) => "op-log.append",
            Self::Setting { .. } => "config.get",
            Self::Settings => "config.get-all",
            Self::Log { .. } => "logging.log",
        }
    }
}

// serde passes references.
fn is_false(flag: &bool) -> bool {
    !*flag
}
