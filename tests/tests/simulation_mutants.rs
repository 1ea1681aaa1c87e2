//! The simulation can tell: each bug planted in a host, a backend or a policy is found, by a rule that it breaks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use rtmanager_tests::kill_table::{Row, rows, table};

const RECORDED: &str = include_str!("../docs/kill-table.md");

#[test]
fn every_planted_bug_is_found_within_ten_thousand_histories_as_the_kill_table_says() {
    let rows = rows().unwrap();
    let table = table(&rows);
    println!("{table}");
    assert!(rows.len() >= 40 + 40, "{} bugs", rows.len());
    let by_right_rule = |Row { expected, found, .. }: &&Row| {
        found.as_ref().is_some_and(|found| expected.is_empty() || expected.contains(&found.rule))
    };
    let survivors: Vec<_> = rows.iter().filter(|row| !by_right_rule(row)).collect();
    assert!(survivors.is_empty(), "{survivors:#?}");
    // All of it follows from the seed: the same rules, the same numbers.
    assert!(table == RECORDED, "`make kill-table` writes the table anew; it is now:\n{table}");
}
