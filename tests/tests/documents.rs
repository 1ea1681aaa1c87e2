//! What the documents say, held against what there is.

#![allow(clippy::unwrap_used, missing_docs, reason = "test code")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rtmanager::runtime::Limits;

const LIMITS: &str = include_str!("../../guest/docs/limits.md");
const CODES: &str = include_str!("../../host/src/model/error_code.rs");
const REST: &str = include_str!("../../host/docs/rest.md");
const METRICS: &str = include_str!("../../host/src/metrics.rs");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// README.md and every document of `guest/docs`, `host/docs` and `tests/docs`.
fn documents() -> Vec<PathBuf> {
    let folders = ["guest/docs", "host/docs", "tests/docs"].map(|folder| root().join(folder).read_dir().unwrap());
    let files = folders.into_iter().flatten().map(|file| file.unwrap().path());
    std::iter::once(root().join("README.md")).chain(files).collect()
}

/// The words of a text that start so, and go on with small letters and underscores.
fn words<'a>(text: &'a str, start: &str) -> BTreeSet<&'a str> {
    let of_a_word = |c: char| c.is_ascii_lowercase() || c == '_';
    text.split(|c: char| !of_a_word(c)).filter(|word| word.starts_with(start)).collect()
}

/// What headings are linked by: small letters, hyphens for spaces.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter_map(|line| line.strip_prefix('#'));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let anchor = |heading: &str| heading.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect();
    headings.map(anchor).map(|anchor: String| anchor.replace(' ', "-")).collect()
}

#[test]
fn every_link_leads_to_a_file_or_heading_that_is_there() {
    let mut followed = 0;
    for file in documents() {
        let text = std::fs::read_to_string(&file).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http")) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let linked = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            assert!(linked.exists(), "{}: {target}", file.display());
            let found = anchor.is_empty() || anchors(&std::fs::read_to_string(&linked).unwrap()).contains(anchor);
            assert!(found, "{}: {target} names no heading", file.display());
            followed += 1;
        }
    }
    assert!(followed > 10, "{followed} links");
}

#[test]
fn every_code_of_a_policys_fault_stands_in_the_table_of_limits() {
    let declared: BTreeSet<_> = words(CODES, "policy_").into_iter().filter(|word| *word != "policy_").collect();
    let told = words(LIMITS, "policy_");
    assert!(declared.len() > 10);
    assert_eq!(declared, told);
}

#[test]
fn the_table_of_limits_has_the_defaults() {
    let limits = Limits::default();
    let mebibytes = |bytes: u64| format!("{} MiB", bytes >> 20);
    for (name, value) in [
        ("guest_time", format!("{} s", limits.guest_time.as_secs())),
        ("import_time", format!("{} s", limits.import_time.as_secs())),
        ("run_time", format!("{} min", limits.run_time.as_secs() / 60)),
        ("memory_bytes", mebibytes(limits.memory_bytes)),
        ("handles", limits.handles.to_string()),
        ("stack_bytes", format!("{} KiB", limits.stack_bytes >> 10)),
        ("bytes_per_call", mebibytes(limits.bytes_per_call)),
        ("bytes_per_run", mebibytes(limits.bytes_per_run)),
        ("log_lines", limits.log_lines.to_string()),
    ] {
        let told = [format!("`limits.{name}` {value}"), format!("`limits.{name}` ({value})")];
        assert!(told.iter().any(|told| LIMITS.contains(told)), "{told:?}");
    }
}

/// Their units and `_total` are appended where they are served.
#[test]
fn every_metric_stands_in_the_document() {
    let told = words(REST, "rtmanager_");
    let declared = words(METRICS, "rtmanager_");
    assert!(declared.len() > 20);
    for name in &declared {
        assert!(told.iter().any(|told| told.starts_with(name)), "{name} is not told");
    }
    for name in told {
        assert!(declared.iter().any(|declared| name.starts_with(declared)), "{name} is not there");
    }
}
