//! The metrics as Prometheus reads them: names, labels and help are an interface.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::time::Duration;

use rtmanager::metrics::{Advice, CircuitState, LeaseResult, Metrics, OrphanGauges, Phase, SweepGauges};
use rtmanager::model::{ErrorCode, OpSource, Outcome, Timestamp};

#[test]
fn names_labels_and_help_stay_as_they_are() {
    let metrics = Metrics::new().unwrap();
    metrics.lease_acquired(Duration::from_micros(70), LeaseResult::Acquired);
    metrics.cleanup_finished(Outcome::Success, Some(OpSource::AutoTtl), None);
    metrics.cleanup_finished(Outcome::Failure, None, Some(&ErrorCode::INVALID_REQUEST));
    metrics.run_phase(Phase::Total, Duration::from_micros(400));
    metrics.policy_fault(&ErrorCode::POLICY_TRAP);
    metrics.review_finished(Advice::WaitUntil);
    metrics.entry_lost();
    metrics.lease_release_failed();
    metrics.paused(2);
    metrics.engine_concurrency(&"local".parse().unwrap(), 8);
    metrics.engine_circuit(&"local".parse().unwrap(), CircuitState::Open);
    metrics.engine_circuit(&"local".parse().unwrap(), CircuitState::HalfOpen);
    let sweep = SweepGauges {
        candidates: 5,
        removed: 2,
        kept: 1,
        failed: 2,
        parked: 1,
        duration: Duration::from_millis(1_500),
        finished_at: Timestamp::from_micros(1_769_860_800_000_000),
    };
    metrics.sweep_finished(&"local".parse().unwrap(), sweep);
    let counts = [("running_container", 1), ("stopped_container", 2), ("running_record", 0), ("stopped_record", 4)];
    let finished_at = Timestamp::from_micros(1_769_860_800_000_000);
    metrics.reconciled(&"local".parse().unwrap(), Some(OrphanGauges { counts, finished_at }));
    metrics.reconciled(&"away".parse().unwrap(), None);
    let text = metrics.render().unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.contains("_bucket{")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_policys_own_codes_do_not_become_label_values() {
    let metrics = Metrics::new().unwrap();
    let own = ErrorCode::parse("acme_says_no").unwrap();
    metrics.cleanup_finished(Outcome::Failure, Some(OpSource::Cli), Some(&own));
    let text = metrics.render().unwrap();
    assert!(text.contains("code=\"other\"") && !text.contains("acme"), "{text}");
}

#[test]
fn two_processes_worth_of_metrics_do_not_share_state() {
    let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
    one.entry_lost();
    assert!(!other.render().unwrap().contains("entries_lost"));
}
