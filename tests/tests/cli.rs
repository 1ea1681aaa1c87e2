//! The command line, as a process: what it prints, and the status it ends with.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

#[path = "cli/access.rs"]
mod access;
#[path = "cli/api.rs"]
mod api;
#[path = "cli/code_cache.rs"]
mod code_cache;
#[path = "cli/desk.rs"]
mod desk;
#[path = "cli/dry_run.rs"]
mod dry_run;
#[path = "cli/logs.rs"]
mod logs;
#[path = "cli/orders.rs"]
mod orders;
#[path = "cli/policies.rs"]
mod policies;
#[path = "cli/policy_tables.rs"]
mod policy_tables;
#[path = "cli/reconcile_text.rs"]
mod reconcile_text;
#[path = "cli/recorded.rs"]
mod recorded;
#[path = "cli/scenarios.rs"]
mod scenarios;
#[path = "cli/server.rs"]
mod server;
#[path = "cli/simulate.rs"]
mod simulate;
#[path = "cli/sweep_text.rs"]
mod sweep_text;
#[path = "cli/tables.rs"]
mod tables;

use desk::{Desk, Said};

#[test]
fn help_tells_commands_statuses_and_examples() {
    let said = Desk::new().run(&["--help"]);
    assert_eq!(said.status, 0);
    insta::assert_snapshot!(said.out);
}

#[test]
fn a_wrong_command_line_is_2() {
    let desk = Desk::new();
    for wrong in [
        vec![],
        vec!["dance"],
        vec!["hold", "g-1"],
        vec!["pause", "--engine", "local", "--tenant", "acme"],
        vec!["runtimes", "--limit", "0"],
        vec!["runtimes", "--engine", "no spaces"],
        vec!["explain", " "],
        vec!["--log-format", "xml", "pauses"],
        vec!["sweep", "--engine", "nowhere"],
        vec!["runtimes", "--set", "lease.ttl=2m"],
    ] {
        let said = desk.run(&wrong);
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{wrong:?}: {said:?}");
        assert!(!said.err.is_empty(), "{wrong:?}");
    }
}

#[test]
fn a_wrong_configuration_is_5_and_opens_nothing() {
    let desk = Desk::new();
    let said = desk.run(&["--set", "sweep.concurency=3", "--set", "lease.ttl=soon", "runtimes"]);
    assert_eq!(said.status, 5);
    insta::assert_snapshot!(said.err);
    assert!(!desk.directory.path().join("state").exists());
}

#[test]
fn config_check_shows_what_is_set_and_from_where() {
    let desk = Desk::new();
    std::fs::write(desk.directory.path().join("policy.wasm"), rtmanager::runtime::DEFAULT_POLICY).unwrap();
    let policy = "[policy]\npath = \"policy.wasm\"\nsettings = { api_token = \"hunter2\" }\n";
    std::fs::write(desk.directory.path().join("rtmanager.toml"), policy).unwrap();
    let mut command = desk.command(&["config", "check"]);
    command.env("RTMANAGER_CLEANUP_INTERVAL", "15m");
    let said = Said::of(command.output().unwrap(), desk.directory.path());
    assert_eq!(said.status, 0, "{said:?}");
    assert!(!said.out.contains("hunter2"));
    // Columns are as wide as this run's directory is long.
    let lines: Vec<_> = said.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    insta::assert_snapshot!(lines.join("\n"));
    let all = desk.run(&["--json", "config", "check", "--all"]).json();
    assert!(all.as_array().unwrap().len() > 50, "{all}");
}

