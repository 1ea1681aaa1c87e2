//! The suites that come with the program: good policies pass them, each bad one fails.

use std::collections::BTreeSet;

use rtmanager::runtime::{DEFAULT_POLICY, Policy};
use rtmanager::scenario::{self, ScenarioReport, Suite};
use rtmanager_tests::fixtures::C_POLICY;
use rtmanager_tests::hostile::{MODES, REVIEW_MODES};

use super::{DEFAULT, OF_HOSTILE, SIMULATOR, tester};

/// What of the suite is not as expected; at most the first, if that is enough.
fn failing(policy: &Policy, settings: &[(&str, &str)], suite: Suite, first: bool) -> Vec<ScenarioReport> {
    let tester = tester(policy, settings);
    let scenarios = scenario::read(suite.text()).unwrap_or_else(|invalid| panic!("{suite}: {invalid}"));
    assert!(scenarios.len() > 50);
    let played = scenarios.iter().map(|scenario| tester.test(suite.as_str(), scenario).unwrap());
    let failed = played.filter(|report| !report.passed);
    if first { failed.take(1).collect() } else { failed.collect() }
}

fn named(reports: &[ScenarioReport]) -> Vec<String> {
    let told = |report: &ScenarioReport| format!("{}: {:#?}\n{:#?}", report.name, report.mismatches, report.steps);
    reports.iter().map(told).collect()
}

#[test]
fn the_default_policy_passes_both() {
    for suite in Suite::ALL {
        let failed = failing(&DEFAULT, &[], suite, false);
        assert!(failed.is_empty(), "{suite}: {}", named(&failed).join("\n"));
    }
}

#[test]
fn a_policy_in_c_passes_safety() {
    let policy = SIMULATOR.load(C_POLICY).unwrap();
    let failed = failing(&policy, &[], Suite::Safety, false);
    assert!(failed.is_empty(), "{}", named(&failed).join("\n"));
}

/// Their deeds are no breach of a rule: the sandbox denies them, or they are the policy's own affair.
const HARMLESS: [&str; 2] = ["inspect-another", "release-twice"];
const HARMLESS_REVIEWS: [&str; 8] =
    ["due", "escapes", "giant-reason", "keep", "read", "wait", "wait-for-ever", "wait-past"];

#[test]
fn each_hostile_policy_fails_safety() {
    let passes = |settings: &[(&str, &str)]| failing(&OF_HOSTILE, settings, Suite::Safety, true).is_empty();
    let sound: BTreeSet<_> = MODES.into_iter().filter(|mode| passes(&[("mode", mode)])).collect();
    assert_eq!(sound, BTreeSet::from(HARMLESS));
    let review = |mode: &&&str| passes(&[("mode", "proper"), ("review_mode", mode)]);
    let sound: BTreeSet<_> = REVIEW_MODES.iter().filter(review).copied().collect();
    assert_eq!(sound, BTreeSet::from(HARMLESS_REVIEWS));
}

/// The default policy with these bytes in place of others, wherever they stand.
fn altered(from: &[u8], to: &[u8]) -> Policy {
    assert_eq!(from.len(), to.len());
    let mut component = DEFAULT_POLICY.to_vec();
    let places: Vec<_> = (0..component.len()).filter(|place| component[*place..].starts_with(from)).collect();
    assert!(!places.is_empty(), "the policy does not hold {from:?}");
    for place in places {
        component[place..place + to.len()].copy_from_slice(to);
    }
    SIMULATOR.load(&component).unwrap()
}

/// A number as it stands in code.
fn in_code(mut number: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if (number == 0 && low & 0x40 == 0) || (number == -1 && low & 0x40 != 0) {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn is_noticed(policy: &Policy) -> bool {
    !failing(policy, &[], Suite::Default, true).is_empty()
}

#[test]
fn each_planted_change_of_the_default_policy_fails_its_suite() {
    const MICROS_PER_DAY: i64 = 86_400_000_000;
    assert!(is_noticed(&altered(&in_code(MICROS_PER_DAY), &in_code(MICROS_PER_DAY / 2))), "half days");
    for (from, to) in [
        ("service_unavailable", "service_unavailabla"),
        ("internal_error", "internal_errer"),
        ("invalid_request", "invalid_requesd"),
        ("replay_no_op", "replay_no_ob"),
        ("not_found", "not_fount"),
        ("stop it first", "stop it last!"),
        ("an operator holds game ", "an operator helds game "),
        ("the lease of game ", "the laese of game "),
        ("known settings are ", "known sittings are "),
        (" protects it", " protexts it"),
    ] {
        assert!(is_noticed(&altered(from.as_bytes(), to.as_bytes())), "{from} -> {to} is not noticed");
    }
}

#[test]
fn other_settings_than_it_expects_fail_the_default_suite() {
    let failed = failing(&DEFAULT, &[("extra_retention_days", "2")], Suite::Default, false);
    let names: Vec<_> = failed.iter().map(|report| report.name.as_str()).collect();
    assert!(names.contains(&"what has passed the floor is due"), "{names:?}");
}

/// A row of the table without a scenario would not be told from one that nobody thought of.
#[test]
fn every_row_of_the_document_has_a_scenario() {
    let document = include_str!("../../../guest/docs/default-policy.md");
    let table = document.split("| situation | outcome | code | |").nth(1).unwrap();
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 19, "{rows:#?}");
    let scenarios = scenario::read(Suite::Default.text()).unwrap();
    let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    for (row, name) in [
        ("blank game id", "a blank game id is an invalid request, and no lease is asked for"),
        ("lease store fails", "a lease store that fails (unavailable) is service unavailable"),
        ("lease held by another", "a lease that another holds is a conflict"),
        ("no record", "no record is not found"),
        ("record cannot be loaded", "a record that cannot be loaded (unavailable) is an internal error"),
        ("record removed already", "a removed record is a replay that changes nothing"),
        ("record running", "a running record is a conflict: stop it first"),
        ("record in any other status", "a record in any other status is an internal error"),
        ("stopped, but the container runs", "a stopped record whose container is running is a conflict"),
        ("stopped, and the engine fails", "an engine that fails (unavailable) is service unavailable"),
        ("stopped, no container", "a stopped record without a container succeeds without the engine"),
        ("the container's labels name another", "a container whose label owner names another is left alone"),
        ("an operator holds the game", "a held game is a conflict"),
        ("lease lost before removal", "a lease lost before the removal is a conflict without effect"),
        ("record changed to `removed` meanwhile", "a record that another run removes meanwhile is a replay"),
        ("record changed to anything else", "a record that changes to anything else meanwhile is a conflict"),
        ("record vanished meanwhile", "a record that vanishes before the update is not found"),
        ("the update fails otherwise", "an update that fails (unavailable) is an internal error"),
        ("all well", "all well removes the container, then changes the record"),
    ] {
        assert!(rows.iter().any(|line| line.contains(row)), "{row}");
        assert!(names.contains(&name), "{name}");
    }
}
