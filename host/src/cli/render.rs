//! What commands print: tables and sentences for people, JSON for programs. Pure: values in, text out.
//!
//! Names, labels and messages come from platforms, tenants and engines, so each cell is bounded and escaped.

use std::fmt::Write as _;
use std::time::Duration;

mod access;

pub use access::{audit_table, pruned_text, token_table, verification_text};

use comfy_table::{Table, presets};
use serde::Serialize;

use super::sweep::{EngineView, SweepView};
use crate::config::Setting;
use crate::explain::{Explanation, RunStory};
use crate::model::{Timestamp, bounded_text};
use crate::views::{CleanupResult, ContainerFinding, Operation, Page, PausedScope, Reconciliation, Runtime};

/// Longest cell of free text.
const CELL: usize = 160;

pub(super) fn json(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(value).map(|text| text + "\n")
}

/// Settings as JSON.
pub(super) fn settings_json(settings: &[Setting]) -> Result<String, serde_json::Error> {
    let rows = settings
        .iter()
        .map(|setting| serde_json::json!({ "key": setting.key, "value": setting.value, "source": setting.source }));
    json(&rows.collect::<Vec<_>>())
}

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    // A line for each row, as wide as it must be, whatever reads it: a terminal, a pipe, a test.
    table.load_style(presets::NOTHING).force_no_tty().set_header(header);
    table
}

pub(super) fn finish(table: &Table) -> String {
    let lines: String = table.to_string().lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    lines
}

pub(super) fn cell(text: &str) -> String {
    bounded_text(text, CELL)
}

/// Whole seconds are enough for a table.
pub(super) fn time(text: &str) -> String {
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text.to_owned(),
    }
}

pub(super) fn optional(text: Option<&String>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| cell(text))
}

/// Enough of a container's id to find it by eye.
pub(super) fn short(id: Option<&String>) -> String {
    id.map_or_else(|| "-".to_owned(), |id| id.chars().take(12).collect())
}

/// Runtimes, a line each, with what keeps them at `now`.
pub fn runtime_table(page: &Page<Runtime>, now: Timestamp) -> String {
    if page.items.is_empty() {
        return "no runtimes\n".to_owned();
    }
    let mut table = table(&["GAME", "TENANT", "ENGINE", "STATUS", "CONTAINER", "STOPPED", "CLEANUP"]);
    for row in &page.items {
        let stopped = row.stopped_at.as_deref().map_or_else(|| "-".to_owned(), time);
        table.add_row([
            cell(&row.game_id),
            row.tenant.clone(),
            row.engine.clone(),
            cell(&row.status),
            short(row.container_id.as_ref()),
            stopped,
            cleanup_note(row, now),
        ]);
    }
    finish(&table) + &more(page.next.as_ref(), "--after")
}

fn cleanup_note(row: &Runtime, now: Timestamp) -> String {
    let Some(cleanup) = &row.cleanup else { return "-".to_owned() };
    let lasts = |until: &str| until.parse::<Timestamp>().is_ok_and(|until| now < until);
    let hold = cleanup.hold.as_ref().filter(|hold| hold.until.as_deref().is_none_or(lasts));
    match (hold, &cleanup.parked, cleanup.wait_until.as_deref().filter(|until| lasts(until))) {
        (Some(hold), _, _) => format!("hold: {}", cell(&hold.reason)),
        (_, Some(parked), _) => format!("parked: {}", cell(&parked.reason)),
        (_, _, Some(until)) => format!("waits until {}", time(until)),
        _ => "-".to_owned(),
    }
}

pub(super) fn more(next: Option<&String>, flag: &str) -> String {
    next.map_or_else(String::new, |next| format!("\nmore: {flag} {}\n", cell(next)))
}

/// Entries of the operation log, a line each.
pub fn operation_table(page: &Page<Operation>) -> String {
    if page.items.is_empty() {
        return "no operations\n".to_owned();
    }
    let mut table = table(&["ID", "FINISHED", "GAME", "SOURCE", "ACTOR", "OUTCOME", "CODE", "MESSAGE"]);
    for row in &page.items {
        let fault = row.fault.as_ref().map(|fault| format!("fault {}: {}", fault.code, fault.message));
        let said = [row.error_message.clone(), fault].into_iter().flatten().collect::<Vec<_>>().join("; ");
        table.add_row([
            row.id.to_string(),
            time(&row.finished_at),
            cell(&row.game_id),
            cell(&row.op_source),
            optional(row.actor.as_ref()),
            row.outcome.clone(),
            optional(row.error_code.as_ref()),
            if said.is_empty() { "-".to_owned() } else { cell(&said) },
        ]);
    }
    finish(&table) + &more(page.next.as_ref(), "--before")
}

