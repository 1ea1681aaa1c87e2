//! What is expected is looked at: each expectation can come true, and each can fail.

use super::{cleanup, mismatches, passes, play};

fn expecting(expect: &str) -> String {
    cleanup(&format!("expect = {{ {expect} }}\n"))
}

#[test]
fn what_is_not_named_is_not_looked_at() {
    passes(&cleanup(""));
    passes(&expecting(""));
}

#[test]
fn each_expectation_of_a_cleanup_holds_or_is_told_with_what_was_found() {
    let calls = "\"leases.try-acquire\", \"records.get\", \"docker.remove\", \"records.update-status\", \
                 \"op-log.append\", \"lease.release\"";
    let all_calls = format!("calls = [{calls}]");
    for (holds, fails, key, got) in [
        ("outcome = \"success\"", "outcome = \"failure\"", "outcome", "success"),
        ("error_code = \"none\"", "error_code = \"conflict\"", "error_code", "none"),
        (all_calls.as_str(), "calls = []", "calls", &calls.replace('"', "")),
        (
            "calls_in_order = [\"records.get\", \"op-log.append\"]",
            "calls_in_order = [\"op-log.append\", \"records.get\"]",
            "calls_in_order",
            &calls.replace('"', ""),
        ),
        ("never = [\"docker.inspect\"]", "never = [\"docker.remove\"]", "never", "1 of them"),
        ("denied = []", "denied = [\"held\"]", "denied", "none"),
        ("keeps_rules = true", "keeps_rules = false", "keeps_rules", "the rules kept"),
        ("record = \"removed\"", "record = \"stopped\"", "record", "removed"),
        ("container = \"gone\"", "container = \"exited\"", "container", "gone"),
        ("lease = \"free\"", "lease = \"held\"", "lease", "free"),
        ("entries = 1", "entries = 2", "entries", "1"),
        ("entry = { outcome = \"success\" }", "entry = { outcome = \"failure\" }", "entry.outcome", "success"),
        ("entry = { error_code = \"none\" }", "entry = { error_code = \"busy\" }", "entry.error_code", "none"),
        ("entry = { author = \"policy\" }", "entry = { author = \"host\" }", "entry.author", "policy"),
        ("entry = { fault = \"none\" }", "entry = { fault = \"policy_trap\" }", "entry.fault", "none"),
        (
            "entry = { container = \"own\" }",
            "entry = { container = \"none\" }",
            "entry.container",
            &format!("{:064}", 1),
        ),
        (
            "entry = { image = \"registry.example/game:1\" }",
            "entry = { image = \"none\" }",
            "entry.image",
            "registry.example/game:1",
        ),
    ] {
        passes(&expecting(holds));
        let wrong = mismatches(&expecting(fails));
        assert_eq!(wrong.len(), 1, "{fails}: {wrong:?}");
        assert_eq!((wrong[0].0.as_str(), wrong[0].2.as_str()), (key, got), "{fails}");
    }
    assert_eq!(
        mismatches(&expecting("entry = \"none\"")),
        [("entry".into(), "none".into(), "success, by policy".into())]
    );
    assert_eq!(mismatches(&expecting("message = \"*\"")), [("message".into(), "\"*\"".into(), "none".into())]);
    assert_eq!(mismatches(&expecting("logs = [\"*\"]")), [("logs".into(), "a line \"*\"".into(), "[]".into())]);
}

fn review(expect: &str) -> String {
    format!(
        "[[scenario]]\nname = \"x\"\nsettings = {{ extra_retention_days = 3, protect_label = \"a=b\" }}\n\
         [[scenario.runtime]]\ngame = \"g\"\n[[scenario.runtime]]\ngame = \"kept\"\nlabels = {{ a = \"b\" }}\n\
         [[scenario.step]]\n{expect}\n"
    )
}

#[test]
fn each_expectation_of_a_review_holds_or_is_told_with_what_was_found() {
    for (game, holds, fails, got) in [
        ("g", "advice = \"wait\"", "advice = \"due\"", "wait"),
        ("g", "waits = \"2d\"", "waits = \"3d\"", "2d"),
        ("g", "wait_until = 2026-01-03T12:00:00Z", "wait_until = 2026-01-03T12:00:01Z", "2026-01-03T12:00:00Z"),
        ("g", "outcome = \"skipped\"", "outcome = \"success\"", "skipped"),
        ("kept", "advice = \"keep\"", "advice = \"wait\"", "keep"),
        ("kept", "reason = \"label a=b*\"", "reason = \"label\"", "\"label a=b protects it\""),
    ] {
        passes(&review(&format!("review = \"{game}\"\nexpect = {{ {holds} }}")));
        let wrong = mismatches(&review(&format!("review = \"{game}\"\nexpect = {{ {fails} }}")));
        assert_eq!((wrong.len(), wrong[0].2.as_str()), (1, got), "{fails}: {wrong:?}");
    }
}

#[test]
fn the_end_is_looked_at_game_by_game() {
    let end = |lines: &str| cleanup(&format!("[[scenario.end]]\ngame = \"g\"\n{lines}\n"));
    passes(&end("record = \"removed\"\ncontainer = \"gone\"\nlease = \"free\"\nentries = 1"));
    let wrong = mismatches(&end("record = \"stopped\"\ncontainer = \"exited\"\nlease = \"held\"\nentries = 0"));
    let keys: Vec<_> = wrong.iter().map(|(key, ..)| key.as_str()).collect();
    assert_eq!(keys, ["record of g", "container of g", "lease of g", "entries of g"]);
}

#[test]
fn lists_are_compared_line_by_line() {
    let report =
        play(&expecting("calls = [\"leases.try-acquire\", \"records.get\", \"docker.inspect\", \"lease.release\"]"));
    let diff = &report[0].mismatches[0].diff;
    assert_eq!(
        *diff,
        [
            "  leases.try-acquire",
            "  records.get",
            "- docker.inspect",
            "+ docker.remove",
            "+ records.update-status",
            "+ op-log.append",
            "  lease.release"
        ]
    );
}

#[test]
fn the_same_scenario_comes_to_the_same() {
    let text = cleanup("faults = [{ call = \"records.update-status\", what = \"hang\" }]\n");
    let once = |text: &str| format!("{:?}", play(text)[0].steps);
    assert_eq!(once(&text), once(&text));
}
