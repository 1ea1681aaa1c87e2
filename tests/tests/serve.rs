//! The server as a process, on a real engine and a real store: what it does by itself, and how it ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bollard::query_parameters::StopContainerOptions;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use hyperlocal::{UnixConnector, Uri};
use rtmanager::adapters::docker::Endpoint;
use rtmanager::model::{ContainerId, Labels};
use rtmanager_tests::dockerd::{Dockerd, labels};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;

const TICK: Duration = Duration::from_millis(50);
/// Looks, a tick apart, before a test gives up: 60 s.
const LOOKS: u32 = 1_200;
const GAME: &str = "game-1";

/// A directory, an engine, and an owner's name that no other test has.
struct Site {
    directory: tempfile::TempDir,
    host: String,
    owner: &'static str,
    settings: Vec<String>,
}

impl Site {
    fn on(dockerd: &Dockerd, owner: &'static str, settings: &[&str]) -> Self {
        let Endpoint::Unix(socket) = dockerd.endpoint() else { panic!("the tests' engine has a unix socket") };
        let host = format!("unix://{}", socket.display());
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        Self { directory: tempfile::tempdir().unwrap(), host, owner, settings }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("api.sock")
    }

    fn labels(&self) -> Labels {
        labels(&[("rtmanager.owner", self.owner), ("rtmanager.tenant", "acme"), ("rtmanager.game", GAME)])
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let own = [
            format!("store.path={}", self.path("rtmanager.db").display()),
            format!("http.listen=unix:{}", self.socket().display()),
            format!("http.token_file={}", self.path("api.token").display()),
            format!("engines.local.host={}", self.host),
            format!("discovery.owner={}", self.owner),
            "discovery.interval=1s".to_owned(),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmanager-cli"));
        command.env_clear().current_dir(self.directory.path()).env("HOME", self.directory.path());
        command.args(own.iter().chain(&self.settings).flat_map(|setting| ["--set", setting]));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(&[&["--json"], arguments].concat()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Outcome, source and container of each entry of the operation log, the newest first.
    fn operations(&self) -> Vec<[Value; 3]> {
        let page = self.json(&["operations"]);
        let entry = |row: &Value| ["outcome", "op_source", "container_id"].map(|name| row[name].clone());
        page["items"].as_array().unwrap().iter().map(entry).collect()
    }

    async fn serve(&self) -> Server<'_> {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let process = self.command(&["serve"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Server { site: self, process }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        for _ in 0..LOOKS {
            if is_so().await {
                return;
            }
            sleep(TICK).await;
        }
        panic!("not within {:?}: {what}; the server's log:\n{}", TICK * LOOKS, self.log());
    }

    /// The status of the answer; none without a server.
    async fn ask(&self, method: Method, path: &str) -> Option<u16> {
        let client: Client<UnixConnector, String> = Client::builder(TokioExecutor::new()).build(UnixConnector);
        let uri: hyper::Uri = Uri::new(self.socket(), path).into();
        let request = Request::builder().method(method).uri(uri).header("host", "localhost").body(String::new());
        let answer = client.request(request.unwrap()).await.ok()?;
        Some(answer.status().as_u16())
    }

    async fn answers(&self) {
        self.until("the server answers", async || self.ask(Method::GET, "/healthz").await == Some(200)).await;
    }

    async fn knows_the_game(&self) {
        let path = format!("/api/v1/internal/runtimes/{GAME}");
        self.until("the game is discovered", async || self.ask(Method::GET, &path).await == Some(200)).await;
    }

    async fn is_under_way(&self) {
        let is_leased = async || {
            let explained = self.json(&["explain", GAME]);
            explained["blockers"].as_array().unwrap().iter().any(|blocker| blocker["kind"] == "lease")
        };
        self.until("the run has its lease", is_leased).await;
    }

    async fn clean_up(&self) -> Option<u16> {
        self.ask(Method::DELETE, &cleanup_path()).await
    }
}

fn cleanup_path() -> String {
    format!("/api/v1/internal/runtimes/{GAME}/container")
}

fn entry(outcome: &str, source: &str, container: &ContainerId) -> [Value; 3] {
    [json!(outcome), json!(source), json!(container.as_str())]
}

struct Server<'s> {
    site: &'s Site,
    process: Child,
}

impl Server<'_> {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    async fn ended(&mut self) -> ExitStatus {
        let site = self.site;
        let process = &mut self.process;
        site.until("the server ends", async || process.try_wait().unwrap().is_some()).await;
        process.wait().unwrap()
    }

    async fn terminated(&mut self) {
        self.signal("TERM");
        assert_eq!(self.ended().await.code(), Some(0), "{}", self.site.log());
        assert!(!self.site.socket().exists(), "the socket is left");
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // One that has ended needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

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
    assert_eq!((&dry["discovery"], &dry["items"]), (&json!(null), &json!([])));
    assert_eq!(site.json(&["runtimes"])["items"], json!([]));

    let swept = site.json(&["sweep"]);
    assert_eq!((&swept["discovery"][0]["registered"], &swept["items"][0]["decision"]), (&json!(1), &json!("removed")));
    assert!(!dockerd.has(&id).await);
}

#[tokio::test]
async fn a_single_sweep_reports_containers_that_claim_one_game_and_touches_neither() {
    let dockerd = Dockerd::shared().await;
    let site = Site::on(&dockerd, "sweep-conflict", &["container_retention_days=0"]);
    let ids = dockerd.exited_many([site.labels(), site.labels()]).await;
    let swept = site.json(&["sweep"]);
    assert_eq!(swept["discovery"][0]["conflicts"].as_array().unwrap().len(), 2, "{swept}");
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
    assert!(error.starts_with("not swept: its containers were not discovered: "), "{swept}");
    assert!(error.ends_with(&said(&swept["discovery"][0]["error"])), "{swept}");
    assert_eq!(swept["items"], json!([]));
    assert!(dockerd.has(&id).await);
    assert_eq!(site.json(&["sweep"])["items"][0]["decision"], "removed");
}
