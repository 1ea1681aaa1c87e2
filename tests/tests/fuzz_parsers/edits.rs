//! Small changes of texts and of JSON documents, at random.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

/// One change of a text.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Double(Index, usize),
    Flip(Index, u8),
}

pub(super) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let words = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..8),
        select(vec!["\"", "{", "}", "[", "]", ",", ":", "null", "-1", "1e999", "18446744073709551616", "\\u0000", "é"])
            .prop_map(|word| word.as_bytes().to_vec()),
    ];
    let edit = prop_oneof![
        (any::<Index>(), 1usize..20).prop_map(|(at, count)| Edit::Remove(at, count)),
        (any::<Index>(), words).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (any::<Index>(), 1usize..40).prop_map(|(at, count)| Edit::Double(at, count)),
        (any::<Index>(), 1u8..=255).prop_map(|(at, mask)| Edit::Flip(at, mask)),
    ];
    proptest::collection::vec(edit, 0..4)
}

pub(super) fn edited(original: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for edit in edits.iter().filter(|_| !original.is_empty()) {
        let (Edit::Remove(at, _) | Edit::Insert(at, _) | Edit::Double(at, _) | Edit::Flip(at, _)) = edit;
        let at = at.index(bytes.len() + 1).min(bytes.len());
        match edit {
            Edit::Remove(_, count) => drop(bytes.drain(at..(at + count).min(bytes.len()))),
            Edit::Insert(_, inserted) => drop(bytes.splice(at..at, inserted.iter().copied())),
            Edit::Double(_, count) => {
                let part = bytes[at..(at + count).min(bytes.len())].to_vec();
                drop(bytes.splice(at..at, part));
            }
            Edit::Flip(_, mask) => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= mask),
        }
    }
    bytes
}

/// One change of a JSON document, at a place that the indices lead to.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Put(Vec<Index>, Value),
    Drop(Vec<Index>),
    Add(Vec<Index>, String),
}

pub(super) fn changes() -> impl Strategy<Value = Vec<Change>> {
    let path = || proptest::collection::vec(any::<Index>(), 0..5);
    let odd = select(vec![
        json!(null),
        json!(-1),
        json!(0),
        json!(1),
        json!(63),
        json!(64),
        json!(86_400_000),
        json!(86_400_001),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1.5),
        json!("cleanup"),
        json!("stopped"),
        json!("18446744073709551615"),
        json!({}),
        json!([]),
        json!({"cleanup": {"replica": 9, "game": 0, "source": "cli"}}),
    ]);
    let change = prop_oneof![
        4 => (path(), odd).prop_map(|(path, value)| Change::Put(path, value)),
        1 => path().prop_map(Change::Drop),
        1 => (path(), "[a-z_]{1,8}").prop_map(|(path, key)| Change::Add(path, key)),
    ];
    proptest::collection::vec(change, 0..3)
}

fn place<'v>(mut value: &'v mut Value, path: &[Index]) -> &'v mut Value {
    for step in path {
        let length = match &*value {
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            _ => 0,
        };
        if length == 0 {
            return value;
        }
        let nth = step.index(length);
        value = match value {
            Value::Array(items) => &mut items[nth],
            Value::Object(members) => members.values_mut().nth(nth).unwrap(),
            _ => unreachable!("it has parts"),
        };
    }
    value
}

pub(super) fn changed(mut document: Value, changes: &[Change]) -> Value {
    for change in changes {
        match change {
            Change::Put(path, new) => *place(&mut document, path) = new.clone(),
            Change::Drop(path) => match place(&mut document, path) {
                Value::Array(items) => drop(items.pop()),
                Value::Object(members) => members.clear(),
                other => *other = Value::Null,
            },
            Change::Add(path, key) => {
                if let Value::Object(members) = place(&mut document, path) {
                    members.insert(key.clone(), json!(1));
                }
            }
        }
    }
    document
}
