//! Policies played through histories at the command line, without a store, an engine or a configuration.

use std::process::{Command, Stdio};

use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager_tests::fixtures;
use serde_json::{Value, json};

use super::desk::{Desk, Said};

fn desk() -> Desk {
    let desk = Desk::new();
    let file = |name: &str| desk.directory.path().join(name);
    std::fs::write(file("default.wasm"), DEFAULT_POLICY).unwrap();
    std::fs::write(file("hostile.wasm"), fixtures::HOSTILE).unwrap();
    desk
}

/// In the desk's directory, without any setting.
fn simulate(desk: &Desk, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmanager-cli"));
    command.env_clear().current_dir(desk.directory.path()).stdin(Stdio::null()).args(["policy", "simulate"]);
    Said::of(command.args(arguments).output().unwrap(), desk.directory.path())
}

fn with(settings: &[&'static str], more: &[&'static str]) -> Vec<&'static str> {
    let settings = settings.iter().flat_map(|setting| ["--setting", setting]);
    ["hostile.wasm"].into_iter().chain(settings).chain(more.iter().copied()).collect()
}

const EVIL: &[&str] = &["mode=remove-before-load"];

fn last_line(said: &Said) -> &str {
    said.out.lines().last().unwrap()
}

fn trace(said: &Said) -> &str {
    let trace = last_line(said).rsplit_once("trace ").unwrap().1;
    assert_eq!(trace.len(), 64, "{said:?}");
    trace
}

/// The calls of a history.
fn timeline(said: &Said) -> Vec<&str> {
    let lines = said.out.lines().skip_while(|line| !line.ends_with("in seconds from the start:"));
    lines.skip(2).take_while(|line| !line.is_empty()).collect()
}

