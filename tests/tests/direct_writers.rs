//! Platforms write `runtime_records` themselves, with no more than SQL and the comments of the migration: into SQLite and
//! into PostgreSQL alike, but for how a time is written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::any::Any;
use std::sync::Arc;

use rtmanager::adapters::postgres::{PostgresOptions, PostgresStore};
use rtmanager::adapters::sqlite::{SqliteOptions, SqliteStore};
use rtmanager::adapters::system_clock::SystemClock;
use rtmanager::model::{CleanupState, Status, Timestamp, TrackedRuntime};
use rtmanager::ports::{CasError, Clock as _, Disposition, RecordFilter, RecordStore, RegisterError, StoreError};
use rtmanager_tests::contracts::fixture::{at, container, engine, game, hold, removal, stopped};
use rtmanager_tests::postgres::Postgres;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

/// Records, and the connection of a platform that goes past them.
struct Shared {
    records: Arc<dyn RecordStore>,
    platform: Platform,
    _backend: Box<dyn Any>,
}

enum Platform {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

async fn sqlite() -> Shared {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rtmanager.db");
    let store = SqliteStore::open(&file, SqliteOptions::default()).await.unwrap();
    let platform = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    Shared { records: store.records(), platform: Platform::Sqlite(platform), _backend: Box::new(directory) }
}

async fn postgres() -> Shared {
    let database = Postgres::shared().database().await;
    let store = PostgresStore::connect(&database.url(), PostgresOptions::default()).await.unwrap();
    let platform = Platform::Postgres(database.connect().await);
    Shared { records: store.records(), platform, _backend: Box::new(database) }
}

impl Platform {
    /// Runs statements in which `{5}` stands for 5 microseconds after the epoch.
    async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let (open, close) = match self {
            Self::Sqlite(_) => ("(", ")"),
            Self::Postgres(_) => ("(timestamptz 'epoch' + interval '1 microsecond' * ", ")"),
        };
        // Labels have braces too, but no digit after them.
        let mut written = String::new();
        let mut rest = sql;
        while let Some((before, after)) = rest.split_once('{') {
            written.push_str(before);
            rest = match after.split_once('}') {
                Some((micros, after)) if micros.parse::<i64>().is_ok() => {
                    written.push_str(&format!("{open}{micros}{close}"));
                    after
                }
                _ => {
                    written.push('{');
                    after
                }
            };
        }
        written.push_str(rest);
        let statement = sqlx::raw_sql(AssertSqlSafe(written));
        match self {
            Self::Sqlite(connection) => statement.execute(connection).await.map(|_| ()),
            Self::Postgres(connection) => statement.execute(connection).await.map(|_| ()),
        }
    }
}

impl Shared {
    /// With the stopped game `g`, which has container 1 and waits.
    async fn with_waiting_game(self) -> Self {
        self.records.register(&stopped("g", 1), at(10)).await.unwrap();
        let disposition = Disposition::Wait {
            until: at(5_000),
            reason: "keep".to_owned(),
            generation: Some("acme/1".parse().unwrap()),
            failed_attempts: 3,
        };
        assert!(self.records.dispose(&game("g"), 1, &disposition).await.unwrap());
        self
    }

    async fn write(&mut self, sql: &str) {
        self.platform.run(sql).await.unwrap();
    }

    async fn refuses(&mut self, sql: &str) -> bool {
        self.platform.run(sql).await.is_err()
    }

    async fn read(&self, name: &str) -> TrackedRuntime {
        self.records.get(&game(name)).await.unwrap().unwrap()
    }

    async fn due(&self) -> Vec<String> {
        let page = self.records.due(&engine("local"), Timestamp::MAX, Timestamp::MAX, None, 2).await.unwrap();
        assert_eq!(page.next, None);
        page.rows.into_iter().map(|row| row.record.game_id.to_string()).collect()
    }
}

type New = fn() -> futures_util::future::LocalBoxFuture<'static, Shared>;

