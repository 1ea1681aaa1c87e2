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
use std::process::{Command, Output};
use std::time::Duration;

use rtmanager::app::Stores;
use rtmanager::model::{PolicyEvent, PolicyScope};
use rtmanager::ports::ScopeState;
use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager_tests::bombs::many_sections;
use rtmanager_tests::place::Place;
use rtmanager_tests::postgres::Postgres;
use tokio::time::Instant;

const SCOPE: &str = "acme";

fn command(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.command(env!("CARGO_BIN_EXE_rtmanager-cli"));
    command.args(arguments);
    command
}

fn run(place: &Place, arguments: &[&str]) -> Output {
    let output = command(place, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Kills a command after so long, unless it has ended.
fn killed(place: &Place, arguments: &[&str], after: Duration) {
    let mut child = command(place, arguments).spawn().unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn push(place: &Place, number: usize) {
    let file = place.path().join("policy.wasm");
    std::fs::write(&file, many_sections(DEFAULT_POLICY, number)).unwrap();
    run(place, &["policy", "push", path(&file), "--name", "keep", "--version", &format!("1.{number}.0")]);
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
    assert!(!stores.policies.named(&current.spec.digest).await.unwrap().is_empty());
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
    run(place, arguments);
    let began = Instant::now();
    run(place, arguments);
    let whole = began.elapsed();
    let (mut serving, mut swapped) = (state(&stores).await.current.unwrap().number, 0);
    for number in 0..times {
        killed(place, arguments, whole * (number + 1) / times);
        let now = is_whole(&stores, serving).await;
        swapped += u32::from(now != serving);
        serving = now;
    }
    run(place, &["audit", "verify"]);
    run(place, arguments);
    let last = is_whole(&stores, serving).await;
    assert_ne!(last, serving, "whatever was killed, the next one works");
    [times, swapped]
}

async fn survives(place: Place) {
    for number in [1, 2] {
        push(&place, number);
    }
    let bind = ["policy", "bind", SCOPE, "keep@1.2.0", "--accept-authority", "--reason", "x", "--wait", "0ms"];
    run(&place, &["policy", "bind", SCOPE, "keep@1.1.0", "--accept-authority", "--reason", "x", "--wait", "0ms"]);
    let bound = kill_at_every_moment(&place, &bind, 6).await;
    let rolled_back = kill_at_every_moment(&place, &["policy", "rollback", SCOPE, "--reason", "x"], 12).await;
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
