//! Rows of `pauses`.

use super::{Reader, SqlRow};
use crate::model::{Pause, PauseCause, PauseScope};
use crate::ports::StoreError;

/// The columns `scope` and `name`.
pub(in crate::adapters) fn scope_columns(scope: &PauseScope) -> (&'static str, &str) {
    match scope {
        PauseScope::Global => ("global", ""),
        PauseScope::Engine(engine) => ("engine", engine.as_str()),
        PauseScope::Tenant(tenant) => ("tenant", tenant.as_str()),
    }
}

/// The columns `cause` and `removals`.
pub(in crate::adapters) fn cause_columns(cause: PauseCause) -> (&'static str, u64) {
    match cause {
        PauseCause::Operator => ("operator", 0),
        PauseCause::Breaker { removals } => ("breaker", removals),
        PauseCause::ClockJump => ("clock_jump", 0),
    }
}

/// Reads, in this order: scope, name, cause, removals, reason, actor, paused_at.
pub(in crate::adapters) fn pause_of(row: &impl SqlRow) -> Result<Pause, StoreError> {
    let mut reader = Reader::new("pauses", row);
    let scope = match reader.text()? {
        "global" => {
            reader.text()?;
            PauseScope::Global
        }
        "engine" => PauseScope::Engine(reader.parsed()?),
        "tenant" => PauseScope::Tenant(reader.parsed()?),
        other => return Err(reader.corrupt(format_args!("{other:?} is not known"))),
    };
    let cause = reader.text()?;
    let removals = reader.count()?;
    let cause = match cause {
        "operator" => PauseCause::Operator,
        "breaker" => PauseCause::Breaker { removals },
        "clock_jump" => PauseCause::ClockJump,
        other => return Err(reader.corrupt(format_args!("{other:?} is not known"))),
    };
    Ok(Pause { scope, cause, reason: reader.string()?, actor: reader.string()?, at: reader.time()? })
}
