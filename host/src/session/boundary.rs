//! Who looks on at the boundary between the policy and this session. While nobody does, it costs a look at a pointer.

use std::sync::Arc;
use std::time::Duration;

use super::{Error, Phase, Session};
use crate::model::{BoundaryAnswer, BoundaryCall, BoundaryError, HostNote, RunPhase, SeenRecord};

/// When a call began or ended, and what the policy was being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// By the monotonic clock.
    pub at: Duration,
    /// What the policy was being asked.
    pub phase: RunPhase,
}

/// Is told of every call that a policy makes, in order; one ends before the next begins. A call after which a budget is
/// spent is not one, and the run's end may come before a call's.
pub trait Boundary: Send + Sync {
    /// A call begins.
    fn begins(&self, call: BoundaryCall, moment: Moment);

    /// It ended so. An error that is answered here is what the policy is told.
    fn ends(&self, answer: BoundaryAnswer, note: HostNote, moment: Moment) -> Option<BoundaryError>;
}

/// Somebody who looks on, and what there is to tell of the call that is under way.
pub(super) struct Watch {
    boundary: Arc<dyn Boundary>,
    note: HostNote,
}

impl Session {
    /// The same, looked on by somebody.
    #[must_use]
    pub fn overheard(mut self, boundary: Arc<dyn Boundary>) -> Self {
        self.watch = Some(Box::new(Watch { boundary, note: HostNote::default() }));
        self
    }

    /// A call of the policy's begins.
    pub(crate) fn asked(&mut self, call: impl FnOnce() -> BoundaryCall) {
        let moment = self.moment();
        if let Some(watch) = &mut self.watch {
            watch.note = HostNote::default();
            watch.boundary.begins(call(), moment);
        }
    }

    /// It ended. What comes back is what the policy is to be told.
    pub(crate) fn told<T>(
        &mut self,
        answer: Result<T, Error>,
        show: impl FnOnce(&Self, &T) -> BoundaryAnswer,
    ) -> Result<T, BoundaryError> {
        let answer = answer.map_err(BoundaryError::from);
        let Some(watch) = &self.watch else { return answer };
        let shown = match &answer {
            Ok(answer) => show(self, answer),
            Err(error) => BoundaryAnswer::Error(error.clone()),
        };
        match watch.boundary.ends(shown, watch.note.clone(), self.moment()) {
            Some(instead) => Err(instead),
            None => answer,
        }
    }

    /// The same of a call that cannot fail.
    pub(crate) fn told_of(&mut self, answer: impl FnOnce() -> BoundaryAnswer) {
        let Some(watch) = &self.watch else { return };
        // There is nobody who could be told of an error.
        let _none = watch.boundary.ends(answer(), watch.note.clone(), self.moment());
    }

    /// The record as it was read last, for whoever looks on.
    pub(crate) fn read_record_as_seen(&self) -> BoundaryAnswer {
        match &self.read {
            Some(read) => BoundaryAnswer::Record(Box::new(SeenRecord::from(&read.record))),
            None => BoundaryAnswer::None,
        }
    }

    pub(super) fn note(&mut self, note: impl FnOnce(&mut HostNote)) {
        if let Some(watch) = &mut self.watch {
            note(&mut watch.note);
        }
    }

    fn moment(&self) -> Moment {
        let phase = match self.phase {
            Phase::Review => RunPhase::Review,
            Phase::Handle => RunPhase::Handle,
        };
        Moment { at: if self.watch.is_some() { self.ports.clock.monotonic() } else { Duration::ZERO }, phase }
    }
}

impl From<Error> for BoundaryError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::NotFound,
            Error::Conflict => Self::Conflict,
            Error::Denied(rule) => Self::Denied(rule.as_str().to_owned()),
            Error::LeaseLost => Self::LeaseLost,
            Error::Unavailable(message) => Self::Unavailable(message.to_owned()),
            Error::OutcomeUnknown => Self::OutcomeUnknown,
            Error::Internal(message) => Self::Internal(message.to_owned()),
        }
    }
}
