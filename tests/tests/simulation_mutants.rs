//! The simulation can tell: each bug planted in a host or a backend is found, by a rule that it breaks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager::simulation::{Options, Simulator};
use rtmanager_tests::mutants::{ALL, BY_PAIRS};

/// A bug that takes more histories than this is not found.
const HISTORIES: u64 = 10_000;

#[test]
fn every_planted_bug_is_found_within_ten_thousand_histories() {
    let simulator = Simulator::new(Simulator::FUEL).expect("a sandbox");
    let policy = simulator.load(DEFAULT_POLICY).expect("the default policy loads");
    let mut survivors = Vec::new();
    println!("{:<10} {:<50} {:<5} what was seen", "histories", "bug", "rule");
    for mutant in ALL {
        let options =
            Options { histories: HISTORIES, seed: 7, attempts: 0, hooks: mutant.hooks(), ..Options::default() };
        let report = simulator.simulate(&policy, &options).unwrap();
        let part = if mutant.in_host { "host: " } else { "" };
        let name = format!("{part}{}", mutant.name);
        let Some(found) = &report.counterexample else {
            println!("{:<10} {name:<50} NOT FOUND", report.histories);
            survivors.push(name);
            continue;
        };
        println!("{:<10} {name:<50} {:<5} {}", report.histories, found.rule, found.what);
        if !mutant.rules.contains(&found.rule) {
            survivors.push(format!("{name}, found by rule {} only", found.rule));
        }
    }
    assert_eq!(survivors, Vec::<String>::new());
}

#[test]
fn a_bug_that_takes_two_faults_is_found_among_all_pairs() {
    let simulator = Simulator::new(Simulator::FUEL).expect("a sandbox");
    let policy = simulator.load(DEFAULT_POLICY).expect("the default policy loads");
    for mutant in BY_PAIRS {
        let options = Options { histories: u64::MAX, attempts: 0, hooks: mutant.hooks(), ..Options::default() };
        let report = simulator.exhaust(&policy, &options, true).unwrap();
        let found = report.counterexample.expect(mutant.name);
        println!("{:<10} {:<50} {:<5} {}", report.histories, mutant.name, found.rule, found.what);
        assert!(mutant.rules.contains(&found.rule), "{found}");
    }
}
