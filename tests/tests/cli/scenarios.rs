//! Policies tested, run once and measured at the command line, without a store, an engine or a configuration.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager::scenario::{self, SCHEMA, Suite};
use rtmanager_tests::fixtures;
use serde_json::json;

use super::desk::{Desk, PATIENCE, Said};

const KEEP: &str = r#"
[[scenario]]
name = "a runtime that is protected stays"
settings = { protect_label = "env=prod" }

[[scenario.runtime]]
game = "arena"
labels = { env = "prod" }

[[scenario.step]]
review = "arena"
expect = { advice = "keep", reason = "label env=prod*" }

[[scenario]]
name = "a stopped one goes"
about = "It is what the platform pays for."

[[scenario.runtime]]
game = "arena"

[[scenario.step]]
cleanup = "arena"
meanwhile = [{ before = "docker.remove", deed = "container-starts" }]

[scenario.step.expect]
outcome = "success"
calls = ["leases.try-acquire", "records.get", "docker.remove", "records.update-status", "op-log.append", "lease.release"]

[[scenario.end]]
game = "arena"
container = "gone"
"#;

fn desk() -> Desk {
    let desk = Desk::new();
    let file = |name: &str| desk.directory.path().join(name);
    std::fs::write(file("default.wasm"), DEFAULT_POLICY).unwrap();
    std::fs::write(file("hostile.wasm"), fixtures::HOSTILE).unwrap();
    std::fs::create_dir(file("scenarios")).unwrap();
    std::fs::write(file("scenarios/keep.toml"), KEEP).unwrap();
    desk
}

fn command(desk: &Desk, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmanager-cli"));
    command.env_clear().current_dir(desk.directory.path()).stdin(Stdio::null()).arg("policy").args(arguments);
    command
}

fn policy(desk: &Desk, arguments: &[&str]) -> Said {
    Said::of(command(desk, arguments).output().unwrap(), desk.directory.path())
}

/// Without what every run takes anew.
fn steady(text: &str) -> String {
    let mut steady = String::new();
    for line in text.lines() {
        let line = match line.rsplit_once(", in ") {
            Some((before, after)) if after.ends_with(" s") => format!("{before}, in … s"),
            _ => line.split("time=\"").enumerate().fold(String::new(), |text, (part, rest)| match part {
                0 => rest.to_owned(),
                _ => {
                    format!("{text}time=\"…{}", rest.split_once('"').map_or("", |(_, rest)| rest).replacen("", "\"", 1))
                }
            }),
        };
        // Offsets in the policy's code differ from build to build.
        steady += &line;
        steady.push('\n');
    }
    steady
}

#[test]
fn help_tells_statuses_and_examples() {
    let desk = desk();
    let told: String = ["test", "run", "bench"]
        .map(|command| {
            let said = policy(&desk, &[command, "--help"]);
            assert_eq!((said.status, said.err.as_str()), (0, ""));
            said.out
        })
        .join("\n==========\n");
    insta::assert_snapshot!(told);
}

#[test]
fn a_scenario_that_fails_is_told_with_what_differs_and_what_happened() {
    let desk = desk();
    let said = policy(&desk, &["test", "default.wasm", "scenarios"]);
    assert_eq!((said.status, said.err.as_str()), (1, ""), "{said:?}");
    insta::assert_snapshot!(steady(&said.out));

    let good = policy(&desk, &["test", "default.wasm", "scenarios/keep.toml", "--no-suite", "--filter", "protected"]);
    assert_eq!((good.status, good.err.as_str()), (0, ""), "{good:?}");
    assert_eq!(
        steady(&good.out),
        "scenarios/keep.toml\n  ok      a runtime that is protected stays\n\n1 scenario: 1 passed, 0 failed, in … s\n"
    );
}

#[test]
fn both_suites_pass_with_the_default_policy_and_the_safety_suite_is_the_usual_one() {
    let desk = desk();
    let both = policy(&desk, &["test", "default.wasm", "--suite", "safety", "--suite", "default"]);
    assert_eq!((both.status, both.err.as_str()), (0, ""), "{}", both.out);
    let usual = policy(&desk, &["test", "default.wasm", "--json"]).json();
    assert_eq!(usual["groups"].as_array().unwrap().len(), 1);
    assert_eq!((&usual["groups"][0]["name"], &usual["passes"]), (&json!("safety"), &json!(true)));

    let bad = policy(&desk, &["test", "hostile.wasm", "--setting", "mode=trap-under-lease", "--filter", "all well"]);
    assert_eq!(bad.status, 1, "{bad:?}");
    assert!(bad.out.contains("keeps_rules") && bad.out.contains("policy_trap"), "{}", bad.out);
    assert!(bad.out.contains("under way were:\n") && bad.out.contains("trap"), "{}", bad.out);
}

