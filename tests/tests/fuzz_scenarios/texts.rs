//! Documents as TOML, and how they are changed at random: keys, types, numbers, depths, lengths.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

/// One change of a document, at a place that the indices lead to.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Another value.
    Put(Vec<Index>, Odd),
    /// The value is gone.
    Drop(Vec<Index>),
    /// Once more: in a list the item, in a table the value, under another key.
    Again(Vec<Index>),
    /// The same under another key.
    Rename(Vec<Index>, String),
    /// What stands at one place stands at the other, too.
    Copy(Vec<Index>, Vec<Index>),
}

/// What nobody writes.
#[derive(Debug, Clone)]
pub(super) enum Odd {
    Value(Value),
    /// So many lists or tables, one in the other.
    Deep(usize, bool),
    /// So many items.
    Long(usize),
    /// A text of so many letters.
    Text(usize),
}

impl Odd {
    fn value(&self) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Deep(depth, true) => (0..*depth).fold(json!(1), |inner, _| json!([inner])),
            Self::Deep(depth, false) => (0..*depth).fold(json!(1), |inner, _| json!({ "a": inner })),
            Self::Long(count) => (0..*count).map(|index| json!(format!("x{index}"))).collect(),
            Self::Text(length) => json!("é".repeat(*length)),
        }
    }
}

pub(super) fn changes() -> impl Strategy<Value = Vec<Change>> {
    let path = || proptest::collection::vec(any::<Index>(), 1..7);
    let values = select(vec![
        json!(-1),
        json!(0),
        json!(1),
        json!(4_294_967_295_u64),
        json!(4_294_967_296_u64),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(1.5),
        json!(true),
        json!(false),
        json!(""),
        json!(" "),
        json!("none"),
        json!("gone"),
        json!("*"),
        json!("removed"),
        json!("running"),
        json!("a\u{0}b"),
        json!("\u{202e}"),
        json!("-1s"),
        json!("0s"),
        json!(" 1d 2h\t"),
        json!("1s\u{a0}"),
        json!("20000d"),
        json!("213503982334d"),
        json!("-9223372036854775807ms"),
        json!("9223372036854775807ms"),
        json!("18446744073709551615ms"),
        json!("18446744073709551615"),
        json!("0001-01-01T00:00:00Z"),
        json!("1970-01-01T00:00:00Z"),
        json!("9999-12-31T23:59:59Z"),
        json!("2026-01-31T12:00:00+00:00[UTC]"),
        json!("2026-01-31 12:00:60z"),
        json!("20260131T120000Z"),
        json!("2026-01-31T12Z"),
        json!("2026-01-31T12:00:00,5Z"),
        json!("+002026-01-31T12:00:00-00:00"),
        json!("2026-01-31T12:00:00+01:00:30"),
        json!("2026-01-31T12:00:00+0100[Europe/Berlin][u-ca=iso8601]"),
        json!("2026-W05-6T12:00:00Z"),
        json!({}),
        json!([]),
        json!([[]]),
        json!([{}]),
        json!({ "game": "g", "deed": "held" }),
        json!([{ "call": "docker.remove", "what": "pause", "by": "20000d" }]),
        json!([{ "call": "records.get", "what": "clock-jump", "by": "-20000d", "every": true }]),
        json!([{ "backend": "leases.renew", "what": "hang", "every": true }]),
    ]);
    let odd = prop_oneof![
        20 => values.prop_map(Odd::Value),
        1 => (2usize..120, any::<bool>()).prop_map(|(depth, list)| Odd::Deep(depth, list)),
        1 => (2usize..3_000).prop_map(Odd::Long),
        1 => (2usize..20_000).prop_map(Odd::Text),
    ];
    let change = prop_oneof![
        6 => (path(), odd).prop_map(|(path, value)| Change::Put(path, value)),
        2 => path().prop_map(Change::Drop),
        2 => path().prop_map(Change::Again),
        1 => (path(), "[a-z_]{1,9}").prop_map(|(path, key)| Change::Rename(path, key)),
        2 => (path(), path()).prop_map(|(from, to)| Change::Copy(from, to)),
    ];
    proptest::collection::vec(change, 0..3)
}

/// The keys and places that the indices lead to, as a pointer into the document.
fn pointer(document: &Value, path: &[Index]) -> String {
    let (mut found, mut value) = (String::new(), document);
    for step in path {
        match value {
            Value::Array(items) if !items.is_empty() => {
                let nth = step.index(items.len());
                write!(found, "/{nth}").unwrap();
                value = &items[nth];
            }
            Value::Object(members) if !members.is_empty() => {
                let (key, inner) = members.iter().nth(step.index(members.len())).unwrap();
                write!(found, "/{}", key.replace('~', "~0").replace('/', "~1")).unwrap();
                value = inner;
            }
            _ => break,
        }
    }
    found
}

pub(super) fn changed(mut document: Value, changes: &[Change]) -> Value {
    for change in changes {
        let (Change::Put(path, _)
        | Change::Drop(path)
        | Change::Again(path)
        | Change::Rename(path, _)
        | Change::Copy(path, _)) = change;
        let place = pointer(&document, path);
        let (parent, last) = place.rsplit_once('/').unwrap_or_default();
        let last = last.replace("~1", "/").replace("~0", "~");
        let here = document.pointer(&place).unwrap().clone();
        match change {
            Change::Put(_, odd) => *document.pointer_mut(&place).unwrap() = odd.value(),
            Change::Copy(_, to) => {
                let to = pointer(&document, to);
                *document.pointer_mut(&to).unwrap() = here;
            }
            Change::Drop(_) | Change::Again(_) | Change::Rename(..) => match document.pointer_mut(parent).unwrap() {
                Value::Array(items) => match change {
                    Change::Drop(_) => drop(items.remove(last.parse().unwrap())),
                    _ => items.push(here),
                },
                Value::Object(members) => match change {
                    Change::Drop(_) => drop(members.remove(&last)),
                    Change::Rename(_, key) => {
                        members.remove(&last);
                        members.insert(key.clone(), here);
                    }
                    _ => drop(members.insert(format!("{last}_"), here)),
                },
                _ => {}
            },
        }
    }
    document
}

/// The document as people write TOML: a table for each scenario, runtime, step and end, a line for each key.
pub(super) fn toml(document: &Value) -> String {
    let mut text = String::new();
    let Value::Object(members) = document else { return inline(document) };
    for (key, value) in members {
        match tables(value) {
            Some(scenarios) => scenarios.iter().for_each(|scenario| table(&mut text, &name(key), scenario)),
            None => writeln!(text, "{} = {}", name(key), inline(value)).unwrap(),
        }
    }
    text
}

fn table(text: &mut String, place: &str, members: &Map<String, Value>) {
    writeln!(text, "[[{place}]]").unwrap();
    // What follows a table's head is the table's.
    for (key, value) in members.iter().filter(|(_, value)| tables(value).is_none()) {
        writeln!(text, "{} = {}", name(key), inline(value)).unwrap();
    }
    for (key, value) in members {
        for inner in tables(value).into_iter().flatten() {
            table(text, &format!("{place}.{}", name(key)), inner);
        }
    }
}

fn tables(value: &Value) -> Option<Vec<&Map<String, Value>>> {
    let items = value.as_array().filter(|items| !items.is_empty())?;
    items.iter().map(Value::as_object).collect()
}

fn name(key: &str) -> String {
    json!(key).to_string()
}

/// Texts and numbers are written in TOML as they are in JSON.
fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let pairs: Vec<_> =
                members.iter().map(|(key, value)| format!("{} = {}", name(key), inline(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}
