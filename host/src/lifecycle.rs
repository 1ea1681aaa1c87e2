//! One run from request to result, whoever called.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::metrics::{self, Metrics};
use crate::model::{
    ContainerId, EngineName, EntryId, ErrorCode, Fault, GameId, OpSource, Outcome, RunId, RuntimeRecord, TenantId,
    Timestamp, TrackedRuntime,
};
use crate::ports::RandomnessError;
use crate::registry::Registry;
use crate::runtime::{Advice, Answer, Candidate, Execution, Job};
use crate::session::{Phase, Ports, RunContext, Session, SessionOptions};

mod detached;
mod run_ids;
mod settle;

pub use crate::model::Request;
use detached::Begun;
use run_ids::RunIds;
pub use settle::{Settled, settle};

/// What became of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationResult {
    /// The run.
    pub run_id: RunId,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, unless it is a plain success.
    pub error_code: Option<ErrorCode>,
    /// The same for people; only of failures.
    pub message: Option<String>,
    /// The record as the host knows it; none for failures.
    pub record: Option<RuntimeRecord>,
    /// The run's entry, unless appending failed.
    pub entry: Option<EntryId>,
    /// The container that this run removed, whatever its outcome; none if its engine did not answer so.
    pub removed_container: Option<ContainerId>,
}

/// What became of a candidate that the sweeper offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReviewResult {
    /// Not before this time, by the policy's word.
    WaitUntil(Timestamp),
    /// Kept, for the policy's reason.
    Keep(String),
    /// The review itself failed; the candidate is kept.
    Faulted(Fault),
    /// It was due and has been handled.
    Handled(Box<OperationResult>),
    /// It was not handled, and that says nothing about it: another operation held its lease, nobody could give it one,
    /// or no place among the runs came free. With what the run was told.
    Busy(String),
    /// It is due, and this is a dry run.
    WouldHandle,
}

/// Runs policies.
#[derive(Clone)]
pub struct Lifecycle(Arc<Inner>);

struct Inner {
    ports: Arc<Ports>,
    registry: Arc<Registry>,
    options: Arc<SessionOptions>,
    import_time: Duration,
    run_ids: RunIds,
    runs: TaskTracker,
}

/// Whose game it is, and where its container is.
struct Subject {
    tenant: TenantId,
    engine: EngineName,
}

impl Subject {
    fn of(record: &RuntimeRecord) -> Self {
        Self { tenant: record.tenant.clone(), engine: record.engine.clone() }
    }
}

impl Lifecycle {
    /// Runs the registry's policies on these ports. Draws the seed of its run ids, so it fails without randomness.
    pub fn new(
        ports: Arc<Ports>,
        registry: Arc<Registry>,
        options: SessionOptions,
        import_time: Duration,
    ) -> Result<Self, RandomnessError> {
        let run_ids = RunIds::new(ports.randomness.as_ref())?;
        let options = Arc::new(options);
        Ok(Self(Arc::new(Inner { ports, registry, options, import_time, run_ids, runs: TaskTracker::new() })))
    }

    /// Runs the tenant's policy over one request. The run goes on if the caller hangs up.
    pub async fn cleanup(&self, request: Request) -> OperationResult {
        let started_at = self.0.ports.clock.now();
        let run_id = self.0.run_ids.next(started_at);
        let begun = Begun { run_id: run_id.clone(), started_at, request: request.clone(), tenant: Arc::default() };
        let (inner, id, tenant) = (self.0.clone(), run_id.clone(), begun.tenant.clone());
        let run = async move { inner.clean_up(id, started_at, request, &tenant).await };
        self.detached(begun, run).await.unwrap_or_else(|| host_failed(run_id))
    }

