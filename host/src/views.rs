//! What people and programs are shown: the JSON of the REST interface and of the commands' `--json`, which
//! is one and the same. Times are RFC 3339, what is unknown is null.

use serde::Serialize;
use utoipa::ToSchema;

mod access;
mod policies;
mod reconciliation;

pub use access::{AuditedAction, BrokenLink, MadeToken, NamedToken, PrunedTrail, TrailVerification};
pub use policies::{
    BoundPolicy, CheckedComponent, Policy, PolicyAct, PolicyAuthority, PolicyCeiling, PolicyDetail, PolicyDiff,
    PolicyDivergence, PolicyEffective, PolicyExamination, PolicyGeneration, PolicyHistoryEntry, PolicyLimitChange,
    PolicyLimits, PolicyReplica, PolicyRevocation, PolicyRollout, PolicyRules, PolicySigner, PolicyStatus,
};
pub use reconciliation::{ContainerFinding, OrphanKind, Reconciliation};

use crate::lifecycle::OperationResult;
use crate::model::{
    CleanupState, Fault, Hold, Labels, LoggedOperation, Parked, Pause, PauseCause, PauseScope, RuntimeRecord,
    TrackedRuntime,
};

/// A page of a list, in the order of the walk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What to pass to get the next page; null at the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Nothing.
    pub fn empty() -> Self {
        Self { items: Vec::new(), next: None }
    }

    /// A page of at most `limit` rows, of one row more that was looked for: if it was found, the next page begins
    /// after the key of this one's last row.
    pub fn of<'r, R>(rows: &'r [R], limit: u32, key: impl FnOnce(&R) -> String) -> Self
    where
        T: From<&'r R>,
    {
        let shown = rows.get(..limit as usize).unwrap_or(rows);
        let last = shown.last().filter(|_| rows.len() > shown.len());
        Self { items: shown.iter().map(T::from).collect(), next: last.map(key) }
    }
}

/// The runtime of one game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Runtime {
    /// The game, platform-wide.
    pub game_id: String,
    /// Whose game it is.
    pub tenant: String,
    /// The engine that runs it.
    pub engine: String,
    /// `running`, `stopped`, `removed`, or what a platform wrote.
    pub status: String,
    /// The full id of its container.
    pub container_id: Option<String>,
    /// The image it was started from.
    pub image_ref: Option<String>,
    /// The record's labels.
    pub labels: Labels,
    /// When the record was made.
    pub created_at: String,
    /// When it last started.
    pub started_at: Option<String>,
    /// When the platform stopped it.
    pub stopped_at: Option<String>,
    /// When its container was found gone.
    pub removed_at: Option<String>,
    /// The last operation of any kind.
    pub last_op_at: String,
    /// Grows with every change.
    pub version: u64,
    /// What rtmanager keeps beside the record; null where only the record is known.
    pub cleanup: Option<Cleanup>,
}

/// What rtmanager keeps beside a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Cleanup {
    /// Not offered to the policy before this time; a past one keeps it no more.
    pub wait_until: Option<String>,
    /// Why it waits.
    pub wait_reason: Option<String>,
    /// Cleanups that failed in a row.
    pub failed_attempts: u32,
    /// Taken out of the sweep.
    pub parked: Option<ParkedGame>,
    /// An operator's order to leave it alone, whose end may be past.
    pub hold: Option<HeldGame>,
}

/// Since when and why a game is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ParkedGame {
    /// Since when.
    pub at: String,
    /// The last failure.
    pub reason: String,
}

/// An operator's order to leave a game alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeldGame {
    /// Why.
    pub reason: String,
    /// Who ordered it.
    pub actor: String,
    /// Until when; null holds until it is lifted.
    pub until: Option<String>,
}

/// An entry of the operation log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Operation {
    /// Its place in the log.
    pub id: u64,
    /// The run.
    pub run_id: String,
    /// The game as received.
    pub game_id: String,
    /// Whose game it is, if known.
    pub tenant: Option<String>,
    /// What was done.
    pub op_kind: String,
    /// Who asked.
    pub op_source: String,
    /// The asking side's reference.
    pub source_ref: String,
    /// Who was authenticated.
    pub actor: Option<String>,
    /// The container's image.
    pub image_ref: Option<String>,
    /// The container.
    pub container_id: Option<String>,
    /// `success` or `failure`.
    pub outcome: String,
    /// Why, unless it is a plain success.
    pub error_code: Option<String>,
    /// The same for people.
    pub error_message: Option<String>,
    /// When it was asked for.
    pub started_at: String,
    /// When its entry was written.
    pub finished_at: String,
    /// The policy that ran, by its SHA-256.
    pub policy_generation: String,
    /// The SHA-256 of its component.
    pub policy_digest: String,
    /// `policy`, `host` or `recovery`: whose account it is.
    pub author: String,
    /// The run's fence; null if it never read its record under a lease.
    pub fence: Option<u64>,
    /// What the host found wrong with the policy's run.
    pub fault: Option<PolicyFault>,
}

