//! Histories of a policy in the real host code, in virtual time, with everything going wrong that can.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::process::Command;
use std::sync::LazyLock;

use rtmanager::runtime::{DEFAULT_POLICY, Policy};
use rtmanager::simulation::{Act, Fault, Options, Plan, Report, Simulator};
use rtmanager_tests::mutants::ALL;

static SIMULATOR: LazyLock<Simulator> = LazyLock::new(|| Simulator::new(Simulator::FUEL).expect("a sandbox"));
static DEFAULT: LazyLock<Policy> = LazyLock::new(|| SIMULATOR.load(DEFAULT_POLICY).expect("the default policy loads"));

fn simulate(histories: u64, seed: u64, threads: usize) -> Report {
    SIMULATOR.simulate(&DEFAULT, &Options { histories, seed, threads, ..Options::default() }).expect("played")
}

const USUAL: u64 = 8_000;

/// Histories in an ordinary run of the tests; more of them with `RTMANAGER_SIMULATE=100000`.
fn histories() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "how long a test may take is its caller's to say")]
    let told = std::env::var("RTMANAGER_SIMULATE").ok().and_then(|text| text.parse().ok());
    told.unwrap_or(USUAL)
}

#[test]
fn the_default_policy_breaks_no_rule_and_everything_that_can_happen_happens() {
    let report = simulate(histories(), 0, 2);
    println!("{report}");
    assert!(report.holds(), "{report}");
    assert_eq!(report.never_reached(), Vec::<&str>::new());
    for fault in Fault::ALL {
        let times: u64 = report.faults.iter().filter(|count| count.fault == fault.as_str()).map(|c| c.times).sum();
        assert!(times > 0, "{fault} never happened");
    }
}

#[test]
fn every_single_fault_leaves_the_rules_whole() {
    let report = SIMULATOR.exhaust(&DEFAULT, &Options { histories: 1_000, ..Options::default() }, false).unwrap();
    println!("{report}");
    assert!(report.holds(), "{report}");
}

#[test]
fn every_pair_of_faults_leaves_the_rules_whole() {
    // All 37,180 of them when more is asked for, else every ninth or so.
    let options = Options { histories: if histories() > USUAL { 100_000 } else { 4_000 }, ..Options::default() };
    let report = SIMULATOR.exhaust(&DEFAULT, &options, true).unwrap();
    println!("{report}");
    assert!(report.holds(), "{report}");
    assert!(report.histories >= 4_000);
}

#[test]
fn the_same_seed_gives_the_same_trace_on_any_number_of_threads() {
    let traces = [1, 2, 3].map(|threads| simulate(150, 5, threads).trace_hash);
    assert_eq!(traces[0], traces[1]);
    assert_eq!(traces[1], traces[2]);
    assert_ne!(traces[0], simulate(150, 6, 2).trace_hash, "the trace says nothing");
}

/// Prints what the next test compares.
#[test]
#[ignore = "run by the next test, in processes of its own"]
fn trace() {
    println!("trace {}", simulate(100, 5, 2).trace_hash);
}

#[test]
fn the_same_seed_gives_the_same_trace_in_another_process() {
    let in_another = || {
        let test = std::env::current_exe().unwrap();
        let told = Command::new(test).args(["trace", "--exact", "--ignored", "--nocapture"]).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        told.lines().find_map(|line| line.split("trace ").nth(1).filter(|hash| hash.len() == 64)).unwrap().to_owned()
    };
    assert_eq!(in_another(), simulate(100, 5, 1).trace_hash);
    assert_eq!(in_another(), in_another());
}

#[test]
fn every_history_has_what_makes_it_one() {
    for seed in 0..2_000 {
        let plan = Plan::generate(seed);
        let runs = plan.steps.iter().filter(|step| matches!(step.act, Act::Cleanup { .. } | Act::Sweep { .. })).count();
        assert!(plan.games.len() >= 4 && plan.skew_ms.len() == 2 && runs >= 10 && !plan.faults.is_empty(), "{plan:?}");
        let kept = serde_json::to_string(&plan).unwrap();
        assert_eq!(Plan::from_json(&kept).unwrap(), plan, "it can be kept");
    }
}

#[test]
fn a_counterexample_is_small_and_its_scenario_can_be_played_again() {
    let mutant = ALL.iter().find(|mutant| mutant.name == "a failed look is taken for absence").unwrap();
    let options = Options { histories: 10_000, hooks: mutant.hooks(), ..Options::default() };
    let found = SIMULATOR.simulate(&DEFAULT, &options).unwrap().counterexample.expect("it is found");
    println!("{found}");
    assert!(found.plan.steps.len() <= 2 && found.plan.faults.len() == 1, "{found}");
    assert!(found.timeline.contains("engine.inspect"), "{found}");
    let plan = Plan::from_json(&found.scenario()).unwrap();
    assert_eq!(plan, found.plan);
    let (timeline, breaches) = SIMULATOR.replay(&DEFAULT, &options, &plan).unwrap();
    assert_eq!(timeline, found.timeline);
    assert!(breaches.iter().any(|breach| Some(breach.invariant) == found.invariant()), "{breaches:?}");
    let (_, whole) = SIMULATOR.replay(&DEFAULT, &Options::default(), &plan).unwrap();
    assert_eq!(whole, [], "without the bug nothing is broken");
}
