//! One run of a policy in a fresh instance, from instantiation to its answer or its fault.

use std::sync::Arc;

use wasmtime::{Store, UpdateDeadline};

use super::bindings::LifecyclePolicy;
use super::bindings::exports::galaxy::rtmanager as wit;
use super::fault::{self, Exceeded};
use super::store::RunState;
use super::turnstile::Pace;
use super::{Limits, Policy, Settings, trace};
use crate::metrics::{Metrics, Phase};
use crate::model::{EngineName, Fault, Outcome, Request, Timestamp, TrackedRuntime, bounded_text};
use crate::session::Session;

const REASON_BYTES: usize = 256;

/// A stopped runtime that the sweeper offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its record as the sweeper read it.
    pub runtime: TrackedRuntime,
    /// When the retention floor passed.
    pub floor_passed_at: Timestamp,
}

/// What to ask the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// How: handle the session's request.
    Handle,
    /// When, and if it is due and `then_handle`, how, in the same instance.
    Review {
        /// The candidate.
        candidate: Box<Candidate>,
        /// False for a dry run.
        then_handle: bool,
    },
}

/// What a policy says about a cleanup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How it ended.
    pub outcome: Outcome,
    /// Its code, not yet validated.
    pub error_code: Option<String>,
    /// For people, not yet bounded.
    pub message: Option<String>,
}

/// What a policy says about a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Clean it up.
    Due,
    /// Not before.
    WaitUntil(Timestamp),
    /// Keep it, for this reason.
    Keep(String),
}

/// A policy's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To `handle`.
    Verdict(Verdict),
    /// To `review`, when no handling followed.
    Advice(Advice),
}

/// On what terms a policy runs.
#[derive(Clone)]
pub struct Terms {
    /// What it reads through `wasi:config/store`.
    pub settings: Arc<Settings>,
    /// What bounds the run; none of it is more than the sandbox allows, see [`Limits::at_most`].
    pub limits: Arc<Limits>,
}

/// A run that has ended: the session with what it saw, and the answer.
pub struct Execution {
    /// What the host knows of the run.
    pub session: Session,
    /// What the policy said, or why it said nothing.
    pub answer: Result<Answer, Fault>,
}

impl Policy {
    /// Runs the policy in a fresh instance. Returns within the limits, whatever the policy does, but does
    /// not release the session's lease. By the session's tenant, and by `engine`, which is that of the game's record,
    /// the run finds its place.
    pub async fn execute(
        &self,
        session: Session,
        terms: Terms,
        job: Job,
        engine: Option<&EngineName>,
        metrics: &Metrics,
    ) -> Execution {
        self.execute_then(session, terms, job, engine, metrics, std::future::ready).await
    }

    /// The same, and then what settles the run. That takes of the processors too, and is booked to the run's tenant: of
    /// runs that end at once it is the greater part.
    pub async fn execute_then<F: Future>(
        &self,
        session: Session,
        terms: Terms,
        job: Job,
        engine: Option<&EngineName>,
        metrics: &Metrics,
        then: impl FnOnce(Execution) -> F,
    ) -> F::Output {
        let pace = Pace::new(self.turnstile.clone(), session.run().tenant.clone());
        // Boxed, since it is deep: what a caller makes of it would be too deep for the compiler.
        let whole = Box::pin(async {
            let execution = self.paced(session, terms, job, engine, metrics, &pace).await;
            then(execution).await
        });
        pace.book(whole).await
    }

