//! What is measured: every name, unit, label and help text of the metrics, in this one file.
//!
//! Label values are bounded sets: codes through [`ErrorCode::metric_label`], engines by configuration.
//! No game, tenant or container is a label.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder as _, Registry, TextEncoder};

use crate::model::{EngineName, ErrorCode, OpSource, Outcome};

mod observed;

pub use observed::{
    Advice, CircuitState, GenerationGauges, HttpRefusal, Journaled, LeaseResult, OrphanGauges, Phase, Recovered,
    Shadowed, SweepGauges,
};

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The metrics cannot be set up or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The exporter could not be registered.
    #[error("the metrics exporter cannot be set up")]
    Setup(#[from] opentelemetry_sdk::error::OTelSdkError),
    /// The text could not be written.
    #[error("the metrics cannot be written as text")]
    Render(#[from] prometheus::Error),
}

/// The instruments of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    // Keeps the pipeline alive: the exporter holds it weakly.
    _provider: SdkMeterProvider,
    lease_acquire: Histogram<f64>,
    cleanups: Counter<u64>,
    run_phase: Histogram<f64>,
    policy_faults: Counter<u64>,
    reviews: Counter<u64>,
    generations: Gauge<u64>,
    rollouts: Counter<u64>,
    shadows: Counter<u64>,
    http_refusals: Counter<u64>,
    journals: Counter<u64>,
    entries_lost: Counter<u64>,
    lease_release_failures: Counter<u64>,
    recovered_runs: Counter<u64>,
    overdue_runs: Gauge<u64>,
    sweep_runtimes: Gauge<u64>,
    sweep_duration: Gauge<f64>,
    sweep_finished: Gauge<f64>,
    paused_scopes: Gauge<u64>,
    engine_concurrency: Gauge<u64>,
    engine_circuit: Gauge<u64>,
    orphans: Gauge<u64>,
    reconcile_failing: Gauge<u64>,
    reconcile_finished: Gauge<f64>,
}

/// From 5 µs (a warm sandboxed run) to 10 s (an engine that hangs), about three buckets a decade.
const RUN_BUCKETS: [f64; 19] = [
    5e-6, 10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.2, 0.5, 1.0, 3.0,
    10.0,
];

/// A lease is one statement of the embedded store, or a round trip to another.
const LEASE_BUCKETS: [f64; 12] = [50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 50e-3, 0.1, 1.0, 5.0];

