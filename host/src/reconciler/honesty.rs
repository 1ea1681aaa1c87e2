//! Records held against their containers: started again, stopped, vanished. Also those whose container carries no
//! labels, since a platform that writes the records need not set any: these are inspected by id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use super::memory::{Memory, Missing};
use super::{Error, Reach, Reconciler, Registered, Report, finding};
use crate::model::{
    Container, ContainerId, ContainerState, LiveStatus, Registration, RuntimeRecord, Status, Timestamp, TrackedRuntime,
};
use crate::ports::{ContainerEngine, EngineError, RecordFilter};

/// Records read at a time.
const PAGE: u32 = 200;
/// Records of a status that one pass looks at; the next goes on from there.
const SLICE: u32 = 2_000;
/// Containers inspected at a time: enough to hide the latency, few enough to leave the engine to others.
const INSPECTED_AT_ONCE: usize = 8;
/// A platform may say `stopped` before it stops the container, which then may take some time to end.
const STOP_GRACE: Duration = Duration::from_secs(60);

/// What a record's container says about the record.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Agrees,
    /// The record is to say this, and why.
    Differs(Box<Registration>, &'static str),
    /// This label of it names another owner, tenant or game.
    Foreign(String),
    /// There is no such container.
    Missing,
}

impl Reconciler {
    /// Looks at the records that say `running`, then at those that say `stopped`. Adds the containers of all that it
    /// looked at to `recorded`.
    pub(super) async fn keep_honest(
        &self,
        listed: &BTreeMap<ContainerId, Container>,
        memory: &mut Memory,
        reach: Reach,
        recorded: &mut BTreeSet<ContainerId>,
        report: &mut Report,
    ) -> Result<(), Error> {
        for status in [Status::Running, Status::Stopped] {
            self.walk(&status, listed, memory, reach, recorded, report).await?;
        }
        Ok(())
    }

    async fn walk(
        &self,
        status: &Status,
        listed: &BTreeMap<ContainerId, Container>,
        memory: &mut Memory,
        reach: Reach,
        recorded: &mut BTreeSet<ContainerId>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let filter = RecordFilter { engine: Some(self.name.clone()), status: Some(status.clone()), tenant: None };
        let mut lap = memory.lap(status, reach == Reach::Lap);
        let mut left = if reach == Reach::Lap { u32::MAX } else { SLICE };
        while left > 0 && !lap.is_over() {
            let limit = PAGE.min(left);
            let page = match self.records.list(&filter, lap.after(), limit).await {
                Err(error) if !error.is_retryable() => {
                    report.unread = Some(format!("records that say {status} were not read to the end: {error}"));
                    lap.end(memory);
                    break;
                }
                page => page?,
            };
            left -= limit;
            recorded.extend(page.iter().filter_map(|row| row.record.container_id.clone()));
            let missing = self.look_at(&page, listed, report).await?;
            lap.went_over(memory, &page, limit, missing);
        }
        memory.put_back(lap);
        Ok(())
    }

    /// Holds a page of records against their containers. Answers those without.
    pub(super) async fn look_at(
        &self,
        page: &[TrackedRuntime],
        listed: &BTreeMap<ContainerId, Container>,
        report: &mut Report,
    ) -> Result<Vec<Missing>, Error> {
        let (mut subjects, mut looks) = (Vec::new(), Vec::new());
        for row in page {
            let Some(id) = &row.record.container_id else { continue };
            let known = listed.get(id);
            // A container that claims its game has been heard.
            if known.is_none() || !self.options.discovers {
                subjects.push((row, id));
                looks.push(look(self.engine.clone(), id.clone(), known.cloned()));
            }
        }
        let mut found = stream::iter(looks).buffered(INSPECTED_AT_ONCE);
        let mut missing = Vec::new();
        for (row, id) in subjects {
            let Some(found) = found.next().await else { break };
            match self.correct(row, id, found, report).await {
                Ok(gone) => missing.extend(gone),
                Err(error) => {
                    let reason = self.confined_to_one(error).await?;
                    report.invalid.push(finding(id, Some(&row.record.game_id), reason));
                }
            }
        }
        Ok(missing)
    }

