//! The journal of one run: every call that its policy made, typed as in `wit/`, with what it was answered.
//!
//! It is what a run is explained from, and what another policy is played against. As JSON it has a version; it is
//! bounded, and says where it was cut; it holds no value of a setting, see [`Veil`].

use serde::{Deserialize, Serialize};

use super::{ContainerId, EntryId, ErrorCode, GenerationId, Outcome, PolicyDigest, RunId, TenantId, Timestamp};

mod exchange;
mod seen;
mod veil;

pub use exchange::{BoundaryAnswer, BoundaryCall, BoundaryError, Exchange, HostNote, RunPhase, WrittenEntry};
pub use seen::{SeenContainer, SeenRecord};
pub use veil::Veil;

/// The version of the JSON. One that is higher is not read.
pub const JOURNAL_VERSION: u32 = 1;

/// What a run's journal may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalBounds {
    /// Exchanges. Those that come after are counted and not kept.
    pub exchanges: u32,
    /// Bytes of all exchanges as JSON, likewise.
    pub bytes: u32,
}

impl Default for JournalBounds {
    fn default() -> Self {
        Self { exchanges: 200, bytes: 64 << 10 }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunJournal {
    /// [`JOURNAL_VERSION`].
    pub version: u32,
    /// The run.
    pub run_id: RunId,
    /// Whose game it is; none while the game is not known to have a record.
    pub tenant: Option<TenantId>,
    /// The generation that ran. Its settings are in the store, and not here.
    pub generation: GenerationId,
    /// The component that ran.
    pub digest: PolicyDigest,
    /// Before validation.
    pub started_at: Timestamp,
    /// The request.
    pub request: JournalRequest,
    /// The game's record as the host read it before a plain cleanup began; none if there was none, or it could not be
    /// read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<SeenRecord>,
    /// Whether an operator held the game then.
    #[serde(default, skip_serializing_if = "is_false")]
    pub held: bool,
    /// What the sweeper offered for review; none if it was a plain cleanup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<JournalOffer>,
    /// The calls, in the order in which they were made.
    pub exchanges: Vec<Exchange>,
    /// Calls after these, which the bounds left no room for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
    /// How it ended.
    pub end: JournalEnd,
}

/// What a run was asked for, cut at 256 bytes a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalRequest {
    /// The game as received.
    pub game_id: String,
    /// Who asked.
    pub op_source: String,
    /// The asking side's reference.
    pub source_ref: String,
}

/// A candidate of the sweeper's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalOffer {
    /// Its record as it was offered.
    pub record: SeenRecord,
    /// When the retention floor passed.
    pub floor_passed_at: Timestamp,
    /// Cleanups that failed in a row.
    pub failed_attempts: u32,
    /// Whether it was to be handled in the same instance, when due.
    pub then_handle: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalEnd {
    /// After so many microseconds by the monotonic clock.
    pub after_us: u64,
    /// What the policy said, or why it said nothing.
    pub word: PolicyWord,
    /// What the host made of it; none for a review that was not followed by a cleanup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<SettledRun>,
    /// The container that this run removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_container: Option<ContainerId>,
    /// The run's entry, whether or not it reached the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<JournalEntry>,
}

/// A policy's last word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyWord {
    /// Clean it up; and it was not to be.
    Due,
    /// Not before.
    WaitUntil(Timestamp),
    /// Keep it, for this reason.
    Keep(String),
    /// It handled the request.
    Verdict {
        /// How it says that it ended.
        outcome: Outcome,
        /// Its code, as given.
        error_code: Option<String>,
        /// For people.
        message: Option<String>,
    },
    /// It said nothing: it trapped, or a limit ended it.
    Fault {
        /// Which kind.
        code: ErrorCode,
        /// For people.
        message: String,
    },
}

/// A run's outcome by the host's judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettledRun {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, unless it is a plain success.
    pub error_code: Option<ErrorCode>,
    /// What the host found wrong with the policy's run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<ErrorCode>,
}

/// A run's entry in the operation log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalEntry {
    /// Its place in the log; none if it may not stand there.
    pub id: Option<EntryId>,
    /// How it says that it ended.
    pub outcome: Outcome,
    /// Why.
    pub error_code: Option<ErrorCode>,
    /// The same for people.
    pub message: Option<String>,
    /// The container.
    pub container_id: Option<ContainerId>,
    /// Its image.
    pub image_ref: Option<String>,
}

/// A text that is no journal, or one of another version.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJournal {
    /// It is no JSON of that form.
    #[error("this is no journal of a run: {0}")]
    Form(#[from] serde_json::Error),
    /// A newer program wrote it.
    #[error("this journal is of version {0}; this program reads {JOURNAL_VERSION}")]
    Version(u32),
}

impl RunJournal {
    /// Whether calls are missing, so that nothing can be played against it.
    pub fn is_cut(&self) -> bool {
        self.omitted > 0
    }

    /// One line of JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads what [`RunJournal::to_json`] wrote.
    pub fn from_json(text: &str) -> Result<Self, InvalidJournal> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_str(text)?;
        if version != JOURNAL_VERSION {
            return Err(InvalidJournal::Version(version));
        }
        Ok(serde_json::from_str(text)?)
    }
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
