//! The run's record: read, and changed from stopped to removed.

use super::{Error, Kind, Phase, Rule, Session, TimedOut};
use crate::model::{ContainerId, RuntimeRecord, Status, TrackedRuntime};
use crate::ports::{CasError, StatusChange};

impl Session {
    /// The record as it is now.
    pub async fn record(&mut self) -> Result<&RuntimeRecord, Error> {
        let game = self.run.game.clone().ok_or(Error::NotFound)?;
        let records = self.ports.records.clone();
        let found = match self.call(Kind::Read, async move { records.get(&game).await }).await {
            Ok(Ok(found)) => found.ok_or(Error::NotFound)?,
            Ok(Err(error)) => {
                return Err(match Error::from_store(&error, "loading the record") {
                    // A read has no effect whose outcome could be unknown.
                    Error::OutcomeUnknown => Error::Unavailable("the record store's answer was lost"),
                    other => other,
                });
            }
            Err(TimedOut) => return Err(Error::Unavailable("the record store did not answer in time")),
        };
        // The policy was chosen by the tenant that the record had when the run began.
        if self.run.tenant.as_ref() != Some(&found.record.tenant) {
            return Err(Error::Internal("the record appeared or changed hands during the run; try again"));
        }
        // A game that was started and stopped again since it was offered has a retention of its own to wait for.
        if found.record.status == Status::Stopped
            && self.offered.as_ref().is_some_and(|offered| found.record.begins_anew(offered))
        {
            return Err(Error::Internal("the record changed since it was offered; try again"));
        }
        self.note_read(&found);
        Ok(&self.read.insert(found).record)
    }

    fn note_read(&mut self, found: &TrackedRuntime) {
        if self.phase == Phase::Review {
            return;
        }
        let record = &found.record;
        self.read_under_lease = self.holds_lease();
        self.found_removed = (record.status == Status::Removed).then(|| record.clone());
        let account = (record.container_id.clone(), record.image_ref.clone());
        if self.accounts.last() != Some(&account) {
            self.accounts.push(account);
        }
    }

    /// The record, if this run has read it as stopped, under its lease, and nobody holds it.
    pub(super) fn stopped_record(&self) -> Result<&RuntimeRecord, Error> {
        let read = self.read.as_ref().filter(|_| self.read_under_lease);
        let tracked = read.ok_or(Error::Denied(Rule::RecordNotLoaded))?;
        if tracked.record.status != Status::Stopped {
            return Err(Error::Denied(Rule::NotStopped));
        }
        if tracked.cleanup.hold.as_ref().is_some_and(|hold| hold.is_active(self.now())) {
            return Err(Error::Denied(Rule::Held));
        }
        Ok(&tracked.record)
    }

    /// Compare-and-set of the record's status.
    pub async fn update_status(
        &mut self,
        expected_status: &Status,
        expected_container: Option<&str>,
        new_status: &Status,
    ) -> Result<(), Error> {
        self.writable()?;
        if (expected_status, new_status) != (&Status::Stopped, &Status::Removed) {
            return Err(Error::Denied(Rule::OnlyStoppedToRemoved));
        }
        let game_id = self.stopped_record()?.game_id.clone();
        let expected_container = self.proven_gone(expected_container)?;
        let fence = self.live_lease().await?;
        let change = StatusChange {
            game_id,
            expected_status: Status::Stopped,
            expected_container,
            new_status: Status::Removed,
            at: self.now(),
            run_id: self.run.run_id.clone(),
            fence,
        };
        let records = self.ports.records.clone();
        match self.call(Kind::Effect, async move { records.compare_and_set(&change).await }).await {
            Ok(Ok(record)) => {
                self.won = Some(record);
                Ok(())
            }
            Ok(Err(error)) => Err(seen(&error)),
            Err(TimedOut) => Err(Error::OutcomeUnknown),
        }
    }

    /// No container needs no proof: the store checks that there is none.
    fn proven_gone(&self, container: Option<&str>) -> Result<Option<ContainerId>, Error> {
        let unproven = Error::Denied(Rule::AbsenceUnproven);
        let Some(container) = container else { return Ok(None) };
        let container: ContainerId = container.parse().map_err(|_| unproven)?;
        let engine = &self.stopped_record()?.engine;
        let proven = self.gone.iter().any(|(on, gone)| on == engine && *gone == container);
        if proven { Ok(Some(container)) } else { Err(unproven) }
    }
}

fn seen(error: &CasError) -> Error {
    match error {
        CasError::Conflict => Error::Conflict,
        CasError::NotFound => Error::NotFound,
        CasError::Superseded => Error::LeaseLost,
        CasError::Held => Error::Denied(Rule::Held),
        CasError::Store(error) => Error::from_store(error, "updating the record"),
    }
}
