//! Keeps the records of one engine honest, by looking.
//!
//! A pass compares what the engine says with what the records say, corrects the records, and reports what has no
//! counterpart on the other side. It never touches a container. What it cannot tell for certain it reports and leaves
//! alone:
//!
//! - labelled containers become records and refresh them, where discovery is on (`claims`);
//! - a record's container that started or stopped corrects the record (`honesty`), and so does one that vanished
//!   (`vanished`), unless most vanished at once (`absence`);
//! - a stopped record whose container stays gone is closed by a run of its policy, a few at a time (`closing`);
//! - containers without a record, and records without a container, are reported (`orphans`).
//!
//! The engine's events only make a pass come earlier (`watch`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::metrics::Metrics;
use crate::model::{ContainerId, EngineName, ErrorChain, Timestamp};
use crate::ownership::Ownership;
use crate::ports::{Clock, ContainerEngine, EngineError, RecordStore, StoreError};

mod absence;
mod claim;
mod claims;
mod closing;
mod hinted;
mod honesty;
mod memory;
mod orphans;
mod protection;
mod report;
mod vanished;
mod watch;

pub use closing::Closer;
use hinted::Hinted;
use memory::Memory;
pub use report::{Finding, Orphans, Report, Standing};

/// What a reconciler goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whose containers are ours, and the labels that tell it.
    pub ownership: Ownership,
    /// Whether labelled containers without a record make one. Off where a platform writes the records.
    pub discovers: bool,
    /// How long a conflict keeps a record from the sweeper. Renewed by each pass that still sees the
    /// conflict, so it should span many passes.
    pub conflict_wait: Duration,
    /// How long this process must have missed a container, without a failed pass in between, before its record is
    /// closed. Of containers that vanish most at once, no record is stopped any earlier either.
    pub close_after: Duration,
    /// The longest a pass may take. What it has done by then stands.
    pub patience: Duration,
}

impl Options {
    /// Labelled containers become records; conflicts keep a record for a day; a record is closed after an hour without
    /// its container; a pass may take five minutes, ample even for many thousands of containers.
    pub fn new(ownership: Ownership) -> Self {
        let conflict_wait = Duration::from_secs(24 * 60 * 60);
        let close_after = Duration::from_secs(60 * 60);
        Self { ownership, discovers: true, conflict_wait, close_after, patience: Duration::from_secs(300) }
    }
}

/// Why a pass ended early. What it had done by then stands.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine failed.
    #[error("the engine could not be looked at")]
    Engine(#[from] EngineError),
    /// The records failed.
    #[error("the records could not be read or written")]
    Store(#[from] StoreError),
    /// Not done in time.
    #[error("the engine did not describe its containers within {0:?}")]
    Slow(Duration),
}

impl Error {
    /// In a line, with all its causes.
    pub fn with_causes(&self) -> String {
        ErrorChain(self).to_string()
    }
}

/// How many records a pass looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Some, from where the last pass ended.
    Slice,
    /// All.
    Lap,
}

/// Reconciles one engine.
pub struct Reconciler {
    engine: Arc<dyn ContainerEngine>,
    name: EngineName,
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    options: Options,
    closer: Option<Closer>,
    metrics: Option<Arc<Metrics>>,
    /// Held by the pass under way: two at a time would judge by what the other has just changed.
    memory: tokio::sync::Mutex<Memory>,
    standing: Mutex<Standing>,
    hinted: Hinted,
}

