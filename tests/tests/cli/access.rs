//! Tokens and the trail, by command.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use sqlx::Connection as _;

use super::desk::{Desk, Said, Server};

fn trail(desk: &Desk) -> Vec<Value> {
    desk.run(&["--json", "audit", "list"]).json()["items"].as_array().unwrap().clone()
}

/// A request with this secret, over TCP.
fn call(desk: &Desk, server: &Server, secret: &str, arguments: &[&str]) -> Said {
    let file = desk.directory.path().join("mine.token");
    std::fs::write(&file, secret).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let listen = format!("http.listen={}", server.listen);
    desk.run(&[&["--set", &listen, "--set", "http.token_file=mine.token", "api"], arguments].concat())
}

#[test]
fn a_token_opens_a_running_server_at_once_and_is_refused_from_its_revocation_on() {
    let desk = Desk::new();
    let server = desk.serve(&["http.listen=127.0.0.1:0"]);
    let made = desk.run(&["token", "create", "ci", "--role", "tenant", "--tenant", "acme", "--expires", "90d"]);
    assert_eq!((made.status, made.out.len(), made.err.as_str()), (0, 44, ""), "the secret alone: {made:?}");
    let listed = call(&desk, &server, &made.out, &["GET", "runtimes"]);
    assert_eq!((listed.status, listed.json()), (0, json!({"items": [], "next": null})));
    let refused = call(&desk, &server, &made.out, &["PUT", "pauses/global", "--data", r#"{"reason": "x"}"#]);
    assert_eq!((refused.status, &refused.json()["code"]), (2, &json!("forbidden")));

    assert_eq!(desk.run(&["token", "revoke", "ci"]).out, "ci: revoked\n");
    let refused = call(&desk, &server, &made.out, &["GET", "runtimes"]);
    assert_eq!((refused.status, &refused.json()["code"]), (2, &json!("unauthorized")));
}

#[test]
fn tokens_are_listed_without_their_secrets() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["token", "list"]).out, "no tokens\n");
    let made = desk.run(&["--json", "token", "create", "ada", "--role", "operator"]).json();
    let secret = made["secret"].as_str().unwrap();
    let listed = desk.run(&["--json", "token", "list"]);
    assert_eq!(listed.json()["items"], json!([made["token"]]));
    assert!(!listed.out.contains(secret) && !desk.run(&["audit", "list"]).out.contains(secret));
    let table = desk.run(&["token", "list"]).out;
    assert!(table.lines().count() == 2 && table.contains("operator"), "{table}");
}

