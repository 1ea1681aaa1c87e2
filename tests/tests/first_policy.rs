//! `guest/docs/first-policy.md`, followed word for word in an empty folder: every command is run, every file is changed as it
//! says, and what it shows is what is printed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

use std::path::Path;

use rtmanager_tests::projects::{Folder, said};

const DOCUMENT: &str = include_str!("../../guest/docs/first-policy.md");

/// What the reader does.
#[derive(Debug)]
enum Deed {
    /// Types a command, and sees this.
    Command { line: String, shown: Vec<String> },
    /// Adds lines to a file, which may be new.
    Append { file: String, lines: String },
    /// Has these lines in a file instead of those.
    Change { file: String, old: String, new: String },
}

fn deeds(document: &str) -> Vec<Deed> {
    let mut deeds = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match kind.split_once(' ') {
            None if kind == "console" => deeds.extend(commands(&block)),
            Some(("toml", file)) => deeds.push(Deed::Append { file: file.to_owned(), lines: text(&block) }),
            Some(("diff", file)) => deeds.push(change(file, &block)),
            _ => panic!("a block that nobody can follow: {line}"),
        }
    }
    deeds
}

fn text(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn commands(block: &[&str]) -> Vec<Deed> {
    let mut commands = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(line), _) => commands.push(Deed::Command { line: line.to_owned(), shown: Vec::new() }),
            (None, Some(Deed::Command { shown, .. })) => shown.push((*line).to_owned()),
            _ => panic!("output without a command: {line}"),
        }
    }
    commands
}

fn change(file: &str, block: &[&str]) -> Deed {
    let side = |other: char| -> String {
        let lines = block.iter().filter(|line| !line.starts_with(other));
        lines.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
    };
    Deed::Change { file: file.to_owned(), old: side('+'), new: side('-') }
}

#[test]
fn the_document_can_be_followed_word_for_word() {
    let build_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("policy-build");
    let folder = Folder::new(env!("CARGO_BIN_EXE_rtmanager-cli"), &build_dir);
    let (mut directory, mut count) = (String::new(), 0);
    for deed in deeds(DOCUMENT) {
        let file = |name: &str| folder.path().join(&directory).join(name);
        match deed {
            Deed::Command { line, shown } => {
                match line.strip_prefix("cd ") {
                    Some(to) => directory = to.to_owned(),
                    None => command(&folder, &directory, &line, &shown),
                }
                count += 1;
            }
            Deed::Append { file: name, lines } => {
                let before = std::fs::read_to_string(file(&name)).unwrap_or_default();
                std::fs::write(file(&name), before + &lines).unwrap();
            }
            Deed::Change { file: name, old, new } => {
                let before = std::fs::read_to_string(file(&name)).unwrap();
                assert_eq!(before.matches(&old).count(), 1, "{name} does not hold once:\n{old}\nbut:\n{before}");
                std::fs::write(file(&name), before.replace(&old, &new)).unwrap();
            }
        }
    }
    assert!(count > 10, "only {count} commands were found");
}

fn command(folder: &Folder, directory: &str, line: &str, shown: &[String]) {
    // What a person sees is in one order; this is it.
    let output = folder.shell(directory, &format!("exec 2>&1; {line}")).output().unwrap();
    let printed = said(&output);
    let printed: Vec<&str> = printed.lines().collect();
    assert!(matches(shown, &printed), "`{line}` shows:\n{}\n\nand prints:\n{}", shown.join("\n"), printed.join("\n"));
}

/// A line `…` stands for any lines, also none; within a line it stands for any text.
fn matches(shown: &[String], printed: &[&str]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((any, others)), _) if any == "…" => {
            (0..=printed.len()).any(|skipped| matches(others, &printed[skipped..]))
        }
        (Some((line, others)), Some((real, rest))) => is_like(line, real) && matches(others, rest),
        (Some(_), None) => false,
    }
}

fn is_like(shown: &str, real: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = real.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn what_is_shown_is_told_from_what_is_not() {
    let shown = |text: &str| text.lines().map(ToOwned::to_owned).collect::<Vec<_>>();
    assert!(matches(&shown("a\n…\nb … c"), &["a", "x", "y", "b is c"]));
    assert!(matches(&shown("a\n…"), &["a"]));
    assert!(!matches(&shown("a"), &["a", "b"]));
    assert!(!matches(&shown("a …"), &["b"]));
    assert!(!matches(&shown("a … c"), &["a b"]));
    assert!(!matches(&shown(""), &["a"]));
}
