//! The hostile corpus cannot be forgotten: what the fixtures can do is in the lists that `endurance` runs, and a suite
//! says of each what must come of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, reason = "test code")]

use std::collections::BTreeSet;
use std::path::Path;

use rtmanager_tests::fixtures::MALFORMED;
use rtmanager_tests::hostile::{MODES, REVIEW_MODES};

const HANDLE: [&str; 5] = [
    include_str!("../fixtures/hostile/src/exhaust.rs"),
    include_str!("../fixtures/hostile/src/honest.rs"),
    include_str!("../fixtures/hostile/src/lie.rs"),
    include_str!("../fixtures/hostile/src/outside.rs"),
    include_str!("../fixtures/hostile/src/overstep.rs"),
];
const REVIEW: &str = include_str!("../fixtures/hostile/src/review.rs");

/// The texts that a `match` of the source compares its mode with.
fn modes_in(source: &'static str) -> impl Iterator<Item = &'static str> {
    source.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" =>")).map(|(mode, _)| mode)
}

/// All suites but those that go through the lists.
fn suites() -> String {
    fn read(folder: &Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let lists = ["endurance.rs", "corpus.rs"].iter().any(|name| path.ends_with(name));
            match path.extension() {
                None if path.is_dir() => read(&path, all),
                Some(extension) if extension == "rs" && !lists => all.push_str(&std::fs::read_to_string(path).unwrap()),
                _ => {}
            }
        }
    }
    let mut all = String::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut all);
    all
}

#[test]
fn what_the_hostile_policy_can_do_is_what_the_lists_say() {
    let handle: BTreeSet<_> = HANDLE.into_iter().flat_map(modes_in).collect();
    assert_eq!(handle, BTreeSet::from(MODES));
    assert_eq!(modes_in(REVIEW).collect::<BTreeSet<_>>(), BTreeSet::from(REVIEW_MODES));
}

#[test]
fn each_has_a_suite_that_says_what_must_come_of_it() {
    let suites = suites();
    let untested = |mode: &&&str| !suites.contains(&format!("\"{mode}\""));
    let untested: Vec<_> = MODES.iter().chain(&REVIEW_MODES).filter(untested).collect();
    assert!(untested.is_empty(), "{untested:?}");
    let unnamed = |name: &&str| !suites.contains(&format!("fixtures::{}", name.to_uppercase()));
    let untested: Vec<_> = MALFORMED.iter().map(|(name, _)| *name).filter(unnamed).collect();
    assert!(untested.is_empty(), "{untested:?}");
}
