//! Simulations, told to people.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::render::{cell, finish, table};
use super::super::arguments::quoted;
use super::view::{BreachView, Played, ReplayView, SimulationView, Subject};
use crate::model::bounded_text;
use crate::simulation::{Counterexample, FaultCount, Reached, Simulator};

/// Columns that the calls of one fault may take, beside its name and sum: the whole fits in 110.
const CALLS: usize = 80;
/// What is longer is cut.
const LONGEST_LINE: usize = 1_024;

/// What histories came to. The last line is for comparing.
pub(super) fn report_text(view: &SimulationView) -> String {
    let report = &view.report;
    let mut parts = vec![format!("{}: {}\n", named(&view.subject), played(view)), fault_table(&report.faults)];
    if view.played == Played::Random {
        parts.push(reached_table(&report.sometimes) + &never(view));
    }
    let verdict = match &report.counterexample {
        Some(found) => broken(view, found),
        None if view.misses() => {
            "No rule was broken, but the histories did not come upon all that they have to.\n".to_owned()
        }
        None => "No rule was broken.\n".to_owned(),
    };
    parts.push(verdict);
    parts.retain(|part| !part.is_empty());
    let (histories, rate, hash) = (counted(report.histories, "history", "histories"), view.rate, &report.trace_hash);
    let seed = if view.played == Played::Random { format!(", seed {}", report.seed) } else { String::new() };
    format!("{}{histories}, {rate:.0} a second{seed}, trace {hash}\n", parts.join("\n"))
}

fn named(Subject { policy, digest, settings }: &Subject) -> String {
    let digest: String = digest.chars().take(12).collect();
    let settings: String = settings.iter().map(|(name, value)| format!(", {name}={value}")).collect();
    cell(&format!("{policy} ({digest}{settings})"))
}

fn played(view: &SimulationView) -> String {
    let faults = match view.played {
        Played::Random => {
            let histories = counted(view.report.histories, "history", "histories");
            return format!(
                "{histories} of seed {}, with 4 games, 2 replicas, 10 runs and 1 fault or more",
                view.report.seed
            );
        }
        Played::Singles => ("each single fault", "single faults", Simulator::combinations(false)),
        Played::Pairs => ("each pair of faults", "pairs of faults", Simulator::combinations(true)),
    };
    let (each, some, all) = faults;
    let played = view.report.histories;
    if played == all {
        format!("a plain cleanup with {each}, {} in all", grouped(all))
    } else {
        format!("a plain cleanup with {} of the {} {some}", grouped(played), grouped(all))
    }
}

/// A line or a few for each kind of fault: how often it happened, and at which calls.
fn fault_table(faults: &[FaultCount]) -> String {
    let mut kinds = BTreeMap::<&str, (u64, Vec<String>)>::new();
    for FaultCount { fault, call, times } in faults {
        let (sum, calls) = kinds.entry(fault).or_default();
        *sum = sum.saturating_add(*times);
        calls.push(format!("{call} {}", grouped(*times)));
    }
    if kinds.is_empty() {
        return String::new();
    }
    let mut table = table(&["FAULT", "TIMES", "AT"]);
    for (fault, (sum, calls)) in kinds {
        table.add_row([fault.to_owned(), grouped(sum), wrapped(&calls)]);
    }
    finish(&table)
}

/// Between items only.
fn wrapped(items: &[String]) -> String {
    let (mut text, mut column) = (String::new(), 0_usize);
    for item in items {
        if column > 0 {
            let fits = column.saturating_add(item.len()) <= CALLS;
            text.push_str(if fits { ", " } else { ",\n" });
            column = if fits { column.saturating_add(2) } else { 0 };
        }
        text.push_str(item);
        column = column.saturating_add(item.len());
    }
    text
}

fn reached_table(sometimes: &[Reached]) -> String {
    let mut table = table(&["HAPPENED", "TIMES"]);
    for Reached { what, times } in sometimes.iter().filter(|reached| reached.times > 0) {
        table.add_row([(*what).to_owned(), grouped(*times)]);
    }
    if table.is_empty() { String::new() } else { finish(&table) }
}

fn never(view: &SimulationView) -> String {
    // What breaks a rule early comes upon little.
    if !view.holds || view.never_reached.is_empty() {
        return String::new();
    }
    let why = if view.misses() { "though it has to" } else { "as may be in so few histories" };
    format!("Never, {why}: {}.\n", view.never_reached.join("; "))
}

fn broken(view: &SimulationView, found: &Counterexample) -> String {
    let Counterexample { rule, sentence, what, seed, timeline, .. } = found;
    let (number, policy) = (grouped(view.report.histories), command(&view.subject));
    let origin = match view.played {
        Played::Random => format!("In history {number} of seed {}, whose own seed is {seed}.", view.report.seed),
        Played::Singles | Played::Pairs => format!("In history {number}."),
    };
    let again = match &view.saved_scenario {
        Some(file) => format!("Play it again:\n  {policy} --scenario {}\n", quoted(file)),
        None => format!(
            "--save-scenario FILE with the same command keeps it; then this plays it again:\n  {policy} --scenario FILE\n"
        ),
    };
    format!(
        "Broken is rule {rule}: {sentence}\n  {}\n{origin}\n\nThe smallest history found that breaks it, in seconds from \
         the start:\n\n{}\n{again}",
        bounded_text(what, LONGEST_LINE),
        indented(timeline)
    )
}

fn command(Subject { policy, settings, .. }: &Subject) -> String {
    let setting = |(name, value): (&String, &String)| format!(" --setting {}={}", quoted(name), quoted(value));
    format!("rtmanager policy simulate {}{}", quoted(policy), settings.iter().map(setting).collect::<String>())
}

/// It holds what policies say.
fn indented(timeline: &str) -> String {
    timeline.lines().map(|line| format!("  {}\n", bounded_text(line, LONGEST_LINE))).collect()
}

/// What one scenario came to.
pub(super) fn replay_text(view: &ReplayView) -> String {
    let breach = |BreachView { rule, sentence, what }: &BreachView| {
        format!("Broken is rule {rule}: {sentence}\n  {}\n", bounded_text(what, LONGEST_LINE))
    };
    let verdict: String = match view.breaches.as_slice() {
        [] => "No rule was broken.\n".to_owned(),
        // One that is broken time after time is told once.
        breaches => breaches.iter().map(breach).collect::<BTreeSet<_>>().into_iter().collect(),
    };
    format!(
        "{}: the scenario {}, in seconds from the start:\n\n{}\n{verdict}\n1 history, trace {}\n",
        named(&view.subject),
        cell(&view.scenario),
        indented(&view.timeline),
        view.trace_hash
    )
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// With commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