macro_rules! on_each_database {
    ($($test:ident,)*) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(|| Box::pin(super::sqlite())).await;
            })*
        }

        mod on_postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(|| Box::pin(super::postgres())).await;
            })*
        }
    };
}

on_each_database! {
    a_row_of_three_columns_is_enough,
    any_change_of_a_platforms_column_raises_the_version,
    a_writer_that_raises_the_version_itself_is_taken_at_its_word,
    a_change_of_status_container_or_stop_voids_what_was_decided_but_no_hold,
    a_change_of_labels_voids_a_policys_wait_and_keeps_backoff,
    a_stop_without_a_time_counts_from_now_and_not_from_an_earlier_stop,
    another_container_or_start_of_a_stopped_row_counts_from_now_whoever_raises_the_version,
    a_stop_with_a_time_has_that_time,
    a_removal_by_the_platform_is_final_for_its_container_too,
    a_new_incarnation_by_the_platform_is_not_removed_any_more,
    an_upsert_keeps_the_hold_and_raises_the_version,
    a_disposition_of_what_was_read_before_a_direct_write_is_not_written,
    rows_of_the_wrong_shape_are_refused,
    a_change_that_was_made_but_cannot_be_read_back_is_unknown,
    a_wrong_row_is_corrupt_for_its_own_game_only,
}

/// Within the minute before now; the clock is the database's, in SQLite in milliseconds.
fn is_recent(at: Option<Timestamp>) -> bool {
    at.is_some_and(|at| SystemClock.now().since(at).as_secs() < 60)
}

async fn a_row_of_three_columns_is_enough(new: New) {
    let mut shared = new().await;
    shared.write("INSERT INTO runtime_records (game_id, engine, status) VALUES ('g', 'local', 'stopped')").await;
    let record = shared.read("g").await.record;
    assert_eq!((record.tenant.as_str(), record.status, record.container_id), ("default", Status::Stopped, None));
    assert!(is_recent(record.stopped_at) && is_recent(Some(record.created_at)));
    assert_eq!(shared.due().await, ["g"]);
}

async fn any_change_of_a_platforms_column_raises_the_version(new: New) {
    let mut shared = new().await.with_waiting_game().await;
    let mut version = shared.read("g").await.record.version;
    for change in [
        "UPDATE runtime_records SET engine = 'other'",
        "UPDATE runtime_records SET labels = '{\"a\":\"b\"}'",
        "UPDATE runtime_records SET current_image_ref = NULL",
        "UPDATE runtime_records SET created_at = {5}",
        "UPDATE runtime_records SET started_at = {5}",
        "UPDATE runtime_records SET stopped_at = {5}",
        "UPDATE runtime_records SET current_container_id = NULL",
        "UPDATE runtime_records SET tenant = 'zeta'",
        "UPDATE runtime_records SET status = 'running'",
        "UPDATE runtime_records SET status = 'removed'",
    ] {
        shared.write(change).await;
        let raised = shared.read("g").await.record.version;
        assert_eq!(raised, version + 1, "{change}");
        version = raised;
    }
    shared.write("UPDATE runtime_records SET status = status, labels = labels").await;
    assert_eq!(shared.read("g").await.record.version, version, "nothing changed");
}

async fn a_writer_that_raises_the_version_itself_is_taken_at_its_word(new: New) {
    let mut shared = new().await.with_waiting_game().await;
    shared.write("UPDATE runtime_records SET engine = 'other', version = version + 5").await;
    assert_eq!(shared.read("g").await.record.version, 6);
}

async fn a_change_of_status_container_or_stop_voids_what_was_decided_but_no_hold(new: New) {
    for change in [
        "UPDATE runtime_records SET status = 'running'",
        "UPDATE runtime_records SET current_container_id = NULL",
        "UPDATE runtime_records SET stopped_at = {5}",
        "UPDATE runtime_records SET status = 'running', version = version + 1",
    ] {
        let mut shared = new().await.with_waiting_game().await;
        shared.write("UPDATE runtime_records SET cleanup_hold_reason = 'evidence', cleanup_hold_actor = 'ada'").await;
        shared.write(change).await;
        let expected = CleanupState { hold: Some(hold(None)), ..Default::default() };
        assert_eq!(shared.read("g").await.cleanup, expected, "{change}");
    }
}