    /// Corrects one record; answers it if it is without a container.
    async fn correct(
        &self,
        row: &TrackedRuntime,
        id: &ContainerId,
        found: Result<Option<Container>, EngineError>,
        report: &mut Report,
    ) -> Result<Option<Missing>, Error> {
        let record = &row.record;
        let mut word = self.word(record, found?.as_ref());
        if matches!(word, Word::Differs(..)) {
            // What was listed may be old by now; a record is changed by what is so now.
            word = self.word(record, self.engine.inspect(id).await?.as_ref());
        }
        match word {
            Word::Agrees => report.unchanged = report.unchanged.saturating_add(u64::from(!self.options.discovers)),
            Word::Foreign(label) => {
                let reason = format!("its label {label} names another owner, tenant or game than the record");
                report.conflicts.push(finding(id, Some(&record.game_id), reason));
            }
            Word::Differs(registration, why) => {
                self.refresh(row, id, &registration, why, report).await?;
            }
            Word::Missing => return Ok(Missing::of(row, self.clock.now(), self.clock.monotonic())),
        }
        Ok(None)
    }

    /// Answers whether the record says so now.
    pub(super) async fn refresh(
        &self,
        row: &TrackedRuntime,
        id: &ContainerId,
        registration: &Registration,
        why: &str,
        report: &mut Report,
    ) -> Result<bool, Error> {
        let said = |reason: &str| finding(id, Some(&row.record.game_id), reason);
        match self.register(Some(row.record.version), registration).await? {
            Registered::Written => {
                report.refreshed.push(said(why));
                Ok(true)
            }
            Registered::Gone | Registered::Outrun => Ok(false),
            Registered::Refused(reason) => {
                report.conflicts.push(said(&reason));
                Ok(false)
            }
        }
    }

    fn word(&self, record: &RuntimeRecord, found: Option<&Container>) -> Word {
        let Some(found) = found else { return Word::Missing };
        if let Some(label) = self.options.ownership.contradiction(&found.labels, record) {
            return Word::Foreign(label.to_owned());
        }
        let started_at = found.started_at.max(record.started_at);
        let stopped = |at| Box::new(registration(record, LiveStatus::Stopped, started_at, at));
        match (&record.status, &found.state) {
            (Status::Running, ContainerState::Exited | ContainerState::Dead) => {
                Word::Differs(stopped(Some(self.end_of(found, record))), "now stopped")
            }
            // One that was made and never started may be about to be.
            (Status::Stopped, state) if state.is_live() => {
                let began_before = !ran_since(found, record);
                if began_before && record.stopped_at.is_some_and(|at| self.soon_after(at, STOP_GRACE)) {
                    return Word::Agrees;
                }
                Word::Differs(Box::new(registration(record, LiveStatus::Running, started_at, None)), "now running")
            }
            // Of a short run an engine may tell an end before its start, so the end itself must be news.
            (Status::Stopped, ContainerState::Exited | ContainerState::Dead)
                if ran_since(found, record) && found.finished_at > record.stopped_at =>
            {
                Word::Differs(stopped(found.finished_at), "ran again and stopped")
            }
            _ => Word::Agrees,
        }
    }

    /// When the record's run ended. The end of an earlier run than the record's says nothing of it, so then it is now.
    fn end_of(&self, found: &Container, record: &RuntimeRecord) -> Timestamp {
        found.finished_at.filter(|end| Some(*end) >= record.started_at).unwrap_or_else(|| self.clock.now())
    }
}

async fn look(
    engine: Arc<dyn ContainerEngine>,
    id: ContainerId,
    known: Option<Container>,
) -> Result<Option<Container>, EngineError> {
    if known.is_some() { Ok(known) } else { engine.inspect(&id).await }
}

/// Whether the container was started after the record's stop.
fn ran_since(found: &Container, record: &RuntimeRecord) -> bool {
    match (found.started_at, record.stopped_at) {
        (Some(started), Some(stopped)) => started > stopped,
        (_, None) => true,
        (None, Some(_)) => false,
    }
}

pub(super) fn registration(
    record: &RuntimeRecord,
    status: LiveStatus,
    started_at: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
) -> Registration {
    Registration {
        game_id: record.game_id.clone(),
        tenant: record.tenant.clone(),
        engine: record.engine.clone(),
        status,
        container_id: record.container_id.clone(),
        image_ref: record.image_ref.clone(),
        labels: None,
        started_at,
        stopped_at,
    }
}
