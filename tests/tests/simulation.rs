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

/// With all single faults and all pairs, these are the hundred thousand that CI plays.
const RANDOM: u64 = 50_200;

/// Random histories; more of them, or fewer, with `RTMANAGER_SIMULATE=1000000`.
fn histories() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "how long a test may take is its caller's to say")]
    let told = std::env::var("RTMANAGER_SIMULATE").ok().and_then(|text| text.parse().ok());
    told.unwrap_or(RANDOM)
}

fn exhaust(pairs: bool) -> Report {
    let report = SIMULATOR.exhaust(&DEFAULT, &Options { histories: u64::MAX, ..Options::default() }, pairs).unwrap();
    println!("{report}");
    assert!(report.holds(), "{report}");
    assert_eq!(report.histories, Simulator::combinations(pairs));
    report
}

/// How often that kind of fault happened at that call.
fn times(report: &Report, fault: &str, call: &str) -> u64 {
    report.faults.iter().filter(|count| (count.fault, count.call) == (fault, call)).map(|count| count.times).sum()
}

fn reached(report: &Report, what: &str) -> u64 {
    report.sometimes.iter().find(|reached| reached.what.contains(what)).unwrap_or_else(|| panic!("{what}")).times
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

/// The steps of a cleanup at which something may go wrong, by the calls of ports that they make.
const STEPS: [&str; 8] = [
    "records.get",
    "leases.try_acquire",
    "records.begin_run",
    "engine.inspect",
    "records.get_for_effect",
    "engine.remove",
    "records.compare_and_set",
    "log.append",
];

#[test]
fn every_single_fault_happens_at_every_step_and_leaves_the_rules_whole() {
    let report = exhaust(false);
    for step in STEPS {
        for fault in Fault::ALL {
            assert!(times(&report, fault.as_str(), step) > 0, "{fault} never happened at {step}");
        }
    }
}

#[test]
fn what_can_go_wrong_with_an_engine_a_store_and_a_lease_does() {
    let report = exhaust(false);
    for (what, fault, call) in [
        ("an error", "unavailable", "records.get"),
        ("a hang", "hang", "engine.remove"),
        ("a death before the call", "crash_before", "records.compare_and_set"),
        ("a death after it", "crash_after", "records.compare_and_set"),
        ("done, and the answer lost", "lose_reply", "engine.remove"),
        ("a lease that is forgotten", "forget_lease", "engine.remove"),
        ("a lease that another takes", "take_lease", "records.compare_and_set"),
        ("a standstill past the lease", "pause", "engine.remove"),
        ("a clock set forward", "jump_forward", "records.compare_and_set"),
        ("a clock set back", "jump_back", "records.compare_and_set"),
        ("a conflict told", "refuse", "records.compare_and_set"),
        ("a conflict made", "renew", "records.compare_and_set"),
        ("404 of an engine, to a look", "vanish", "engine.inspect"),
        ("404 of an engine, to a removal", "vanish", "engine.remove"),
        ("409 of an engine: it runs", "refuse", "engine.remove"),
        ("409 of an engine: another removes it", "remove_elsewhere", "engine.remove"),
        ("500 of an engine", "unavailable", "engine.remove"),
        ("a time-out of an engine", "late_effect", "engine.remove"),
        ("a log that takes nothing", "log_down", "log.append"),
        ("a swap", "swap", "engine.remove"),
        ("a rollback", "roll_back", "engine.remove"),
        ("a revocation of the generation", "revoke_generation", "records.get_for_effect"),
        ("a revocation of the component", "revoke_component", "records.compare_and_set"),
    ] {
        assert!(times(&report, fault, call) > 0, "{what}");
    }
    assert!(reached(&report, "an effect was refused since the policy was revoked") > 0);
    assert!(reached(&report, "a policy was swapped while a run was under way") > 0);
}

#[test]
fn every_pair_of_faults_leaves_the_rules_whole() {
    exhaust(true);
}

#[test]
fn histories_leave_nothing_of_the_sandbox_held() {
    let simulator = Simulator::new(Simulator::FUEL).unwrap();
    let policy = simulator.load(DEFAULT_POLICY).unwrap();
    simulator.simulate(&policy, &Options { histories: 200, ..Options::default() }).unwrap();
    assert_eq!(simulator.held(), 0);
}

#[test]
fn the_same_seed_gives_the_same_trace_on_any_number_of_threads() {
    let traces = [1, 2, 4].map(|threads| simulate(150, 5, threads).trace_hash);
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
