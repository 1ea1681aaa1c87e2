//! Tests, told to people.

use std::fmt::Write as _;

use super::super::super::render::cell;
use super::view::{Group, TestView};
use crate::model::bounded_text;
use crate::scenario::{CallView, Mismatch, ScenarioReport, StepReport};

/// What is longer is cut: texts of policies stand in it.
const LONGEST: usize = 1_024;

/// By file: what each scenario came to, and of those that failed why and what happened. The last line sums up.
pub(super) fn text(view: &TestView) -> String {
    let mut text = String::new();
    for group in &view.groups {
        text.push_str(&told(group));
        text.push('\n');
    }
    let TestView { played, passed, failed, took_ms, .. } = view;
    let noun = if *played == 1 { "scenario" } else { "scenarios" };
    let _ = writeln!(text, "{played} {noun}: {passed} passed, {failed} failed, in {:.2} s", took_ms / 1_000.0);
    text
}

/// Of a suite that comes with the program only what failed is told by name.
fn told(group: &Group) -> String {
    let kind = if group.built_in { "suite " } else { "" };
    let mut text = format!("{kind}{}\n", cell(&group.name));
    let passed = group.scenarios.len().saturating_sub(group.failed());
    for report in &group.scenarios {
        match (report.passed, group.built_in) {
            (true, true) => {}
            (true, false) => text.push_str(&well(report)),
            (false, _) => text.push_str(&failure(report)),
        }
    }
    if group.built_in && passed > 0 {
        let _ = writeln!(text, "  ok      {passed} of {}", group.scenarios.len());
    }
    text
}

fn well(report: &ScenarioReport) -> String {
    let mut text = format!("  ok      {}\n", cell(&report.name));
    for step in &report.steps {
        for missed in &step.missed_faults {
            let _ =
                writeln!(text, "          note: in {} (line {}) there was no {missed}", line(&step.title), step.line);
        }
    }
    text
}

fn failure(report: &ScenarioReport) -> String {
    let mut text = format!("  FAILED  {} (line {})\n", cell(&report.name), report.line);
    if let Some(about) = &report.about {
        let _ = writeln!(text, "          {}", line(about));
    }
    for mismatch in &report.mismatches {
        text.push_str(&differs(report, mismatch));
    }
    text.push_str("\n          what happened:\n");
    report.steps.iter().for_each(|step| text.push_str(&happened(step)));
    for told in report.timeline.iter().flat_map(|timeline| timeline.lines()) {
        let _ = writeln!(text, "            {}", line(told));
    }
    text.push('\n');
    text
}

fn differs(report: &ScenarioReport, mismatch: &Mismatch) -> String {
    let Mismatch { line: number, step, key, expected, got, diff } = mismatch;
    let title =
        step.and_then(|step| report.steps.get(step.checked_sub(1)?)).map(|step| format!(", {}", line(&step.title)));
    let place = match (step, report.timeline.is_some()) {
        (Some(step), _) => format!("step {step}{} (line {number})", title.unwrap_or_default()),
        (None, true) => "the history".to_owned(),
        (None, false) => format!("the end (line {number})"),
    };
    let mut text = format!("          {place}: {}\n", line(key));
    if diff.is_empty() {
        let _ = writeln!(text, "            expected  {}\n            got       {}", line(expected), line(got));
    } else {
        text.push_str("            expected (-), got (+):\n");
        for told in diff {
            let _ = writeln!(text, "              {}", line(told));
        }
    }
    text
}

/// A step, call by call.
pub(in super::super) fn happened(step: &StepReport) -> String {
    let mut text = format!("            {}\n", line(&step.title));
    step.calls.iter().for_each(|call| text.push_str(&called(call)));
    let wrongs = &step.wrongs;
    for (word, lines) in
        [("", &step.notes), ("log: ", &step.logs), ("entry: ", &step.entries), ("against the rules: ", wrongs)]
    {
        for told in lines {
            let _ = writeln!(text, "                       {word}{}", line(told));
        }
    }
    for missed in &step.missed_faults {
        let _ = writeln!(text, "                       there was no {missed}");
    }
    if !step.backtrace.is_empty() {
        text.push_str("                       under way were:\n");
        for function in &step.backtrace {
            let _ = writeln!(text, "                         {}", line(function));
        }
    }
    let _ = writeln!(text, "              => {}", line(&step.ended));
    text
}

fn called(call: &CallView) -> String {
    let about = if call.about.is_empty() { String::new() } else { format!(" {}", call.about) };
    let answer = call.answer.as_deref().unwrap_or("no answer");
    let (seconds, millis) = (call.at_ms / 1_000, call.at_ms % 1_000);
    let told = line(&format!("{}{about} -> {answer}", call.call));
    let mut text = format!("            {seconds:>6}.{millis:03} {told}\n");
    for note in &call.notes {
        let _ = writeln!(text, "                       {}", line(note));
    }
    text
}

/// On one line, and not too long.
pub(in super::super) fn line(text: &str) -> String {
    bounded_text(text, LONGEST)
}
