//! The schema of scenario files takes what the parser takes, and refuses what it refuses.

use rtmanager::scenario::{self, SCHEMA, Suite};
use serde_json::Value;

use super::files::wrong;
use super::validation::{as_json, fault};

fn is_valid(document: &Value) -> Result<(), String> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    fault(&schema, &schema, document, "").map_or(Ok(()), Err)
}

#[test]
fn all_shipped_scenarios_are_valid() {
    for suite in Suite::ALL {
        scenario::read(suite.text()).unwrap_or_else(|invalid| panic!("{suite}: {invalid}"));
        is_valid(&as_json(suite.text()).unwrap()).unwrap_or_else(|error| panic!("{suite}: {error}"));
    }
}

/// A schema cannot compare one place of a file with another.
const BEYOND_A_SCHEMA: [&str; 7] = [
    "a name twice",
    "a game twice",
    "a game that is not there",
    "an end of no game",
    "advice of a cleanup",
    "an outcome of an hour",
    "a plan without replicas",
];

#[test]
fn what_the_parser_refuses_the_schema_refuses_too() {
    for (what, text) in wrong() {
        let Some(document) = as_json(&text) else { continue };
        let refused = is_valid(&document).is_err();
        assert_eq!(refused, !BEYOND_A_SCHEMA.contains(&what), "{what}: {text}");
    }
}

/// Every key that stands in the schema is one that the parser knows: its own message for a key that is near tells.
#[test]
fn every_key_of_the_schema_is_known_to_the_parser() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let keys = |name: &str| -> Vec<String> {
        schema["$defs"][name]["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let places = [
        ("scenario", "[[scenario]]\nKEY = []\n"),
        ("runtime", "[[scenario]]\nname = \"x\"\n[[scenario.runtime]]\nKEY = []\n"),
        ("step", "[[scenario]]\nname = \"x\"\n[[scenario.step]]\nKEY = 0.5\n"),
        ("expect", "[[scenario]]\nname = \"x\"\n[[scenario.step]]\n[scenario.step.expect]\nKEY = 0.5\n"),
        ("fault", "[[scenario]]\nname = \"x\"\n[[scenario.step]]\n[[scenario.step.faults]]\nKEY = 0.5\n"),
        ("meanwhile", "[[scenario]]\nname = \"x\"\n[[scenario.step]]\n[[scenario.step.meanwhile]]\nKEY = 0.5\n"),
        ("end", "[[scenario]]\nname = \"x\"\n[[scenario.end]]\nKEY = 0.5\n"),
        ("limits", "[[scenario]]\nname = \"x\"\n[scenario.limits]\nKEY = []\n"),
    ];
    for (name, text) in places {
        let keys = keys(name);
        assert!(!keys.is_empty());
        for key in keys {
            let told = scenario::read(&text.replace("KEY", &key)).map(|_| ()).unwrap_err().to_string();
            assert!(!told.contains("there is no key"), "{name}: {told}");
        }
        let told = scenario::read(&text.replace("KEY", "zzz")).map(|_| ()).unwrap_err().to_string();
        assert!(told.contains("there is no key"), "{name}: {told}");
    }
}