    /// Asks the tenant's policy about a candidate and, unless `dry_run`, handles it when due.
    pub async fn review(&self, runtime: TrackedRuntime, floor_passed_at: Timestamp, dry_run: bool) -> ReviewResult {
        let started_at = self.0.ports.clock.now();
        let run_id = self.0.run_ids.next(started_at);
        let (inner, id) = (self.0.clone(), run_id.clone());
        let request = Request::of_sweeper(&runtime.record.game_id);
        let tenant = Arc::new(OnceLock::from(runtime.record.tenant.clone()));
        let begun = Begun { run_id: run_id.clone(), started_at, request, tenant };
        let candidate = Candidate { runtime, floor_passed_at };
        let run = async move { inner.review(id, started_at, candidate, dry_run).await };
        self.detached(begun, run).await.unwrap_or_else(|| ReviewResult::Handled(Box::new(host_failed(run_id))))
    }

    /// Waits until no run is under way, for at most `limit`. Answers whether that was so.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.0.runs.close();
        tokio::time::timeout(limit, self.0.runs.wait()).await.is_ok()
    }

    /// A name for work of this host, unique as a run's.
    pub fn fresh_id(&self) -> RunId {
        self.0.run_ids.next(self.0.ports.clock.now())
    }

    /// The policy generation that serves a tenant.
    pub fn generation(&self, tenant: &TenantId) -> String {
        self.0.registry.binding(Some(tenant)).generation.clone()
    }
}

impl Inner {
    async fn clean_up(
        &self,
        run_id: RunId,
        started_at: Timestamp,
        request: Request,
        found: &OnceLock<TenantId>,
    ) -> OperationResult {
        let game: Option<GameId> = request.game_id.parse().ok();
        let subject = self.subject_of(game.as_ref()).await;
        if let Some(subject) = &subject {
            found.get_or_init(|| subject.tenant.clone());
        }
        let execution = self.execute(run_id, started_at, request, game, subject, Job::Handle).await;
        self.finish(execution).await
    }

    async fn review(&self, run_id: RunId, started_at: Timestamp, offered: Candidate, dry_run: bool) -> ReviewResult {
        let record = &offered.runtime.record;
        let request = Request::of_sweeper(&record.game_id);
        let (game, subject) = (Some(record.game_id.clone()), Some(Subject::of(record)));
        let job = Job::Review { candidate: Box::new(offered), then_handle: !dry_run };
        let execution = self.execute(run_id, started_at, request, game, subject, job).await;
        self.count_review(&execution);
        match execution.answer {
            Ok(Answer::Advice(Advice::Due)) => ReviewResult::WouldHandle,
            Ok(Answer::Advice(Advice::WaitUntil(at))) => ReviewResult::WaitUntil(at),
            Ok(Answer::Advice(Advice::Keep(reason))) => ReviewResult::Keep(reason),
            // It was not even begun.
            Err(fault) if fault.code == ErrorCode::POLICY_UNAVAILABLE => ReviewResult::Busy(fault.message),
            Err(fault) if execution.session.phase() == Phase::Review => ReviewResult::Faulted(fault),
            // Without its lease a run can have no effect, so its failure says nothing about the game.
            Ok(Answer::Verdict(_)) if execution.session.lease_was_refused() => match self.finish(execution).await {
                OperationResult { outcome: Outcome::Failure, message, .. } => {
                    ReviewResult::Busy(message.unwrap_or_else(|| "the game could not be leased".to_owned()))
                }
                result => ReviewResult::Handled(Box::new(result)),
            },
            Ok(Answer::Verdict(_)) | Err(_) => ReviewResult::Handled(Box::new(self.finish(execution).await)),
        }
    }

    /// The tenant decides which policy runs, the engine among which runs it finds its place. A game without a record
    /// has none; if the record cannot be read, everybody's policy runs and will find the same.
    async fn subject_of(&self, game: Option<&GameId>) -> Option<Subject> {
        let found = tokio::time::timeout(self.import_time, self.ports.records.get(game?)).await;
        found.ok()?.ok()?.map(|tracked| Subject::of(&tracked.record))
    }

