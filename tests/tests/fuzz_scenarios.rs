//! Whatever is given to `policy test` for a file of scenarios: it is refused with line, key and what would be right, or
//! else it can be played, always to the same end.
//!
//! More cases, and so a longer search, by `RTMANAGER_FUZZ_CASES`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use rtmanager::runtime::{DEFAULT_POLICY, Policy};
use rtmanager::scenario::{self, Invalid, SCHEMA, Scenario, ScenarioReport, Suite, Tester};
use rtmanager::simulation::{Kept, Simulator};
use rtmanager_tests::seeded::{fuzz_cases, seeded};
use serde_json::{Value, json};
use tokio::time::Instant;

#[path = "fuzz_parsers/edits.rs"]
#[allow(dead_code, reason = "of the two kinds of change only that of texts is used here")]
mod edits;
#[path = "fuzz_scenarios/texts.rs"]
mod texts;
#[path = "scenarios/validation.rs"]
mod validation;

use edits::{edited, edits};
use texts::{changed, changes, toml};
use validation::{as_json, fault};

/// The longest that a refusal may be, in bytes: it is shown on a terminal.
const LONGEST_REFUSAL: usize = 4_096;
/// As `policy test` reads a file, and no more of it.
const LONGEST_FILE: usize = 1 << 20;
/// For any file of that size, with an unoptimised build on a machine that is busy.
const READ: Duration = Duration::from_secs(20);
/// For one scenario, likewise.
const PLAYED: Duration = Duration::from_secs(30);

static TESTER: LazyLock<Tester> = LazyLock::new(|| {
    let simulator = Arc::new(Simulator::new(Simulator::FUEL).unwrap());
    let policy: Policy = simulator.load(DEFAULT_POLICY).unwrap();
    Tester { simulator, policy, settings: Default::default() }
});
static SCHEMA_READ: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(SCHEMA).unwrap());

/// Every scenario that is shipped, each by itself.
static CORPUS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let templates = [
        include_str!("../../guest/templates/c/scenarios.toml"),
        include_str!("../../guest/templates/go/scenarios.toml"),
        include_str!("../../guest/templates/python/scenarios.toml"),
        include_str!("../../guest/templates/rust/scenarios.toml"),
        include_str!("../../guest/templates/typescript/scenarios.toml"),
    ];
    let plan = "[[scenario]]\nname = \"found\"\n[scenario.simulation]\nseed = \"18446744073709551615\"\nremoval_ms = 40\n\
        skew_ms = [0, -500]\ngames = [{ record = \"stopped\", container = \"exited\", held = true }]\n\
        steps = [{ id = 0, at_ms = 5, cleanup = { replica = 0, game = 0, source = \"cli\" } }, \
        { id = 1, at_ms = 9, deed = { game = 0, deed = \"stop\" } }]\n\
        faults = [{ step = 0, call = 3, fault = \"lose_reply\" }, { step = 0, call = 1, fault = { meanwhile = \"hold\" } }]";
    let limited = "[[scenario]]\nname = \"limited\"\n[scenario.limits]\nmemory_bytes = \"4194304\"\nguest_time = \"1s\"\n\
        run_time = \"10s\"\ncalls = 9\nbytes_per_run = 900\nlog_lines = 3\n[[scenario.runtime]]\ngame = \"g\"\n\
        [[scenario.step]]\ncleanup = \"g\"\n";
    let texts = Suite::ALL
        .iter()
        .map(|suite| suite.text())
        .chain(templates)
        .chain([plan, plan, plan, limited, limited, limited]);
    let scenarios = texts.map(|text| as_json(text).unwrap()["scenario"].as_array().unwrap().clone());
    scenarios.flatten().collect()
});

fn config(usual: u32, seed: u64) -> ProptestConfig {
    seeded(fuzz_cases(usual), seed)
}

fn documents() -> impl Strategy<Value = Value> {
    let some = proptest::collection::vec(any::<Index>(), 1..3);
    some.prop_map(|some| json!({ "scenario": some.iter().map(|nth| nth.get(&CORPUS[..])).collect::<Vec<_>>() }))
}