#[test]
fn config_check_says_which_policy_is_none_and_opens_no_store() {
    let desk = Desk::new();
    std::fs::write(desk.directory.path().join("good.wasm"), rtmanager::runtime::DEFAULT_POLICY).unwrap();
    std::fs::write(desk.directory.path().join("none.wasm"), "no component").unwrap();
    let misfit = wat::parse_str("(component (import \"no:such/thing\" (func)))").unwrap();
    std::fs::write(desk.directory.path().join("misfit.wasm"), misfit).unwrap();
    let check = |tenant: &str| {
        let rival = format!("tenants.rival.path={tenant}");
        desk.run(&["--set", "policy.path=good.wasm", "--set", &rival, "config", "check"])
    };
    assert_eq!(check("good.wasm").status, 0);
    for (file, why) in [("none.wasm", "not a component"), ("misfit.wasm", "does not fit world galaxy:rtmanager")] {
        let said = check(file);
        assert_eq!((said.status, said.out.as_str()), (5, ""), "{said:?}");
        assert!(said.err.contains(&format!("the policy {file} cannot be used")) && said.err.contains(why), "{said:?}");
    }
    assert!(!desk.directory.path().join("state").exists());
}

#[tokio::test]
async fn an_operator_gets_by_without_policies_and_engines() {
    let desk = Desk::new();
    desk.stopped("game-1", 40).await;
    std::fs::write(desk.directory.path().join("broken.wasm"), "no component").unwrap();
    std::fs::create_dir(desk.directory.path().join("empty")).unwrap();
    let broken = ["policy.path=broken.wasm", "engines.far.host=https://far:2376", "engines.far.tls_certificates=empty"];
    let run = |arguments: &[&str]| {
        let settings: Vec<_> = broken.iter().flat_map(|setting| ["--set", setting]).collect();
        desk.run(&[&settings[..], arguments].concat())
    };
    for arguments in [
        &["pause"][..],
        &["pauses"],
        &["resume"],
        &["hold", "game-1", "--reason", "evidence"],
        &["unhold", "game-1"],
        &["unpark", "game-1"],
        &["runtimes"],
        &["operations"],
        &["explain", "game-1"],
    ] {
        let said = run(arguments);
        assert_eq!((said.status, said.err.as_str()), (0, ""), "{arguments:?}: {said:?}");
    }
    for arguments in [&["sweep"][..], &["cleanup", "game-1"], &["serve"]] {
        assert_eq!(run(arguments).status, 5, "{arguments:?}");
    }
}

#[test]
fn a_store_that_cannot_be_opened_is_3() {
    let desk = Desk::new();
    std::fs::write(desk.directory.path().join("state"), "no directory").unwrap();
    let said = desk.run(&["runtimes"]);
    assert_eq!(said.status, 3, "{said:?}");
    assert!(said.err.contains("because:"), "{}", said.err);
}

#[tokio::test]
async fn runtimes_are_listed_and_held() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["runtimes"]).out, "no runtimes\n");
    desk.stopped("game-1", 40).await;
    desk.stopped("game-2", 3).await;

    let held = desk.run(&["hold", "game-1", "--reason", "evidence", "--until", "2999-01-01T00:00:00Z"]);
    assert_eq!(held.out, "game-1: held until 2999-01-01T00:00:00Z\n", "{held:?}");
    let past = desk.run(&["hold", "game-1", "--reason", "x", "--until", "2020-01-01T00:00:00Z"]);
    assert_eq!(past.status, 2, "{past:?}");

    let listed = desk.run(&["--json", "runtimes"]).json();
    let games: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|row| row["game_id"].as_str().unwrap()).collect();
    assert_eq!(games, ["game-1", "game-2"]);
    let actor = listed["items"][0]["cleanup"]["hold"]["actor"].as_str().unwrap();
    assert!(actor.starts_with("cli:uid="), "{actor}");

    let table = desk.run(&["runtimes", "--limit", "1"]).out;
    assert!(table.starts_with("GAME") || table.starts_with(" GAME"), "{table}");
    assert!(table.contains("hold: evidence") && table.ends_with("more: --after game-1\n"), "{table}");

    assert_eq!(desk.run(&["unhold", "game-1"]).out, "game-1: not held\n");
    let nobody = desk.run(&["hold", "nobody", "--reason", "x"]);
    assert_eq!((nobody.status, nobody.err.as_str()), (4, "rtmanager: game \"nobody\" has no record\n"));
}

