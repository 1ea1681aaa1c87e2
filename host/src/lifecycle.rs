//! One run from request to result, whoever called.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::metrics::{self, Metrics};
use crate::model::{
    ContainerId, EntryId, ErrorCode, Fault, GameId, GenerationId, OpSource, Outcome, RunId, RuntimeRecord, TenantId,
    Timestamp, TrackedRuntime,
};
use crate::ports::RandomnessError;
use crate::registry::{Assignment, Registry, Shown, Trial};
use crate::runtime::{Advice, Answer, Candidate, Execution, Job};
use crate::session::{Phase, Ports, RunContext, Session, SessionOptions, Sight};

mod detached;
mod outline;
mod recording;
mod run_ids;
mod settle;
mod shadow;
mod shadow_engine;
mod shadow_places;

pub use crate::model::Request;
use detached::{Begun, Chosen};
pub use outline::Outline;
use recording::Take;
pub use recording::{Draft, Recording};
use run_ids::RunIds;
pub use settle::{Settled, settle};
use shadow::{Cue, Shadows};
pub use shadow::{Scene, Scratch, ScratchStores};
pub use shadow_engine::ShadowEngine;

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

/// What became of a candidate, and by whose word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewed {
    /// What became of it.
    pub result: ReviewResult,
    /// The policy generation that was asked, or would have been.
    pub generation: GenerationId,
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
    /// None where generations cannot be tried beside others.
    shadows: Option<Shadows>,
    observer: Option<Observer>,
    /// Who takes journals of runs.
    recording: OnceLock<Arc<dyn Recording>>,
}

/// Told of each run as its policy has left it, before the host settles it.
pub type Observer = Arc<dyn Fn(&Execution) + Send + Sync>;

/// A run before it begins.
struct Plan {
    run_id: RunId,
    started_at: Timestamp,
    request: Request,
    game: Option<GameId>,
    /// The record as it was read before; none if there is none, or it could not be read.
    tracked: Option<TrackedRuntime>,
    assigned: Assignment,
    job: Job,
}

impl Plan {
    fn chosen(&self) -> Chosen {
        let tenant = self.tracked.as_ref().map(|tracked| tracked.record.tenant.clone());
        Chosen { tenant, policy: self.assigned.reference().clone() }
    }
}

/// A run's part in a rollout, as far as it is known before its end.
struct Part {
    trial: Trial,
    run: RunContext,
    job: Job,
    tracked: Option<TrackedRuntime>,
}

/// What is left to do with a run that has ended.
#[derive(Default)]
struct Sequel {
    part: Option<Part>,
    take: Option<Take>,
}

impl Lifecycle {
    /// Runs the registry's policies on these ports. Draws the seed of its run ids, so it fails without randomness.
    pub fn new(
        ports: Arc<Ports>,
        registry: Arc<Registry>,
        options: SessionOptions,
        import_time: Duration,
    ) -> Result<Self, RandomnessError> {
        Self::of(ports, registry, options, import_time, None, None)
    }

    /// The same, with stores of their own for runs of generations that are tried beside the current one. Without them
    /// nothing is tried so.
    pub fn with_shadows(
        ports: Arc<Ports>,
        registry: Arc<Registry>,
        options: SessionOptions,
        import_time: Duration,
        scratch: (ScratchStores, Arc<Metrics>),
    ) -> Result<Self, RandomnessError> {
        let (stores, nowhere) = scratch;
        Self::of(ports, registry, options, import_time, Some(Shadows::new(stores, nowhere)), None)
    }

    /// The same, with somebody who is told of each run.
    pub fn observed(
        ports: Arc<Ports>,
        registry: Arc<Registry>,
        options: SessionOptions,
        import_time: Duration,
        observer: Option<Observer>,
    ) -> Result<Self, RandomnessError> {
        Self::of(ports, registry, options, import_time, None, observer)
    }

