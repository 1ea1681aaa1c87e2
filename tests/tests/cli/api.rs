//! `rtmanager api`: the running server, through the command line.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use super::desk::{Desk, Said, Server};

/// A request to a server that listens on TCP.
fn over_tcp(desk: &Desk, server: &Server, arguments: &[&str]) -> Said {
    let listen = format!("http.listen={}", server.listen);
    desk.run(&[&["--set", "http.allow_remote=true", "--set", &listen, "api"], arguments].concat())
}

#[test]
fn a_request_is_answered_over_the_socket() {
    let desk = Desk::new();
    let _server = desk.serve(&[]);
    let put = desk.run(&["api", "put", "runtimes/a%2Fb", "--data", r#"{"status": "running"}"#]);
    assert_eq!((put.status, &put.json()["game_id"]), (0, &"a/b".into()), "{put:?}");
    let got = desk.run(&["api", "GET", "/api/v1/internal/runtimes/a%2Fb"]);
    assert_eq!((got.status, &got.json()["status"]), (0, &"running".into()), "{got:?}");
    assert_eq!(desk.run(&["api", "GET", "/healthz"]).out, "{\"status\":\"ok\"}\n");
    assert!(!desk.directory.path().join("api.token").exists());
}

#[test]
fn a_body_comes_from_a_file_or_the_standard_input() {
    let desk = Desk::new();
    let _server = desk.serve(&[]);
    std::fs::write(desk.directory.path().join("body.json"), r#"{"status": "stopped"}"#).unwrap();
    let from_file = desk.run(&["api", "PUT", "runtimes/g-1", "--data", "@body.json"]);
    assert_eq!((from_file.status, &from_file.json()["status"]), (0, &"stopped".into()));

    let mut command = desk.command(&["api", "PUT", "runtimes/g-2", "--data", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(br#"{"status": "running"}"#).unwrap();
    let piped = Said::of(child.wait_with_output().unwrap(), desk.directory.path());
    assert_eq!((piped.status, &piped.json()["status"]), (0, &"running".into()));

    let missing = desk.run(&["api", "PUT", "runtimes/g-3", "--data", "@nowhere.json"]);
    assert_eq!((missing.status, missing.out.as_str()), (2, ""), "{missing:?}");
    std::fs::write(desk.directory.path().join("body.json"), vec![b' '; 1 << 20]).unwrap();
    let large = desk.run(&["api", "PUT", "runtimes/g-3", "--data", "@body.json"]);
    assert_eq!(large.status, 2);
    assert_eq!(large.err, "rtmanager: --data is larger than 65536 bytes (http.max_body_bytes)\n");
}

#[test]
fn the_exit_status_is_the_answers_and_the_problem_is_printed() {
    let desk = Desk::new();
    let _server = desk.serve(&[]);
    for (arguments, status, code) in [
        (vec!["GET", "runtimes/nobody"], 4, "not_found"),
        (vec!["GET", "runtimes?limit=0"], 2, "invalid_request"),
        (vec!["POST", "runtimes"], 2, "method_not_allowed"),
        (vec!["PUT", "runtimes/g-1", "--data", "{"], 2, "invalid_request"),
    ] {
        let said = desk.run(&[&["api"], &arguments[..]].concat());
        assert_eq!((said.status, &said.json()["code"]), (status, &code.into()), "{arguments:?}");
    }
    let unready = desk.run(&["api", "GET", "/readyz"]);
    assert_eq!((unready.status, &unready.json()["ready"]), (3, &false.into()), "{unready:?}");
    for wrong in [["GET", "/with space"], ["G ET", "/healthz"], ["CONNECT", "/healthz"]] {
        let said = desk.run(&[&["api"], &wrong[..]].concat());
        assert_eq!((said.status, said.out.as_str()), (2, ""), "{said:?}");
    }
}

#[test]
fn without_a_server_it_says_so() {
    let said = Desk::new().run(&["api", "GET", "/healthz"]);
    assert_eq!(said.status, 3);
    insta::assert_snapshot!(said.err);
}

#[test]
fn over_tcp_the_token_comes_from_the_servers_file() {
    let desk = Desk::new();
    let server = desk.serve(&["http.listen=127.0.0.1:0"]);
    let answered = over_tcp(&desk, &server, &["GET", "/healthz"]);
    assert_eq!((answered.status, answered.out.as_str()), (0, "{\"status\":\"ok\"}\n"), "{answered:?}");

    let token = desk.directory.path().join("api.token");
    let whole = std::fs::read_to_string(&token).unwrap();
    std::fs::write(&token, format!("{}\n", "A".repeat(43))).unwrap();
    let other = over_tcp(&desk, &server, &["GET", "/healthz"]);
    assert_eq!((other.status, &other.json()["code"]), (2, &"unauthorized".into()));

    std::fs::write(&token, whole).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = over_tcp(&desk, &server, &["GET", "/healthz"]);
    assert_eq!((open.status, open.out.as_str()), (5, ""));
    insta::assert_snapshot!(open.err);
    std::fs::remove_file(&token).unwrap();
    assert_eq!(over_tcp(&desk, &server, &["GET", "/healthz"]).status, 5);
}

#[test]
fn a_server_on_every_address_has_to_be_meant_and_is_reached_by_loopback() {
    let desk = Desk::new();
    let refused = desk.run(&["--set", "http.listen=0.0.0.0:0", "serve"]);
    assert_eq!(refused.status, 5);
    assert!(refused.err.contains("http.allow_remote"), "{}", refused.err);

    let server = desk.serve(&["http.listen=0.0.0.0:0", "http.allow_remote=true"]);
    assert!(server.listen.starts_with("0.0.0.0:"), "{}", server.listen);
    let answered = over_tcp(&desk, &server, &["GET", "/healthz"]);
    assert_eq!(answered.status, 0, "{answered:?}");
}
