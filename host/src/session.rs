//! One run's view of the world. Every rule of the protocol is enforced here, whatever the policy does: a
//! policy reaches a port only through its run's session, in the sandbox by way of `runtime/imports`.
//!
//! The session knows neither WIT nor wasmtime, so that the same rules hold, and can be measured, for
//! policy logic that runs natively.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::model::{
    Begun, ContainerId, EngineName, GameId, GenerationId, Grant, Grants, PolicyDigest, PolicyRef, PolicyScope, RunId,
    RuntimeRecord, TenantId, Timestamp, TrackedRuntime,
};
use crate::ownership::Ownership;
use crate::ports::{Clock, ContainerEngine, LeaseStore, OperationLog, Randomness, RecordStore};

mod boundary;
mod docker;
mod lease;
mod onlooker;
mod op_log;
mod recorder;
mod records;
mod rules;
mod sight;

pub use boundary::{Boundary, Moment};
pub use lease::LeaseOptions;
pub use onlooker::{Crossing, Ending, Frame, Onlooker};
pub use op_log::{Account, EntryState, policy_code};
pub use recorder::Recorder;
pub use rules::{Error, Rule};
pub use sight::Sight;

/// The world a session works on.
pub struct Ports {
    /// Records.
    pub records: Arc<dyn RecordStore>,
    /// The operation log.
    pub operations: Arc<dyn OperationLog>,
    /// Leases.
    pub leases: Arc<dyn LeaseStore>,
    /// Container engines by name.
    pub engines: BTreeMap<EngineName, Arc<dyn ContainerEngine>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for lease tokens.
    pub randomness: Arc<dyn Randomness>,
    /// Where what is measured goes.
    pub metrics: Arc<Metrics>,
}

/// What is the same for every session of a host.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// The lease's times.
    pub lease: LeaseOptions,
    /// Whose containers are ours.
    pub ownership: Ownership,
    /// Who stands beside each run, if somebody does.
    pub onlooker: Option<Arc<dyn Onlooker>>,
    /// Whether nothing that a run does leaves a world of its own: so its lines in the log say.
    pub dry_run: bool,
}

/// What is known of a run before it starts.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// The run.
    pub run_id: RunId,
    /// The request as received.
    pub request: crate::model::Request,
    /// The game, if the request names a valid one. Without it, nothing can be reached.
    pub game: Option<GameId>,
    /// The tenant whose policy runs; none while the game is not known to have a record.
    pub tenant: Option<TenantId>,
    /// The policy that runs.
    pub policy: PolicyRef,
    /// Before validation.
    pub started_at: Timestamp,
}

/// What the policy is being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// When: nothing may be written.
    Review,
    /// How.
    Handle,
}

/// One run's state, and its only way to the ports.
pub struct Session {
    ports: Arc<Ports>,
    options: Arc<SessionOptions>,
    import_time: Duration,
    run: RunContext,
    phase: Phase,
    lease: lease::Slot,
    /// The record as the sweeper offered it, if it did.
    offered: Option<RuntimeRecord>,
    /// The record as last read in this phase.
    read: Option<TrackedRuntime>,
    /// Whether that read happened under this run's lease.
    read_under_lease: bool,
    /// What the store answered when the run began, which is its first read under the lease.
    begun: Option<Begun>,
    /// Container and image of every read, for the entry.
    accounts: Vec<(Option<ContainerId>, Option<String>)>,
    /// Containers that this run has seen to be gone from an engine, which says nothing of another engine. Ids are
    /// never used twice, so this cannot go stale.
    gone: BTreeSet<(EngineName, ContainerId)>,
    /// The one removal of this run.
    removal: Option<docker::SentRemoval>,
    /// The record as this run changed it.
    won: Option<RuntimeRecord>,
    /// The record as this run read it, removed.
    found_removed: Option<RuntimeRecord>,
    entry: EntryState,
    /// What the policy may do; none for everything.
    grants: Option<Arc<Grants>>,
    sight: Option<Box<Sight>>,
    /// Who looks on; none costs nothing.
    watch: Option<Box<boundary::Watch>>,
    /// What the policy asked for against the rules.
    denied: Vec<Rule>,
}

/// Whether a call of a port that takes too long is dropped, or goes on without the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Reads can be dropped at any time.
    Read,
    /// Dropping an effect would leave its outcome to chance, so it runs in a task of its own.
    Effect,
}

/// A call took longer than the import limit.
struct TimedOut;

impl Session {
    /// A session for one run. `candidate` is the record that the sweeper offers for review.
    pub fn new(
        ports: Arc<Ports>,
        options: Arc<SessionOptions>,
        import_time: Duration,
        run: RunContext,
        candidate: Option<TrackedRuntime>,
    ) -> Self {
        Self {
            ports,
            options,
            import_time,
            run,
            phase: if candidate.is_some() { Phase::Review } else { Phase::Handle },
            lease: lease::Slot::Never,
            offered: candidate.as_ref().map(|candidate| candidate.record.clone()),
            read: candidate,
            read_under_lease: false,
            begun: None,
            accounts: Vec::new(),
            gone: BTreeSet::new(),
            removal: None,
            won: None,
            found_removed: None,
            entry: EntryState::Missing,
            grants: None,
            sight: None,
            watch: None,
            denied: Vec::new(),
        }
    }

