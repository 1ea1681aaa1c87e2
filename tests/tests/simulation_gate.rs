//! Which policies come through the gate of admission, and what those are told that do not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use rtmanager::model::{Grant, Grants, LimitOverrides};
use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager::simulation::{Counterexample, GateError, GateReport, Options, Simulator};
use rtmanager_tests::fixtures::{ANSWER_NOT_UTF8, C_POLICY, ENDLESS_START, HOSTILE, SOUND, TRAPPING_START};
use rtmanager_tests::mutants::POLICIES;

static SIMULATOR: LazyLock<Simulator> = LazyLock::new(|| Simulator::new(20_000_000).expect("a sandbox"));

/// Far more than the histories below take, so that the machine's load decides nothing.
const BUDGET: Duration = Duration::from_secs(600);

fn settings(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The histories without faults, those with single ones, and some more.
const HISTORIES: u64 = 420;

fn gate(component: &[u8], given: &[(&str, &str)]) -> Result<GateReport, GateError> {
    gate_as_bound(component, Options { settings: settings(given), ..Options::default() })
}

fn gate_as_bound(component: &[u8], bound: Options) -> Result<GateReport, GateError> {
    let policy = SIMULATOR.load(component).expect("the policy loads");
    SIMULATOR.gate(&policy, &Options { histories: HISTORIES, ..bound }, BUDGET)
}

fn refused(component: &[u8], given: &[(&str, &str)]) -> Counterexample {
    match gate(component, given) {
        Err(GateError::Refused(counterexample)) => *counterexample,
        Err(GateError::Error(error)) => panic!("{given:?} could not be tried: {error}"),
        Ok(report) => panic!("{given:?} passed {report:?}"),
    }
}

#[test]
fn proper_policies_pass_whatever_they_decide() {
    for (name, component, given) in [
        ("default", DEFAULT_POLICY, &[][..]),
        ("default that keeps a week longer", DEFAULT_POLICY, &[("extra_retention_days", "7")][..]),
        ("default with a typing error", DEFAULT_POLICY, &[("extra_retention_dyas", "7")][..]),
        ("in C, with messages of its own", C_POLICY, &[][..]),
        ("with codes of its own", HOSTILE, &[("mode", "proper")][..]),
        ("keeps everything", HOSTILE, &[("mode", "proper"), ("review_mode", "keep")][..]),
        ("waits for ever", HOSTILE, &[("mode", "proper"), ("review_mode", "wait-for-ever")][..]),
    ] {
        match gate(component, given) {
            Ok(report) => println!("{name}: {} histories in {:?}", report.histories, report.took),
            Err(GateError::Refused(counterexample)) => panic!("{name} was refused: {counterexample}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn a_policy_that_breaks_the_protocol_is_refused_with_the_history_that_shows_it() {
    for (mode, rule) in POLICIES {
        let counterexample = refused(HOSTILE, &[("mode", mode)]);
        println!("{mode:<28} {} {}", counterexample.rule, counterexample.what);
        assert_eq!(counterexample.rule, *rule, "{mode}: {counterexample}");
        assert!(
            counterexample.plan.steps.len() <= 2 && counterexample.plan.games.len() <= 1,
            "{mode}: {counterexample}"
        );
    }
}

#[test]
fn a_review_that_breaks_the_protocol_is_refused() {
    for (mode, rule) in [("acquire", "P1"), ("append", "P1"), ("trap", "P2"), ("busy-loop", "P2"), ("exit", "P2")] {
        assert_eq!(refused(HOSTILE, &[("mode", "proper"), ("review_mode", mode)]).rule, rule, "{mode}");
    }
}

#[test]
fn a_component_that_breaks_the_sandbox_is_refused() {
    for component in [SOUND, ENDLESS_START, TRAPPING_START, ANSWER_NOT_UTF8] {
        let rule = refused(component, &[]).rule;
        assert!(rule == "P2" || rule == "P3", "{rule}");
    }
}

fn rule_of(refusal: Result<GateReport, GateError>) -> &'static str {
    match refusal {
        Err(GateError::Refused(counterexample)) => counterexample.rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_policy_is_played_within_the_limits_that_it_is_bound_with() {
    let bound = |limits| gate_as_bound(DEFAULT_POLICY, Options { limits, ..Options::default() });
    let enough = LimitOverrides {
        memory_bytes: Some(4 << 20),
        guest_time: Some(Duration::from_millis(20)),
        calls: Some(40),
        bytes_per_run: Some(20_000),
        log_lines: Some(0),
        ..LimitOverrides::default()
    };
    bound(enough).expect("it needs no more than this");
    for too_little in [
        LimitOverrides { calls: Some(5), ..LimitOverrides::default() },
        LimitOverrides { memory_bytes: Some(64 << 10), ..LimitOverrides::default() },
        LimitOverrides { bytes_per_run: Some(20), ..LimitOverrides::default() },
        LimitOverrides { guest_time: Some(Duration::ZERO), ..LimitOverrides::default() },
    ] {
        assert_eq!(rule_of(bound(too_little.clone())), "P2", "{too_little:?}");
    }
}

#[test]
fn a_policy_is_not_to_blame_when_answers_take_longer_than_its_runs_may() {
    let limits = LimitOverrides { run_time: Some(Duration::from_millis(100)), ..LimitOverrides::default() };
    let bound = |component, given: &[(&str, &str)]| {
        gate_as_bound(component, Options { limits: limits.clone(), settings: settings(given), ..Options::default() })
    };
    bound(DEFAULT_POLICY, &[]).expect("it waits for answers only");
    assert_eq!(rule_of(bound(HOSTILE, &[("mode", "sleep")])), "P2", "it waits for nothing");
}

#[test]
fn a_policy_is_played_with_the_grants_that_it_is_bound_with() {
    let without = |component, given: &[(&str, &str)], missing: &[Grant]| {
        let grants = Grants::all().iter().filter(|grant| !missing.contains(grant)).cloned().collect();
        gate_as_bound(component, Options { settings: settings(given), grants, ..Options::default() })
    };
    let missing = [Grant::DockerRemove, Grant::DockerInspect, Grant::RecordsUpdateStatus];
    for missing in &missing {
        let missing = std::slice::from_ref(missing);
        without(HOSTILE, &[("mode", "proper")], missing).expect("what it is not granted is no fault of its own");
        without(DEFAULT_POLICY, &[], missing).expect("what it is not granted is no fault of its own");
    }
    // Which mode it is in is a setting, that it may read or not; without one it is `honest`.
    let settings = [Grant::AllSettings];
    assert_eq!(rule_of(without(HOSTILE, &[("mode", "proper")], &settings)), "P1");
    assert_eq!(rule_of(without(HOSTILE, &[("mode", "busy-loop")], &settings)), "P1");
    assert_eq!(rule_of(without(HOSTILE, &[("mode", "busy-loop")], &[])), "P2");
}