impl Reconciler {
    /// Reconciles `engine`, known by `name` in the records. Closes no record and measures nothing.
    pub fn new(
        engine: Arc<dyn ContainerEngine>,
        name: EngineName,
        records: Arc<dyn RecordStore>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Self {
        let (memory, standing) = (tokio::sync::Mutex::default(), Mutex::default());
        let (closer, metrics, hinted) = (None, None, Hinted::default());
        Self { engine, name, records, clock, options, closer, metrics, memory, standing, hinted }
    }

    /// The same, and stopped records whose container is gone are closed.
    pub fn closing_by(self, closer: Closer) -> Self {
        Self { closer: Some(closer), ..self }
    }

    /// The same, measured.
    pub fn measured_by(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// One pass over all containers of ours and a slice of the records, after any other pass that is under way.
    pub async fn run(&self) -> Result<Report, Error> {
        self.bounded_pass(Reach::Slice).await
    }

    /// The same over all records.
    pub async fn run_whole(&self) -> Result<Report, Error> {
        self.bounded_pass(Reach::Lap).await
    }

    /// What the last passes of this process found.
    pub fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn bounded_pass(&self, reach: Reach) -> Result<Report, Error> {
        let mut memory = self.memory.lock().await;
        let passed = tokio::time::timeout(self.options.patience, self.pass(&mut memory, reach)).await;
        let passed = passed.unwrap_or(Err(Error::Slow(self.options.patience)));
        self.conclude(&mut memory, &passed);
        passed
    }

    async fn pass(&self, memory: &mut Memory, reach: Reach) -> Result<Report, Error> {
        memory.absences.begin_pass();
        let owner = (self.options.ownership.labels.owner.clone(), self.options.ownership.owner.clone());
        let listing = self.engine.list_labelled(&[owner]).await?;
        let mut report =
            Report { invalid: listing.passed_over.into_iter().map(Finding::from).collect(), ..Report::default() };
        if self.options.discovers {
            self.hear_claims(&listing.containers, &mut report).await?;
        }
        let listed: BTreeMap<_, _> = listing.containers.into_iter().map(|found| (found.id.clone(), found)).collect();
        let mut recorded = self.look_at_hinted(&listed, memory, &mut report).await?;
        self.keep_honest(&listed, memory, reach, &mut recorded, &mut report).await?;
        memory.weigh(&listed, &recorded);
        self.judge_missing(memory, &mut report).await?;
        if !self.options.discovers {
            self.find_unrecorded(&listed, &recorded, &mut report).await?;
        }
        memory.tell_missing(&mut report.orphans);
        memory.absences.end_pass();
        Ok(report)
    }

    /// Tells the log what is new, the metrics what is, and whoever asks later both.
    fn conclude(&self, memory: &mut Memory, passed: &Result<Report, Error>) {
        let now = self.clock.now();
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        match passed {
            Ok(report) => {
                if standing.failure.take().is_some() {
                    tracing::info!(engine = %self.name, "an engine is reconciled again");
                }
                let is_new = memory.notes_are_new(report);
                report.log(&self.name, &memory.say(report), is_new);
                standing.findings = Some((now, Arc::new(report.clone())));
            }
            Err(error) => {
                let cause = error.with_causes();
                if standing.failure.as_ref().is_none_or(|(_, known)| *known != cause) {
                    tracing::warn!(engine = %self.name, error = cause, "an engine's records were not reconciled");
                }
                standing.failure = Some((now, cause));
            }
        }
        drop(standing);
        if let Some(metrics) = &self.metrics {
            metrics.reconciled(&self.name, passed.as_ref().ok().map(|report| report.orphans.gauges(now)));
        }
    }

    /// What to say of an error that concerns one game or container only: a row that is corrupt, or a container that
    /// its engine cannot describe though it answers. Any other ends the pass.
    async fn confined_to_one(&self, error: Error) -> Result<String, Error> {
        match &error {
            Error::Store(store) if !store.is_retryable() => Ok(store.to_string()),
            Error::Engine(_) if self.engine.ping().await.is_ok() => {
                Ok("the engine does not describe the container of the game's record".to_owned())
            }
            Error::Store(_) | Error::Engine(_) | Error::Slow(_) => Err(error),
        }
    }

    fn soon_after(&self, at: Timestamp, grace: Duration) -> bool {
        self.clock.now() < at.saturating_add(grace)
    }
}

/// What became of a registration.
enum Registered {
    Written,
    /// The record was written since it was judged. The next pass judges anew.
    Outrun,
    Gone,
    Refused(String),
}

fn finding(container: &ContainerId, game: Option<&crate::model::GameId>, reason: impl Into<String>) -> Finding {
    Finding { container: container.clone(), game: game.cloned(), reason: reason.into() }
}