/// Pauses, a line each.
pub fn pause_table(page: &Page<PausedScope>) -> String {
    if page.items.is_empty() {
        return "nothing is paused\n".to_owned();
    }
    let mut table = table(&["SCOPE", "CAUSE", "SINCE", "BY", "REASON"]);
    for row in &page.items {
        table.add_row([
            scope(row),
            row.cause.clone(),
            time(&row.at),
            cell(&row.actor),
            bounded_text(&row.reason, 1024),
        ]);
    }
    finish(&table)
}

fn scope(pause: &PausedScope) -> String {
    match &pause.name {
        Some(name) => format!("{} {name}", pause.scope),
        None => pause.scope.clone(),
    }
}

/// One runtime's explanation, in sentences.
pub fn explanation(explained: &Explanation) -> String {
    let runtime = &explained.runtime;
    let mut text = format!(
        "{} (tenant {}, engine {}, {})\n{}\n",
        cell(&runtime.game_id),
        runtime.tenant,
        runtime.engine,
        cell(&runtime.status),
        bounded_text(&explained.summary, 2048),
    );
    if explained.blockers.len() > 1 {
        text.push_str("\nWhat keeps it:\n");
        for blocker in &explained.blockers {
            // Writing to a String does not fail.
            let _ = writeln!(text, "  {:<16} {}", blocker.kind, bounded_text(&blocker.detail, 1024));
        }
    }
    if let Some(last) = &explained.last_operation {
        let code = last.error_code.as_ref().map_or_else(String::new, |code| format!(" ({code})"));
        let _ = writeln!(
            text,
            "\nLast operation: {} by {}, {}{code}",
            time(&last.finished_at),
            cell(&last.op_source),
            last.outcome
        );
    }
    if let Some(run) = &explained.last_run {
        text.push_str("\nLast recorded run: ");
        text.push_str(&run_story(run));
    }
    text
}

/// What a run did, call by call.
pub fn run_story(run: &RunStory) -> String {
    let tenant = run.tenant.as_deref().unwrap_or("no tenant");
    let mut text = format!(
        "{} of game {} ({tenant}), asked by {} on {}, policy {}\n{}\n",
        run.run_id,
        cell(&run.game_id),
        cell(&run.op_source),
        time(&run.started_at),
        run.policy_generation,
        bounded_text(&run.summary, 2048),
    );
    for step in &run.steps {
        let at = Duration::from_micros(step.at_us).as_secs_f64();
        let took = Duration::from_micros(step.took_us);
        let slow = if took >= SLOW { format!(" [took {:.1} s]", took.as_secs_f64()) } else { String::new() };
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {at:>8.3}s  {:<6}  {}{slow}", step.phase, bounded_text(&step.said, 1024));
    }
    if run.omitted > 0 {
        let _ = writeln!(text, "  and {} calls more, of which no account was kept", run.omitted);
    }
    text
}

/// A call that is worth a remark.
const SLOW: Duration = Duration::from_millis(500);

/// What became of a cleanup, in a sentence.
pub fn result_text(result: &CleanupResult) -> String {
    let code = result.error_code.as_deref();
    let said = match (result.outcome.as_str(), code) {
        ("success", Some("replay_no_op")) => "it was cleaned up before".to_owned(),
        ("success", _) => "cleaned up: its container is gone and its record says so".to_owned(),
        (_, code) => {
            let message = result.message.as_deref().unwrap_or("no message");
            format!("failed ({}): {}", code.unwrap_or("no code"), bounded_text(message, 1024))
        }
    };
    format!("{said}\nrun {}\n", result.run_id)
}

/// What a sweep did or would do.
pub fn sweep_text(sweep: &SweepView) -> String {
    if let Some(pause) = &sweep.paused {
        return format!("not swept, paused by {}: {}\n", cell(&pause.actor), bounded_text(&pause.reason, 1024));
    }
    let mut text = String::new();
    if !sweep.items.is_empty() {
        let mut table = table(&["GAME", "TENANT", "ENGINE", "CONTAINER", "STOPPED", "DECISION", "WHY"]);
        for item in &sweep.items {
            let stopped = item.stopped_at.as_deref().map_or_else(|| "-".to_owned(), time);
            let (game, why) = (cell(&item.game_id), cell(&item.reason));
            let container = short(item.container_id.as_ref());
            table.add_row([
                game,
                item.tenant.clone(),
                item.engine.clone(),
                container,
                stopped,
                item.decision.clone(),
                why,
            ]);
        }
        text = finish(&table) + "\n";
    }
    for engine in sweep.reconciled.iter().flatten() {
        text.push_str(&corrections(engine));
    }
    for engine in &sweep.engines {
        text.push_str(&engine_text(engine, sweep.dry_run));
    }
    if sweep.dry_run {
        text.push_str("A dry run corrects no records: containers that have none yet are not counted.\n");
    }
    text
}