/// What the host found wrong with a policy's run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyFault {
    /// Which kind.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A pause in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PausedScope {
    /// `global`, `engine` or `tenant`.
    pub scope: String,
    /// The engine's or tenant's name.
    pub name: Option<String>,
    /// `operator`, `breaker` or `clock_jump`.
    pub cause: String,
    /// Removals that resuming from the breaker allows.
    pub allows: Option<u64>,
    /// Why, and how to resume.
    pub reason: String,
    /// Who paused it.
    pub actor: String,
    /// Since when.
    pub at: String,
}

/// What became of a cleanup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CleanupResult {
    /// The run.
    pub run_id: String,
    /// `success` or `failure`.
    pub outcome: String,
    /// `replay_no_op` if the work was done before; null for a plain success.
    pub error_code: Option<String>,
    /// For people; only of failures.
    pub message: Option<String>,
    /// The run's entry in the operation log; null if it could not be written.
    pub entry_id: Option<u64>,
    /// The record as it is now; null for failures.
    pub runtime: Option<Runtime>,
}

fn text(value: &impl ToString) -> String {
    value.to_string()
}

fn maybe<T: ToString>(value: &Option<T>) -> Option<String> {
    value.as_ref().map(T::to_string)
}

impl From<&RuntimeRecord> for Runtime {
    fn from(record: &RuntimeRecord) -> Self {
        Self {
            game_id: text(&record.game_id),
            tenant: text(&record.tenant),
            engine: text(&record.engine),
            status: text(&record.status),
            container_id: maybe(&record.container_id),
            image_ref: record.image_ref.clone(),
            labels: record.labels.clone(),
            created_at: text(&record.created_at),
            started_at: maybe(&record.started_at),
            stopped_at: maybe(&record.stopped_at),
            removed_at: maybe(&record.removed_at),
            last_op_at: text(&record.last_op_at),
            version: record.version,
            cleanup: None,
        }
    }
}

impl From<&TrackedRuntime> for Runtime {
    fn from(tracked: &TrackedRuntime) -> Self {
        Self { cleanup: Some((&tracked.cleanup).into()), ..Self::from(&tracked.record) }
    }
}

impl From<&CleanupState> for Cleanup {
    fn from(state: &CleanupState) -> Self {
        let parked = |parked: &Parked| ParkedGame { at: text(&parked.at), reason: parked.reason.clone() };
        Self {
            wait_until: maybe(&state.wait_until),
            wait_reason: state.wait_reason.clone(),
            failed_attempts: state.failed_attempts,
            parked: state.parked.as_ref().map(parked),
            hold: state.hold.as_ref().map(HeldGame::from),
        }
    }
}

impl From<&Hold> for HeldGame {
    fn from(hold: &Hold) -> Self {
        Self { reason: hold.reason.clone(), actor: hold.actor.clone(), until: maybe(&hold.until) }
    }
}

impl From<&LoggedOperation> for Operation {
    fn from(logged: &LoggedOperation) -> Self {
        let entry = &logged.entry;
        Self {
            id: logged.id.0,
            run_id: text(&entry.run_id),
            game_id: entry.game_id.clone(),
            tenant: maybe(&entry.tenant),
            op_kind: entry.op_kind.clone(),
            op_source: entry.op_source.clone(),
            source_ref: entry.source_ref.clone(),
            actor: entry.actor.clone(),
            image_ref: entry.image_ref.clone(),
            container_id: maybe(&entry.container_id),
            outcome: entry.outcome.as_str().to_owned(),
            error_code: maybe(&entry.error_code),
            error_message: entry.error_message.clone(),
            started_at: text(&entry.started_at),
            finished_at: text(&entry.finished_at),
            policy_generation: text(&entry.policy.generation),
            policy_digest: text(&entry.policy.digest),
            author: entry.author.as_str().to_owned(),
            fence: entry.fence.map(|fence| fence.0),
            fault: entry.fault.as_ref().map(PolicyFault::from),
        }
    }
}

impl From<&Fault> for PolicyFault {
    fn from(fault: &Fault) -> Self {
        Self { code: text(&fault.code), message: fault.message.clone() }
    }
}

impl From<&Pause> for PausedScope {
    fn from(pause: &Pause) -> Self {
        let (scope, name) = match &pause.scope {
            PauseScope::Global => ("global", None),
            PauseScope::Engine(engine) => ("engine", Some(text(engine))),
            PauseScope::Tenant(tenant) => ("tenant", Some(text(tenant))),
        };
        let (cause, allows) = match pause.cause {
            PauseCause::Operator => ("operator", None),
            PauseCause::Breaker { removals } => ("breaker", Some(removals)),
            PauseCause::ClockJump => ("clock_jump", None),
        };
        Self {
            scope: scope.to_owned(),
            name,
            cause: cause.to_owned(),
            allows,
            reason: pause.reason.clone(),
            actor: pause.actor.clone(),
            at: text(&pause.at),
        }
    }
}

impl From<&OperationResult> for CleanupResult {
    fn from(result: &OperationResult) -> Self {
        Self {
            run_id: text(&result.run_id),
            outcome: result.outcome.as_str().to_owned(),
            error_code: maybe(&result.error_code),
            message: result.message.clone(),
            entry_id: result.entry.map(|entry| entry.0),
            runtime: result.record.as_ref().map(Runtime::from),
        }
    }
}
