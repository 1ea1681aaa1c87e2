//! What a run saw of the world, for another that is to see the same.

use std::collections::BTreeMap;

use super::{Error, Rule, Session};
use crate::model::{Container, ContainerId, EngineName, TrackedRuntime};

/// The answers that a run got, as far as another one could get them too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    record: Option<Option<TrackedRuntime>>,
    containers: BTreeMap<(EngineName, ContainerId), Option<Container>>,
    lease_was_held: bool,
    blurred: bool,
}

impl Sight {
    /// The record as it was read first. The outer none if it was not read, the inner if there was none.
    pub fn record(&self) -> Option<Option<&TrackedRuntime>> {
        self.record.as_ref().map(Option::as_ref)
    }

    /// The containers of an engine as they were looked at first; none for those that were not there.
    pub fn containers(&self, engine: &EngineName) -> BTreeMap<ContainerId, Option<Container>> {
        let of_engine = self.containers.iter().filter(|((name, _), _)| name == engine);
        of_engine.map(|((_, id), found)| (id.clone(), found.clone())).collect()
    }

    /// Whether another operation held the lease.
    pub fn lease_was_held(&self) -> bool {
        self.lease_was_held
    }

    /// Whether a backend failed, or the world changed under the run: another would see something else.
    pub fn is_blurred(&self) -> bool {
        self.blurred
    }
}

impl Session {
    pub(super) fn note_record(&mut self, found: &Result<TrackedRuntime, Error>) {
        let Some(sight) = &mut self.sight else { return };
        match found {
            Ok(tracked) if sight.record.is_none() => sight.record = Some(Some(tracked.clone())),
            Err(Error::NotFound) if sight.record.is_none() => sight.record = Some(None),
            Ok(_) => {}
            Err(_) => sight.blurred = true,
        }
    }

    pub(super) fn note_look(&mut self, id: &ContainerId, found: Option<&Container>) {
        let (Some(sight), Some(read)) = (&mut self.sight, &self.read) else { return };
        let place = (read.record.engine.clone(), id.clone());
        sight.containers.entry(place).or_insert_with(|| found.cloned());
    }

    pub(super) fn note_lease(&mut self, acquired: &Result<bool, Error>) {
        self.blur_after(acquired);
        if let Some(sight) = &mut self.sight {
            sight.lease_was_held |= *acquired == Ok(false);
        }
    }

    /// A failure that says nothing of the policy, and that another run would not meet.
    pub(super) fn blur_after<T>(&mut self, answer: &Result<T, Error>) {
        let held_at_first = |sight: &Sight| {
            sight.record.as_ref().is_some_and(|read| read.as_ref().is_some_and(|found| found.cleanup.hold.is_some()))
        };
        let Some(sight) = &mut self.sight else { return };
        sight.blurred |= match answer {
            Ok(_) | Err(Error::NotFound | Error::Conflict) => false,
            Err(Error::Denied(Rule::Held)) => !held_at_first(sight),
            Err(Error::Denied(rule)) => *rule == Rule::PolicyRevoked,
            Err(Error::LeaseLost | Error::Unavailable(_) | Error::OutcomeUnknown | Error::Internal(_)) => true,
        };
    }

    pub(super) fn blur_if(&mut self, changed: bool) {
        if let Some(sight) = &mut self.sight {
            sight.blurred |= changed;
        }
    }
}
