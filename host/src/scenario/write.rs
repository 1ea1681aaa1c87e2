//! A history of the simulation as a file of scenarios.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::simulation::Plan;

/// The text of a file with one scenario, which plays this plan: what `policy test` takes.
pub fn plan_file(name: &str, settings: &BTreeMap<String, String>, plan: &Plan) -> String {
    let mut text = format!("[[scenario]]\nname = {}\n", quoted(name));
    if !settings.is_empty() {
        let pairs: Vec<_> =
            settings.iter().map(|(key, value)| format!("{} = {}", quoted(key), quoted(value))).collect();
        // Writing into a string cannot fail.
        let _ = writeln!(text, "settings = {{ {} }}", pairs.join(", "));
    }
    text.push_str("\n[scenario.simulation]\n");
    // A plan is made of texts, numbers, lists and tables with keys of text: all of that can be written.
    let plan = serde_json::to_value(plan).unwrap_or_default();
    for (key, value) in plan.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::Array(items) if items.iter().any(Value::is_object) => {
                let items: String = items.iter().map(|item| format!("  {},\n", inline(item))).collect();
                let _ = writeln!(text, "{key} = [\n{items}]");
            }
            value => {
                let _ = writeln!(text, "{key} = {}", inline(value));
            }
        }
    }
    text
}

/// A value on one line.
fn inline(value: &Value) -> String {
    match value {
        // There is no such value in TOML; in tables it is left out.
        Value::Null => "\"\"".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        // TOML's numbers end at 2^63.
        Value::Number(number) if number.as_i64().is_none() && number.is_u64() => quoted(&number.to_string()),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(pairs) => {
            let there = pairs.iter().filter(|(_, value)| !value.is_null());
            let pairs: Vec<_> = there.map(|(key, value)| format!("{key} = {}", inline(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

/// A text between quotation marks; JSON's escapes are TOML's.
fn quoted(text: &str) -> String {
    // DEL is the one control character that JSON leaves as it is, and TOML does not.
    Value::String(text.to_owned()).to_string().replace('\u{7f}', "\\u007f")
}