    fn of(
        ports: Arc<Ports>,
        registry: Arc<Registry>,
        options: SessionOptions,
        import_time: Duration,
        shadows: Option<Shadows>,
        observer: Option<Observer>,
    ) -> Result<Self, RandomnessError> {
        let run_ids = RunIds::new(ports.randomness.as_ref())?;
        let (options, runs) = (Arc::new(options), TaskTracker::new());
        let recording = OnceLock::new();
        Ok(Self(Arc::new(Inner { ports, registry, options, import_time, run_ids, runs, shadows, observer, recording })))
    }

    /// From now on runs are written down for whoever wants that; of several, for the first.
    pub fn record_for(&self, recording: Arc<dyn Recording>) {
        self.0.recording.get_or_init(|| recording);
    }

    /// Runs the tenant's policy over one request. The run goes on if the caller hangs up.
    pub async fn cleanup(&self, request: Request) -> OperationResult {
        let started_at = self.0.ports.clock.now();
        let run_id = self.0.run_ids.next(started_at);
        let begun = Begun { run_id: run_id.clone(), started_at, request: request.clone(), chosen: Arc::default() };
        let (inner, id, chosen) = (self.0.clone(), run_id.clone(), begun.chosen.clone());
        let run = async move { inner.clean_up(id, started_at, request, &chosen).await };
        self.detached(begun, run).await.unwrap_or_else(|| host_failed(run_id))
    }

    /// Asks the tenant's policy about a candidate and, unless `dry_run`, handles it when due.
    pub async fn review(&self, runtime: TrackedRuntime, floor_passed_at: Timestamp, dry_run: bool) -> ReviewResult {
        self.offer(runtime, floor_passed_at, dry_run).await.result
    }

    /// The same, and tells which generation was asked.
    pub async fn offer(&self, runtime: TrackedRuntime, floor_passed_at: Timestamp, dry_run: bool) -> Reviewed {
        let started_at = self.0.ports.clock.now();
        let run_id = self.0.run_ids.next(started_at);
        let plan = self.0.review_plan(run_id.clone(), started_at, runtime, floor_passed_at, dry_run);
        let chosen = plan.chosen();
        let generation = chosen.policy.generation.clone();
        let (request, chosen) = (plan.request.clone(), Arc::new(OnceLock::from(chosen)));
        let begun = Begun { run_id: run_id.clone(), started_at, request, chosen };
        let inner = self.0.clone();
        let result = self.detached(begun, async move { inner.review(plan).await }).await;
        Reviewed { result: result.unwrap_or_else(|| ReviewResult::Handled(Box::new(host_failed(run_id)))), generation }
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

    /// The policy generations that serve a tenant; none while that is not known.
    pub fn serving(&self, tenant: &TenantId) -> Option<Vec<GenerationId>> {
        self.0.registry.serving(tenant)
    }

    /// How long a tenant's runtimes are kept at least, whatever the host's own floor is.
    pub fn retention(&self, tenant: &TenantId) -> Duration {
        self.0.registry.retention(tenant)
    }
}

impl Inner {
    async fn clean_up(
        &self,
        run_id: RunId,
        started_at: Timestamp,
        request: Request,
        chosen: &OnceLock<Chosen>,
    ) -> OperationResult {
        let game: Option<GameId> = request.game_id.parse().ok();
        let tracked = self.tracked(game.as_ref()).await;
        let tenant = tracked.as_ref().map(|tracked| &tracked.record.tenant);
        let assigned = self.registry.assign(tenant, game.as_ref());
        let plan = Plan { run_id, started_at, request, game, tracked, assigned, job: Job::Handle };
        chosen.get_or_init(|| plan.chosen());
        self.execute(plan, |execution, sequel| self.finish(execution, sequel)).await
    }

    fn review_plan(
        &self,
        run_id: RunId,
        started_at: Timestamp,
        runtime: TrackedRuntime,
        floor_passed_at: Timestamp,
        dry_run: bool,
    ) -> Plan {
        let record = &runtime.record;
        let (request, game) = (Request::of_sweeper(&record.game_id), Some(record.game_id.clone()));
        let assigned = self.registry.assign(Some(&record.tenant), game.as_ref());
        let tracked = Some(runtime.clone());
        let job = Job::Review { candidate: Box::new(Candidate { runtime, floor_passed_at }), then_handle: !dry_run };
        Plan { run_id, started_at, request, game, tracked, assigned, job }
    }

