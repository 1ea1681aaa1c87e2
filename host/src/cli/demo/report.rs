//! Whether all came as it had to, and the demo's table.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, LineStyle, Table, presets};
use serde::Serialize;

use super::cast::Fate;
use super::story::{Seen, Story};
use crate::cli::render;
use crate::config::show_span;
use crate::model::{ContainerState, Outcome, Status, bounded_text};
use crate::sweeper::{Decision, EngineReport, SweepReport};

/// Fits a terminal that is not wide.
const WIDTH: u16 = 100;
const WHY: usize = 160;

/// The demo's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DemoView {
    /// The engine in a few words.
    pub engine: String,
    /// Whether there was no real one.
    pub in_memory: bool,
    /// The retention floor.
    pub retention: String,
    /// Each game.
    pub games: Vec<GameView>,
    /// What the dry run would have removed.
    pub would_remove: u64,
    /// What the sweep removed.
    pub removed: u64,
    /// What it kept.
    pub kept: u64,
    /// What it failed at, as it had to.
    pub failed: u64,
    /// Entries in the operation log.
    pub operations: usize,
    /// The whole sweep, in milliseconds.
    pub sweep_ms: u64,
    /// The median cleanup that succeeded, in microseconds.
    pub cleanup_us: u64,
    /// What did not come as it had to.
    pub unexpected: Vec<String>,
    /// What could not be taken away again.
    pub left_behind: Option<String>,
}

/// What became of one game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GameView {
    /// The game.
    pub game_id: String,
    /// Its container.
    pub container_id: String,
    /// What the container was doing before.
    pub was: String,
    /// How long it had been stopped, by its record.
    pub stopped_for: Option<String>,
    /// What happened.
    pub happened: String,
    /// Why.
    pub why: String,
    /// Its entry's error code.
    pub error_code: Option<String>,
}

impl DemoView {
    pub(super) fn new(story: &Story, engine: String, in_memory: bool, retention: Duration) -> Self {
        let games = story.games.iter().map(|seen| GameView::new(seen, retention)).collect();
        let (dry, swept) = (totals(&story.dry_run), totals(&story.sweep));
        Self {
            engine,
            in_memory,
            retention: show_span(retention),
            games,
            would_remove: dry.would_remove,
            removed: swept.removed,
            kept: swept.kept,
            failed: swept.failed,
            operations: story.entries,
            sweep_ms: u64::try_from(story.sweep_time.as_millis()).unwrap_or(u64::MAX),
            cleanup_us: median_cleanup(story),
            unexpected: unexpected(story),
            left_behind: None,
        }
    }

    /// Whether everything came as it had to, and nothing was left.
    pub(super) fn is_right(&self) -> bool {
        self.unexpected.is_empty() && self.left_behind.is_none()
    }

    pub(super) fn text(&self, program: &str, with_colour: bool) -> String {
        let mut text = format!("\n{}\n", self.table(with_colour));
        let ms = |us: u64| format!("{}.{} ms", us / 1_000, us % 1_000 / 100);
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "Dry run    {} due by the policy's word, {} held; nothing touched\n\
             Sweep      {} removed, {} held, {} refused in {} ms; the others were not offered\n\
             Cleanup    {} each at the median, side by side, with lease, record, container and log\n\
             Log        {} entries, one for each run, refusals included\n\
             Engine     {}\n",
            self.would_remove,
            self.kept,
            self.removed,
            self.kept,
            self.failed,
            self.sweep_ms,
            ms(self.cleanup_us),
            self.operations,
            self.engine,
        );
        let left = self.left_behind.as_deref().unwrap_or("nothing: containers, image and store are gone");
        let _ = writeln!(text, "Left       {left}");
        if self.unexpected.is_empty() {
            let _ = writeln!(text, "\nEvery game met the fate it had to meet.");
        }
        for surprise in &self.unexpected {
            let _ = writeln!(text, "\nNOT AS IT HAD TO BE: {surprise}");
        }
        let _ = write!(
            text,
            "\nNext, on containers of your own:\n  \
             {program} config check       what is configured, and from where\n  \
             {program} sweep --dry-run    what a sweep would remove, and why\n  \
             {program} serve              the server: REST, sweeper, reconciler\n"
        );
        text
    }

    fn table(&self, with_colour: bool) -> String {
        let mut table = Table::new();
        let style = presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none());
        table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(WIDTH).set_header(["GAME", "CONTAINER", "WAS", "STOPPED", "NOW", "WHY"]);
        if with_colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        for game in &self.games {
            let stopped = game.stopped_for.as_ref().map_or_else(|| "-".to_owned(), |span| format!("{span} ago"));
            let container = game.container_id.chars().take(12).collect::<String>();
            table.add_row([
                Cell::new(&game.game_id).add_attribute(Attribute::Bold),
                Cell::new(container),
                Cell::new(&game.was),
                Cell::new(stopped),
                Cell::new(&game.happened).fg(colour(&game.happened)),
                Cell::new(&game.why),
            ]);
        }
        render::finish(&table)
    }
}

