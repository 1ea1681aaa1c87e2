//! What is SQLite's own: opening a file, sharing it between processes, and surviving one of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rtmanager::adapters::memory::ManualClock;
use rtmanager::adapters::sqlite::{OpenError, SqliteOptions, SqliteStore, Synchronous};
use rtmanager::ports::{OperationFilter, StoreError};
use rtmanager_tests::contracts::fixture::{at, entry, game, intent, stopped, token};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

#[path = "sqlite_file/policies.rs"]
mod policies;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rtmanager.db");
    (directory, file)
}

async fn open(file: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(file, SqliteOptions::default()).await
}

/// As another program opens the file.
async fn raw(file: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap()
}

#[tokio::test]
async fn the_file_and_its_companions_are_for_their_owner_only() {
    let (directory, file) = place();
    let store = open(&file).await.unwrap();
    store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    let mut modes = Vec::new();
    for found in std::fs::read_dir(directory.path()).unwrap() {
        let found = found.unwrap();
        modes.push((found.file_name().into_string().unwrap(), found.metadata().unwrap().permissions().mode() & 0o777));
    }
    modes.sort();
    let names = ["rtmanager.db", "rtmanager.db-shm", "rtmanager.db-wal"];
    assert_eq!(modes, names.map(|name| (name.to_owned(), 0o600)));
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let (_directory, file) = place();
    let full = SqliteOptions { synchronous: Synchronous::Full, ..Default::default() };
    let store = SqliteStore::open(&file, full).await.unwrap();
    let record = store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    store.close().await;
    let reopened = open(&file).await.unwrap();
    assert_eq!(reopened.records().get(&game("g")).await.unwrap().unwrap().record, record);
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let (_directory, file) = place();
    let store = open(&file).await.unwrap();
    store.close().await;
    assert!(matches!(store.records().ping().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.operation_log().append(&entry(1, "g")).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let (directory, _) = place();
    let error = open(&directory.path().join("missing/rtmanager.db")).await.err().unwrap();
    assert!(matches!(&error, OpenError::NoDirectory(path) if path.ends_with("missing")), "{error}");
}

#[tokio::test]
async fn another_kind_of_file_is_refused_and_left_alone() {
    let (_directory, file) = place();
    let text = "this is no database, and long enough to be looked at as one. ".repeat(20);
    std::fs::write(&file, &text).unwrap();
    let error = open(&file).await.err().unwrap();
    assert!(matches!(error, OpenError::NotADatabase(_)), "{error:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_refused() {
    let (directory, _) = place();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
    // Modes do not bind root; the kernel's own file system does.
    let bound = std::fs::File::create(directory.path().join("probe")).is_err();
    let unwritable = if bound { directory.path() } else { Path::new("/sys/kernel") };
    let error = open(&unwritable.join("rtmanager.db")).await.err().unwrap();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
}

const NEWER: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
    VALUES (9000, 'of the future', TRUE, x'00', 0);
    ALTER TABLE runtime_records ADD COLUMN of_the_future TEXT NOT NULL DEFAULT 'new'";

#[tokio::test]
async fn tables_of_the_next_version_are_used_as_they_are() {
    let (_directory, file) = place();
    open(&file).await.unwrap().close().await;
    sqlx::raw_sql(NEWER).execute(&mut raw(&file).await).await.unwrap();
    let store = open(&file).await.unwrap();
    store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    assert!(store.records().get(&game("g")).await.unwrap().is_some());
}

#[tokio::test]
async fn tables_that_have_left_this_version_behind_are_refused() {
    let (_directory, file) = place();
    open(&file).await.unwrap().close().await;
    let mut other = raw(&file).await;
    sqlx::raw_sql(NEWER).execute(&mut other).await.unwrap();
    sqlx::raw_sql("UPDATE schema_compatibility SET usable_since = 8000").execute(&mut other).await.unwrap();
    let error = open(&file).await.err().unwrap();
    assert!(matches!(error, OpenError::Newer { found: 9000, usable_since: 8000, .. }), "{error:?}");
}

#[tokio::test]
async fn tables_of_another_making_are_refused() {
    let (_directory, file) = place();
    open(&file).await.unwrap().close().await;
    sqlx::query("UPDATE _sqlx_migrations SET checksum = x'00'").execute(&mut raw(&file).await).await.unwrap();
    let error = open(&file).await.err().unwrap();
    assert!(matches!(error, OpenError::Foreign { version: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn a_new_file_can_be_opened_by_many_at_once() {
    let (_directory, file) = place();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let file = file.clone();
            tokio::spawn(async move { open(&file).await.map(|_| ()) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_writer_that_keeps_the_lock_makes_writes_unavailable_and_reads_go_on() {
    let (_directory, file) = place();
    let impatient = SqliteOptions { busy_timeout: Duration::from_millis(50), ..Default::default() };
    let store = SqliteStore::open(&file, impatient).await.unwrap();
    let mut other = raw(&file).await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    assert!(matches!(store.operation_log().append(&entry(1, "g")).await, Err(StoreError::Unavailable(_))));
    assert!(store.records().get(&game("g")).await.unwrap().is_none());
    lock.rollback().await.unwrap();
    store.operation_log().append(&entry(1, "g")).await.unwrap();
}

fn hammer(file: &Path, number: u64, rounds: u64) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sqlite_hammer"));
    command.arg(file).arg(number.to_string()).arg(rounds.to_string()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

async fn with_four_games(file: &Path) -> SqliteStore {
    let store = open(file).await.unwrap();
    for number in 0..4 {
        store.records().register(&stopped(&format!("g{number}"), number), at(0)).await.unwrap();
    }
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_on_one_file_lose_nothing_and_grant_nothing_twice() {
    const ROUNDS: u64 = 300;
    let (_directory, file) = place();
    let store = with_four_games(&file).await;
    let workers: Vec<_> = (1..=3).map(|number| hammer(&file, number, ROUNDS).spawn().unwrap()).collect();
    let (mut granted, mut won) = (0, 0);
    for worker in workers {
        let output = worker.wait_with_output().await.unwrap();
        assert!(output.status.success(), "a worker failed: its error is above");
        let text = String::from_utf8(output.stdout).unwrap();
        let counts: Vec<u64> = text.split_whitespace().map(|count| count.parse().unwrap()).collect();
        granted += counts[0];
        won += counts[1];
    }
    assert_eq!(granted, won, "under a lease nobody else changes the record");
    let mut versions = 0;
    for number in 0..4 {
        let name = game(&format!("g{number}"));
        versions += store.records().get(&name).await.unwrap().unwrap().record.version - 1;
        let leases = store.leases(Arc::new(ManualClock::default()));
        let left = !leases.try_acquire(&name, &token(1), Duration::from_secs(30)).await.unwrap();
        assert!(!left, "a lease was left behind");
    }
    assert_eq!(versions, won);
    assert_eq!(store.records().overdue_runs(at(u32::MAX.into()), None, 1).await.unwrap(), [], "a run was left open");
    let last = store.records().begin_run(&intent(1, "g0")).await.unwrap().unwrap();
    assert_eq!(last.fence.0, granted + 1, "each run had a fence of its own");
    let logged = store.operation_log().list(&OperationFilter::default(), None, u32::MAX).await.unwrap();
    assert_eq!(logged.len() as u64, granted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_at_any_moment_leaves_a_whole_file() {
    let (_directory, file) = place();
    let store = with_four_games(&file).await;
    let mut before = 0;
    for number in 1..=5 {
        let mut worker = hammer(&file, number, u64::MAX >> 33).spawn().unwrap();
        let logged = at_least(&store, before + 20).await;
        worker.kill().await.unwrap();
        before = logged;
        let whole: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut raw(&file).await).await.unwrap();
        assert_eq!(whole, "ok");
        sqlx::query("DELETE FROM leases").execute(&mut raw(&file).await).await.unwrap();
    }
    // Every change was made by a run that was then logged, but for the last of each killed process.
    let mut changes = 0;
    for number in 0..4 {
        changes += store.records().get(&game(&format!("g{number}"))).await.unwrap().unwrap().record.version - 1;
    }
    let logged = store.operation_log().list(&OperationFilter::default(), None, u32::MAX).await.unwrap().len() as u64;
    assert!((logged..=logged + 5).contains(&changes), "{changes} changes, {logged} entries");
}

/// Waits until the log has that many entries, and answers how many it has.
async fn at_least(store: &SqliteStore, entries: usize) -> usize {
    for _ in 0..1_000 {
        let logged = store.operation_log().list(&OperationFilter::default(), None, u32::MAX).await.unwrap().len();
        if logged >= entries {
            return logged;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the worker did not write {entries} entries within 10 s");
}
