//! What is PostgreSQL's own: opening a database, several hosts at once, neighbouring versions, and a server that fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::time::Duration;

use rtmanager::adapters::postgres::{OpenError, PostgresOptions, PostgresStore};
use rtmanager::model::{Status, Timestamp};
use rtmanager::ports::{CasError, Claim, OperationFilter, RegisterError, StatusChange, StoreError};
use rtmanager_tests::contracts::fixture::{at, engine, entry, game, intent, removal, run, stopped, token};
use rtmanager_tests::postgres::{Database, Postgres};
use sqlx::{AssertSqlSafe, PgConnection};

#[path = "postgres_server/faults.rs"]
mod faults;
#[path = "postgres_server/original.rs"]
mod original;
#[path = "postgres_server/policies.rs"]
mod policies;
#[path = "postgres_server/revocations.rs"]
mod revocations;
#[path = "postgres_server/tls.rs"]
mod tls;

async fn open(database: &Database) -> Result<PostgresStore, OpenError> {
    PostgresStore::connect(&database.url(), PostgresOptions::default()).await
}

/// Options with limits short enough for tests.
fn impatient() -> PostgresOptions {
    PostgresOptions {
        acquire_timeout: Duration::from_secs(2),
        statement_timeout: Duration::from_secs(1),
        lock_timeout: Duration::from_millis(200),
        ..PostgresOptions::default()
    }
}

