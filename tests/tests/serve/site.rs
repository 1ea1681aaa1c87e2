//! A directory, an engine, and the server that works on them.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use hyperlocal::{UnixConnector, Uri};
use rtmanager::adapters::docker::Endpoint;
use rtmanager::model::{ContainerId, Labels};
use rtmanager_tests::dockerd::{Dockerd, labels};
use serde_json::{Value, json};
use tokio::time::sleep;

pub const TICK: Duration = Duration::from_millis(50);
/// Looks, a tick apart, before a test gives up: 60 s.
pub const LOOKS: u32 = 1_200;
pub const GAME: &str = "game-1";

/// A directory, an engine, and an owner's name that no other test has.
pub struct Site {
    pub directory: tempfile::TempDir,
    pub host: String,
    pub owner: &'static str,
    pub settings: Vec<String>,
}

impl Site {
    pub fn on(dockerd: &Dockerd, owner: &'static str, settings: &[&str]) -> Self {
        let Endpoint::Unix(socket) = dockerd.endpoint() else { panic!("the tests' engine has a unix socket") };
        let host = format!("unix://{}", socket.display());
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        Self { directory: tempfile::tempdir().unwrap(), host, owner, settings }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("api.sock")
    }

    pub fn labels(&self) -> Labels {
        labels(&[("rtmanager.owner", self.owner), ("rtmanager.tenant", "acme"), ("rtmanager.game", GAME)])
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
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

    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(&[&["--json"], arguments].concat()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Outcome, source and container of each entry of the operation log, the newest first.
    pub fn operations(&self) -> Vec<[Value; 3]> {
        let page = self.json(&["operations"]);
        let entry = |row: &Value| ["outcome", "op_source", "container_id"].map(|name| row[name].clone());
        page["items"].as_array().unwrap().iter().map(entry).collect()
    }

    pub async fn serve(&self) -> Server<'_> {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let process = self.command(&["serve"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Server { site: self, process }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        for _ in 0..LOOKS {
            if is_so().await {
                return;
            }
            sleep(TICK).await;
        }
        panic!("not within {:?}: {what}; the server's log:\n{}", TICK * LOOKS, self.log());
    }

    /// The status of the answer; none without a server.
    pub async fn ask(&self, method: Method, path: &str) -> Option<u16> {
        let client: Client<UnixConnector, String> = Client::builder(TokioExecutor::new()).build(UnixConnector);
        let uri: hyper::Uri = Uri::new(self.socket(), path).into();
        let request = Request::builder().method(method).uri(uri).header("host", "localhost").body(String::new());
        let answer = client.request(request.unwrap()).await.ok()?;
        Some(answer.status().as_u16())
    }

    pub async fn answers(&self) {
        self.until("the server answers", async || self.ask(Method::GET, "/healthz").await == Some(200)).await;
    }

    pub async fn knows_the_game(&self) {
        let path = format!("/api/v1/internal/runtimes/{GAME}");
        self.until("the game is discovered", async || self.ask(Method::GET, &path).await == Some(200)).await;
    }

    pub async fn is_under_way(&self) {
        let is_leased = async || {
            let explained = self.json(&["explain", GAME]);
            explained["blockers"].as_array().unwrap().iter().any(|blocker| blocker["kind"] == "lease")
        };
        self.until("the run has its lease", is_leased).await;
    }

    pub async fn clean_up(&self) -> Option<u16> {
        self.ask(Method::DELETE, &cleanup_path()).await
    }
}

pub fn cleanup_path() -> String {
    format!("/api/v1/internal/runtimes/{GAME}/container")
}

pub fn entry(outcome: &str, source: &str, container: &ContainerId) -> [Value; 3] {
    [json!(outcome), json!(source), json!(container.as_str())]
}

pub struct Server<'s> {
    pub site: &'s Site,
    pub process: Child,
}

impl Server<'_> {
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub async fn ended(&mut self) -> ExitStatus {
        let site = self.site;
        let process = &mut self.process;
        site.until("the server ends", async || process.try_wait().unwrap().is_some()).await;
        process.wait().unwrap()
    }

    pub async fn terminated(&mut self) {
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