async fn a_change_of_labels_voids_a_policys_wait_and_keeps_backoff(new: New) {
    for change in
        ["UPDATE runtime_records SET labels = '{}'", "UPDATE runtime_records SET labels = '{}', version = version + 1"]
    {
        let mut shared = new().await.with_waiting_game().await;
        shared.write(change).await;
        let cleanup = shared.read("g").await.cleanup;
        assert_eq!((cleanup.wait_until, cleanup.failed_attempts), (None, 3), "{change}");
        shared.write("UPDATE runtime_records SET cleanup_wait_until = {77}, cleanup_wait_reason = 'backoff'").await;
        shared.write("UPDATE runtime_records SET labels = '{\"a\":\"b\"}'").await;
        assert_eq!(shared.read("g").await.cleanup.wait_until, Some(Timestamp::from_micros(77)), "{change}");
    }
}

async fn a_stop_without_a_time_counts_from_now_and_not_from_an_earlier_stop(new: New) {
    let mut shared = new().await.with_waiting_game().await;
    shared.write("UPDATE runtime_records SET status = 'running'").await;
    assert_eq!(shared.read("g").await.record.stopped_at, Some(at(0)));
    shared.write("UPDATE runtime_records SET status = 'stopped'").await;
    let record = shared.read("g").await.record;
    assert!(is_recent(record.stopped_at) && is_recent(Some(record.last_op_at)), "{record:?}");
}

async fn another_container_or_start_of_a_stopped_row_counts_from_now_whoever_raises_the_version(new: New) {
    for change in [
        "UPDATE runtime_records SET current_container_id = NULL",
        "UPDATE runtime_records SET current_container_id = NULL, version = version + 1",
        "UPDATE runtime_records SET started_at = {5}",
        "UPDATE runtime_records SET started_at = {5}, version = version + 1",
        "UPDATE runtime_records SET status = 'running', version = version + 1;
         UPDATE runtime_records SET status = 'stopped', version = version + 1",
    ] {
        let mut shared = new().await.with_waiting_game().await;
        shared.write(change).await;
        let row = shared.read("g").await;
        assert!(is_recent(row.record.stopped_at), "{change}: {row:?}");
        assert_eq!(row.cleanup, CleanupState::default(), "{change}");
    }
    let mut shared = new().await.with_waiting_game().await;
    shared.write("UPDATE runtime_records SET current_container_id = NULL, started_at = {5}, stopped_at = {6}").await;
    assert_eq!(shared.read("g").await.record.stopped_at, Some(Timestamp::from_micros(6)), "a time that is told stands");
}

async fn a_stop_with_a_time_has_that_time(new: New) {
    let mut shared = new().await.with_waiting_game().await;
    shared.write("UPDATE runtime_records SET status = 'running', stopped_at = NULL").await;
    shared.write("UPDATE runtime_records SET status = 'stopped', stopped_at = {77}, last_op_at = {78}").await;
    let record = shared.read("g").await.record;
    assert_eq!(record.stopped_at, Some(Timestamp::from_micros(77)));
    assert_eq!(record.last_op_at, Timestamp::from_micros(78));
}

async fn a_removal_by_the_platform_is_final_for_its_container_too(new: New) {
    let mut shared = new().await.with_waiting_game().await;
    shared.write("UPDATE runtime_records SET status = 'removed'").await;
    let record = shared.read("g").await.record;
    assert_eq!(record.container_id, None);
    assert!(is_recent(record.removed_at));
    let answer = shared.records.register(&stopped("g", 1), at(20)).await;
    assert!(matches!(answer, Err(RegisterError::ContainerRemoved(id)) if id == container(1)));
    let census = shared.records.census(&engine("local"), at(0), Timestamp::MAX, at(0), "").await.unwrap();
    assert_eq!((census.not_removed, census.removed_recently), (0, 1));
}