    async fn review(&self, plan: Plan) -> ReviewResult {
        self.execute(plan, |execution, sequel| self.reviewed(execution, sequel)).await
    }

    async fn reviewed(&self, execution: Execution, sequel: Sequel) -> ReviewResult {
        self.count_review(&execution);
        let (outline, fault) = match &execution.answer {
            Ok(Answer::Advice(advice)) => (Outline::of_advice(advice.clone()), None),
            Err(fault) if execution.session.phase() == Phase::Review => (Outline::of_fault(fault), Some(fault)),
            Ok(Answer::Verdict(_)) | Err(_) => return self.handled(execution, sequel).await,
        };
        if let Some(take) = sequel.take {
            let word = take.word(&execution.answer);
            take.keep(&execution.session, word, None);
        }
        self.try_out(sequel.part, &execution.session, outline, fault);
        match execution.answer {
            Ok(Answer::Advice(Advice::WaitUntil(at))) => ReviewResult::WaitUntil(at),
            Ok(Answer::Advice(Advice::Keep(reason))) => ReviewResult::Keep(reason),
            Ok(Answer::Advice(Advice::Due) | Answer::Verdict(_)) => ReviewResult::WouldHandle,
            // It was not even begun.
            Err(fault) if fault.code == ErrorCode::POLICY_UNAVAILABLE => ReviewResult::Busy(fault.message),
            Err(fault) => ReviewResult::Faulted(fault),
        }
    }

    async fn handled(&self, execution: Execution, sequel: Sequel) -> ReviewResult {
        // Without its lease a run can have no effect, so its failure says nothing about the game.
        let refused = execution.answer.is_ok() && execution.session.lease_was_refused();
        match self.finish(execution, sequel).await {
            OperationResult { outcome: Outcome::Failure, message, .. } if refused => {
                ReviewResult::Busy(message.unwrap_or_else(|| "the game could not be leased".to_owned()))
            }
            result => ReviewResult::Handled(Box::new(result)),
        }
    }

    /// The tenant decides which policy runs, the engine among which runs it finds its place. A game without a record
    /// has none; if the record cannot be read, everybody's policy runs and will find the same.
    async fn tracked(&self, game: Option<&GameId>) -> Option<TrackedRuntime> {
        tokio::time::timeout(self.import_time, self.ports.records.get(game?)).await.ok()?.ok()?
    }

    /// Runs what the plan says, `then` settles it. Where nothing serves, nothing runs, and no lease is taken.
    async fn execute<F: Future>(&self, plan: Plan, then: impl FnOnce(Execution, Sequel) -> F) -> F::Output {
        let Plan { run_id, started_at, request, game, tracked, assigned, job } = plan;
        let policy = assigned.reference().clone();
        let record = tracked.as_ref().map(|tracked| &tracked.record);
        let (tenant, engine) = record.map(|record| (record.tenant.clone(), record.engine.clone())).unzip();
        let run = RunContext { run_id, request, game, tenant, policy, started_at };
        let (candidate, live) = match &job {
            Job::Review { candidate, then_handle } => (Some(candidate.runtime.clone()), *then_handle),
            Job::Handle => (None, true),
        };
        let part = assigned.trial.filter(|_| live);
        let part = part.map(|trial| Part { trial, run: run.clone(), job: job.clone(), tracked: tracked.clone() });
        let mut session = Session::new(self.ports.clone(), self.options.clone(), self.import_time, run, candidate);
        let binding = match assigned.binding {
            Ok(binding) => binding,
            Err(refusal) => return then(Execution { session, answer: Err(refusal.fault) }, Sequel::default()).await,
        };
        session = session.granted(binding.grants.clone());
        if part.is_some() {
            session = session.watched();
        }
        let mut take = None;
        if let Some(recording) = self.recording.get() {
            (session, take) = Take::begin(recording, session, &job, tracked.as_ref(), &binding);
        }
        let (terms, metrics) = (binding.terms.clone(), &self.ports.metrics);
        let settle = |execution: Execution| {
            if let Some(observer) = &self.observer {
                observer(&execution);
            }
            then(execution, Sequel { part, take })
        };
        binding.policy.execute_then(session, terms, job, engine.as_ref(), metrics, settle).await
    }

