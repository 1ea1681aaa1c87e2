//! Histories of the simulation as scenarios.

use std::collections::BTreeMap;

use rtmanager::scenario;
use rtmanager::simulation::{Kept, Options, Plan};
use serde_json::json;

use super::{OF_HOSTILE, SIMULATOR, play, tester};

fn plan(seed: u64) -> Plan {
    let text = json!({
        "seed": seed, "leases": "honest", "removal_ms": 40, "skew_ms": [0, -500],
        "games": [{ "record": "stopped", "container": "exited" }, { "record": "running", "container": "running", "held": true }],
        "steps": [
            { "id": 0, "at_ms": 0, "cleanup": { "replica": 0, "game": 0, "source": "cli" } },
            { "id": 1, "at_ms": 5, "sweep": { "replica": 1 } },
            { "id": 2, "at_ms": 9, "deed": { "game": 1, "deed": "stop" } }
        ],
        "faults": [{ "step": 0, "call": 3, "fault": "lose_reply" }, { "step": 1, "call": 1, "fault": { "meanwhile": "hold" } }]
    });
    Plan::from_json(&text.to_string()).unwrap()
}

/// As `policy simulate --save-scenario` writes it.
fn plan_file(name: &str, settings: &BTreeMap<String, String>, plan: &Plan) -> String {
    Kept { settings: settings.clone(), plan: plan.clone() }.to_toml(name, "A rule was broken.")
}

#[test]
fn a_plan_that_is_written_is_read_again_the_same() {
    let settings = BTreeMap::from([("a \"b\"\n\u{7f}".to_owned(), "\u{1}\\ 'c'".to_owned())]);
    for seed in [0, 7, i64::MAX as u64, u64::MAX] {
        let text = plan_file("found by \"seed\"", &settings, &plan(seed));
        let scenarios = scenario::read(&text).unwrap_or_else(|invalid| panic!("{invalid}: {text}"));
        assert_eq!((scenarios.len(), scenarios[0].name.as_str()), (1, "found by \"seed\""));
        assert_eq!(scenarios[0].settings, settings);
        assert!(scenarios[0].is_plan());
        assert_eq!(scenarios[0].plan(), Some(&plan(seed)), "{text}");
    }
}

#[test]
fn a_history_passes_if_no_rule_is_broken_in_it_and_is_told_if_one_is() {
    let report = play(&plan_file("x", &BTreeMap::new(), &plan(7))).pop().unwrap();
    assert!(report.passed, "{report:#?}");
    assert!(report.timeline.is_some_and(|timeline| timeline.contains("cleanup") || timeline.contains("run 0")));

    let options = Options {
        histories: 500,
        settings: BTreeMap::from([("mode".to_owned(), "remove-before-load".to_owned())]),
        ..Options::default()
    };
    let found = SIMULATOR.simulate(&OF_HOSTILE, &options).unwrap().counterexample.expect("a broken rule");
    let text = plan_file("broken", &options.settings, &found.plan);
    let scenarios = scenario::read(&text).unwrap_or_else(|invalid| panic!("{invalid}: {text}"));
    let report = tester(&OF_HOSTILE, &[]).test("broken.toml", &scenarios[0]).unwrap();
    assert!(!report.passed);
    assert_eq!(report.mismatches[0].expected, found.sentence);
    assert_eq!(report.timeline.as_deref(), Some(found.timeline.as_str()));
    // The same history, with a policy that is sound.
    let report = tester(&OF_HOSTILE, &[("mode", "proper")]).test("broken.toml", &scenarios[0]).unwrap();
    assert!(report.passed, "{:#?}", report.mismatches);
}
