//! Every command: those that change something leave their entry in the trail, once, or twice if it failed; those that do
//! not leave none. A command that stands in no row here fails the test.

use std::collections::BTreeSet;

use clap::CommandFactory as _;
use rtmanager::cli::Cli;
use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager_tests::bombs::many_sections;
use serde_json::{Value, json};

use super::desk::Desk;

/// What a command leaves in the trail.
enum Leaves {
    /// Nothing: it only tells.
    Nothing,
    /// That it was done: action and subject.
    Done(&'static str, &'static str),
    /// That it was to be done, and that it failed.
    Failed(&'static str, &'static str),
}
use Leaves::{Done, Failed, Nothing};

/// Commands that order nothing of the store: they serve, talk to a server or a registry, or work on files.
const ELSEWHERE: [&str; 12] = [
    "serve",
    "api",
    "demo",
    "compile-policy",
    "completions",
    "policy pull",
    "policy simulate",
    "policy new",
    "policy component",
    "policy test",
    "policy bench",
    "policy run",
];

/// One after the other, on one store, with the words that name the command.
fn story() -> Vec<(&'static str, &'static str, Leaves)> {
    vec![
        ("hold", "game-1 --reason x", Done("runtime.hold", "game-1")),
        ("unhold", "game-1", Done("runtime.unhold", "game-1")),
        ("unpark", "game-1", Done("runtime.unpark", "game-1")),
        ("hold", "nobody --reason x", Failed("runtime.hold", "nobody")),
        ("cleanup", "game-1", Failed("runtime.cleanup", "game-1")),
        ("runtimes", "", Nothing),
        ("operations", "", Nothing),
        ("explain", "game-1", Nothing),
        ("pause", "--reason x", Done("sweeper.pause", "global")),
        ("pauses", "", Nothing),
        ("resume", "", Done("sweeper.resume", "global")),
        ("sweep", "--dry-run", Nothing),
        ("sweep", "--engine local", Done("sweeper.sweep", "engine local")),
        ("reconcile", "", Failed("reconciler.run", "all engines")),
        ("reconcile", "--engine local", Failed("reconciler.run", "engine local")),
        ("config check", "", Nothing),
        ("token create", "ci --role viewer", Done("token.create", "ci")),
        ("token create", "ci --role viewer", Failed("token.create", "ci")),
        ("token list", "", Nothing),
        ("token rotate", "ci --overlap 1h", Done("token.rotate", "ci")),
        ("token revoke", "ci", Done("token.revoke", "ci")),
        ("token revoke", "nobody", Failed("token.revoke", "nobody")),
        ("policy key new", "k.pem", Nothing),
        ("policy key show", "k.pem", Nothing),
        ("policy sign", "1.wasm --key k.pem --name keep --version 1.0.0 --output 1.sig", Nothing),
        ("policy push", "1.wasm --name keep --version 1.0.0", Done("policy.push", "keep@1.0.0")),
        ("policy push", "2.wasm --name keep --version 2.0.0", Done("policy.push", "keep@2.0.0")),
        ("policy check", "1.wasm", Nothing),
        ("policy list", "", Nothing),
        ("policy show", "keep@1.0.0", Nothing),
        ("policy trust", "acme k.pub", Done("policy.trust", "acme")),
        ("policy keys", "acme", Nothing),
        ("policy distrust", "acme nokey", Failed("policy.distrust", "acme")),
        ("policy ceiling set", "acme --retention-days 7", Done("policy.ceiling", "acme")),
        ("policy ceiling show", "acme", Nothing),
        ("policy ceiling clear", "acme", Done("policy.ceiling", "acme")),
        ("policy bind", "acme keep@9.0.0 --reason x", Failed("policy.bind", "acme")),
        ("policy bind", "acme keep@1.0.0 --reason x", Done("policy.bind", "acme")),
        ("policy rollout", "acme keep@2.0.0 --shadow --reason x", Done("policy.rollout", "acme")),
        ("policy divergences", "acme 2", Nothing),
        ("policy rollout-end", "acme --reason x", Done("policy.end_rollout", "acme")),
        ("policy rollout-end", "acme --reason x", Failed("policy.end_rollout", "acme")),
        ("policy rollout", "acme keep@2.0.0 --shadow --reason x", Done("policy.rollout", "acme")),
        ("policy rollout-promote", "acme --reason x", Done("policy.promote", "acme")),
        ("policy rollback", "acme --reason x", Done("policy.rollback", "acme")),
        ("policy revoke", "acme/2 --reason x", Done("policy.revoke", "acme/2")),
        ("policy status", "acme", Nothing),
        ("policy history", "acme", Nothing),
        ("policy diff", "acme 1 2", Nothing),
        ("policy replay", "1.wasm --from acme", Nothing),
        ("policy compare", "keep@1.0.0 keep@2.0.0 --from acme", Nothing),
        ("policy record export", "--tenant acme", Nothing),
        ("policy unbind", "acme --reason x", Done("policy.unbind", "acme")),
        ("audit list", "", Nothing),
        ("audit verify", "", Nothing),
        ("audit prune", "--before 1d", Nothing),
    ]
}

