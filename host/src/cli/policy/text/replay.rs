//! What came of playing policies over recorded runs.

use std::fmt::Write as _;

use super::SENTENCE;
use crate::model::bounded_text;
use crate::replay::Report;

/// Games named in a line.
const NAMED: usize = 10;

/// In what the second policy differs from the first.
pub fn replay_text(report: &Report, first: &str, second: &str) -> String {
    let (first, second) = (bounded_text(first, 80), bounded_text(second, 80));
    let mut text = format!("{second} over {} recorded runs, held against {first}\n", report.runs);
    // Writing to a String does not fail.
    for (why, count) in &report.skipped {
        let _ = writeln!(text, "  {count} more were left out: {why}");
    }
    if report.unreadable > 0 {
        let _ = writeln!(text, "  {} more cannot be read by this version", report.unreadable);
    }
    if report.is_same() {
        let _ = writeln!(text, "\nno difference");
        return text;
    }
    let _ = writeln!(text, "\n{} of them differ:", report.differing);
    for (kind, count) in &report.differences {
        let _ = writeln!(text, "  {kind:<13} {count}");
    }
    games(&mut text, &format!("only {second} removes"), &report.would_remove);
    games(&mut text, &format!("only {first} removes"), &report.would_keep);
    for example in &report.examples {
        let _ = writeln!(
            text,
            "\n{} (run {}): {}\n  {first}: {}\n  {second}: {}",
            bounded_text(&example.game_id, 80),
            example.run_id,
            example.differences.join(", "),
            bounded_text(&example.first, SENTENCE),
            bounded_text(&example.second, SENTENCE),
        );
        if !example.asked_more.is_empty() {
            let _ = writeln!(text, "  not recorded: {}", example.asked_more.join("; "));
        }
    }
    text
}

fn games(text: &mut String, what: &str, games: &[String]) {
    if games.is_empty() {
        return;
    }
    let named: Vec<_> = games.iter().take(NAMED).map(|game| bounded_text(game, 80)).collect();
    let more = games.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let _ = writeln!(text, "\n{what}: {}{more}", named.join(", "));
}
