//! Scenarios: how their files are read, that what they plan happens and what they expect is looked at, and that the suites
//! which come with the program tell good policies from bad ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

#[path = "scenarios/document.rs"]
mod document;
#[path = "scenarios/faults.rs"]
mod faults;
#[path = "scenarios/files.rs"]
mod files;
#[path = "scenarios/judging.rs"]
mod judging;
#[path = "scenarios/plans.rs"]
mod plans;
#[path = "scenarios/schema.rs"]
mod schema;
#[path = "scenarios/suites.rs"]
mod suites;
#[path = "scenarios/validation.rs"]
mod validation;

use std::sync::{Arc, LazyLock};

use rtmanager::runtime::{DEFAULT_POLICY, Policy};
use rtmanager::scenario::{self, ScenarioReport, Tester};
use rtmanager::simulation::Simulator;
use rtmanager_tests::fixtures::HOSTILE;

/// Enough for what these policies do on purpose; what computes for ever is found sooner.
const FUEL: u64 = 20_000_000;

static SIMULATOR: LazyLock<Arc<Simulator>> = LazyLock::new(|| Arc::new(Simulator::new(FUEL).unwrap()));
static DEFAULT: LazyLock<Policy> = LazyLock::new(|| SIMULATOR.load(DEFAULT_POLICY).unwrap());
static OF_HOSTILE: LazyLock<Policy> = LazyLock::new(|| SIMULATOR.load(HOSTILE).unwrap());

pub fn tester(policy: &Policy, settings: &[(&str, &str)]) -> Tester {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Tester { simulator: SIMULATOR.clone(), policy: policy.clone(), settings: settings.collect() }
}

/// Plays every scenario of a text with the default policy.
pub fn play(text: &str) -> Vec<ScenarioReport> {
    let scenarios = scenario::read(text).unwrap_or_else(|invalid| panic!("{invalid} in {text}"));
    let tester = tester(&DEFAULT, &[]);
    scenarios.iter().map(|scenario| tester.test("here.toml", scenario).unwrap()).collect()
}

/// The one scenario of a text, which has to be as it is expected.
pub fn passes(text: &str) -> ScenarioReport {
    let report = play(text).pop().unwrap();
    assert!(report.passed, "{report:#?}");
    report
}

/// What is not as it was expected: keys, expected and got.
pub fn mismatches(text: &str) -> Vec<(String, String, String)> {
    let report = play(text).pop().unwrap();
    report.mismatches.into_iter().map(|wrong| (wrong.key, wrong.expected, wrong.got)).collect()
}

/// A scenario of one stopped game, with these lines in its only step.
pub fn cleanup(step: &str) -> String {
    format!(
        "[[scenario]]\nname = \"x\"\n[[scenario.runtime]]\ngame = \"g\"\n[[scenario.step]]\ncleanup = \"g\"\n{step}"
    )
}
