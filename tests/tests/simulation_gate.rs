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

use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager::simulation::{Counterexample, GateError, GateReport, Options, Simulator};
use rtmanager_tests::fixtures::{ANSWER_NOT_UTF8, C_POLICY, ENDLESS_START, HOSTILE, SOUND, TRAPPING_START};

static SIMULATOR: LazyLock<Simulator> = LazyLock::new(|| Simulator::new(20_000_000).expect("a sandbox"));

/// Far more than the histories below take, so that the machine's load decides nothing.
const BUDGET: Duration = Duration::from_secs(600);

fn settings(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn gate(component: &[u8], given: &[(&str, &str)]) -> Result<GateReport, GateError> {
    let policy = SIMULATOR.load(component).expect("the policy loads");
    let options = Options { histories: 320, settings: settings(given), ..Options::default() };
    SIMULATOR.gate(&policy, &options, BUDGET)
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

/// The mode of the hostile policy, and the rule that it breaks.
const HOSTILE_MODES: &[(&str, &str)] = &[
    ("trap-before-lease", "P2"),
    ("trap-under-lease", "P2"),
    ("trap-after-load", "P2"),
    ("trap-after-remove", "P2"),
    ("trap-after-update", "P2"),
    ("trap-after-append", "P2"),
    ("busy-loop", "P2"),
    ("deep-recursion", "P2"),
    ("memory-growth", "P2"),
    ("call-flood", "P2"),
    ("giant-log", "P2"),
    ("sleep", "P2"),
    ("exit", "P2"),
    ("panic", "P2"),
    ("forge-lease", "P2"),
    ("drop-lease-twice", "P2"),
    ("claim-success", "P1"),
    ("claim-replay", "P1"),
    ("unproven-entry", "P1"),
    ("host-code", "P1"),
    ("host-code-entry", "P1"),
    ("no-entry", "P3"),
    ("no-entry-after-cleanup", "P3"),
    ("entry-fails-answer-succeeds", "P3"),
    ("entry-succeeds-answer-fails", "P3"),
    ("two-entries", "P1"),
    ("foreign-entry", "P1"),
    ("malformed-code", "P1"),
    ("entry-flood", "P1"),
    ("remove-before-load", "P1"),
    ("remove-another", "P1"),
    ("remove-by-name", "P1"),
    ("remove-after-release", "P1"),
    ("update-before-load", "P1"),
    ("update-without-proof", "P1"),
    ("update-running-to-removed", "P1"),
    ("update-stopped-to-running", "P1"),
    ("update-after-release", "P1"),
    ("second-lease", "P1"),
    ("keep-lease", "P4"),
    // It does not look at the status before it removes.
    ("honest", "P1"),
];

#[test]
fn a_policy_that_breaks_the_protocol_is_refused_with_the_history_that_shows_it() {
    for (mode, rule) in HOSTILE_MODES {
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
