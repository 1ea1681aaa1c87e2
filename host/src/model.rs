//! What the system talks about. A value of one of these types is valid: it was parsed at the edge,
//! and nothing behind the edge checks it again.

mod access;
mod authority;
mod container;
mod error_code;
mod generation;
mod ids;
mod journal;
mod operation;
mod pause;
mod policy;
mod record;
mod registration;
mod run;
mod text;
mod time;

pub use access::{ApiToken, AuditEntry, AuditEvent, Ceiling, Role, TrustedKey};
pub use authority::{Grant, Grants, InvalidGrant, LimitOverrides};
pub use container::{Container, ContainerState, Removal};
pub use error_code::ErrorCode;
pub use generation::{GenerationId, PolicyRef, PolicyScope};
pub use ids::{ContainerId, EngineName, GameId, InvalidId, PolicyDigest, RunId, TenantId};
pub use journal::{
    BoundaryAnswer, BoundaryCall, BoundaryError, Exchange, HostNote, InvalidJournal, JOURNAL_VERSION, JournalBounds,
    JournalEnd, JournalEntry, JournalOffer, JournalRequest, PolicyWord, RunJournal, RunPhase, SeenContainer,
    SeenRecord, SettledRun, Veil, WrittenEntry,
};
pub use operation::{
    Author, EntryId, Fault, LoggedOperation, OP_KIND_CLEANUP, OpSource, OperationEntry, Outcome, Request,
};
pub use pause::{Census, Pause, PauseCause, PauseScope};
pub use policy::{
    BindingSpec, Divergence, DivergenceKind, Generation, PolicyArtifact, PolicyChange, PolicyEvent, PolicyName,
    PolicyPlace, PolicyVersion, Revocation, Rollout, RolloutCounts, RolloutGoal, RolloutMode, Serving, Signed,
};
pub use record::{CleanupState, Fence, Hold, Labels, Parked, RuntimeRecord, Status, TrackedRuntime};
pub use registration::{LiveStatus, Registration};
pub use run::{Begun, Intent, OpenRun};
pub use text::{ErrorChain, bounded_text};
pub use time::{InvalidTimestamp, Timestamp};
