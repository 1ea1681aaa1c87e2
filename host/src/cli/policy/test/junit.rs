//! Tests as JUnit's XML, which build servers read.

use std::fmt::Write as _;

use super::view::{Group, TestView};
use crate::scenario::{Mismatch, ScenarioReport};

/// A `testsuite` for each file, a `testcase` for each scenario.
pub(super) fn xml(view: &TestView) -> String {
    let TestView { played, failed, took_ms, .. } = view;
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{played}\" failures=\"{failed}\" time=\"{}\">\n",
        seconds(*took_ms)
    );
    view.groups.iter().for_each(|group| text.push_str(&suite(group)));
    text.push_str("</testsuites>\n");
    text
}

fn suite(group: &Group) -> String {
    let (name, tests, failures) = (escaped(&group.name), group.scenarios.len(), group.failed());
    let mut text = format!(
        "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" time=\"{}\">\n",
        seconds(group.took_ms())
    );
    group.scenarios.iter().for_each(|report| text.push_str(&case(&name, report)));
    text.push_str("  </testsuite>\n");
    text
}

fn case(class: &str, report: &ScenarioReport) -> String {
    let name = escaped(&report.name);
    let opening = format!(
        "    <testcase classname=\"{class}\" name=\"{name}\" file=\"{class}\" line=\"{}\" time=\"{}\"",
        report.line,
        seconds(report.took_ms)
    );
    if report.passed {
        return opening + "/>\n";
    }
    let told: Vec<String> = report.mismatches.iter().map(told).collect();
    let first = escaped(told.first().map_or("", String::as_str));
    format!("{opening}>\n      <failure message=\"{first}\">{}</failure>\n    </testcase>\n", escaped(&told.join("\n")))
}

fn told(Mismatch { line, step, key, expected, got, .. }: &Mismatch) -> String {
    let mut text = String::new();
    if let Some(step) = step {
        // Writing into a string cannot fail.
        let _ = write!(text, "step {step}, ");
    }
    let _ = write!(text, "line {line}: {key}: expected {expected}, got {got}");
    text
}

fn seconds(millis: f64) -> String {
    format!("{:.3}", millis / 1_000.0)
}

/// XML has no place for most control characters at all.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
