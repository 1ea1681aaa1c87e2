//! Calls and answers in a few words, for whoever stands beside a run.

use std::sync::Arc;

use super::RunState;
use super::wit::records::{RuntimeRecord, Status};
use crate::model::{Container, EntryId, Outcome, Removal};
use crate::session::{Crossing, Error, Onlooker};

impl RunState {
    /// Tells of a call that is about to be made.
    pub(super) async fn begin(&mut self, call: Crossing, about: impl FnOnce() -> String) {
        if let Some(onlooker) = self.onlooker() {
            let about = about();
            onlooker.before(call, about).await;
        }
    }

    /// Tells of its answer.
    pub(super) async fn end<T: Told>(&mut self, call: Crossing, answer: &Result<T, Error>) {
        if let Some(onlooker) = self.onlooker() {
            let answer = words(answer);
            onlooker.after(call, answer).await;
        }
    }

    pub(super) fn onlooker(&self) -> Option<Arc<dyn Onlooker>> {
        self.session.onlooker().cloned()
    }
}

/// An answer in a few words.
pub(super) trait Told {
    fn told(&self) -> String;
}

fn words<T: Told>(answer: &Result<T, Error>) -> String {
    match answer {
        Ok(answer) => answer.told(),
        Err(Error::NotFound) => "not-found".to_owned(),
        Err(Error::Conflict) => "conflict".to_owned(),
        Err(Error::Denied(rule)) => format!("denied {rule}"),
        Err(Error::LeaseLost) => "lease-lost".to_owned(),
        Err(Error::Unavailable(why)) => format!("unavailable: {why}"),
        Err(Error::OutcomeUnknown) => "outcome-unknown".to_owned(),
        Err(Error::Internal(why)) => format!("internal: {why}"),
    }
}

impl Told for () {
    fn told(&self) -> String {
        "ok".to_owned()
    }
}

/// Of a lease that was asked for.
impl Told for bool {
    fn told(&self) -> String {
        if *self { "granted" } else { "none: another operation holds it" }.to_owned()
    }
}

impl Told for RuntimeRecord {
    fn told(&self) -> String {
        let status = match &self.status {
            Status::Running => "running",
            Status::Stopped => "stopped",
            Status::Removed => "removed",
            Status::Other(text) => text,
        };
        let container = self.container_id.as_deref().map_or_else(|| "no container".to_owned(), shortened);
        format!("{status}, {container}, version {}", self.version)
    }
}

impl Told for Container {
    fn told(&self) -> String {
        let code = self.exit_code.map(|code| format!(", exit code {code}"));
        format!("{}{}", self.state, code.unwrap_or_default())
    }
}

impl Told for Removal {
    fn told(&self) -> String {
        match self {
            Self::Removed => "removed",
            Self::AlreadyGone => "already-gone",
        }
        .to_owned()
    }
}

impl Told for EntryId {
    fn told(&self) -> String {
        format!("entry {}", self.0)
    }
}

/// A container's id, or whatever a policy takes for one: the last digits tell those of a scenario apart.
pub(super) fn shortened(id: &str) -> String {
    let tail: Vec<char> = id.chars().rev().take(8).collect();
    if tail.len() < id.chars().count() {
        format!("…{}", tail.iter().rev().collect::<String>())
    } else {
        id.to_owned()
    }
}

/// An entry as it is to be appended.
pub(super) fn account(outcome: Outcome, error_code: Option<&str>, message: Option<&str>) -> String {
    let code = error_code.map(|code| format!(" {code}")).unwrap_or_default();
    let message = message.map(|message| format!(" {message:?}")).unwrap_or_default();
    format!("{}{code}{message}", outcome.as_str())
}