fn engine_text(engine: &EngineView, dry_run: bool) -> String {
    let counts = if dry_run {
        format!("{} would be removed", engine.would_remove)
    } else {
        format!("{} removed", engine.removed)
    };
    let EngineView { due, not_removed, kept, failed, parked, .. } = engine;
    let mut text = format!(
        "{}: {due} due of {not_removed}; {counts}, {kept} kept, {failed} failed, {parked} parked\n",
        engine.engine
    );
    if let Some(pause) = &engine.paused {
        let _ = writeln!(text, "  paused by {}: {}", cell(&pause.actor), bounded_text(&pause.reason, 1024));
    }
    if let Some(error) = &engine.error {
        let _ = writeln!(text, "  cut short: {}", cell(error));
    }
    text
}

/// What passes over the engines' records did and found.
pub fn reconciliation_text(engines: &[Reconciliation]) -> String {
    let mut table = table(&["ENGINE", "FINDING", "CONTAINER", "GAME", "WHY"]);
    let mut is_empty = true;
    for engine in engines {
        let left_alone = [("conflict", &engine.conflicts), ("invalid", &engine.invalid)];
        let orphans = engine.orphans.iter().map(|orphans| (orphans.kind.as_str(), &orphans.items));
        for (kind, found) in left_alone.into_iter().chain(orphans) {
            is_empty &= found.is_empty();
            for ContainerFinding { container_id, game_id, reason } in found {
                let (container, game) = (short(Some(container_id)), optional(game_id.as_ref()));
                table.add_row([engine.engine.clone(), kind.to_owned(), container, game, cell(reason)]);
            }
        }
    }
    let found = if is_empty { String::new() } else { finish(&table) + "\n" };
    found + &engines.iter().map(reconciled_engine).collect::<String>()
}

fn reconciled_engine(engine: &Reconciliation) -> String {
    let Reconciliation { engine: name, registered, refreshed, closed, .. } = engine;
    if let Some(error) = &engine.error {
        return format!("{name}: not reconciled: {}\n", bounded_text(error, 1024));
    }
    let orphans = engine.orphans.iter().filter(|orphans| orphans.count > 0);
    let orphans = orphans.map(|orphans| format!(", {} {}", orphans.count, orphans.kind)).collect::<String>();
    let (conflicts, invalid) = (engine.conflicts.len(), engine.invalid.len());
    let mut text = format!(
        "{name}: {registered} records made, {refreshed} corrected, {closed} closed; {conflicts} conflicts, {invalid} \
         invalid{orphans}\n"
    );
    for note in &engine.notes {
        let _ = writeln!(text, "  {}", bounded_text(note, 1024));
    }
    text
}

/// The same before a sweep: nothing, if there is nothing to tell. What has no counterpart is no business of a sweep.
fn corrections(engine: &Reconciliation) -> String {
    let Reconciliation { engine: name, registered, refreshed, closed, .. } = engine;
    let mut lines = Vec::new();
    if registered + refreshed + closed > 0 {
        lines.push(format!("{name}: {registered} records made, {refreshed} corrected, {closed} closed\n"));
    }
    lines.extend(engine.conflicts.iter().chain(&engine.invalid).map(|finding| {
        let container = short(Some(&finding.container_id));
        format!("{name}: container {container} is left alone: {}\n", bounded_text(&finding.reason, 1024))
    }));
    lines.extend(engine.notes.iter().chain(&engine.error).map(|said| format!("{name}: {said}\n")));
    lines.concat()
}

/// Settings in effect, a line each.
pub fn setting_table(settings: &[Setting], all: bool) -> String {
    let hint = if all { "" } else { "Everything else has its default; --all shows it.\n" };
    if settings.is_empty() {
        return format!("The configuration is valid.\n{hint}");
    }
    let mut table = table(&["SETTING", "VALUE", "FROM"]);
    for setting in settings {
        let value = if setting.value.is_empty() { "-".to_owned() } else { cell(&setting.value) };
        table.add_row([setting.key.clone(), value, setting.source.clone()]);
    }
    format!("The configuration is valid.\n\n{}\n{hint}", finish(&table)).trim_end().to_owned() + "\n"
}