#[test]
fn the_figures_in_json_and_in_junits_xml_are_those_that_people_are_told() {
    let desk = desk();
    let arguments = ["test", "default.wasm", "scenarios", "--no-suite", "--json", "--junit", "report.xml"];
    let said = policy(&desk, &arguments);
    assert_eq!((said.status, said.err.as_str()), (1, ""), "{said:?}");
    let view = said.json();
    let figures = ["passes", "played", "passed", "failed"].map(|key| view[key].clone());
    assert_eq!(figures, [json!(false), json!(2), json!(1), json!(1)]);
    let failed = &view["groups"][0]["scenarios"][1];
    let keys: Vec<_> = failed["mismatches"].as_array().unwrap().iter().map(|wrong| wrong["key"].clone()).collect();
    assert_eq!(keys, ["outcome", "calls", "container of arena"]);
    assert_eq!(failed["steps"][0]["calls"][2]["notes"], json!(["meanwhile: container-starts arena"]));
    let xml = std::fs::read_to_string(desk.directory.path().join("report.xml")).unwrap();
    insta::assert_snapshot!(steady(&xml));
}

#[test]
fn what_cannot_be_tested_ends_with_its_own_status() {
    let desk = desk();
    let file = |name: &str, text: &str| std::fs::write(desk.directory.path().join(name), text).unwrap();
    file("misspelt.toml", &KEEP.replace("outcome =", "outcme ="));
    file("no.wasm", "no component");
    file("long.toml", &"#".repeat((1 << 20) + 1));
    std::fs::write(desk.directory.path().join("bytes.toml"), b"name = \"\xff\"").unwrap();
    std::fs::create_dir(desk.directory.path().join("empty")).unwrap();
    for (arguments, status, told) in [
        (
            &["test", "default.wasm", "misspelt.toml"][..],
            2,
            "misspelt.toml: line 26: scenario.1.step.0.expect.outcme: there is no key `outcme`; did you mean `outcome`?",
        ),
        (&["test", "default.wasm", "none.toml"], 2, "none.toml"),
        (&["test", "default.wasm", "long.toml"], 2, "long.toml is larger than 1048576 bytes"),
        (&["test", "default.wasm", "bytes.toml"], 2, "bytes.toml: is not UTF-8"),
        (&["test", "default.wasm", "empty"], 2, "there is no *.toml in empty"),
        (
            &["test", "default.wasm", "--filter", "nothing like it"],
            2,
            "no scenario has \"nothing like it\" in its name",
        ),
        (&["test", "default.wasm", "--suite", "saftey"], 2, "no suite is \"saftey\""),
        (&["test", "none.wasm"], 2, "none.wasm"),
        (&["test"], 2, "required"),
        (&["test", "no.wasm"], 4, "not valid WebAssembly"),
        (&["run", "default.wasm"], 2, "required"),
        (&["run", "default.wasm", "--scenario", "scenarios/keep.toml"], 2, "say which"),
        (
            &["run", "default.wasm", "--scenario", "scenarios/keep.toml#none"],
            2,
            "no scenario of scenarios/keep.toml is \"none\"",
        ),
        (&["run", "default.wasm", "--game", "arena"], 2, "--dry-run"),
    ] {
        let said = policy(&desk, arguments);
        assert_eq!(said.status, status, "{arguments:?}: {said:?}");
        assert!(said.err.contains(told), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn schema_and_suites_are_printed_as_they_are() {
    let desk = desk();
    assert_eq!(policy(&desk, &["test", "--schema"]).out, SCHEMA);
    for suite in Suite::ALL {
        let printed = policy(&desk, &["test", "--print-suite", suite.as_str()]).out;
        assert_eq!(printed, suite.text());
        scenario::read(&printed).unwrap();
    }
}

/// A command that goes on, and what it has written so far. It ends with the value.
struct Watched {
    child: Child,
    text: Arc<Mutex<String>>,
}

impl Watched {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let (mut out, text) = (child.stdout.take().unwrap(), Arc::<Mutex<String>>::default());
        let seen = text.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut bytes) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { child, text }
    }

    /// Waits until it has said this, and forgets what it said.
    fn says(&self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.text.lock().unwrap().contains(what) {
            assert!(Instant::now() < deadline, "{what:?} is not in {}", self.text.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.text.lock().unwrap().clear();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn watching_plays_again_when_a_scenario_or_the_component_changes() {
    let desk = desk();
    let file = |name: &str| desk.directory.path().join(name);
    let arguments = ["test", "default.wasm", "scenarios", "--no-suite", "--watch"];
    let watched = Watched::start(command(&desk, &arguments));
    watched.says("2 scenarios: 1 passed, 1 failed");
    std::fs::write(
        file("scenarios/keep.toml"),
        KEEP.replace("before = \"docker.remove\"", "before = \"op-log.append\""),
    )
    .unwrap();
    watched.says("2 scenarios: 2 passed, 0 failed");
    std::fs::write(file("scenarios/keep.toml"), "[[scenario]]\nnme = 3").unwrap();
    watched.says("there is no key `nme`; did you mean `name`?");
    std::fs::write(file("scenarios/keep.toml"), KEEP).unwrap();
    watched.says("2 scenarios: 1 passed, 1 failed");
    std::fs::write(file("scenarios/more.toml"), KEEP).unwrap();
    watched.says("4 scenarios: 2 passed, 2 failed");
    std::fs::write(file("default.wasm"), "not yet").unwrap();
    watched.says("magic header");
    std::fs::write(file("default.wasm"), fixtures::C_POLICY).unwrap();
    watched.says("4 scenarios: ");
}

#[test]
fn a_run_in_a_scenario_tells_each_call_its_answer_and_the_cost() {
    let desk = desk();
    let named = "scenarios/keep.toml#a stopped one goes";
    let said = policy(&desk, &["run", "default.wasm", "--scenario", named]);
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
    let told: Vec<_> = said.out.lines().map(|line| if line.contains("cost: ") { "  cost: …" } else { line }).collect();
    insta::assert_snapshot!(told.join("\n"));
    assert!(said.out.contains(" units of fuel (about an instruction each), "), "{}", said.out);
    let view = policy(&desk, &["run", "default.wasm", "--scenario", named, "--json"]).json();
    assert_eq!(view["steps"][0]["calls"].as_array().unwrap().len(), 6);

    let broken = policy(&desk, &["run", "hostile.wasm", "--setting", "mode=keep-lease", "--scenario", named]);
    assert_eq!(broken.status, 1, "{broken:?}");
    assert!(broken.out.contains("against the rules: it left its lease to the host"), "{}", broken.out);
}

#[test]
fn a_bench_measures_beside_the_default_policy() {
    let desk = desk();
    let said = policy(&desk, &["bench", "hostile.wasm", "--setting", "mode=proper", "--rounds", "10", "--json"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
    let view = said.json();
    assert_eq!(
        (&view["rounds"], &view["policy"]["name"], &view["default"]["name"]),
        (&json!(10), &json!("hostile.wasm"), &json!("default"))
    );
    for who in ["policy", "default"] {
        for figure in [
            "wall_p50_us",
            "wall_p99_us",
            "cpu_p50_us",
            "cpu_p99_us",
            "fuel",
            "memory_bytes",
            "instantiation_p50_us",
            "component_bytes",
            "code_bytes",
            "compiling_ms",
        ] {
            assert!(view[who][figure].as_f64().unwrap() > 0.0, "{who}.{figure} in {view}");
        }
        assert!(view[who]["wall_p50_us"].as_f64() <= view[who]["wall_p99_us"].as_f64(), "{view}");
        assert!(view[who]["cpu_p50_us"].as_f64() <= view[who]["cpu_p99_us"].as_f64(), "{view}");
    }
    assert_eq!(view["default"]["component_bytes"], DEFAULT_POLICY.len());

    let told = policy(
        &desk,
        &[
            "bench",
            "default.wasm",
            "--rounds",
            "10",
            "--scenario",
            "scenarios/keep.toml#a runtime that is protected stays",
        ],
    );
    assert_eq!(told.status, 0, "{told:?}");
    assert!(
        told.out.starts_with("a runtime that is protected stays, 10 rounds, the two taking turns\n"),
        "{}",
        told.out
    );
    for row in ["fuel", "component"] {
        let line = told.out.lines().find(|line| line.trim_start().starts_with(row)).unwrap();
        assert!(line.trim_end().ends_with("1.00"), "the same policy twice: {}", told.out);
    }
}

#[test]
fn a_bench_shows_that_a_policy_computes_more_than_another() {
    let desk = desk();
    let bench = |mode: &str| {
        let mode = format!("mode={mode}");
        let said = policy(&desk, &["bench", "hostile.wasm", "--setting", &mode, "--rounds", "10", "--json"]);
        assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
        said.json()
    };
    // Writes some 60 MiB, byte by byte, before the host ends it.
    let [little, much] = ["proper", "memory-growth"].map(|mode| bench(mode)["policy"].clone());
    for figure in ["wall_p50_us", "cpu_p50_us", "cpu_p99_us", "fuel", "memory_bytes"] {
        let [little, much] = [&little, &much].map(|view| view[figure].as_f64().unwrap());
        assert!(much > 3.0 * little, "{figure}: {little} and {much}");
    }
    assert_eq!(little["component_bytes"], much["component_bytes"]);
}
