//! Plans in scenario files, as `policy test` plays them: TOML, with the settings under which a rule was broken.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use figment::Figment;
use figment::providers::{Format as _, Toml};
use serde::Deserialize;
use serde_json::Value;

use super::deep_stack::on_a_deep_stack;
use super::plan::Plan;
use super::scenario::InvalidScenario;
use crate::model::bounded_text;

/// Of what is wrong, this much is told: it may quote the file.
const TOLD: usize = 500;

/// A plan, and the settings that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What the policy reads.
    pub settings: BTreeMap<String, String>,
    /// The history.
    pub plan: Plan,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    scenario: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    #[serde(default)]
    settings: BTreeMap<String, String>,
    simulation: Option<Plan>,
}

impl Kept {
    /// Reads the first plan of a scenario file.
    pub fn from_toml(text: &str) -> Result<Self, InvalidScenario> {
        let unread = |what| InvalidScenario::Toml { place: String::new(), what };
        let file = on_a_deep_stack(|| file(text)).map_err(|error| unread(error.to_string()))??;
        let mut plans = file
            .scenario
            .into_iter()
            .filter_map(|Scenario { settings, simulation }| simulation.map(|plan| Self { settings, plan }));
        let kept = plans.next().ok_or_else(|| InvalidScenario::Content {
            place: "scenario".to_owned(),
            what: "none of them has a `simulation`".to_owned(),
        })?;
        kept.plan.check()?;
        Ok(kept)
    }

    /// A scenario file that holds this plan. It passes once the plan breaks no rule.
    pub fn to_toml(&self, name: &str, about: &str) -> String {
        let mut text = format!("[[scenario]]\nname = {}\nabout = {}\n", string(name), string(about));
        if !self.settings.is_empty() {
            let settings = self.settings.iter().map(|(name, value)| format!("{} = {}", string(name), string(value)));
            // Writing into a string cannot fail.
            let _ = writeln!(text, "settings = {{ {} }}", settings.collect::<Vec<_>>().join(", "));
        }
        text.push_str("\n[scenario.simulation]\n");
        // A plan is a map of plain values.
        let plan = serde_json::to_value(&self.plan).unwrap_or_default();
        for (key, value) in plan.as_object().into_iter().flatten() {
            let _ = match value {
                Value::Array(items) if items.iter().any(Value::is_object) => writeln!(text, "{key} = {}", lines(items)),
                value => writeln!(text, "{key} = {}", inline(value)),
            };
        }
        text
    }
}

fn file(text: &str) -> Result<File, InvalidScenario> {
    let read = Figment::from(Toml::string(text)).extract();
    read.map_err(|error| InvalidScenario::Toml {
        place: bounded_text(&error.path.join("."), TOLD),
        what: bounded_text(&error.kind.to_string(), TOLD),
    })
}

/// An item a line.
fn lines(items: &[Value]) -> String {
    let items: String = items.iter().map(|item| format!("  {},\n", inline(item))).collect();
    format!("[\n{items}]")
}

fn inline(value: &Value) -> String {
    match value {
        Value::Null => "{}".to_owned(),
        Value::Bool(value) => value.to_string(),
        // An integer of TOML has 64 bits with its sign; what is greater is written as text.
        Value::Number(number) if number.as_i64().is_none() => format!("\"{number}\""),
        Value::Number(number) => number.to_string(),
        Value::String(text) => string(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| format!("{key} = {}", inline(value));
            format!("{{ {} }}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Strings of JSON are strings of TOML, but for one control character.
fn string(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_is_read_as_it_is_written() {
        for seed in 0..300_u64 {
            let odd = format!("\u{7f}\"'\\\n{seed} é");
            let settings = BTreeMap::from([("a b.c".to_owned(), odd.clone()), ("é".to_owned(), String::new())]);
            // Half of these seeds are beyond what an integer of TOML holds.
            let kept = Kept { settings, plan: Plan::generate(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) };
            let read = Kept::from_toml(&kept.to_toml(&odd, &odd)).map_err(|error| error.to_string());
            assert_eq!(read, Ok(kept));
        }
    }

    #[test]
    fn what_is_no_plan_is_refused_with_its_place() {
        for (text, told) in [
            ("", "scenario: none of them has a `simulation`"),
            ("[[scenario]]\nname = \"a\"", "scenario: none of them has a `simulation`"),
            ("[[scenario]]\nname = ", "TOML"),
            ("[[scenario]]\n[scenario.simulation]\nseed = 1", "missing field"),
            ("[[scenario]]\n[scenario.simulation]\nseed = \"x\"\nskew_ms = []\ngames = []\nsteps = []", "digits"),
            (
                "[[scenario]]\n[scenario.simulation]\nseed = 1\nskew_ms = []\ngames = []\nsteps = []",
                "skew_ms: is empty",
            ),
        ] {
            let refused = Kept::from_toml(text).map_err(|error| error.to_string());
            assert!(refused.as_ref().is_err_and(|error| error.contains(told)), "{text:?}: {refused:?}");
        }
    }
}
