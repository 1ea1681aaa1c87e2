//! A directory of its own, with a store in it, in which the program is run.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rtmanager::adapters::sqlite::{SqliteOptions, SqliteStore};
use rtmanager::adapters::system_clock::SystemClock;
use rtmanager::model::{LiveStatus, PolicyDigest, Registration};
use rtmanager::ports::Clock as _;
use serde_json::Value;

/// Far beyond what anything here takes on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Desk {
    pub directory: tempfile::TempDir,
}

impl Desk {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmanager-cli"));
        command.env_clear().current_dir(self.directory.path()).env("HOME", self.directory.path());
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let settings = [
            format!("store.path={}", path("state/rtmanager.db")),
            format!("http.listen=unix:{}", path("api.sock")),
            format!("http.token_file={}", path("api.token")),
            format!("engines.local.host=unix://{}", path("no-docker.sock")),
            "engines.local.request_timeout=1s".to_owned(),
        ];
        command.args(settings.iter().flat_map(|setting| ["--set", setting])).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        Said::of(self.command(arguments).output().unwrap(), self.directory.path())
    }

    /// A server, once it listens.
    pub fn serve(&self, settings: &[&str]) -> Server {
        let settings: Vec<_> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let mut command = self.command(&[&settings[..], &["--log-format", "json", "serve"]].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut server = Server { child, log, seen: Vec::new(), listen: String::new() };
        let line = server.logged(|line| line["message"] == "serving");
        server.listen = line["listen"].as_str().unwrap().to_owned();
        server
    }

    /// A stopped game, `days` ago, in the store that the commands open.
    pub async fn stopped(&self, game: &str, days: u64) {
        let path = self.directory.path().join("state/rtmanager.db");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
        let now = SystemClock.now();
        let registration = Registration {
            game_id: game.parse().unwrap(),
            tenant: "acme".parse().unwrap(),
            engine: "local".parse().unwrap(),
            status: LiveStatus::Stopped,
            container_id: Some(PolicyDigest::of(game.as_bytes()).as_str().parse().unwrap()),
            image_ref: Some("img:1".to_owned()),
            labels: None,
            started_at: None,
            stopped_at: Some(now.saturating_sub(Duration::from_secs(days * 86_400))),
        };
        store.records().register(&registration, now).await.unwrap();
        store.close().await;
    }
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: Output, directory: &Path) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&directory.display().to_string(), "DIR");
        let status = output.status.code().expect("ended by a signal");
        Self { status, out: text(output.stdout), err: text(output.stderr) }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A server as a process of its own. It ends with the value.
pub struct Server {
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
    /// Where it listens, with the port that it was given.
    pub listen: String,
}

impl Server {
    /// The next line of its log that is the one. Every line must be JSON.
    pub fn logged(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|error| panic!("{error}: {:#?}", self.seen));
            let parsed: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            self.seen.push(line);
            if is_it(&parsed) {
                return parsed;
            }
        }
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code(),
                Err(RecvTimeoutError::Timeout) => panic!("still there: {:#?}", self.seen),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, in most tests.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