const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEANZUe0lrCuSI3ufh1Hzv5W7cqb6K4k/AggrFUrnPEsIs=
-----END PUBLIC KEY-----
";

fn trail(desk: &Desk, from: u64) -> Vec<Value> {
    let listed = desk.run(&["--json", "audit", "list", "--from", &from.to_string(), "--limit", "1000"]);
    listed.json()["items"].as_array().unwrap().clone()
}

fn swapped(action: &str) -> Option<&'static str> {
    Some(if action == "policy.bind" { "policy.swap" } else { "policy.try" })
}

fn check(desk: &Desk, words: &str, arguments: &str, leaves: &Leaves, from: u64) -> u64 {
    let all: Vec<&str> = words.split(' ').chain(arguments.split_whitespace()).collect();
    let said = desk.run(&all);
    let added = trail(desk, from);
    let told: Vec<_> = added.iter().map(|link| (link["action"].as_str(), link["subject"].as_str())).collect();
    let expected = match leaves {
        Nothing => vec![],
        // A generation's number is known once it is staged.
        Done(action @ ("policy.bind" | "policy.rollout"), scope) => {
            let staged = added.last().and_then(|link| link["subject"].as_str());
            assert!(staged.is_some_and(|staged| staged.starts_with(&format!("{scope}/"))), "{added:?}");
            vec![(Some(*action), Some(*scope)), (swapped(action), staged)]
        }
        Done(action, subject) => vec![(Some(*action), Some(*subject))],
        Failed(action, subject) => vec![(Some(*action), Some(*subject)); 2],
    };
    assert_eq!(told, expected, "{all:?}: {said:?}");
    assert!(said.status != 2 || matches!(leaves, Failed(..)), "{all:?} was not understood: {said:?}");
    if let Failed(..) = leaves {
        assert_ne!(said.status, 0, "{all:?}");
        assert_eq!(
            (&added[1]["detail"]["of"], &added[1]["detail"]["outcome"]),
            (&json!(from), &json!("failed")),
            "{all:?}"
        );
    }
    for link in &added {
        assert!(link["actor"].as_str().unwrap().starts_with("cli:uid="), "{link}");
    }
    from + added.len() as u64
}

#[tokio::test]
async fn every_command_leaves_what_it_does_in_the_trail() {
    let desk = Desk::new();
    desk.stopped("game-1", 40).await;
    for number in [1, 2] {
        let file = desk.directory.path().join(format!("{number}.wasm"));
        std::fs::write(file, many_sections(DEFAULT_POLICY, number)).unwrap();
    }
    std::fs::write(desk.directory.path().join("k.pub"), PUBLIC_KEY).unwrap();
    let mut from = 1;
    for (words, arguments, leaves) in story() {
        from = check(&desk, words, arguments, &leaves, from);
    }
    assert_eq!(desk.run(&["audit", "verify"]).status, 0);
}