    /// Tells the rollout what became of a run that had a part in it, and has the new generation show what it would have
    /// done. Waits for neither.
    fn try_out(&self, part: Option<Part>, session: &Session, live: Outline, fault: Option<&Fault>) {
        let Some(Part { trial, run, job, tracked }) = part else { return };
        // It did not run.
        if fault.is_some_and(|fault| fault.code == ErrorCode::POLICY_UNAVAILABLE) {
            return;
        }
        let Some(candidate) = trial.shadow.clone() else {
            return self.registry.tally().note(&trial, shown(session, &live, fault));
        };
        if let (Some(shadows), Some(sight)) = (&self.shadows, session.sight()) {
            let cue = Cue { trial, candidate, run, job, tracked, sight: sight.clone(), live };
            shadows.begin(self, cue);
        }
    }

    /// Judges the policy's answer by what the host saw, completes the log, releases the lease, and tells the platform.
    async fn finish(&self, execution: Execution, sequel: Sequel) -> OperationResult {
        let Execution { mut session, answer } = execution;
        let Sequel { part, take } = sequel;
        let take = take.map(|take| (take.word(&answer), take));
        let settled = settle(&session, answer);
        if let Some(fault) = &settled.fault {
            session.record_fault(fault).await;
        }
        // A failed release is reported where it happens, and does not change what the run has done.
        let _reported = session.release().await;
        report(&self.ports.metrics, &session, &settled);
        if let Some((word, take)) = take {
            take.keep(&session, word, Some(&settled));
        }
        self.try_out(part, &session, Outline::of_verdict(&session, &settled), settled.fault.as_ref());
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

/// What a run of a generation that is tried on some of the games has shown of it.
fn shown(session: &Session, live: &Outline, fault: Option<&Fault>) -> Shown {
    let met_failures = session.sight().is_some_and(Sight::is_blurred);
    match fault {
        // It may have waited for them.
        Some(fault) if met_failures && fault.code == ErrorCode::POLICY_RUN_TIMEOUT => Shown::Nothing,
        Some(fault) if fault.code.is_policy_fault() => Shown::Fault(fault.clone()),
        None if !met_failures && live.is_telling() => Shown::Clean,
        Some(_) | None => Shown::Nothing,
    }
}

/// Whoever reads the log is not to take a dry run for a cleanup.
fn tell_dry_run(session: &Session, settled: &Settled) {
    let run = session.run();
    tracing::info!(
        run_id = %run.run_id, game_id = %run.request.game_id, dry_run = true, would_end = settled.outcome.as_str(),
        error_code = settled.error_code.as_ref().map(ErrorCode::as_str), error_message = settled.message.as_deref(),
        policy_digest = %run.policy.digest, "a dry run ended; nothing was changed"
    );
}

fn report(metrics: &Metrics, session: &Session, settled: &Settled) {
    let run = session.run();
    metrics.cleanup_finished(settled.outcome, OpSource::from_text(&run.request.op_source), settled.error_code.as_ref());
    if let Some(fault) = &settled.fault {
        metrics.policy_fault(&fault.code);
    }
    if session.is_dry_run() {
        return tell_dry_run(session, settled);
    }
    let (container_id, _) = session.subject();
    let container_id = container_id.as_ref().map(ContainerId::as_str);
    let error_code = settled.error_code.as_ref().map(ErrorCode::as_str);
    match settled.outcome {
        Outcome::Success => tracing::info!(
            run_id = %run.run_id, game_id = %run.request.game_id, container_id, op_source = %run.request.op_source,
            error_code, policy_generation = %run.policy.generation, policy_digest = %run.policy.digest,
            "container cleaned up"
        ),
        Outcome::Failure => tracing::warn!(
            run_id = %run.run_id, game_id = %run.request.game_id, container_id, op_source = %run.request.op_source,
            error_code, error_message = settled.message.as_deref(), policy_generation = %run.policy.generation,
            policy_digest = %run.policy.digest, "container not cleaned up"
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
