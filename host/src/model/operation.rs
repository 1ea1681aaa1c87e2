//! Operations, and their entries in the log.

use super::{ContainerId, ErrorCode, Fence, GameId, PolicyRef, RunId, TenantId, Timestamp};

/// One call of the operation, as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The game, untrimmed and not validated.
    pub game_id: String,
    /// Who asks: the text of an [`OpSource`], or whatever was received.
    pub op_source: String,
    /// The asking side's reference; empty for the sweeper.
    pub source_ref: String,
    /// Who was authenticated, if anybody was.
    pub actor: Option<String>,
}

impl Request {
    /// What the sweeper asks of a game.
    pub fn of_sweeper(game: &GameId) -> Self {
        Self {
            game_id: game.to_string(),
            op_source: OpSource::AutoTtl.as_str().to_owned(),
            source_ref: String::new(),
            actor: None,
        }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The container is gone and the record says so.
    Success,
    /// Anything else.
    Failure,
}

impl Outcome {
    /// The outcome as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }

    /// The outcome with that name.
    pub fn from_text(text: &str) -> Option<Self> {
        match text {
            "success" => Some(Self::Success),
            "failure" => Some(Self::Failure),
            _ => None,
        }
    }
}

/// Who asks for an operation. Travels to the policy as text; this is the closed set of known values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpSource {
    /// The REST endpoint.
    AdminRest,
    /// The sweeper.
    AutoTtl,
    /// The command line.
    Cli,
    /// The reconciler.
    Reconciler,
}

impl OpSource {
    /// All known sources.
    pub const ALL: [Self; 4] = [Self::AdminRest, Self::AutoTtl, Self::Cli, Self::Reconciler];

    /// The source as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdminRest => "admin_rest",
            Self::AutoTtl => "auto_ttl",
            Self::Cli => "cli",
            Self::Reconciler => "reconciler",
        }
    }

    /// The source with that name.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }
}

/// The kind of operation that a cleanup is logged as.
pub const OP_KIND_CLEANUP: &str = "cleanup_container";

/// Who wrote an entry of the operation log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// The policy gave its account.
    Policy,
    /// The host, because the policy did not.
    Host,
    /// Another host, or this one after a restart, because the run's host died.
    Recovery,
}

impl Author {
    /// The author as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Host => "host",
            Self::Recovery => "recovery",
        }
    }

    /// The author with that name.
    pub fn from_text(text: &str) -> Option<Self> {
        match text {
            "policy" => Some(Self::Policy),
            "host" => Some(Self::Host),
            "recovery" => Some(Self::Recovery),
            _ => None,
        }
    }
}

/// One entry of the operation log, as it is appended: one a run.
///
/// Game and source stand here as received (bounded), since a refused request is logged too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationEntry {
    /// The run; the log holds one entry for each.
    pub run_id: RunId,
    /// The game as received.
    pub game_id: String,
    /// Whose game it is, if it is known.
    pub tenant: Option<TenantId>,
    /// What was done, such as [`OP_KIND_CLEANUP`].
    pub op_kind: String,
    /// Who asked, as received.
    pub op_source: String,
    /// The asking side's reference; empty if it has none.
    pub source_ref: String,
    /// Who was authenticated, if anybody was.
    pub actor: Option<String>,
    /// The container's image.
    pub image_ref: Option<String>,
    /// The container.
    pub container_id: Option<ContainerId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, unless it is a plain success.
    pub error_code: Option<ErrorCode>,
    /// The same for people.
    pub error_message: Option<String>,
    /// Before validation.
    pub started_at: Timestamp,
    /// When the entry was written.
    pub finished_at: Timestamp,
    /// The policy that ran.
    pub policy: PolicyRef,
    /// The run's fence; none if it never read its record under a lease.
    pub fence: Option<Fence>,
    /// Who wrote this account.
    pub author: Author,
    /// A fault that stands beside the policy's account.
    pub fault: Option<Fault>,
}

/// What the host found wrong with a policy's run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which kind.
    pub code: ErrorCode,
    /// For people; names the limit, where there is one.
    pub message: String,
}

/// An entry's place in the operation log; grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct EntryId(pub u64);

/// An entry as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedOperation {
    /// Its place in the log.
    pub id: EntryId,
    /// What was logged.
    pub entry: OperationEntry,
}
