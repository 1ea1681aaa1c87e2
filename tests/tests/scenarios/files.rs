//! Files of scenarios: what is wrong with one is told with its line, its key and what would be right.

use rtmanager::scenario;

use super::cleanup;

fn told(text: &str) -> String {
    scenario::read(text).map(|_| ()).expect_err(text).to_string()
}

/// Each is wrong in one place.
pub fn wrong() -> Vec<(&'static str, String)> {
    let step = |rest: &str| {
        format!("[[scenario]]\nname = \"x\"\n[[scenario.runtime]]\ngame = \"g\"\n[[scenario.step]]\n{rest}")
    };
    vec![
        ("nothing in it", String::new()),
        ("no toml", "[[scenario]\nname = 3".to_owned()),
        ("a misspelt table", "[[scenarios]]\nname = \"x\"".to_owned()),
        ("no name", "[[scenario]]\nabout = \"x\"".to_owned()),
        ("a blank name", "[[scenario]]\nname = \" \"\n[[scenario.step]]\ncleanup = \"g\"".to_owned()),
        ("nothing happens", "[[scenario]]\nname = \"x\"".to_owned()),
        ("a name twice", format!("{}\n{}", cleanup(""), cleanup(""))),
        ("a misspelt key", cleanup("[scenario.step.expect]\noutcom = \"success\"\n")),
        ("a key that is like none", cleanup("zzz = 3\n")),
        ("a misspelt word", cleanup("expect = { outcome = \"succes\" }\n")),
        ("a number for a text", step("cleanup = 3\n")),
        ("a text for a number", cleanup("expect = { entries = \"one\" }\n")),
        ("no span", step("advance = \"a week\"\n")),
        ("no time", "[[scenario]]\nname = \"x\"\nnow = \"noon\"\n[[scenario.step]]\ncleanup = \"g\"".to_owned()),
        ("no grant", "[[scenario]]\nname = \"x\"\ngrants = [\"docker\"]\n[[scenario.step]]\ncleanup = \"g\"".to_owned()),
        ("a blank game", "[[scenario]]\nname = \"x\"\n[[scenario.runtime]]\ngame = \"\"\n[[scenario.step]]\ncleanup = \"g\"".to_owned()),
        ("a game twice", "[[scenario]]\nname = \"x\"\n[[scenario.runtime]]\ngame = \"g\"\n[[scenario.runtime]]\ngame = \"g\"\n[[scenario.step]]\ncleanup = \"g\"".to_owned()),
        ("a game that is not there", step("review = \"h\"\n")),
        ("no container", step("review = \"g\"\n").replace("game = \"g\"", "game = \"g\"\ncontainer = \"missing\"")),
        ("an id that is none", step("review = \"g\"\n").replace("game = \"g\"", "game = \"g\"\ncontainer = { id = \"web-1\" }")),
        ("two deeds in one step", step("review = \"g\"\ncleanup = \"g\"\n")),
        ("a step without a deed", step("expect = {}\n")),
        ("a deed to nobody", step("deed = \"held\"\n")),
        ("a deed that lacks its status", step("deed = \"status-changed\"\ngame = \"g\"\n")),
        ("a status of another deed", step("deed = \"held\"\ngame = \"g\"\nstatus = \"x\"\n")),
        ("a source of no cleanup", step("review = \"g\"\nsource = \"cli\"\n")),
        ("a call that there is not", cleanup("faults = [{ call = \"docker.kill\", what = \"hang\" }]\n")),
        ("a backend that there is not", cleanup("faults = [{ backend = \"engine.kill\", what = \"hang\" }]\n")),
        ("a fault that cannot be", cleanup("faults = [{ call = \"docker.inspect\", what = \"lost-reply\" }]\n")),
        ("a fault of a backend at a call", cleanup("faults = [{ call = \"docker.remove\", what = \"lose-reply\" }]\n")),
        ("a fault nowhere", cleanup("faults = [{ what = \"hang\" }]\n")),
        ("a jump by nothing", cleanup("faults = [{ call = \"records.get\", what = \"clock-jump\" }]\n")),
        ("a hang by something", cleanup("faults = [{ call = \"records.get\", what = \"hang\", by = \"3s\" }]\n")),
        ("the 0th call", cleanup("faults = [{ call = \"records.get\", what = \"hang\", nth = 0 }]\n")),
        ("every and one", cleanup("faults = [{ call = \"records.get\", what = \"hang\", nth = 2, every = true }]\n")),
        ("faults without a run", step("advance = \"1d\"\nfaults = [{ call = \"records.get\", what = \"hang\" }]\n")),
        ("advice of a cleanup", cleanup("expect = { advice = \"due\" }\n")),
        ("an outcome of an hour", step("advance = \"1h\"\nexpect = { outcome = \"success\" }\n")),
        ("a code that is none", cleanup("expect = { error_code = \"Not Found\" }\n")),
        ("a rule that is none", cleanup("expect = { denied = [\"hold\"] }\n")),
        ("a call expected that there is not", cleanup("expect = { calls = [\"docker.removes\"] }\n")),
        ("an author that is none", cleanup("expect = { entry = { author = \"me\" } }\n")),
        ("an end of no game", cleanup("[[scenario.end]]\ngame = \"h\"\n")),
        ("a plan with a step", cleanup("[scenario.simulation]\nseed = 1\nskew_ms = [0]\ngames = []\nsteps = []\n")),
        ("a plan without replicas", "[[scenario]]\nname = \"x\"\n[scenario.simulation]\nseed = 1\nskew_ms = []\ngames = []\nsteps = []\n".to_owned()),
        ("a plan with a misspelt key", "[[scenario]]\nname = \"x\"\n[scenario.simulation]\nsed = 1\nskew_ms = [0]\ngames = []\nsteps = []\n".to_owned()),
        ("a seed that is no number", "[[scenario]]\nname = \"x\"\n[scenario.simulation]\nseed = \"one\"\nskew_ms = [0]\ngames = []\nsteps = []\n".to_owned()),
    ]
}

#[test]
fn what_is_wrong_is_told_with_line_key_and_what_would_be_right() {
    let all: Vec<_> = wrong().into_iter().map(|(what, text)| format!("{what}:\n  {}", told(&text))).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_key_is_found_where_it_stands() {
    let text = cleanup("\n\n[scenario.step.expect]\n\noutcome = \"success\"\nrecrod = \"removed\"\n");
    let line = text.lines().position(|line| line.starts_with("recrod")).unwrap() + 1;
    let wrong = scenario::read(&text).map(|_| ()).unwrap_err();
    assert_eq!((wrong.line, wrong.key.as_str()), (line, "scenario.0.step.0.expect.recrod"));
    assert_eq!(wrong.what, "there is no key `recrod`; did you mean `record`?");
}

#[test]
fn numbers_truth_values_and_tomls_own_times_are_taken() {
    let text = cleanup("").replacen(
        "name = \"x\"",
        "name = \"x\"\nnow = 2027-03-01T00:00:00Z\nsettings = { days = 7, strict = true, who = \"me\" }",
        1,
    );
    let scenarios = scenario::read(&text).unwrap();
    let settings: Vec<_> = scenarios[0].settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(settings, ["days=7", "strict=true", "who=me"]);
}
