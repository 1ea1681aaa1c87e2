//! Containers, as their engine describes them.

use std::fmt;

use super::{ContainerId, Labels, Timestamp};

/// What the engine says a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Runs.
    Running,
    /// Frozen.
    Paused,
    /// Between two runs.
    Restarting,
    /// Is being removed.
    Removing,
    /// Has ended.
    Exited,
    /// A removal failed half way.
    Dead,
    /// Whatever else an engine says.
    Other(String),
}

impl ContainerState {
    /// The state as the engine's API spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
            Self::Other(text) => text,
        }
    }

    /// Never fails: what is not known is [`ContainerState::Other`].
    pub fn from_text(text: &str) -> Self {
        match text {
            "created" => Self::Created,
            "running" => Self::Running,
            "paused" => Self::Paused,
            "restarting" => Self::Restarting,
            "removing" => Self::Removing,
            "exited" => Self::Exited,
            "dead" => Self::Dead,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Whether a process of the container may be alive, so that removing it would kill.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

impl fmt::Display for ContainerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A container as its engine describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its full id.
    pub id: ContainerId,
    /// Its name, without the leading slash; empty if it has none.
    pub name: String,
    /// What it is doing.
    pub state: ContainerState,
    /// Of its last run.
    pub exit_code: Option<i64>,
    /// When the engine made it.
    pub created_at: Option<Timestamp>,
    /// When it last started.
    pub started_at: Option<Timestamp>,
    /// When it last ended.
    pub finished_at: Option<Timestamp>,
    /// The image reference it was created from.
    pub image: String,
    /// All its labels, those of its image included.
    pub labels: Labels,
}

/// How a container came to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// This call removed it.
    Removed,
    /// It was gone already.
    AlreadyGone,
}