#[test]
fn help_tells_statuses_and_an_example() {
    let said = simulate(&desk(), &["--help"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    insta::assert_snapshot!(said.out);
}

#[test]
fn a_sound_policy_ends_with_0_and_the_same_trace_on_any_number_of_threads() {
    let desk = desk();
    let run = |more: &[&str]| simulate(&desk, &[&["default.wasm", "--histories", "200"], more].concat());
    let one = run(&["--threads", "1"]);
    assert_eq!((one.status, one.err.as_str()), (0, ""), "{one:?}");
    assert!(one.out.starts_with("default.wasm (") && one.out.contains("No rule was broken.\n"), "{}", one.out);
    assert!(last_line(&one).starts_with("200 histories, ") && last_line(&one).contains(" a second, seed 0, trace "));
    for again in [run(&["--threads", "3"]), run(&[])] {
        assert_eq!((again.status, trace(&again)), (0, trace(&one)), "{again:?}");
    }
    assert_eq!(std::fs::read_dir(desk.directory.path()).unwrap().count(), 2, "it leaves something behind");
}

#[test]
fn the_figures_in_json_are_those_that_people_are_told() {
    let desk = desk();
    let told = simulate(&desk, &["default.wasm", "--histories", "60", "--seed", "7"]);
    let view = simulate(&desk, &["default.wasm", "--histories", "60", "--seed", "7", "--json"]).json();
    assert_eq!((&view["histories"], &view["seed"], &view["holds"]), (&json!(60), &json!(7), &json!(true)), "{view}");
    assert_eq!(view["trace_hash"], trace(&told));
    assert_eq!(view["counterexample"], Value::Null);
    let lines: Vec<Vec<_>> = told.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let faults = view["faults"].as_array().unwrap();
    assert!(faults.len() > 20, "{view}");
    for fault in faults {
        let (kind, at) = (fault["fault"].as_str().unwrap(), fault["call"].as_str().unwrap());
        assert!(lines.iter().any(|line| line.first() == Some(&kind)), "{kind} in {}", told.out);
        let times = format!("{at} {}", fault["times"]);
        assert!(told.out.contains(&format!("{times},")) || told.out.contains(&format!("{times}\n")), "{times}");
    }
    for reached in view["sometimes"].as_array().unwrap() {
        let (what, times) = (reached["what"].as_str().unwrap(), reached["times"].as_u64().unwrap());
        let line = told.out.lines().find(|line| line.contains(what)).unwrap();
        assert!(if times == 0 { line.starts_with("Never, ") } else { line.ends_with(&times.to_string()) }, "{line}");
    }
}

#[test]
fn a_history_that_breaks_a_rule_is_told_saved_and_played_again() {
    let desk = desk();
    let found = simulate(&desk, &with(EVIL, &["--threads", "2", "--save-scenario", "broken.json"]));
    assert_eq!((found.status, found.err.as_str()), (1, ""), "{found:?}");
    insta::assert_snapshot!(steady(&found));
    let again = simulate(&desk, &with(EVIL, &["--scenario", "broken.json"]));
    assert_eq!((again.status, again.err.as_str()), (1, ""), "{again:?}");
    insta::assert_snapshot!(steady(&again));
    assert!(!timeline(&found).is_empty(), "{found:?}");
    assert_eq!(timeline(&again), timeline(&found));

    let view = simulate(&desk, &with(EVIL, &["--json"]));
    assert_eq!(view.status, 1);
    let view = view.json();
    let kept: Value =
        serde_json::from_slice(&std::fs::read(desk.directory.path().join("broken.json")).unwrap()).unwrap();
    assert_eq!((&view["counterexample"]["plan"], &view["holds"]), (&kept, &json!(false)));
    let replayed = simulate(&desk, &with(EVIL, &["--json", "--scenario", "broken.json"])).json();
    assert_eq!(replayed["timeline"], view["counterexample"]["timeline"]);
    assert_eq!(replayed["breaches"][0]["rule"], view["counterexample"]["rule"]);
    assert_eq!(replayed["trace_hash"], trace(&again));

    let mended = simulate(&desk, &with(&["mode=proper"], &["--scenario", "broken.json"]));
    assert_eq!(mended.status, 0, "{mended:?}");
    assert!(mended.out.contains("\nNo rule was broken.\n"), "{mended:?}");
}

#[test]
fn a_history_is_saved_as_a_scenario_with_the_settings_under_which_it_breaks_a_rule() {
    let desk = desk();
    let found = simulate(&desk, &with(EVIL, &["--save-scenario", "broken.toml"]));
    assert_eq!((found.status, found.err.as_str()), (1, ""), "{found:?}");
    let again = simulate(&desk, &["hostile.wasm", "--scenario", "broken.toml"]);
    assert_eq!((again.status, timeline(&again)), (1, timeline(&found)), "{again:?}");
    let mended = simulate(&desk, &with(&["mode=proper"], &["--scenario", "broken.toml"]));
    assert_eq!(mended.status, 0, "the command line stands before the file: {mended:?}");
    let kept = std::fs::read_to_string(desk.directory.path().join("broken.toml")).unwrap();
    insta::assert_snapshot!(kept);
    std::fs::write(desk.directory.path().join("none.toml"), "[[scenario]]\nname = \"of another kind\"\n").unwrap();
    let refused = simulate(&desk, &["hostile.wasm", "--scenario", "none.toml"]);
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("none.toml is no scenario: scenario: none of them has a `simulation`"), "{refused:?}");
}

#[test]
fn a_history_that_nobody_saves_is_told_how_to_keep_it() {
    let desk = desk();
    let said = simulate(&desk, &with(&["mode=keep-lease", "label=a b"], &[]));
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.out.contains("Broken is rule P4: The policy gives its lease back."), "{}", said.out);
    let again =
        "rtmanager policy simulate hostile.wasm --setting label='a b' --setting mode=keep-lease --scenario FILE";
    assert!(said.out.contains(again), "{}", said.out);
    assert!(said.out.contains("--save-scenario FILE with the same command keeps it"), "{}", said.out);
}

#[test]
fn what_never_happened_is_named() {
    let desk = desk();
    let few = simulate(&desk, &["default.wasm", "--histories", "5"]);
    assert_eq!(few.status, 0, "{few:?}");
    let never = few.out.lines().find(|line| line.starts_with("Never, as may be in so few histories: ")).unwrap();
    assert!(never.contains("; a replica died between removal and change; ") && never.ends_with('.'), "{never}");
}

#[test]
fn every_single_fault_is_played_and_pairs_as_many_as_are_asked_for() {
    let desk = desk();
    let singles = simulate(&desk, &["default.wasm", "--singles"]);
    assert_eq!(singles.status, 0, "{singles:?}");
    assert!(singles.out.contains(": a plain cleanup with each single fault, 330 in all\n"), "{}", singles.out);
    assert!(last_line(&singles).starts_with("330 histories, ") && !singles.out.contains("Never"), "{}", singles.out);
    let pairs = simulate(&desk, &["default.wasm", "--pairs", "--histories", "100"]);
    assert_eq!(pairs.status, 0, "{pairs:?}");
    assert!(pairs.out.contains(": a plain cleanup with 100 of the 49,500 pairs of faults\n"), "{}", pairs.out);
}

