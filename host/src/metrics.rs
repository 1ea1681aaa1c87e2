//! What is measured: every name, unit, label and help text of the metrics, in this one file.
//!
//! Label values are bounded sets: codes through [`ErrorCode::metric_label`], engines by configuration.
//! No game, tenant or container is a label.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder as _, Registry, TextEncoder};

use crate::model::{EngineName, ErrorCode, OpSource, Outcome, Timestamp};

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

/// How asking for a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseResult {
    /// It was granted.
    Acquired,
    /// Another operation holds it.
    Held,
    /// The lease store failed.
    Failed,
}

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Making the fresh instance.
    Instantiate,
    /// The policy's review.
    Review,
    /// The policy's handling.
    Handle,
    /// All of it, from request to result.
    Total,
}

/// What a review came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Clean it up now.
    Due,
    /// Not before a time.
    WaitUntil,
    /// Keep it.
    Keep,
    /// The review failed.
    Fault,
}

/// What one sweep over one engine did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepGauges {
    /// Runtimes that were offered to their policies.
    pub candidates: u64,
    /// Of these, removed.
    pub removed: u64,
    /// Of these, kept or told to wait.
    pub kept: u64,
    /// Of these, failed.
    pub failed: u64,
    /// Of the failed, parked.
    pub parked: u64,
    /// How long the sweep took.
    pub duration: Duration,
    /// When it ended.
    pub finished_at: Timestamp,
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
    entries_lost: Counter<u64>,
    lease_release_failures: Counter<u64>,
    sweep_runtimes: Gauge<u64>,
    sweep_duration: Gauge<f64>,
    sweep_finished: Gauge<f64>,
    paused_scopes: Gauge<u64>,
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
            entries_lost: counter(
                "rtmanager_operation_entries_lost",
                "Operation log entries that could not be written; each is in the log as an error.",
            ),
            lease_release_failures: counter(
                "rtmanager_lease_release_failures",
                "Leases that could not be given back and end by their time to live.",
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

    /// An entry of the operation log could not be written.
    pub fn entry_lost(&self) {
        self.entries_lost.add(1, &[]);
    }

    /// A lease could not be given back.
    pub fn lease_release_failed(&self) {
        self.lease_release_failures.add(1, &[]);
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

    /// So many pauses are in force.
    pub fn paused(&self, scopes: u64) {
        self.paused_scopes.record(scopes, &[]);
    }

    /// Everything measured so far, as Prometheus reads it.
    pub fn render(&self) -> Result<String, Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