/// A refusal says where, in few words what, and stands in the file.
fn is_told(text: &str, invalid: &Invalid) -> Result<(), TestCaseError> {
    let told = invalid.to_string();
    let lines = text.matches('\n').count() + 1;
    prop_assert!((1..=lines).contains(&invalid.line), "line {} of {}: {}", invalid.line, lines, told);
    prop_assert!(!invalid.what.trim().is_empty(), "{}", told);
    prop_assert!(told.len() <= LONGEST_REFUSAL, "{} bytes: {:.300}", told.len(), told);
    prop_assert!(!told.contains(['\r', '\0', '\u{202e}']), "{:?}", told);
    Ok(())
}

/// How many files came to what.
#[derive(Debug, Default)]
struct Reached {
    refused: u32,
    taken: u32,
    played: u32,
}

/// One file: it is refused as it should be, or taken as it should be and, if that is asked, played.
fn one_file(text: &str, plays: bool, reached: &mut Reached) -> Result<(), TestCaseError> {
    let began = Instant::now();
    let read = scenario::read(text);
    prop_assert!(began.elapsed() < READ, "{:?}", began.elapsed());
    let scenarios = match read {
        Ok(scenarios) => scenarios,
        Err(invalid) => {
            reached.refused += 1;
            is_told(text, &invalid)?;
            prop_assert_eq!(scenario::read(text).map(|_| ()).unwrap_err(), invalid);
            return Ok(());
        }
    };
    reached.taken += 1;
    prop_assert_eq!(format!("{:?}", scenario::read(text).unwrap()), format!("{scenarios:?}"));
    let refused = fault(&SCHEMA_READ, &SCHEMA_READ, &as_json(text).unwrap(), "");
    prop_assert_eq!(refused, None, "the schema refuses what is taken: {}", text);
    if plays {
        reached.played += 1;
        let began = Instant::now();
        let first = ends(&scenarios);
        prop_assert!(began.elapsed() < PLAYED, "{:?}: {}", began.elapsed(), text);
        prop_assert!(first.iter().all(Result::is_ok), "{:?}: {}", first, text);
        prop_assert_eq!(ends(&scenarios), first, "{}", text);
    }
    Ok(())
}

/// What all scenarios come to, without the time that it took.
fn ends(scenarios: &[Scenario]) -> Vec<Result<String, String>> {
    let end = |scenario| match TESTER.test("here.toml", scenario) {
        Ok(report) => Ok(format!("{:?}", ScenarioReport { took_ms: 0.0, ..report })),
        Err(error) => Err(format!("{error:?}")),
    };
    scenarios.iter().map(end).collect()
}

#[test]
fn a_file_is_refused_with_its_place_or_else_played_always_to_the_same_end() {
    let files = (documents(), changes(), proptest::option::weighted(0.3, edits()), 0..8u32);
    let reached = RefCell::new(Reached::default());
    let searched = TestRunner::new(config(2_000, 81)).run(&files, |(document, changes, edits, played)| {
        let text = toml(&changed(document, &changes));
        let bytes = edits.map_or(text.clone().into_bytes(), |edits| edited(text.as_bytes(), &edits));
        one_file(&String::from_utf8_lossy(&bytes), played == 0, &mut reached.borrow_mut())
    });
    searched.unwrap_or_else(|found| panic!("{found}"));
    let reached = reached.into_inner();
    println!("{reached:?}");
    assert!(reached.refused > 0 && reached.played > 0, "{reached:?} tells nothing");
}

/// As long as a file may be, of one thing again and again.
fn longest(once: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for index in 0.. {
        let more = once(index);
        if text.len() + more.len() > LONGEST_FILE {
            break;
        }
        text.push_str(&more);
    }
    text
}