async fn a_new_incarnation_by_the_platform_is_not_removed_any_more(new: New) {
    let mut shared = new().await.with_waiting_game().await;
    shared.records.compare_and_set(&removal("g", 1)).await.unwrap();
    shared.write("UPDATE runtime_records SET status = 'running'").await;
    assert_eq!(shared.read("g").await.record.removed_at, None);
}

async fn an_upsert_keeps_the_hold_and_raises_the_version(new: New) {
    let mut shared = new().await.with_waiting_game().await;
    shared.records.set_hold(&game("g"), Some(&hold(None))).await.unwrap();
    shared
        .write(
            "INSERT INTO runtime_records (game_id, tenant, engine, status) VALUES ('g', 'acme', 'local', 'running')
             ON CONFLICT (game_id) DO UPDATE SET status = excluded.status",
        )
        .await;
    let row = shared.read("g").await;
    assert_eq!((row.record.version, row.cleanup.hold), (2, Some(hold(None))));
}

async fn a_disposition_of_what_was_read_before_a_direct_write_is_not_written(new: New) {
    let mut shared = new().await.with_waiting_game().await;
    let version = shared.read("g").await.record.version;
    shared.write("UPDATE runtime_records SET status = 'running'").await;
    assert!(!shared.records.dispose(&game("g"), version, &Disposition::Clear).await.unwrap());
}

async fn rows_of_the_wrong_shape_are_refused(new: New) {
    let mut shared = new().await.with_waiting_game().await;
    for change in [
        "UPDATE runtime_records SET current_container_id = 'web-1'",
        "UPDATE runtime_records SET current_container_id = upper(replace(current_container_id, '0', 'a'))",
        "UPDATE runtime_records SET status = ''",
        "UPDATE runtime_records SET labels = '[]'",
        "UPDATE runtime_records SET labels = 'none'",
        "UPDATE runtime_records SET stopped_at = 'some day'",
        "UPDATE runtime_records SET stopped_at = {-1}",
        "UPDATE runtime_records SET game_id = ''",
        "INSERT INTO runtime_records (game_id, engine, status, current_container_id)
            SELECT 'thief', 'local', 'running', current_container_id FROM runtime_records",
    ] {
        assert!(shared.refuses(change).await, "{change}");
    }
}

async fn a_change_that_was_made_but_cannot_be_read_back_is_unknown(new: New) {
    let mut shared = new().await.with_waiting_game().await;
    shared.write("UPDATE runtime_records SET labels = '{\"n\":1}'").await;
    let answer = shared.records.compare_and_set(&removal("g", 1)).await;
    assert!(matches!(answer, Err(CasError::Store(StoreError::Unknown(_)))), "{answer:?}");
    shared.write("UPDATE runtime_records SET labels = '{}'").await;
    assert_eq!(shared.read("g").await.record.status, Status::Removed);
}

async fn a_wrong_row_is_corrupt_for_its_own_game_only(new: New) {
    let mut shared = new().await;
    shared
        .write(
            "INSERT INTO runtime_records (game_id, tenant, engine, status, stopped_at, labels) VALUES
                ('a', 'of two words', 'local', 'stopped', {1}, '{}'),
                ('b', 'acme', 'local', 'stopped', {2}, '{\"n\":1}'),
                ('c\n', 'acme', 'local', 'stopped', {3}, '{}'),
                ('d', 'acme', 'local', 'stopped', {4}, '{}')",
        )
        .await;
    for (name, column) in [("a", "column tenant"), ("b", "column labels")] {
        match shared.records.get(&game(name)).await {
            Err(StoreError::Corrupt(message)) => {
                assert!(message.contains(column) && message.contains(&format!("{name:?}")), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shared.due().await, ["d"], "a page of two skips three wrong rows and goes on");
    let listed = shared.records.list(&RecordFilter::default(), None, 1).await.unwrap();
    assert_eq!(listed[0].record.game_id, game("d"));
    assert_eq!(shared.records.tenants().await.unwrap().len(), 1);
}
