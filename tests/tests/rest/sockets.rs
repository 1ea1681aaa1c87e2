//! Who can reach the interface: the unix socket's owner, and on TCP whoever knows the token.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use rtmanager::adapters::system_clock::SystemRandomness;
use rtmanager::api::{Server, Token, TokenError};
use rtmanager::config::{Loaded, Sources};

use super::site::{Site, config};
use rtmanager_tests::http::Client;

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn refusal(directory: &tempfile::TempDir) -> String {
    let server = Server::bind(&config(directory, &[]).http, &SystemRandomness).await;
    server.map(drop).unwrap_err().to_string().replace(&directory.path().display().to_string(), "DIR")
}

#[tokio::test]
async fn the_socket_is_its_owners_only_and_asks_for_no_token() {
    let site = Site::open().await;
    assert!(site.is_unix());
    assert_eq!(mode(&site.directory.path().join("api.sock")), 0o600);
    assert_eq!(site.client.get("/healthz").await.status, 200);
    assert!(!site.directory.path().join("api.token").exists());
}

#[tokio::test]
async fn a_live_socket_is_not_stolen() {
    let site = Site::open().await;
    insta::assert_snapshot!(refusal(&site.directory).await);
    assert_eq!(site.client.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_live_socket_of_another_program_is_not_stolen_either() {
    let directory = tempfile::tempdir().unwrap();
    let _other = UnixListener::bind(directory.path().join("api.sock")).unwrap();
    assert!(refusal(&directory).await.contains("another process serves DIR/api.sock"));
}

#[tokio::test]
async fn a_socket_left_behind_by_a_crash_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    drop(UnixListener::bind(&path).unwrap());
    std::fs::create_dir(directory.path().join("api.sock.new")).unwrap();
    let server = Server::bind(&config(&directory, &[]).http, &SystemRandomness).await.unwrap();
    assert_eq!(mode(&path), 0o600);
    drop(server);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    std::fs::write(&path, "precious").unwrap();
    assert!(refusal(&directory).await.contains("DIR/api.sock is no socket"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn tcp_asks_for_the_token_on_every_path() {
    let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
    let token = site.token();
    assert_eq!(mode(&site.directory.path().join("api.token")), 0o600);
    assert_eq!(site.client.send("GET", "/readyz", &[("Authorization", &token)], None).await.status, 200);

    let mut other = token.clone();
    other.replace_range(other.len() - 1.., if token.ends_with('A') { "B" } else { "A" });
    for path in ["/healthz", "/metrics", "/api/v1/internal/runtimes", "/nowhere"] {
        for wrong in ["", "Bearer", "Bearer ", &other, &token[7..], &token.replace("Bearer", "Basic")] {
            let answer = site.client.send("GET", path, &[("Authorization", wrong)], None).await;
            assert_eq!(answer.problem(), (401, "unauthorized".to_owned()), "{path} {wrong}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
}

#[tokio::test]
async fn tcp_serves_only_the_names_it_knows() {
    let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
    let token = site.token();
    for (host, status) in [
        ("localhost", 200),
        ("LocalHost:7070", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:80", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("localhost@evil.example", 421),
        ("", 421),
    ] {
        let answer = site.client.send("GET", "/healthz", &[("Host", host), ("Authorization", &token)], None).await;
        assert_eq!(answer.status, status, "{host}: {answer:?}");
    }
    let two = [("Host", "localhost"), ("Host", "evil.example"), ("Authorization", token.as_str())];
    assert_ne!(site.client.send("GET", "/healthz", &two, None).await.status, 200);
}

#[tokio::test]
async fn the_actor_of_the_servers_own_token_is_its_file() {
    let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
    site.stopped("g-1", 1).await;
    let token = site.token();
    let path = "/api/v1/internal/runtimes/g-1/hold";
    let held = site.client.send("PUT", path, &[("Authorization", &token)], Some("{\"reason\": \"x\"}")).await;
    assert_eq!(held.json()["cleanup"]["hold"]["actor"], "token:file");
}

#[tokio::test]
async fn a_taken_port_is_refused_with_its_address() {
    let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
    let Client::Tcp(address) = site.client else { panic!("not on TCP") };
    let directory = tempfile::tempdir().unwrap();
    let http = config(&directory, &[("http.listen", &address.to_string())]).http;
    let error = Server::bind(&http, &SystemRandomness).await.map(drop).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
}

#[test]
fn a_token_is_made_once_and_read_ever_after() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/down/api.token");
    let made = Token::load_or_make(&path, &SystemRandomness).unwrap();
    assert_eq!(made.expose().len(), 43);
    assert_eq!(Token::load_or_make(&path, &SystemRandomness).unwrap(), made);
    assert_eq!(format!("{made:?}"), "Token(…)");
    let left_behind = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(left_behind, 1);
}

#[test]
fn a_token_that_others_can_read_or_that_is_none_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.token");
    Token::load_or_make(&path, &SystemRandomness).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Token::load(&path), Err(TokenError::Open { mode: 0o640, .. })));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    for wrong in ["", "\n", "short", "not base64 at all but forty-three bytes long"] {
        std::fs::write(&path, wrong).unwrap();
        assert!(matches!(Token::load(&path), Err(TokenError::Malformed { .. })), "{wrong:?} was taken");
    }
}

#[test]
fn a_token_file_that_is_a_link_or_no_file_is_refused_and_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (real, link, pipe) =
        (directory.path().join("real"), directory.path().join("link"), directory.path().join("pipe"));
    Token::load_or_make(&real, &SystemRandomness).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
    let said = |error: TokenError| match error {
        TokenError::File { source, .. } => source.to_string(),
        other => panic!("{other}"),
    };
    for (path, expected) in [
        (&link, "it is a symbolic link, and those are not followed to secrets"),
        (&pipe, "it is no regular file"),
        (&directory.path().to_owned(), "it is no regular file"),
    ] {
        assert_eq!(said(Token::load(path).unwrap_err()), expected);
        assert_eq!(said(Token::load_or_make(path, &SystemRandomness).unwrap_err()), expected);
    }
}

#[test]
fn a_token_of_somebody_elses_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.token");
    Token::load_or_make(&path, &SystemRandomness).unwrap();
    // Root can give the file away; nobody else can, but everybody else finds one of root's.
    let (path, is_root) = match std::os::unix::fs::chown(&path, Some(12_345), None) {
        Ok(()) => (path, true),
        Err(_) => ("/etc/passwd".into(), false),
    };
    let as_server = Token::load_or_make(&path, &SystemRandomness);
    assert!(matches!(as_server, Err(TokenError::Foreign { .. })), "{as_server:?}");
    // Root is no stranger to a server's file, as long as nobody else can read it.
    let as_client = Token::load(&path);
    assert!(if is_root { as_client.is_ok() } else { matches!(as_client, Err(TokenError::Foreign { .. })) });
    if is_root {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Token::load(&path), Err(TokenError::Open { .. })));
    }
}

#[tokio::test]
async fn an_address_that_others_reach_serves_them_under_known_names_only() {
    let refused = Sources { flags: vec![("http.listen".to_owned(), "0.0.0.0:0".to_owned())], ..Sources::default() };
    assert!(Loaded::from_sources(&refused).unwrap_err().to_string().contains("http.allow_remote"));

    let site = Site::with(&[("http.listen", "0.0.0.0:0"), ("http.allow_remote", "true")]).await;
    let Client::Tcp(address) = site.client.clone() else { panic!("not on TCP") };
    assert!(address.ip().is_unspecified());
    let client = Client::Tcp((std::net::Ipv4Addr::LOCALHOST, address.port()).into());
    assert_eq!(client.get("/healthz").await.status, 401);
    let token = site.token();
    assert_eq!(client.send("GET", "/healthz", &[("Authorization", &token)], None).await.status, 200);
    let outside = [("Host", "192.0.2.7"), ("Authorization", token.as_str())];
    assert_eq!(client.send("GET", "/healthz", &outside, None).await.status, 421);
}
