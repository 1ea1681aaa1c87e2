//! Whoever swaps policies is killed at any moment: what serves is the one generation or the other, whole; hosts go on
//! with it, the trail is whole, and the next swap works.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rtmanager::app::Stores;
use rtmanager::config::{Environment, Loaded, Sources};
use rtmanager::model::{PolicyEvent, PolicyScope};
use rtmanager::ports::ScopeState;
use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager_tests::bombs::many_sections;
use rtmanager_tests::postgres::Postgres;
use tokio::time::Instant;

const SCOPE: &str = "acme";

/// Where it is done: a directory, and the settings that say so.
struct Place {
    directory: tempfile::TempDir,
    settings: Vec<(String, String)>,
}

impl Place {
    fn new(url: Option<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let mut settings = vec![
            ("store.path".to_owned(), path("state/rtmanager.db")),
            ("admission.code_cache".to_owned(), path("state/code")),
            ("admission.code_key_file".to_owned(), path("keys/code.key")),
        ];
        settings.extend(url.map(|url| ("store.url".to_owned(), url)));
        Self { directory, settings }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmanager-cli"));
        command.env_clear().env("HOME", self.directory.path()).current_dir(self.directory.path());
        for (key, value) in &self.settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Kills a command after so long, unless it has ended.
    fn killed(&self, arguments: &[&str], after: Duration) {
        let mut child = self.command(arguments).spawn().unwrap();
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn push(&self, number: usize) {
        let file = self.directory.path().join("policy.wasm");
        std::fs::write(&file, many_sections(DEFAULT_POLICY, number)).unwrap();
        self.run(&["policy", "push", path(&file), "--name", "keep", "--version", &format!("1.{number}.0")]);
    }

    async fn stores(&self) -> Stores {
        let flags = self.settings.clone();
        let sources = Sources { environment: Environment::default(), file: None, flags };
        Stores::open(Loaded::from_sources(&sources).unwrap().config).await.unwrap()
    }
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}

async fn state(stores: &Stores) -> ScopeState {
    stores.generations.state(&scope()).await.unwrap().unwrap()
}

fn scope() -> PolicyScope {
    SCOPE.parse().unwrap()
}

/// What serves is a generation that is there and was never changed, and the history ends with what made it current.
async fn is_whole(stores: &Stores, before: u64) -> u64 {
    let state = state(stores).await;
    let current = state.current.expect("something serves");
    let stored = stores.generations.generation(&scope(), current.number).await.unwrap();
    assert_eq!(stored, Some(current.clone()));
    assert!(stores.policies.get(&current.spec.digest).await.unwrap().is_some());
    let history = stores.generations.history(&scope(), None, 1).await.unwrap();
    let last = &history[0];
    assert!(matches!(last.event, PolicyEvent::Bound | PolicyEvent::RolledBack), "{last:?}");
    assert_eq!(last.to, Some(current.number), "{last:?}");
    if current.number != before {
        assert_eq!(last.from, Some(before), "{last:?}");
    }
    current.number
}

async fn kill_at_every_moment(place: &Place, arguments: &[&str], times: u32) -> [u32; 2] {
    let stores = place.stores().await;
    // The first one compiles.
    place.run(arguments);
    let began = Instant::now();
    place.run(arguments);
    let whole = began.elapsed();
    let (mut serving, mut swapped) = (state(&stores).await.current.unwrap().number, 0);
    for number in 0..times {
        place.killed(arguments, whole * (number + 1) / times);
        let now = is_whole(&stores, serving).await;
        swapped += u32::from(now != serving);
        serving = now;
    }
    place.run(&["audit", "verify"]);
    place.run(arguments);
    let last = is_whole(&stores, serving).await;
    assert_ne!(last, serving, "whatever was killed, the next one works");
    [times, swapped]
}

async fn survives(place: Place) {
    for number in [1, 2] {
        place.push(number);
    }
    let bind = ["policy", "bind", SCOPE, "keep@1.2.0", "--accept-authority", "--reason", "x", "--wait", "0ms"];
    place.run(&["policy", "bind", SCOPE, "keep@1.1.0", "--accept-authority", "--reason", "x", "--wait", "0ms"]);
    let bound = kill_at_every_moment(&place, &bind, 12).await;
    let rolled_back = kill_at_every_moment(&place, &["policy", "rollback", SCOPE, "--reason", "x"], 24).await;
    println!("killed {bound:?} binds and {rolled_back:?} rollbacks: how many, and how many had swapped all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_is_killed_in_a_file_is_made_or_not_made() {
    survives(Place::new(None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_is_killed_in_postgres_is_made_or_not_made() {
    let database = Postgres::shared().database().await;
    survives(Place::new(Some(database.url()))).await;
}