#[test]
fn what_is_wrong_with_a_token_is_told_by_the_exit_status() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["token", "create", "ci", "--role", "viewer"]).status, 0);
    for (wrong, status) in [
        (&["create", "ci", "--role", "viewer"][..], 4),
        (&["revoke", "none"], 4),
        (&["create", "file", "--role", "viewer"], 2),
        (&["create", "a b", "--role", "viewer"], 2),
        (&["create", "x", "--role", "root"], 2),
        (&["create", "x"], 2),
        (&["create", "x", "--role", "tenant"], 2),
        (&["create", "x", "--role", "viewer", "--tenant", "acme"], 2),
        (&["create", "x", "--role", "viewer", "--expires", "2020-01-01T00:00:00Z"], 2),
        (&["create", "x", "--role", "viewer", "--expires", "0s"], 2),
        (&["create", "x", "--role", "viewer", "--expires", "soon"], 2),
    ] {
        let said = desk.run(&[&["token"], wrong].concat());
        assert_eq!((said.status, said.out.as_str()), (status, ""), "{wrong:?}: {said:?}");
        assert!(!said.err.is_empty(), "{wrong:?}");
    }
    assert_eq!(desk.run(&["--json", "token", "list"]).json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn every_change_by_command_leaves_an_entry_by_its_user() {
    let desk = Desk::new();
    desk.stopped("game-1", 40).await;
    for (command, action, subject) in [
        (&["hold", "game-1", "--reason", "case 7"][..], "runtime.hold", "game-1"),
        (&["unhold", "game-1"], "runtime.unhold", "game-1"),
        (&["unpark", "game-1"], "runtime.unpark", "game-1"),
        (&["pause", "--engine", "local"], "sweeper.pause", "engine local"),
        (&["resume", "--engine", "local"], "sweeper.resume", "engine local"),
        (&["token", "create", "ci", "--role", "viewer"], "token.create", "ci"),
        (&["token", "revoke", "ci"], "token.revoke", "ci"),
    ] {
        let before = trail(&desk).len();
        assert_eq!(desk.run(command).status, 0, "{command:?}");
        let entries = trail(&desk);
        assert_eq!(entries.len(), before + 1, "{command:?}");
        let last = entries.last().unwrap();
        assert_eq!((&last["action"], &last["subject"]), (&json!(action), &json!(subject)), "{command:?}");
        assert_eq!(last["role"], "admin", "{command:?}");
        assert!(last["actor"].as_str().unwrap().starts_with("cli:uid="), "{last}");
    }
    let before = trail(&desk).len();
    for command in [&["sweep", "--dry-run"][..], &["runtimes"], &["pauses"], &["token", "list"], &["audit", "verify"]] {
        desk.run(command);
        assert_eq!(trail(&desk).len(), before, "{command:?}");
    }
    assert_eq!(desk.run(&["cleanup", "game-1"]).status, 3);
    assert_eq!(trail(&desk)[before]["action"], "runtime.cleanup");
    let of = trail(&desk)[before]["sequence"].clone();
    let failed = json!({"of": of, "outcome": "failed", "code": "service_unavailable"});
    assert_eq!(trail(&desk)[before + 1]["detail"], failed);
    desk.run(&["sweep", "--engine", "local"]);
    assert_eq!(trail(&desk)[before + 2]["action"], "sweeper.sweep");
}

#[tokio::test]
async fn the_trail_is_checked_and_what_was_tampered_with_is_named() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["audit", "verify"]).out, "the trail is empty\n");
    assert_eq!(desk.run(&["audit", "list"]).out, "nothing was done\n");
    for _ in 0..3 {
        desk.run(&["pause"]);
    }
    let whole = desk.run(&["audit", "verify"]);
    let head = whole.out.lines().nth(1).unwrap().to_owned();
    assert!(whole.status == 0 && head.starts_with("3:"), "{whole:?}");
    assert_eq!(desk.run(&["audit", "verify", "--head", &head]).status, 0);
    assert_eq!(desk.run(&["audit", "verify", "--head", "3"]).status, 2);
    let page = desk.run(&["audit", "list", "--from", "2", "--limit", "1"]).out;
    assert!(page.ends_with("more: --from 3\n") && page.lines().count() == 4, "{page}");

    let url = format!("sqlite://{}", desk.directory.path().join("state/rtmanager.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("DELETE FROM audit_log WHERE sequence = 3").execute(&mut connection).await.unwrap();
    assert_eq!(desk.run(&["audit", "verify"]).status, 0);
    let cut = desk.run(&["audit", "verify", "--head", &head]);
    assert_eq!(cut.status, 1, "{cut:?}");
    assert!(
        cut.out.starts_with("the trail is broken at 3: it is missing: the trail was cut off before it\n"),
        "{cut:?}"
    );
    sqlx::raw_sql("UPDATE audit_log SET actor = 'eve' WHERE sequence = 2").execute(&mut connection).await.unwrap();
    let changed = desk.run(&["--json", "audit", "verify"]);
    assert_eq!((changed.status, &changed.json()["broken"]["sequence"]), (1, &json!(2)), "{changed:?}");
}

#[test]
fn the_servers_log_anchors_the_trail() {
    let desk = Desk::new();
    let mut server = desk.serve(&[]);
    assert_eq!(desk.run(&["api", "PUT", "pauses/global", "--data", r#"{"reason": "x"}"#]).status, 0);
    let line = server.logged(|line| line["message"] == "audited");
    let entry = &trail(&desk)[0];
    assert_eq!((&line["sequence"], &line["hash"]), (&entry["sequence"], &entry["hash"]));
    assert!(entry["actor"].as_str().unwrap().starts_with("unix:uid="), "{entry}");
}