async fn say(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

/// Waits until somebody waits for a lock in this connection's database.
async fn until_somebody_waits(connection: &mut PgConnection) {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..500 {
        let count: i64 = sqlx::query_scalar(waiting).fetch_one(&mut *connection).await.unwrap();
        if count > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody waits for a lock");
}

#[tokio::test]
async fn many_hosts_can_make_the_tables_at_once() {
    let database = Postgres::shared().empty_database().await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let url = database.url();
            tokio::spawn(async move { PostgresStore::connect(&url, PostgresOptions::default()).await.map(|_| ()) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    open(&database).await.unwrap().records().register(&stopped("g", 1), at(0)).await.unwrap();
}

const NEWER: &str = "ALTER TABLE runtime_records ADD COLUMN of_the_future text NOT NULL DEFAULT 'new';
    INSERT INTO rtmanager_migrations (version, description, success, checksum, execution_time)
    VALUES (9000, 'of the future', TRUE, '\\x00', 0)";

#[tokio::test]
async fn tables_of_the_next_version_are_used_as_they_are() {
    let database = Postgres::shared().database().await;
    let before = open(&database).await.unwrap();
    before.records().register(&stopped("g", 1), at(0)).await.unwrap();
    say(&mut database.connect().await, NEWER).await;
    let after = open(&database).await.unwrap();
    for (store, number) in [(before, 1), (after, 2)] {
        let begun = store.records().begin_run(&intent(number, "g")).await.unwrap().unwrap();
        let to_same = StatusChange { new_status: Status::Stopped, fence: begun.fence, ..removal("g", 1) };
        store.records().compare_and_set(&to_same).await.unwrap();
        store.operation_log().append(&entry(number as u64, "g")).await.unwrap();
    }
}

#[tokio::test]
async fn tables_that_have_left_this_version_behind_are_refused() {
    let database = Postgres::shared().database().await;
    let mut connection = database.connect().await;
    say(&mut connection, NEWER).await;
    say(&mut connection, "UPDATE schema_compatibility SET usable_since = 8000").await;
    let error = open(&database).await.err().unwrap();
    assert!(matches!(error, OpenError::Newer { found: 9000, usable_since: 8000, .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("which take an rtmanager that knows version 8000 at least; this one knows "), "{said}");
    assert!(said.ends_with(": use a newer one"), "{said}");
}

#[tokio::test]
async fn tables_of_another_making_are_refused() {
    let database = Postgres::shared().database().await;
    say(&mut database.connect().await, "UPDATE rtmanager_migrations SET checksum = '\\x00'").await;
    let error = open(&database).await.err().unwrap();
    assert!(matches!(error, OpenError::Foreign { version: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn missing_tables_are_corrupt() {
    let database = Postgres::shared().database().await;
    let store = open(&database).await.unwrap();
    say(&mut database.connect().await, "DROP TABLE operation_log; ALTER TABLE runtime_records DROP COLUMN fence").await;
    let append = store.operation_log().append(&entry(1, "g")).await;
    assert!(matches!(append, Err(StoreError::Corrupt(_))), "{append:?}");
    let begin = store.records().begin_run(&intent(1, "g")).await;
    assert!(matches!(begin, Err(StoreError::Corrupt(_))), "{begin:?}");
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let server = Postgres::shared();
    server.say("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'").await;
    let error = PostgresStore::connect(&server.url("latin"), PostgresOptions::default()).await.err().unwrap();
    assert!(matches!(&error, OpenError::Encoding { found, .. } if found == "LATIN1"), "{error:?}");
}

#[tokio::test]
async fn what_is_wrong_is_said_with_the_place_and_without_the_password() {
    let server = Postgres::shared();
    server.say("CREATE ROLE guarded LOGIN PASSWORD 'right-secret'").await;
    let database = server.empty_database().await;
    for (user, place) in [("guarded:wrong-secret", database.name()), ("guarded:right-secret", "missing")] {
        let error =
            PostgresStore::connect(&server.tcp_url(user, place), PostgresOptions::default()).await.err().unwrap();
        assert!(matches!(error, OpenError::Refused { .. }), "{error:?}");
        assert!(error.to_string().starts_with("guarded@127.0.0.1:"), "{error}");
        assert!(!format!("{error:?}{error}").contains("secret"), "{error:?}");
    }
    let nobody = PostgresStore::connect("postgres://ada:secret@127.0.0.1:1/rt", impatient()).await.err().unwrap();
    assert!(matches!(nobody, OpenError::Unreachable { .. }), "{nobody:?}");
    assert_eq!(nobody.to_string(), "ada@127.0.0.1:1/rt does not answer");
}

#[tokio::test]
async fn roles_need_no_more_rights_than_the_tables_say() {
    let database = Postgres::shared().database().await;
    let mut owner = database.connect().await;
    say(
        &mut owner,
        "CREATE ROLE host LOGIN; CREATE ROLE platform LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO host;
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO host;
         GRANT SELECT, INSERT, UPDATE ON runtime_records TO platform; GRANT SELECT ON operation_log TO platform",
    )
    .await;
    let as_role = |role: &str| database.url().replace("postgres@", &format!("{role}@"));
    let store = PostgresStore::connect(&as_role("host"), PostgresOptions::default()).await.unwrap();
    store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    let mut platform = <PgConnection as sqlx::Connection>::connect(&as_role("platform")).await.unwrap();
    say(
        &mut platform,
        "INSERT INTO runtime_records (game_id, engine, status) VALUES ('h', 'local', 'stopped');
         SET search_path = pg_catalog; UPDATE public.runtime_records SET status = 'removed'",
    )
    .await;
    let census = store.records().census(&engine("local"), at(0), Timestamp::MAX, at(0), "").await.unwrap();
    assert_eq!(census.removed_recently, 2);
    let begun = store.records().begin_run(&intent(1, "g")).await.unwrap();
    assert_eq!(begun.unwrap().runtime.record.status, Status::Removed);
}

#[tokio::test]
async fn tables_may_stand_in_a_schema_of_their_own_beside_those_of_a_platform() {
    let database = Postgres::shared().empty_database().await;
    let mut platform = database.connect().await;
    say(
        &mut platform,
        "CREATE SCHEMA rt; CREATE TABLE _sqlx_migrations (version bigint); CREATE TABLE runtime_removals (ours text)",
    )
    .await;
    let url = format!("{}&options=-c%20search_path%3Drt", database.url());
    for _ in 0..2 {
        PostgresStore::connect(&url, PostgresOptions::default()).await.unwrap();
    }
    let store = PostgresStore::connect(&url, PostgresOptions::default()).await.unwrap();
    store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    say(&mut platform, "UPDATE rt.runtime_records SET status = 'removed'").await;
    let census = store.records().census(&engine("local"), at(0), Timestamp::MAX, at(0), "").await.unwrap();
    assert_eq!(census.removed_recently, 1);
}

#[tokio::test]
async fn texts_that_postgresql_has_no_sign_for_are_kept_with_another() {
    let database = Postgres::shared().database().await;
    let store = open(&database).await.unwrap();
    let mut refused = entry(1, "a\0b");
    refused.error_message = Some("\0".to_owned());
    store.operation_log().append(&refused).await.unwrap();
    let filter = OperationFilter { game: Some("a\0b".to_owned()), ..Default::default() };
    let listed = store.operation_log().list(&filter, None, 9).await.unwrap();
    assert_eq!(listed[0].entry.game_id, "a\u{fffd}b");
    let mut odd = stopped("g", 1);
    odd.labels = Some([("a\0".to_owned(), "\\u0000\0".to_owned())].into());
    let first = store.records().register(&odd, at(0)).await.unwrap();
    let again = store.records().register(&odd, at(0)).await.unwrap();
    assert_eq!((again.version, &again.labels), (1, &first.labels));
    assert_eq!(store.records().get(&game("g")).await.unwrap().unwrap().record, first);
}

#[tokio::test]
async fn many_registrations_of_one_game_or_container_at_once_are_one_after_the_other() {
    let database = Postgres::shared().database().await;
    let store = open(&database).await.unwrap();
    let tasks: Vec<_> = (0..12_u64)
        .map(|number| {
            let records = store.records();
            let registration = stopped(&format!("g{}", number % 3), number % 2);
            tokio::spawn(async move { records.register(&registration, at(number)).await })
        })
        .collect();
    for task in tasks {
        let answer = task.await.unwrap();
        assert!(matches!(answer, Ok(_) | Err(RegisterError::ContainerTaken { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn a_change_that_waits_for_the_platform_sees_what_it_wrote() {
    let database = Postgres::shared().database().await;
    let store = open(&database).await.unwrap();
    store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    let begun = store.records().begin_run(&intent(1, "g")).await.unwrap().unwrap();
    let (mut platform, mut watch) = (database.connect().await, database.connect().await);
    say(&mut platform, "BEGIN; UPDATE runtime_records SET status = 'running'").await;
    let records = store.records();
    let changing =
        tokio::spawn(
            async move { records.compare_and_set(&StatusChange { fence: begun.fence, ..removal("g", 1) }).await },
        );
    until_somebody_waits(&mut watch).await;
    say(&mut platform, "COMMIT").await;
    let answer = changing.await.unwrap();
    assert!(matches!(answer, Err(CasError::Conflict)), "{answer:?}");
}

#[tokio::test]
async fn a_supersession_waits_for_the_change_under_way_and_sees_it() {
    let database = Postgres::shared().database().await;
    let store = open(&database).await.unwrap();
    store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    store.records().begin_run(&intent(1, "g")).await.unwrap().unwrap();
    let (mut host, mut watch) = (database.connect().await, database.connect().await);
    // What another host's change does, stopped before its commit.
    say(
        &mut host,
        "BEGIN; UPDATE runtime_records SET status = 'removed', own_version = version + 1, version = version + 1;
         UPDATE run_intents SET committed_at = 'epoch'",
    )
    .await;
    let records = store.records();
    let superseding = tokio::spawn(async move { records.supersede_run(&run(1)).await });
    until_somebody_waits(&mut watch).await;
    say(&mut host, "COMMIT").await;
    let open = superseding.await.unwrap().unwrap().unwrap();
    assert!(open.committed_at.is_some(), "{open:?}");
}

#[tokio::test]
async fn a_walk_passes_over_a_row_that_is_being_changed() {
    let database = Postgres::shared().database().await;
    let store = open(&database).await.unwrap();
    for (name, number) in [("a", 1), ("b", 2)] {
        store.records().register(&stopped(name, number), at(0)).await.unwrap();
    }
    let mut platform = database.connect().await;
    say(&mut platform, "BEGIN; UPDATE runtime_records SET labels = '{\"x\":\"y\"}' WHERE game_id = 'a'").await;
    let claim = Claim { walk: "w".to_owned(), until: at(200) };
    let page = store.records().claim_due(&engine("local"), at(50), at(100), None, 9, &claim).await.unwrap();
    let names: Vec<_> = page.rows.iter().map(|row| row.record.game_id.as_str()).collect();
    assert_eq!(names, ["b"]);
}

#[tokio::test]
async fn leases_are_given_to_one_of_two_hosts_that_share_the_database() {
    let database = Postgres::shared().database().await;
    let (one, other) = (open(&database).await.unwrap(), open(&database).await.unwrap());
    let minute = Duration::from_secs(60);
    assert!(one.leases().try_acquire(&game("g"), &token(1), minute).await.unwrap());
    assert!(!other.leases().try_acquire(&game("g"), &token(2), minute).await.unwrap());
    let far = Timestamp::MAX;
    other.leases().prune(far, 9).await.unwrap();
    assert!(one.leases().renew(&game("g"), &token(1), minute).await.unwrap(), "a clock that is ahead ends no lease");
}