#[test]
fn what_is_no_policy_is_4() {
    let desk = desk();
    let file = |name: &str| desk.directory.path().join(name);
    std::fs::write(file("none.wasm"), "no component").unwrap();
    std::fs::write(file("evil.wasm"), fixtures::undeclared_import()).unwrap();
    for (name, why) in [("none.wasm", "not valid WebAssembly"), ("evil.wasm", "imports evil:host/shell@1.0.0")] {
        let said = simulate(&desk, &[name]);
        assert_eq!((said.status, said.out.as_str()), (4, ""), "{said:?}");
        assert!(said.err.contains(why), "{said:?}");
    }
}

#[test]
fn a_wrong_command_line_is_2() {
    let desk = desk();
    for wrong in [
        &[][..],
        &["nothing.wasm"],
        &["default.wasm", "--histories", "0"],
        &["default.wasm", "--histories", "1000001"],
        &["default.wasm", "--seed", "lucky"],
        &["default.wasm", "--threads", "5"],
        &["default.wasm", "--setting", "days"],
        &["default.wasm", "--pairs", "--singles"],
        &["default.wasm", "--pairs", "--seed", "1"],
        &["default.wasm", "--scenario", "nothing.json"],
        &["default.wasm", "--scenario", "default.wasm", "--histories", "5"],
        &["default.wasm", "--save-scenario", "nowhere/broken.json"],
    ] {
        let said = simulate(&desk, wrong);
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{wrong:?}: {said:?}");
        assert!(!said.err.is_empty(), "{wrong:?}");
    }
}

#[test]
fn a_scenario_that_is_none_is_refused_with_its_place() {
    let desk = desk();
    let good = json!({
        "seed": 1, "skew_ms": [0, 0], "games": [{ "record": "stopped", "container": "exited" }],
        "steps": [{ "id": 0, "at_ms": 0, "cleanup": { "replica": 0, "game": 0, "source": "cli" } }],
    });
    let play = |text: &str| {
        std::fs::write(desk.directory.path().join("plan.json"), text).unwrap();
        simulate(&desk, &["default.wasm", "--scenario", "plan.json"])
    };
    assert_eq!(play(&good.to_string()).status, 0, "the others are not refused for what is changed in them");
    let changed = |pointer: &str, value: Value| {
        let mut plan = good.clone();
        *plan.pointer_mut(pointer).unwrap() = value;
        serde_json::to_string_pretty(&plan).unwrap()
    };
    let cleanup = |replica: u64, game: u64| json!({ "replica": replica, "game": game, "source": "cli" });
    let wrong = [
        "{\n  \"seed\": 1,\n  oops".to_owned(),
        "{\n  \"seed\": 1\n}".to_owned(),
        changed("/games/0/record", json!("asleep")),
        changed("/seed", json!("lucky")),
        changed("/steps/0", json!({ "id": 0, "at_ms": 0, "dance": { "replica": 0 } })),
        changed("/steps/0/cleanup", cleanup(2, 0)),
        changed("/steps/0/cleanup", cleanup(0, 1)),
        changed("/steps/0/at_ms", json!(u64::MAX)),
        changed("/steps/0/id", json!(1_000_000)),
        changed("/skew_ms", json!([])),
        changed("/skew_ms", json!([0, i64::MIN])),
        changed("/steps", json!([good["steps"][0], good["steps"][0]])),
    ];
    let mut told = Vec::new();
    for text in &wrong {
        let said = play(text);
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{text}: {said:?}");
        told.push(said.err);
    }
    insta::assert_snapshot!(told.concat());
}

/// Digests, and so traces, are this build's, and the rate is this machine's.
fn steady(said: &Said) -> String {
    let is_hash = |word: &str| word.len() >= 12 && word.chars().all(|c| c.is_ascii_hexdigit());
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        if is_hash(bare) && bare.chars().any(|c| c.is_ascii_alphabetic()) {
            word.replace(bare, "HASH")
        } else {
            word.to_owned()
        }
    };
    let line = |line: &str| {
        let words: Vec<_> = line.split(' ').map(word).collect();
        let line = words.join(" ");
        match (line.split_once(", "), line.split_once(" a second")) {
            (Some((before, _)), Some((_, after))) => format!("{before}, N a second{after}"),
            _ => line,
        }
    };
    said.out.lines().map(line).collect::<Vec<_>>().join("\n")
}