    /// A session that reaches nothing: it has no game, and writes nothing. For a policy of which nothing is asked yet.
    pub fn of_nobody(ports: Arc<Ports>, digest: PolicyDigest) -> Self {
        let request = crate::model::Request {
            game_id: String::new(),
            op_source: "admission".to_owned(),
            source_ref: String::new(),
            actor: None,
        };
        let (run_id, started_at) = (RunId::from_bytes([0; 16]), ports.clock.now());
        let policy =
            PolicyRef { generation: GenerationId::configured(&PolicyScope::Default, "0000000000000000"), digest };
        let run = RunContext { run_id, request, game: None, tenant: None, policy, started_at };
        let session = Self::new(ports, Arc::default(), Duration::ZERO, run, None);
        Self { phase: Phase::Review, ..session }
    }

    /// Whether what the run does stays in a world of its own.
    pub fn is_dry_run(&self) -> bool {
        self.options.dry_run
    }

    /// The same for a policy that may do only this.
    ///
    /// A call that is not granted is denied. Functions that have no error to answer with (clock, settings, logging) are
    /// not looked at here: whether a policy may import them is asked when it is bound, and settings that are not granted
    /// are not there.
    #[must_use]
    pub fn granted(mut self, grants: Option<Arc<Grants>>) -> Self {
        self.grants = grants;
        self
    }

    /// The same, keeping account of what the run sees.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.sight = Some(Box::default());
        self
    }

    /// What the run has seen, if account was kept of it.
    pub fn sight(&self) -> Option<&Sight> {
        self.sight.as_deref()
    }

    /// Ends the review. What was read for it no longer counts as read.
    pub fn begin_handle(&mut self) {
        self.phase = Phase::Handle;
        self.read = None;
    }

    /// Who stands beside this run.
    pub fn onlooker(&self) -> Option<&Arc<dyn Onlooker>> {
        self.options.onlooker.as_ref()
    }

    /// What the policy is being asked.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What was known of the run before it started.
    pub fn run(&self) -> &RunContext {
        &self.run
    }

    /// The present time.
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// The clock, for what needs it beyond a call.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.ports.clock.clone()
    }

    /// The record as this run changed it, if it won the change.
    pub fn won(&self) -> Option<&RuntimeRecord> {
        self.won.as_ref()
    }

    /// The record that proves a success: won, or read as removed.
    pub fn proof_of_success(&self) -> Option<&RuntimeRecord> {
        self.won.as_ref().or(self.found_removed.as_ref())
    }

    /// What became of the run's entry.
    pub fn entry(&self) -> &EntryState {
        &self.entry
    }

    /// Container and image that the run was about: of the removal that it sent, else of its first read.
    pub fn subject(&self) -> (Option<ContainerId>, Option<String>) {
        let sent = self.removal.as_ref().map(|removal| &removal.container);
        let removed = self.accounts.iter().find(|(container, _)| sent.is_some() && container.as_ref() == sent);
        removed.or(self.accounts.first()).cloned().unwrap_or_default()
    }

    /// The container that this run removed, by its engine's answer.
    pub fn removed_container(&self) -> Option<&ContainerId> {
        self.removal.as_ref().filter(|removal| removal.done).map(|removal| &removal.container)
    }

    fn allowed(&self, grant: &Grant) -> Result<(), Error> {
        match &self.grants {
            Some(grants) if !grants.contains(grant) => Err(Error::Denied(Rule::NotGranted)),
            Some(_) | None => Ok(()),
        }
    }

    /// The rules that the policy's calls broke, in order.
    pub fn denied(&self) -> &[Rule] {
        &self.denied
    }

    /// The policy was told that its call breaks the rule of that name.
    pub(crate) fn note_denied(&mut self, rule: &str) {
        self.denied.extend(Rule::from_text(rule));
    }

    fn game(&self) -> Result<&GameId, Error> {
        self.run.game.as_ref().ok_or(Error::Denied(Rule::InvalidRequest))
    }

    /// Whether an effect may be started, as far as the run's own steps go: its entry is its last word.
    fn acting(&self) -> Result<(), Error> {
        self.writable()?;
        match self.entry {
            EntryState::Missing => Ok(()),
            EntryState::Lost(_) | EntryState::Written(..) => Err(Error::Denied(Rule::EntryIsLast)),
        }
    }

    fn writable(&self) -> Result<(), Error> {
        match self.phase {
            Phase::Review => Err(Error::Denied(Rule::ReviewIsReadOnly)),
            Phase::Handle => Ok(()),
        }
    }

    /// Calls a port, for at most the import limit, and keeps the lease alive meanwhile.
    async fn call<T: Send + 'static>(
        &mut self,
        kind: Kind,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, TimedOut> {
        self.call_within(self.import_time, kind, call).await
    }

    async fn call_within<T: Send + 'static>(
        &mut self,
        limit: Duration,
        kind: Kind,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, TimedOut> {
        let mut call: std::pin::Pin<Box<dyn Future<Output = T> + Send>> = Box::pin(call);
        if let std::task::Poll::Ready(answer) = poll_once(&mut call).await {
            return Ok(answer);
        }
        if kind == Kind::Effect {
            let task = tokio::spawn(call);
            // A task that panicked never answers: to the run that is a call that timed out.
            call = Box::pin(async move {
                match task.await {
                    Ok(answer) => answer,
                    Err(_) => std::future::pending().await,
                }
            });
        }
        let deadline = Instant::now() + limit;
        loop {
            let renewal = self.time_to_renewal();
            tokio::select! {
                biased;
                answer = &mut call => return Ok(answer),
                () = tokio::time::sleep_until(deadline) => return Err(TimedOut),
                () = sleep_or_never(renewal) => self.renew().await,
            }
        }
    }
}

async fn sleep_or_never(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}

async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> std::task::Poll<T> {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await
}