impl Metrics {
    /// Fresh instruments with a registry of their own.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build()?;
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let meter = provider.meter("rtmanager");
        Ok(Self::instruments(registry, provider, &meter))
    }

    fn instruments(registry: Registry, provider: SdkMeterProvider, meter: &Meter) -> Self {
        let counter = |name, help| meter.u64_counter(name).with_description(help).build();
        let gauge = |name, help| meter.u64_gauge(name).with_description(help).build();
        let seconds = |name, help| meter.f64_gauge(name).with_unit("s").with_description(help).build();
        let histogram = |name, help, buckets: &[f64]| {
            let builder = meter.f64_histogram(name).with_unit("s").with_description(help);
            builder.with_boundaries(buckets.to_vec()).build()
        };
        Self {
            lease_acquire: histogram(
                "rtmanager_lease_acquire_latency",
                "Time to ask for a game's lease, by result: acquired, held by another operation, or failed.",
                &LEASE_BUCKETS,
            ),
            cleanups: counter(
                "rtmanager_cleanups",
                "Cleanups that ended, by outcome, op_source and code (none for a plain success, other for a policy's own).",
            ),
            run_phase: histogram(
                "rtmanager_run_phase_duration",
                "Duration of policy runs by phase: instantiate, review, handle, total.",
                &RUN_BUCKETS,
            ),
            policy_faults: counter("rtmanager_policy_faults", "Faults the host found in policies' runs, by code."),
            reviews: counter("rtmanager_reviews", "Reviews that ended, by advice: due, wait_until, keep, fault."),
            generations: gauge(
                "rtmanager_policy_generations",
                "Generations of policies in the store on this host, by state: serving, revoked, unavailable, tried, problem \
                 (scopes), loaded.",
            ),
            rollouts: counter(
                "rtmanager_policy_rollouts_ended",
                "Rollouts that this host ended, by end: promoted, given_up.",
            ),
            shadows: counter(
                "rtmanager_policy_shadow_runs",
                "Runs beside live ones, by result: compared, dropped (too many at once), unclear (the live run met a failure).",
            ),
            http_refusals: counter(
                "rtmanager_http_refused",
                "Requests refused before their handler, by reason: rate, concurrency (of a tenant), denied (an order, to its \
                 role), denials (too many of those), unauthenticated, strangers (too many of those), connections.",
            ),
            journals: counter(
                "rtmanager_run_journals",
                "Journals of runs, by result: kept, dropped (too many waited for the store), failed (the store did not take it).",
            ),
            entries_lost: counter(
                "rtmanager_operation_entries_lost",
                "Operation log entries that could not be written; each is in the log as an error.",
            ),
            lease_release_failures: counter(
                "rtmanager_lease_release_failures",
                "Leases that could not be given back and end by their time to live.",
            ),
            recovered_runs: counter(
                "rtmanager_recovered_runs",
                "Runs whose host died, closed by result: completed (the record was changed) or abandoned.",
            ),
            overdue_runs: gauge(
                "rtmanager_overdue_runs",
                "Runs without an entry past their lease that could not be closed yet.",
            ),
            sweep_runtimes: gauge(
                "rtmanager_sweep_runtimes",
                "Runtimes in the last sweep of an engine, by result: candidates, removed, kept, failed, parked.",
            ),
            sweep_duration: seconds("rtmanager_sweep_duration", "Duration of the last sweep of an engine."),
            sweep_finished: seconds(
                "rtmanager_sweep_finished_timestamp",
                "When the last sweep of an engine ended, since the Unix epoch.",
            ),
            paused_scopes: gauge("rtmanager_paused_scopes", "Pauses in force."),
            engine_concurrency: gauge(
                "rtmanager_engine_concurrency_limit",
                "Calls that an engine is asked at the same time at most, as it adapts to the engine's latency.",
            ),
            engine_circuit: gauge(
                "rtmanager_engine_circuit",
                "Whether an engine is asked, by state: 1 for the present one of closed, open, half_open.",
            ),
            orphans: gauge(
                "rtmanager_orphans",
                "Containers without a record and records without a container, by engine and kind: running_container, \
                 stopped_container, running_record, stopped_record. Of the last pass that came to its end.",
            ),
            reconcile_failing: gauge(
                "rtmanager_reconcile_failing",
                "Whether the last pass over an engine's records did not come to its end: 1 or 0.",
            ),
            reconcile_finished: seconds(
                "rtmanager_reconcile_finished_timestamp",
                "When the last pass over an engine's records came to its end, since the Unix epoch.",
            ),
            registry,
            _provider: provider,
        }
    }

    /// A lease was asked for.
    pub fn lease_acquired(&self, latency: Duration, result: LeaseResult) {
        let result = match result {
            LeaseResult::Acquired => "acquired",
            LeaseResult::Held => "held",
            LeaseResult::Failed => "failed",
        };
        self.lease_acquire.record(latency.as_secs_f64(), &[KeyValue::new("result", result)]);
    }

    /// A cleanup ended. A source that is not known counts as `unknown`.
    pub fn cleanup_finished(&self, outcome: Outcome, op_source: Option<OpSource>, code: Option<&ErrorCode>) {
        let attributes = [
            KeyValue::new("outcome", outcome.as_str()),
            KeyValue::new("op_source", op_source.map_or("unknown", OpSource::as_str)),
            KeyValue::new("code", code.map_or("none", ErrorCode::metric_label)),
        ];
        self.cleanups.add(1, &attributes);
    }

    /// What this host has loaded.
    pub fn generations(&self, gauges: GenerationGauges) {
        let GenerationGauges { serving, revoked, unavailable, tried, loaded, problem } = gauges;
        let states = [
            ("serving", serving),
            ("revoked", revoked),
            ("unavailable", unavailable),
            ("tried", tried),
            ("loaded", loaded),
            ("problem", problem),
        ];
        for (state, count) in states {
            self.generations.record(count, &[KeyValue::new("state", state)]);
        }
    }

    /// A rollout was ended by this host.
    pub fn rollout_ended(&self, end: &'static str) {
        self.rollouts.add(1, &[KeyValue::new("end", end)]);
    }

    /// A run that a new generation was to stand beside has ended.
    pub fn shadow_run(&self, shadowed: Shadowed) {
        let result = match shadowed {
            Shadowed::Compared => "compared",
            Shadowed::Dropped => "dropped",
            Shadowed::Unclear => "unclear",
        };
        self.shadows.add(1, &[KeyValue::new("result", result)]);
    }

    /// A journal of a run was kept, or was not.
    pub fn journal(&self, journaled: Journaled) {
        let result = match journaled {
            Journaled::Kept => "kept",
            Journaled::Dropped => "dropped",
            Journaled::Failed => "failed",
        };
        self.journals.add(1, &[KeyValue::new("result", result)]);
    }

    /// A phase of a run ended.
    pub fn run_phase(&self, phase: Phase, took: Duration) {
        let phase = match phase {
            Phase::Instantiate => "instantiate",
            Phase::Review => "review",
            Phase::Handle => "handle",
            Phase::Total => "total",
        };
        self.run_phase.record(took.as_secs_f64(), &[KeyValue::new("phase", phase)]);
    }

    /// The host found a fault in a policy's run.
    pub fn policy_fault(&self, code: &ErrorCode) {
        self.policy_faults.add(1, &[KeyValue::new("code", code.metric_label())]);
    }

    /// A review ended.
    pub fn review_finished(&self, advice: Advice) {
        let advice = match advice {
            Advice::Due => "due",
            Advice::WaitUntil => "wait_until",
            Advice::Keep => "keep",
            Advice::Fault => "fault",
        };
        self.reviews.add(1, &[KeyValue::new("advice", advice)]);
    }

    /// A request was refused.
    pub fn http_refused(&self, why: HttpRefusal) {
        let reason = match why {
            HttpRefusal::Rate => "rate",
            HttpRefusal::Concurrency => "concurrency",
            HttpRefusal::Denied => "denied",
            HttpRefusal::Denials => "denials",
            HttpRefusal::Unauthenticated => "unauthenticated",
            HttpRefusal::Strangers => "strangers",
            HttpRefusal::Connections => "connections",
        };
        self.http_refusals.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// An entry of the operation log could not be written.
    pub fn entry_lost(&self) {
        self.entries_lost.add(1, &[]);
    }

    /// A lease could not be given back.
    pub fn lease_release_failed(&self) {
        self.lease_release_failures.add(1, &[]);
    }

    /// A run that its host left behind was closed.
    pub fn run_recovered(&self, how: Recovered) {
        let result = match how {
            Recovered::Completed => "completed",
            Recovered::Abandoned => "abandoned",
        };
        self.recovered_runs.add(1, &[KeyValue::new("result", result)]);
    }

    /// So many runs are overdue and could not be closed.
    pub fn overdue(&self, runs: u64) {
        self.overdue_runs.record(runs, &[]);
    }

    /// A sweep over an engine ended.
    pub fn sweep_finished(&self, engine: &EngineName, sweep: SweepGauges) {
        let engine = KeyValue::new("engine", engine.as_str().to_owned());
        let counts = [
            ("candidates", sweep.candidates),
            ("removed", sweep.removed),
            ("kept", sweep.kept),
            ("failed", sweep.failed),
            ("parked", sweep.parked),
        ];
        for (result, count) in counts {
            self.sweep_runtimes.record(count, &[engine.clone(), KeyValue::new("result", result)]);
        }
        let finished_at = Duration::from_micros(sweep.finished_at.as_micros());
        self.sweep_finished.record(finished_at.as_secs_f64(), std::slice::from_ref(&engine));
        self.sweep_duration.record(sweep.duration.as_secs_f64(), &[engine]);
    }

    /// A pass over an engine's records ended: with these orphans, or early.
    pub fn reconciled(&self, engine: &EngineName, orphans: Option<OrphanGauges>) {
        let engine = KeyValue::new("engine", engine.as_str().to_owned());
        self.reconcile_failing.record(u64::from(orphans.is_none()), std::slice::from_ref(&engine));
        let Some(orphans) = orphans else { return };
        for (kind, count) in orphans.counts {
            self.orphans.record(count, &[engine.clone(), KeyValue::new("kind", kind)]);
        }
        let finished_at = Duration::from_micros(orphans.finished_at.as_micros());
        self.reconcile_finished.record(finished_at.as_secs_f64(), &[engine]);
    }

    /// So many pauses are in force.
    pub fn paused(&self, scopes: u64) {
        self.paused_scopes.record(scopes, &[]);
    }

    /// An engine is asked so many calls at the same time.
    pub fn engine_concurrency(&self, engine: &EngineName, limit: usize) {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        self.engine_concurrency.record(limit, &[KeyValue::new("engine", engine.as_str().to_owned())]);
    }

    /// An engine's circuit is in this state now.
    pub fn engine_circuit(&self, engine: &EngineName, now: CircuitState) {
        let engine = KeyValue::new("engine", engine.as_str().to_owned());
        let states =
            [("closed", CircuitState::Closed), ("open", CircuitState::Open), ("half_open", CircuitState::HalfOpen)];
        for (name, state) in states {
            self.engine_circuit.record(u64::from(state == now), &[engine.clone(), KeyValue::new("state", name)]);
        }
    }

    /// Everything measured so far, as Prometheus reads it.
    pub fn render(&self) -> Result<String, Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