/// Depths and lengths at the edge of what a file can hold. What a stack cannot bear ends the process.
#[test]
fn files_as_long_and_as_deep_as_can_be_are_read_within_bounds() {
    let one = "[[scenario]]\nname = \"x\"\n[[scenario.step]]\nadvance = \"1s\"\n";
    let dotted = |count: usize| vec!["a"; count].join(".");
    let nested = |depth: usize, keys: usize| {
        format!("x = {}1{}", format!("{{ {} = ", dotted(keys)).repeat(depth), " }".repeat(depth))
    };
    let many = [
        ("scenarios", longest(|index| one.replace("\"x\"", &format!("\"x{index}\"")))),
        ("steps", format!("{one}{}", longest(|_| "[[scenario.step]]\nrecover = true\n".to_owned()))),
        ("runtimes", format!("{one}{}", longest(|index| format!("[[scenario.runtime]]\ngame = \"g{index}\"\n")))),
        ("settings", format!("{one}[scenario.settings]\n{}", longest(|index| format!("k{index} = {index}\n")))),
        ("lists", "x = ".to_owned() + &"[".repeat(LONGEST_FILE)),
        ("tables", "x = ".to_owned() + &"{ a = ".repeat(LONGEST_FILE / 6)),
        ("heads", longest(|index| format!("[a{index}.b.c]\n"))),
        ("a deep head", format!("[{}]", dotted(LONGEST_FILE / 2))),
        ("deep keys", format!("{} = 1", dotted(LONGEST_FILE / 2))),
        ("deep keys in deep tables", nested(79, 79)),
        ("deep keys in deep tables below a deep head", format!("[{}]\n{}", dotted(79), nested(79, 79))),
        ("a long key", format!("{one}{} = 1", "k".repeat(LONGEST_FILE))),
        ("a long word", format!("{one}deed = \"{}\"", "k".repeat(LONGEST_FILE))),
        ("a long game", format!("{one}game = \"{}\"", "k".repeat(LONGEST_FILE))),
        (
            "a long call",
            one.replace(
                "advance = \"1s\"",
                &format!("cleanup = \"\"\nexpect.calls = [\"{}\"]", "k".repeat(LONGEST_FILE)),
            ),
        ),
        ("many lines", "\n".repeat(LONGEST_FILE) + one),
    ];
    for (what, text) in many {
        let began = Instant::now();
        let read = scenario::read(&text);
        assert!(began.elapsed() < READ, "{what}: {:?}", began.elapsed());
        match read {
            Ok(scenarios) => {
                assert!(["scenarios", "settings", "many lines"].contains(&what), "{what}: {}", scenarios.len())
            }
            Err(invalid) => is_told(&text, &invalid).unwrap_or_else(|wrong| panic!("{what}: {wrong}")),
        }
        // As `policy simulate` reads a history in such a file.
        let told = Kept::from_toml(&text).unwrap_err().to_string();
        assert!(told.len() <= LONGEST_REFUSAL && began.elapsed() < READ, "{what}: {:.300}", told);
    }
}

/// Whatever time is told to pass, it passes at once.
#[test]
fn the_longest_spans_are_played_at_once() {
    let scenario = |runtime: &str, steps: &str| {
        format!("[[scenario]]\nname = \"x\"\n[[scenario.runtime]]\ngame = \"g\"\n{runtime}\n{steps}")
    };
    let longest = "36500d";
    let passes = format!("[[scenario.step]]\nadvance = \"{longest}\"\n");
    let faulty = |what: &str, by: &str| {
        format!(
            "[[scenario.step]]\ncleanup = \"g\"\nfaults = [{{ call = \"docker.remove\", what = \"{what}\", by = \"{by}\" }}]\n"
        )
    };
    for text in [
        scenario("", &passes.repeat(3)),
        scenario("lease = \"held\"", &format!("{passes}[[scenario.step]]\ncleanup = \"g\"\n")),
        scenario("", &faulty("pause", "1d")),
        scenario("lease = \"held\"", &passes.repeat(900)),
        scenario("", &faulty("clock-jump", longest)),
        scenario("", &faulty("clock-jump", "-36500d")),
    ] {
        let began = Instant::now();
        for scenario in scenario::read(&text).unwrap_or_else(|invalid| panic!("{invalid}: {text}")) {
            TESTER.test("here.toml", &scenario).unwrap();
        }
        assert!(began.elapsed() < PLAYED, "{:?}: {text}", began.elapsed());
    }
    let beyond = scenario::read(&scenario("", "[[scenario.step]]\nadvance = \"36501d\"\n")).map(|_| ()).unwrap_err();
    assert_eq!(beyond.to_string(), "line 7: scenario.0.step.0.advance: is 36501d; the most is 36500d");
}