fn leaves_of(command: &clap::Command, words: &str) -> Vec<String> {
    let named = |child: &clap::Command| format!("{words} {}", child.get_name()).trim().to_owned();
    let children: Vec<_> = command.get_subcommands().filter(|child| child.get_name() != "help").collect();
    match children.as_slice() {
        [] => vec![words.to_owned()],
        children => children.iter().flat_map(|child| leaves_of(child, &named(child))).collect(),
    }
}

#[test]
fn every_command_has_its_row() {
    let commands: BTreeSet<String> = leaves_of(&Cli::command(), "").into_iter().collect();
    let rows = story().into_iter().map(|(words, ..)| words).chain(ELSEWHERE);
    assert_eq!(commands, rows.map(str::to_owned).collect());
}

#[test]
fn old_links_are_kept_in_a_file_and_taken_away_and_the_rest_is_whole() {
    let desk = Desk::new();
    for _ in 0..3 {
        desk.run(&["pause"]);
    }
    let before = trail(&desk, 1);
    assert_eq!(desk.run(&["audit", "prune", "--before", "1d"]).out, "nothing is that old\n");
    for wrong in ["yesterday", "-1d", ""] {
        assert_eq!(desk.run(&["audit", "prune", &format!("--before={wrong}")]).status, 2, "{wrong}");
    }
    std::fs::write(desk.directory.path().join("taken.jsonl"), "").unwrap();
    let taken = desk.run(&["audit", "prune", "--before", "0s", "--export", "taken.jsonl"]);
    assert_eq!((taken.status, trail(&desk, 1).len()), (2, 3), "{taken:?}");

    let pruned = desk.run(&["audit", "prune", "--before", "0s", "--export", "old.jsonl"]);
    let hash = before[2]["hash"].as_str().unwrap();
    assert_eq!(pruned.out, format!("3 links pruned, up to 3:{hash}\n"), "{pruned:?}");
    let kept = std::fs::read_to_string(desk.directory.path().join("old.jsonl")).unwrap();
    let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept, before);
    let left = trail(&desk, 1);
    assert_eq!((left.len(), &left[0]["sequence"], &left[0]["previous"]), (1, &json!(4), &json!(hash)));
    let whole = desk.run(&["audit", "verify"]);
    assert!(whole.status == 0 && whole.out.ends_with(&format!("What was up to 3:{hash} was pruned.\n")), "{whole:?}");
    assert_eq!(desk.run(&["audit", "verify", "--head", &format!("3:{hash}")]).status, 0);
    let other = format!("3:{}", "ab".repeat(32));
    assert_eq!(desk.run(&["audit", "verify", "--head", &other]).status, 1);
}

#[test]
fn a_token_is_replaced_by_command_and_its_secret_told_once() {
    let desk = Desk::new();
    desk.run(&["token", "create", "ci", "--role", "viewer", "--expires", "30d"]);
    let made = desk.run(&["token", "rotate", "ci", "--overlap", "2h"]);
    assert_eq!((made.status, made.out.len(), made.err.as_str()), (0, 44, ""), "the secret alone: {made:?}");
    let listed = desk.run(&["--json", "token", "list"]).json()["items"].clone();
    let notices: Vec<_> = listed.as_array().unwrap().iter().map(|token| (&token["name"], &token["notice"])).collect();
    assert_eq!(notices, [(&json!("ci"), &json!("expires_soon")), (&json!("ci.2"), &Value::Null)]);
    for (wrong, status) in [(&["rotate", "nobody"][..], 4), (&["rotate", "ci", "--overlap", "soon"], 2)] {
        assert_eq!(desk.run(&[&["token"], wrong].concat()).status, status, "{wrong:?}");
    }
}
