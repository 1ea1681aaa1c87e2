//! The server as a process, on a real engine and a real store: what it does by itself, and how it ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

#[path = "serve/reconciler.rs"]
mod reconciler;
#[path = "serve/site.rs"]
mod site;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use bollard::query_parameters::StopContainerOptions;
use rtmanager_tests::dockerd::Dockerd;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;

use site::{Site, cleanup_path, entry};

#[tokio::test]
async fn a_container_is_discovered_and_once_it_stops_removed_and_logged() {
    let dockerd = Dockerd::shared().await;
    let site = Site::on(&dockerd, "serve-sweeps", &["container_retention_days=0", "cleanup_interval=1s"]);
    let id = dockerd.running(&site.labels()).await;
    let mut server = site.serve().await;
    site.answers().await;
    site.knows_the_game().await;
    assert_eq!(site.json(&["runtimes"])["items"][0]["status"], "running");
    // Sweeps pass, and it is still there.
    sleep(Duration::from_secs(3)).await;
    assert!(dockerd.has(&id).await);

    let at_once = StopContainerOptions { t: Some(0), ..StopContainerOptions::default() };
    dockerd.docker().stop_container(id.as_str(), Some(at_once)).await.unwrap();
    site.until("the container is removed", async || !dockerd.has(&id).await).await;
    let removed = async || site.json(&["runtimes"])["items"][0]["status"] == "removed";
    site.until("the record says so", removed).await;
    assert_eq!(site.operations(), [entry("success", "auto_ttl", &id)]);
    server.terminated().await;
}

#[tokio::test]
async fn an_engine_that_is_away_does_not_keep_another_from_being_swept() {
    let dockerd = Dockerd::shared().await;
    let away = "engines.away.host=unix:///nonexistent/docker.sock";
    let site = Site::on(&dockerd, "serve-away", &["container_retention_days=0", "cleanup_interval=1s", away]);
    let id = dockerd.exited(&site.labels()).await;
    let mut server = site.serve().await;
    site.until("the container is removed", async || !dockerd.has(&id).await).await;
    site.until("the other engine's failure is logged", async || site.log().contains("\"engine\":\"away\"")).await;
    server.terminated().await;
}

#[tokio::test]
async fn a_rest_cleanup_answers_200_again_200_and_a_second_start_serves_on() {
    let dockerd = Dockerd::shared().await;
    let site = Site::on(&dockerd, "serve-rest", &[]);
    let id = dockerd.exited(&site.labels()).await;
    let mut server = site.serve().await;
    site.answers().await;
    site.knows_the_game().await;
    assert_eq!(site.clean_up().await, Some(200), "{}", site.log());
    assert!(!dockerd.has(&id).await);
    server.terminated().await;

    let mut again = site.serve().await;
    site.answers().await;
    assert_eq!(site.clean_up().await, Some(200), "a replay; {}", site.log());
    again.terminated().await;
    let outcomes: Vec<Value> = site.operations().into_iter().map(|[outcome, ..]| outcome).collect();
    assert_eq!(outcomes, ["success", "success"]);
}

#[tokio::test]
async fn sigterm_lets_a_run_under_way_finish() {
    let dockerd = Dockerd::start().await;
    let site = Site::on(&dockerd, "serve-drain", &["engines.local.request_timeout=60s"]);
    let id = dockerd.exited(&site.labels()).await;
    let mut server = site.serve().await;
    site.answers().await;
    site.knows_the_game().await;
    dockerd.freeze();
    let (answer, ()) = tokio::join!(site.clean_up(), async {
        site.is_under_way().await;
        server.signal("TERM");
        sleep(Duration::from_millis(500)).await;
        assert!(server.process.try_wait().unwrap().is_none(), "it did not wait for its run: {}", site.log());
        dockerd.thaw();
    });
    assert_eq!(answer, Some(200), "{}", site.log());
    assert_eq!(server.ended().await.code(), Some(0), "{}", site.log());
    assert!(!site.socket().exists());
    assert!(!dockerd.has(&id).await);
    assert_eq!(site.operations(), [entry("success", "admin_rest", &id)]);
}

#[tokio::test]
async fn a_run_finishes_though_its_caller_hangs_up() {
    let dockerd = Dockerd::start().await;
    let site = Site::on(&dockerd, "serve-hang-up", &["engines.local.request_timeout=60s"]);
    let id = dockerd.exited(&site.labels()).await;
    let mut server = site.serve().await;
    site.answers().await;
    site.knows_the_game().await;
    dockerd.freeze();
    let mut caller = UnixStream::connect(site.socket()).await.unwrap();
    let request = format!("DELETE {} HTTP/1.1\r\nHost: localhost\r\n\r\n", cleanup_path());
    caller.write_all(request.as_bytes()).await.unwrap();
    site.is_under_way().await;
    drop(caller);
    dockerd.thaw();
    site.until("the run is logged", async || !site.operations().is_empty()).await;
    assert_eq!(site.operations(), [entry("success", "admin_rest", &id)]);
    assert!(!dockerd.has(&id).await);
    server.terminated().await;
}