fn colour(happened: &str) -> Color {
    match happened {
        "removed" | "closed" => Color::Green,
        "held" => Color::Cyan,
        "refused" => Color::Yellow,
        "kept" => Color::Reset,
        _ => Color::Red,
    }
}

impl GameView {
    fn new(seen: &Seen, retention: Duration) -> Self {
        let was = seen.before.as_ref().map_or_else(|| "gone".to_owned(), ToString::to_string);
        let entry = seen.entry.as_ref().map(|logged| &logged.entry);
        Self {
            game_id: seen.part.game.to_owned(),
            container_id: seen.container.to_string(),
            was,
            stopped_for: seen.part.stopped_for.map(show_span),
            happened: happened(seen).to_owned(),
            why: bounded_text(&why(seen, retention), WHY),
            error_code: entry.and_then(|entry| entry.error_code.as_ref()).map(ToString::to_string),
        }
    }
}

fn happened(seen: &Seen) -> &'static str {
    match (seen.item.as_ref().map(|item| item.decision), &seen.before, &seen.after) {
        (None | Some(Decision::Kept), Some(_), Some(_)) => "kept",
        (Some(Decision::Held), _, Some(_)) => "held",
        (Some(Decision::Removed), Some(_), None) => "removed",
        (Some(Decision::Removed), None, None) => "closed",
        (Some(Decision::Failed), _, Some(_)) => "refused",
        _ => "unclear",
    }
}

fn why(seen: &Seen, retention: Duration) -> String {
    let floor = show_span(retention);
    match (&seen.item, &seen.entry, seen.part.stopped_for) {
        (None, _, None) => "it runs".to_owned(),
        (None, _, Some(_)) => format!("stopped for less than {floor}, the retention"),
        (Some(item), Some(logged), _) => match (&logged.entry.error_message, &seen.before) {
            (Some(message), _) => plain(message, seen),
            (None, None) => "its container was gone; now its record says so".to_owned(),
            (None, Some(ContainerState::Created)) => format!("never started; {}, {floor} over", item.reason),
            (None, Some(_)) => format!("{}, {floor} over", item.reason),
        },
        (Some(item), None, _) => item.reason.clone(),
    }
}

/// The row names the container already.
fn plain(message: &str, seen: &Seen) -> String {
    let named = format!("container {}", seen.container);
    message.replace(&format!("of {named}"), "of the container").replace(&named, "it")
}

/// Each way in which what was seen differs from what had to be.
fn unexpected(story: &Story) -> Vec<String> {
    let mut found: Vec<String> = story.games.iter().filter_map(difference).collect();
    if story.dry_entries > 0 {
        found.push(format!("the dry run wrote {} entries to the operation log", story.dry_entries));
    }
    let paused =
        |report: &SweepReport| report.paused.is_some() || report.engines.values().any(|it| it.paused.is_some());
    if paused(&story.dry_run) || paused(&story.sweep) {
        found.push("the sweep was paused".to_owned());
    }
    found
}

fn difference(seen: &Seen) -> Option<String> {
    let entry = seen.entry.as_ref().map(|logged| &logged.entry);
    let code = entry.and_then(|entry| entry.error_code.as_ref()).map(|code| code.as_str().to_owned());
    let found = (
        seen.item.as_ref().map(|item| item.decision),
        seen.before.is_some(),
        seen.after.is_some(),
        seen.status.as_ref().map(Status::as_str),
        entry.map(|entry| entry.outcome),
        code.as_deref(),
    );
    let expected = match seen.part.fate {
        Fate::Runs => (None, true, true, Some("running"), None, None),
        Fate::TooYoung => (None, true, true, Some("stopped"), None, None),
        Fate::Removed => (Some(Decision::Removed), true, false, Some("removed"), Some(Outcome::Success), None),
        Fate::FoundGone => (Some(Decision::Removed), false, false, Some("removed"), Some(Outcome::Success), None),
        Fate::Held => (Some(Decision::Held), true, true, Some("stopped"), None, None),
        Fate::Refused => {
            (Some(Decision::Failed), true, true, Some("stopped"), Some(Outcome::Failure), Some("conflict"))
        }
    };
    let untouched = seen.after.is_none() || seen.after == seen.before;
    (found != expected || !untouched).then(|| {
        format!(
            "{}: (decision, container before, after, record, outcome, code) is {found:?} and not {expected:?}, \
             container {:?} then {:?}",
            seen.part.game, seen.before, seen.after
        )
    })
}

fn totals(report: &SweepReport) -> EngineReport {
    report.engines.values().fold(EngineReport::default(), |sum, engine| EngineReport {
        removed: sum.removed + engine.removed,
        would_remove: sum.would_remove + engine.would_remove,
        kept: sum.kept + engine.kept,
        failed: sum.failed + engine.failed,
        ..sum
    })
}

fn median_cleanup(story: &Story) -> u64 {
    let entries = story.games.iter().filter_map(|seen| seen.entry.as_ref()).map(|logged| &logged.entry);
    let successes = entries.filter(|entry| entry.outcome == Outcome::Success);
    let mut times: Vec<Duration> = successes.map(|entry| entry.finished_at.since(entry.started_at)).collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    u64::try_from(median.as_micros()).unwrap_or(u64::MAX)
}