    async fn execute(
        &self,
        run_id: RunId,
        started_at: Timestamp,
        request: Request,
        game: Option<GameId>,
        subject: Option<Subject>,
        job: Job,
    ) -> Execution {
        let (tenant, engine) = subject.map(|Subject { tenant, engine }| (tenant, engine)).unzip();
        let binding = self.registry.binding(tenant.as_ref());
        let policy_digest = binding.policy.digest().clone();
        let run = RunContext { run_id, request, game, tenant, policy_digest, started_at };
        let candidate = match &job {
            Job::Review { candidate, .. } => Some(candidate.runtime.clone()),
            Job::Handle => None,
        };
        let session = Session::new(self.ports.clone(), self.options.clone(), self.import_time, run, candidate);
        let settings = binding.settings.clone();
        binding.policy.execute(session, settings, job, engine.as_ref(), &self.ports.metrics).await
    }

    /// Judges the policy's answer by what the host saw, completes the log, releases the lease, and tells the platform.
    async fn finish(&self, execution: Execution) -> OperationResult {
        let Execution { mut session, answer } = execution;
        let settled = settle(&session, answer);
        if let Some(fault) = &settled.fault {
            session.record_fault(fault).await;
        }
        // A failed release is reported where it happens, and does not change what the run has done.
        let _reported = session.release().await;
        report(&self.ports.metrics, &session, &settled);
        OperationResult {
            run_id: session.run().run_id.clone(),
            outcome: settled.outcome,
            error_code: settled.error_code,
            message: settled.message,
            record: settled.record,
            entry: session.entry().id(),
            removed_container: session.removed_container().cloned(),
        }
    }

    fn count_review(&self, execution: &Execution) {
        let metrics = &self.ports.metrics;
        match (&execution.answer, execution.session.phase()) {
            (Ok(Answer::Advice(Advice::WaitUntil(_))), _) => metrics.review_finished(metrics::Advice::WaitUntil),
            (Ok(Answer::Advice(Advice::Keep(_))), _) => metrics.review_finished(metrics::Advice::Keep),
            (Err(fault), Phase::Review) => {
                metrics.review_finished(metrics::Advice::Fault);
                metrics.policy_fault(&fault.code);
            }
            (Ok(Answer::Advice(Advice::Due) | Answer::Verdict(_)), _) | (Err(_), Phase::Handle) => {
                metrics.review_finished(metrics::Advice::Due);
            }
        }
    }
}

fn report(metrics: &Metrics, session: &Session, settled: &Settled) {
    let run = session.run();
    metrics.cleanup_finished(settled.outcome, OpSource::from_text(&run.request.op_source), settled.error_code.as_ref());
    if let Some(fault) = &settled.fault {
        metrics.policy_fault(&fault.code);
    }
    let (container_id, _) = session.subject();
    let container_id = container_id.as_ref().map(ContainerId::as_str);
    let error_code = settled.error_code.as_ref().map(ErrorCode::as_str);
    match settled.outcome {
        Outcome::Success => tracing::info!(
            run_id = %run.run_id, game_id = %run.request.game_id, container_id, op_source = %run.request.op_source,
            error_code, policy_digest = %run.policy_digest, "container cleaned up"
        ),
        Outcome::Failure => tracing::warn!(
            run_id = %run.run_id, game_id = %run.request.game_id, container_id, op_source = %run.request.op_source,
            error_code, error_message = settled.message.as_deref(), policy_digest = %run.policy_digest,
            "container not cleaned up"
        ),
    }
}

fn host_failed(run_id: RunId) -> OperationResult {
    OperationResult {
        run_id,
        outcome: Outcome::Failure,
        error_code: Some(ErrorCode::INTERNAL_ERROR),
        message: Some("the host failed during this run; its log says how".to_owned()),
        record: None,
        entry: None,
        removed_container: None,
    }
}