#[tokio::test]
async fn a_killed_server_leaves_nothing_that_keeps_the_next_from_finishing_its_run() {
    let dockerd = Dockerd::start().await;
    let site = Site::on(&dockerd, "serve-killed", &["lease.ttl=2s", "lease.margin=100ms"]);
    let id = dockerd.exited(&site.labels()).await;
    let mut server = site.serve().await;
    site.answers().await;
    site.knows_the_game().await;
    dockerd.freeze();
    let (answer, ()) = tokio::join!(site.clean_up(), async {
        site.is_under_way().await;
        server.signal("KILL");
        server.ended().await;
    });
    assert_eq!(answer, None);
    assert!(site.socket().exists(), "a killed server cannot take its socket away");
    dockerd.thaw();

    let mut next = site.serve().await;
    site.answers().await;
    // The dead server's lease ends by its time to live; until then its game is taken.
    site.until("the run succeeds", async || site.clean_up().await == Some(200)).await;
    assert!(!dockerd.has(&id).await);
    assert_eq!(site.operations()[0], entry("success", "admin_rest", &id));
    next.terminated().await;
}

#[tokio::test]
async fn on_tcp_a_token_is_made_that_only_its_user_can_read() {
    let dockerd = Dockerd::shared().await;
    // The last of a setting's values wins.
    let site = Site::on(&dockerd, "serve-tcp", &["http.listen=127.0.0.1:0"]);
    let mut server = site.serve().await;
    site.until("the server says where it listens", async || site.log().contains("\"listen\":\"127.0.0.1:")).await;
    let log = site.log();
    let address = log.split("\"listen\":\"").nth(1).unwrap().split('"').next().unwrap();
    let mode = std::fs::metadata(site.path("api.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = std::fs::read_to_string(site.path("api.token")).unwrap();
    for (header, expected) in [(String::new(), "401"), (format!("Authorization: Bearer {}\r\n", token.trim()), "200")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET /api/v1/internal/runtimes HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{answer}");
    }
    server.terminated().await;
}

#[tokio::test]
async fn a_single_sweep_discovers_first_and_a_dry_one_does_not() {
    let dockerd = Dockerd::shared().await;
    let site = Site::on(&dockerd, "sweep-discovers", &["container_retention_days=0"]);
    let id = dockerd.exited(&site.labels()).await;
    let dry = site.json(&["sweep", "--dry-run"]);
    assert_eq!((&dry["reconciled"], &dry["items"]), (&json!(null), &json!([])));
    assert_eq!(site.json(&["runtimes"])["items"], json!([]));

    let swept = site.json(&["sweep"]);
    assert_eq!((&swept["reconciled"][0]["registered"], &swept["items"][0]["decision"]), (&json!(1), &json!("removed")));
    assert!(!dockerd.has(&id).await);
}

#[tokio::test]
async fn a_single_sweep_reports_containers_that_claim_one_game_and_touches_neither() {
    let dockerd = Dockerd::shared().await;
    let site = Site::on(&dockerd, "sweep-conflict", &["container_retention_days=0"]);
    let ids = dockerd.exited_many([site.labels(), site.labels()]).await;
    let swept = site.json(&["sweep"]);
    assert_eq!(swept["reconciled"][0]["conflicts"].as_array().unwrap().len(), 2, "{swept}");
    for id in &ids {
        assert!(dockerd.has(id).await);
        dockerd.discard(id).await;
    }
}

#[tokio::test]
async fn an_engine_whose_discovery_failed_is_not_swept_and_the_report_says_why() {
    let dockerd = Dockerd::start().await;
    let settings = ["container_retention_days=0", "engines.local.request_timeout=1s"];
    let site = Site::on(&dockerd, "sweep-outdated", &settings);
    let id = dockerd.exited(&site.labels()).await;
    dockerd.freeze();
    let swept = site.json(&["sweep"]);
    dockerd.thaw();
    let said = |error: &Value| error.as_str().unwrap_or_default().to_owned();
    let error = said(&swept["engines"][0]["error"]);
    assert!(error.starts_with("not swept: its records were not reconciled: "), "{swept}");
    assert!(error.ends_with(&said(&swept["reconciled"][0]["error"])), "{swept}");
    assert_eq!(swept["items"], json!([]));
    assert!(dockerd.has(&id).await);
    assert_eq!(site.json(&["sweep"])["items"][0]["decision"], "removed");
}
