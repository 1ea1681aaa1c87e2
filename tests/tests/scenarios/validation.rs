//! As much of JSON Schema as the schema of scenario files uses. What it does not know, it does not pass over.

use regex::Regex;
use serde_json::Value;

/// What is wrong with a value; none if the schema takes it.
pub fn fault(root: &Value, schema: &Value, value: &Value, place: &str) -> Option<String> {
    let rules = match schema {
        Value::Bool(true) => return None,
        Value::Object(rules) => rules,
        other => panic!("{other} is no schema"),
    };
    let wrong = |what: String| Some(format!("{place}: {what}"));
    let holds = |schema: &Value| fault(root, schema, value, place).is_none();
    for (keyword, rule) in rules {
        let found = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "then" | "else" => None,
            "$ref" => {
                let target = rule.as_str().unwrap().strip_prefix('#').unwrap();
                let target = root.pointer(target).unwrap_or_else(|| panic!("{target} is not there"));
                fault(root, target, value, place)
            }
            "type" => {
                let kinds = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                let fits = kinds.iter().any(|kind| is_a(value, kind.as_str().unwrap()));
                if fits { None } else { wrong(format!("{value} is no {rule}")) }
            }
            "const" if value != rule => wrong(format!("{value} is not {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => wrong(format!("{value} is not among {rule}")),
            "const" | "enum" => None,
            "required" => {
                let missing =
                    |key: &&Value| value.as_object().is_some_and(|there| !there.contains_key(key.as_str().unwrap()));
                rule.as_array().unwrap().iter().find(missing).and_then(|key| wrong(format!("{key} is missing")))
            }
            "properties" => value.as_object().into_iter().flatten().find_map(|(key, value)| {
                rule.get(key).and_then(|rule| fault(root, rule, value, &format!("{place}.{key}")))
            }),
            "additionalProperties" => value.as_object().into_iter().flatten().find_map(|(key, value)| {
                let known = rules.get("properties").is_some_and(|known| known.get(key).is_some());
                match rule {
                    _ if known => None,
                    Value::Bool(false) => wrong(format!("{key} is not known")),
                    rule => fault(root, rule, value, &format!("{place}.{key}")),
                }
            }),
            "items" => value
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
                .find_map(|(index, value)| fault(root, rule, value, &format!("{place}.{index}"))),
            "minItems" | "maxItems" => value.as_array().and_then(|items| {
                let count = rule.as_u64().unwrap() as usize;
                let fits = if keyword == "minItems" { items.len() >= count } else { items.len() <= count };
                if fits { None } else { wrong(format!("has {} items", items.len())) }
            }),
            "minLength" | "maxLength" => value.as_str().and_then(|text| {
                let (length, bound) = (text.chars().count(), rule.as_u64().unwrap() as usize);
                let fits = if keyword == "minLength" { length >= bound } else { length <= bound };
                if fits { None } else { wrong(format!("has {length} characters")) }
            }),
            "minimum" | "maximum" => value.as_i64().and_then(|number| {
                let fits = if keyword == "minimum" {
                    number >= rule.as_i64().unwrap()
                } else {
                    number <= rule.as_i64().unwrap()
                };
                if fits { None } else { wrong(format!("{number} is beyond {rule}")) }
            }),
            "pattern" => value.as_str().and_then(|text| {
                let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
                if pattern.is_match(text) { None } else { wrong(format!("{text:?} does not fit {rule}")) }
            }),
            "allOf" => rule.as_array().unwrap().iter().find_map(|rule| fault(root, rule, value, place)),
            "anyOf" if rule.as_array().unwrap().iter().any(holds) => None,
            "oneOf" if rule.as_array().unwrap().iter().filter(|rule| holds(rule)).count() == 1 => None,
            "anyOf" | "oneOf" => wrong(format!("{value} fits not one of {keyword}")),
            "not" => {
                if holds(rule) {
                    wrong(format!("{value} fits what it must not"))
                } else {
                    None
                }
            }
            "if" => {
                rules.get(if holds(rule) { "then" } else { "else" }).and_then(|rule| fault(root, rule, value, place))
            }
            unknown => panic!("this validator does not know {unknown}"),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        unknown => panic!("this validator does not know the type {unknown}"),
    }
}

/// A file as editors see it. None if it is no TOML at all.
pub fn as_json(text: &str) -> Option<Value> {
    fn value(item: &toml_edit::Value) -> Value {
        match item {
            toml_edit::Value::String(text) => text.value().as_str().into(),
            toml_edit::Value::Integer(number) => (*number.value()).into(),
            toml_edit::Value::Float(number) => (*number.value()).into(),
            toml_edit::Value::Boolean(truth) => (*truth.value()).into(),
            toml_edit::Value::Datetime(time) => time.value().to_string().into(),
            toml_edit::Value::Array(items) => items.iter().map(value).collect(),
            toml_edit::Value::InlineTable(table) => {
                table.iter().map(|(name, item)| (name.to_owned(), value(item))).collect()
            }
        }
    }
    fn item(found: &toml_edit::Item) -> Value {
        match found {
            toml_edit::Item::None => Value::Null,
            toml_edit::Item::Value(found) => value(found),
            toml_edit::Item::Table(found) => table(found),
            toml_edit::Item::ArrayOfTables(found) => found.iter().map(table).collect(),
        }
    }
    fn table(found: &toml_edit::Table) -> Value {
        found.iter().map(|(name, found)| (name.to_owned(), item(found))).collect()
    }
    Some(table(toml_edit::ImDocument::parse(text).ok()?.as_table()))
}