#[tokio::test]
async fn explain_answers_in_a_sentence() {
    let desk = Desk::new();
    desk.stopped("game-1", 40).await;
    let due = desk.run(&["explain", "game-1"]);
    assert_eq!(
        due.out,
        "game-1 (tenant acme, engine local, stopped)\n\
         It is due: the next sweep offers it to its policy, which decides.\n"
    );
    assert_eq!(desk.run(&["pause", "--engine", "local", "--reason", "moving house"]).out, "engine local: paused\n");
    let paused = desk.run(&["explain", "game-1"]).out;
    assert!(paused.contains("It is kept: sweeps are paused (engine local) by cli:uid="), "{paused}");
    assert_eq!(desk.run(&["explain", "nobody"]).status, 4);
}

#[tokio::test]
async fn pauses_are_listed_and_lifted() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["pauses"]).out, "nothing is paused\n");
    assert_eq!(desk.run(&["pause"]).out, "global: paused\n");
    assert_eq!(desk.run(&["pause"]).out, "global: was paused already, and stays so\n");
    let listed = desk.run(&["--json", "pauses"]).json();
    assert_eq!(listed["items"][0]["reason"], "paused by an operator");
    let swept = desk.run(&["sweep"]);
    assert_eq!(swept.status, 4, "{swept:?}");
    assert!(swept.out.starts_with("not swept, paused by cli:uid="), "{}", swept.out);
    assert_eq!(desk.run(&["resume"]).out, "global: sweeps go on\n");
    let again = desk.run(&["resume"]);
    assert_eq!((again.status, again.out.as_str()), (0, "global: was not paused\n"));
    assert_eq!(desk.run(&["--json", "resume"]).out, "null\n");
}

#[tokio::test]
async fn a_cleanup_ends_with_the_status_of_its_code_and_is_logged_under_its_user() {
    let desk = Desk::new();
    desk.stopped("game-1", 40).await;
    let nobody = desk.run(&["cleanup", "nobody"]);
    assert_eq!(nobody.status, 4, "{nobody:?}");
    let away = desk.run(&["--json", "cleanup", "game-1"]);
    assert_eq!((away.status, &away.json()["error_code"]), (3, &serde_json::json!("service_unavailable")));

    let logged = desk.run(&["--json", "operations", "--source", "cli"]).json();
    let codes: Vec<_> =
        logged["items"].as_array().unwrap().iter().map(|row| row["error_code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["service_unavailable", "not_found"]);
    assert!(logged["items"][0]["actor"].as_str().unwrap().starts_with("cli:uid="));
    let table = desk.run(&["operations"]).out;
    assert!(table.contains("service_unavailable") && table.lines().count() == 3, "{table}");
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_removed_and_removes_nothing() {
    let desk = Desk::new();
    desk.stopped("fresh", 3).await;
    desk.stopped("overdue", 40).await;
    let said = desk.run(&["--json", "sweep", "--dry-run"]);
    assert_eq!(said.status, 0, "{said:?}");
    let sweep = said.json();
    assert_eq!(sweep["items"].as_array().unwrap().len(), 1, "{sweep}");
    assert_eq!(
        (&sweep["items"][0]["game_id"], &sweep["items"][0]["decision"]),
        (&"overdue".into(), &"would remove".into())
    );
    assert_eq!((&sweep["engines"][0]["due"], &sweep["engines"][0]["removed"]), (&1.into(), &0.into()));
    assert_eq!(desk.run(&["operations"]).out, "no operations\n");
}

#[test]
fn completions_are_printed_for_a_shell() {
    let said = Desk::new().run(&["completions", "bash"]);
    assert_eq!(said.status, 0);
    assert!(said.out.contains("complete -F _rtmanager"), "{}", said.out);
}