    async fn paced(
        &self,
        session: Session,
        terms: Terms,
        job: Job,
        engine: Option<&EngineName>,
        metrics: &Metrics,
        pace: &Pace,
    ) -> Execution {
        let Terms { settings, limits: shared } = terms;
        let limits = shared.as_ref();
        let place = self.places.take(&session.run().tenant, engine);
        let Ok(Some(_place)) = tokio::time::timeout(limits.run_time, place).await else {
            return Execution { session, answer: Err(fault::no_place(limits)) };
        };
        let state = RunState::new(session, settings, shared.clone());
        let mut store = Store::new(self.pre.engine(), state.repeating(self.fuel.is_some()));
        if let Err(error) = bound(&mut store, limits, self.fuel) {
            let answer = Err(fault::of_error(&error, &store.data().usage, limits));
            return Execution { session: store.into_data().session, answer };
        }
        let stopwatch = store.data().stopwatch.clone();
        let run = pace.keep(&stopwatch, self.drive(&mut store, job, metrics));
        let run = tokio::time::timeout(limits.run_time, run).await;
        pace.book_besides(store.data().usage.growths);
        if store.data().session.onlooker().is_some() {
            trace::tell(&store, self.fuel, run.as_ref().ok().and_then(|run| run.as_ref().err()));
        }
        let answer = match run {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(match self.fuel.filter(|_| fault::is_out_of_fuel(&error)) {
                Some(fuel) => Exceeded::Fuel(fuel).into(),
                None => fault::of_error(&error, &store.data().usage, limits),
            }),
            Err(_) => Err(Exceeded::RunTime(limits.run_time).into()),
        };
        // What an instance leaves behind takes time to clear: the tenant's, but the run is over and waits for no turn.
        Execution { session: store.into_data().session, answer }
    }

    async fn drive(&self, store: &mut Store<RunState>, job: Job, metrics: &Metrics) -> wasmtime::Result<Answer> {
        let began = tokio::time::Instant::now();
        let instance = self.pre.instantiate_async(&mut *store).await?;
        metrics.run_phase(Phase::Instantiate, began.elapsed());
        if let Job::Review { candidate, then_handle } = job {
            let began = tokio::time::Instant::now();
            let advice = review(&instance, store, *candidate).await?;
            metrics.run_phase(Phase::Review, began.elapsed());
            if advice != Advice::Due || !then_handle {
                return Ok(Answer::Advice(advice));
            }
            store.data_mut().session.begin_handle();
        }
        let began = tokio::time::Instant::now();
        let verdict = handle(&instance, store).await?;
        metrics.run_phase(Phase::Handle, began.elapsed());
        Ok(Answer::Verdict(verdict))
    }
}

/// Sets every limit before anything of the guest's runs.
pub(super) fn bound(store: &mut Store<RunState>, limits: &Limits, fuel: Option<u64>) -> wasmtime::Result<()> {
    store.limiter(|state| state);
    store.set_hostcall_fuel(usize::try_from(limits.bytes_per_call).unwrap_or(usize::MAX));
    if let Some(fuel) = fuel {
        return store.set_fuel(fuel);
    }
    store.epoch_deadline_callback(|context| {
        context.data().within_budget()?;
        Ok(UpdateDeadline::Yield(1))
    });
    store.set_epoch_deadline(1);
    Ok(())
}

async fn review(
    instance: &LifecyclePolicy,
    store: &mut Store<RunState>,
    candidate: Candidate,
) -> wasmtime::Result<Advice> {
    let candidate = wit::retention::Candidate {
        runtime: (&candidate.runtime.record).into(),
        floor_passed_at: candidate.floor_passed_at.as_micros(),
        failed_attempts: candidate.runtime.cleanup.failed_attempts,
    };
    let advice = instance.galaxy_rtmanager_retention().call_review(store, &candidate).await?;
    Ok(match advice {
        wit::retention::Advice::Due => Advice::Due,
        wit::retention::Advice::WaitUntil(at) => Advice::WaitUntil(Timestamp::from_micros(at)),
        wit::retention::Advice::Keep(reason) => Advice::Keep(bounded_text(&reason, REASON_BYTES)),
    })
}

pub(super) async fn handle(instance: &LifecyclePolicy, store: &mut Store<RunState>) -> wasmtime::Result<Verdict> {
    let Request { game_id, op_source, source_ref, .. } = store.data().session.run().request.clone();
    let request = wit::cleanup::Request { game_id, op_source, source_ref };
    let verdict = instance.galaxy_rtmanager_cleanup().call_handle(store, &request).await?;
    Ok(Verdict { outcome: verdict.outcome.into(), error_code: verdict.error_code, message: verdict.message })
}
