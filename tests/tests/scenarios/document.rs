//! What is written about scenarios is so.

use rtmanager::scenario::{DeedKind, What};
use rtmanager::session::Crossing;

use super::play;

const DOCUMENT: &str = include_str!("../../../guest/docs/scenarios.md");

#[test]
fn the_examples_pass_with_the_default_policy() {
    let examples: Vec<_> = DOCUMENT.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 2);
    for report in examples.into_iter().flat_map(play) {
        assert!(report.passed, "{report:#?}");
    }
}

#[test]
fn every_word_is_told() {
    let words = Crossing::ALL.iter().map(|call| call.as_str()).chain(DeedKind::ALL.iter().map(|deed| deed.as_str()));
    let of_backends = [What::Corrupt, What::LoseRequest, What::LoseReply, What::HangAfterEffect, What::Refuse];
    let at_calls = What::ALL.iter().filter(|what| !of_backends.contains(what)).map(|what| what.as_str());
    for word in words.chain(at_calls) {
        assert!(DOCUMENT.contains(&format!("`{word}`")), "{word}");
    }
}
