//! A server that restarts, crashes, keeps silent or has no room: calls fail with what a caller can act on, and go on
//! afterwards.

use std::num::NonZeroU32;
use std::time::Duration;

use rtmanager::adapters::postgres::{PostgresOptions, PostgresStore};
use rtmanager::model::Fence;
use rtmanager::ports::{CasError, OperationFilter, StatusChange, StoreError};
use rtmanager_tests::contracts::fixture::{at, entry, game, intent, removal, stopped, token};
use rtmanager_tests::fault_proxy::{Behind, FaultProxy};
use rtmanager_tests::postgres::{Database, Postgres};

use super::{impatient, open, say, until_somebody_waits};

/// One of the test's own, with a store on it.
async fn own(options: PostgresOptions) -> (Postgres, PostgresStore) {
    let server = Postgres::start();
    let store = PostgresStore::connect(&server.url("postgres"), options).await.unwrap();
    store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    (server, store)
}

/// Opens some connections and leaves them idle.
async fn warm(store: &PostgresStore) {
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let records = store.records();
            tokio::spawn(async move { records.ping().await.unwrap() })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn reads_survive_a_restart_and_writes_fail_at_most_once_for_each_connection() {
    let (mut server, store) = own(PostgresOptions::default()).await;
    warm(&store).await;
    server.stop();
    server.restart();
    store.records().get(&game("g")).await.unwrap().unwrap();
    warm(&store).await;
    server.stop();
    server.restart();
    let mut failures = 0;
    for number in 1..=10 {
        while let Err(error) = store.operation_log().append(&entry(number, "g")).await {
            assert!(error.is_retryable(), "{error:?}");
            failures += 1;
        }
    }
    assert!(failures <= 10, "{failures} failures of at most ten connections");
    let logged = store.operation_log().list(&OperationFilter::default(), None, 99).await.unwrap();
    assert_eq!(logged.len(), 10, "and what was tried again stands there once");
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_until_it_is_back() {
    let (mut server, store) = own(impatient()).await;
    server.stop();
    let begin = store.records().begin_run(&intent(1, "g")).await;
    assert!(matches!(&begin, Err(error) if error.is_retryable()), "{begin:?}");
    let away = store.records().begin_run(&intent(1, "g")).await;
    assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
    server.restart();
    assert!(store.records().begin_run(&intent(1, "g")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_crash_forgets_leases_and_nothing_else() {
    // It waits for the disk: without that, PostgreSQL promises nothing after a crash.
    let mut server = Postgres::start_with(&["-c", "fsync=on"], |_| {});
    let store = PostgresStore::connect(&server.url("postgres"), PostgresOptions::default()).await.unwrap();
    let record = store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    let minute = Duration::from_secs(60);
    assert!(store.leases().try_acquire(&game("g"), &token(1), minute).await.unwrap());
    let fence = store.records().begin_run(&intent(1, "g")).await.unwrap().unwrap().fence;
    server.kill();
    server.restart();
    assert_eq!(store.records().get(&game("g")).await.unwrap().unwrap().record, record);
    assert_eq!(store.records().overdue_runs(at(60), None, 9).await.unwrap()[0].fence, fence);
    let store = PostgresStore::connect(&server.url("postgres"), PostgresOptions::default()).await.unwrap();
    assert!(store.leases().try_acquire(&game("g"), &token(2), minute).await.unwrap());
    assert!(store.records().begin_run(&intent(2, "g")).await.unwrap().unwrap().fence > fence);
}

#[tokio::test]
async fn a_write_whose_connection_is_cut_is_unknown_or_had_no_effect() {
    let database = Postgres::shared().database().await;
    let store = open(&database).await.unwrap();
    store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    let (mut other, mut watch) = (database.connect().await, database.connect().await);
    say(&mut other, "BEGIN; SELECT 1 FROM runtime_records FOR UPDATE").await;
    let records = store.records();
    let call = tokio::spawn(async move { records.begin_run(&intent(1, "g")).await });
    until_somebody_waits(&mut watch).await;
    say(
        &mut watch,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'rtmanager' AND datname = current_database() AND wait_event_type = 'Lock'",
    )
    .await;
    let answer = call.await.unwrap();
    assert!(matches!(answer, Err(StoreError::Unavailable(_) | StoreError::Unknown(_))), "{answer:?}");
    say(&mut other, "ROLLBACK").await;
    assert!(store.records().begin_run(&intent(1, "g")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_row_that_somebody_keeps_is_unavailable() {
    let database = Postgres::shared().database().await;
    let store = PostgresStore::connect(&database.url(), impatient()).await.unwrap();
    store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    let mut other = database.connect().await;
    say(&mut other, "BEGIN; SELECT 1 FROM runtime_records FOR UPDATE").await;
    let answer = store.records().begin_run(&intent(1, "g")).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    store.records().get(&game("g")).await.unwrap().unwrap();
    say(&mut other, "ROLLBACK").await;
    assert!(store.records().begin_run(&intent(1, "g")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_keeps_silent_is_given_up_in_time() {
    let (server, store) = own(impatient()).await;
    warm(&store).await;
    server.freeze();
    let (records, log) = (store.records(), store.operation_log());
    let (name, entry_1) = (game("g"), entry(1, "g"));
    let limit = Duration::from_secs(20);
    let (read, write) = tokio::join!(
        tokio::time::timeout(limit, records.get(&name)),
        tokio::time::timeout(limit, log.append(&entry_1)),
    );
    server.thaw();
    assert!(matches!(read, Ok(Err(StoreError::Unavailable(_)))), "{read:?}");
    assert!(matches!(write, Ok(Err(StoreError::Unknown(_) | StoreError::Unavailable(_)))), "{write:?}");
    store.operation_log().append(&entry(1, "g")).await.unwrap();
    assert_eq!(store.operation_log().list(&OperationFilter::default(), None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_call_that_is_given_up_keeps_no_connection() {
    let database = Postgres::shared().database().await;
    let options = PostgresOptions { max_connections: NonZeroU32::MIN, ..PostgresOptions::default() };
    let store = PostgresStore::connect(&database.url(), options).await.unwrap();
    store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    let (mut other, mut watch) = (database.connect().await, database.connect().await);
    say(&mut other, "BEGIN; SELECT 1 FROM runtime_records FOR UPDATE").await;
    let records = store.records();
    let call = tokio::spawn(async move { records.begin_run(&intent(1, "g")).await });
    until_somebody_waits(&mut watch).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    store.records().get(&game("g")).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_that_finds_no_free_connection_is_unavailable() {
    let database = Postgres::shared().database().await;
    let options = PostgresOptions {
        max_connections: NonZeroU32::MIN,
        acquire_timeout: Duration::from_millis(300),
        ..PostgresOptions::default()
    };
    let store = PostgresStore::connect(&database.url(), options).await.unwrap();
    store.records().register(&stopped("g", 1), at(0)).await.unwrap();
    let (mut other, mut watch) = (database.connect().await, database.connect().await);
    say(&mut other, "BEGIN; SELECT 1 FROM runtime_records FOR UPDATE").await;
    let records = store.records();
    let call = tokio::spawn(async move { records.begin_run(&intent(1, "g")).await });
    until_somebody_waits(&mut watch).await;
    let answer = store.operation_log().append(&entry(1, "g")).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    say(&mut other, "ROLLBACK").await;
    assert!(call.await.unwrap().unwrap().is_some());
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let database = Postgres::shared().database().await;
    let store = open(&database).await.unwrap();
    store.close().await;
    assert!(matches!(store.records().ping().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.operation_log().append(&entry(1, "g")).await, Err(StoreError::Unavailable(_))));
}

/// A store behind a proxy, with one connection on which a change of the record `h` has been prepared.
async fn behind_a_proxy() -> (Database, FaultProxy, PostgresStore) {
    let server = Postgres::shared();
    let database = server.database().await;
    let proxy = FaultProxy::before(Behind::Tcp(([127, 0, 0, 1], server.port()).into())).await;
    let url = database.url();
    let name = url.split_once('?').unwrap().0.rsplit_once('/').unwrap().1;
    let options = PostgresOptions { max_connections: NonZeroU32::MIN, ..PostgresOptions::default() };
    let url = format!("postgres://postgres@{}/{name}", proxy.address());
    let store = PostgresStore::connect(&url, options).await.unwrap();
    for (name, container) in [("g", 1), ("h", 2)] {
        store.records().register(&stopped(name, container), at(0)).await.unwrap();
    }
    store.records().begin_run(&intent(9, "h")).await.unwrap();
    store.records().compare_and_set(&StatusChange { fence: Fence(u64::MAX >> 1), ..removal("h", 2) }).await.unwrap();
    (database, proxy, store)
}

async fn begin(store: &PostgresStore) -> StatusChange {
    let begun = store.records().begin_run(&intent(1, "g")).await.unwrap().unwrap();
    // What the pool says of itself when it takes a connection back is not to be what is cut.
    tokio::time::sleep(Duration::from_millis(200)).await;
    StatusChange { fence: begun.fence, ..removal("g", 1) }
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_settled_as_made() {
    let (_database, proxy, store) = behind_a_proxy().await;
    let change = begin(&store).await;
    proxy.cut_answers(1);
    let answer = store.records().compare_and_set(&change).await;
    assert!(matches!(answer, Err(CasError::Store(StoreError::Unknown(_)))), "{answer:?}");
    assert!(proxy.has_cut());
    let settled = store.records().supersede_run(&change.run_id).await.unwrap().unwrap();
    assert_eq!(settled.committed_at, Some(change.at));
}

#[tokio::test]
async fn a_change_that_never_came_is_settled_as_not_made_and_is_refused_from_then_on() {
    let (_database, proxy, store) = behind_a_proxy().await;
    let change = begin(&store).await;
    proxy.cut_requests(1);
    let answer = store.records().compare_and_set(&change).await;
    assert!(matches!(answer, Err(CasError::Store(StoreError::Unknown(_)))), "{answer:?}");
    assert!(proxy.has_cut());
    let settled = store.records().supersede_run(&change.run_id).await.unwrap().unwrap();
    assert_eq!(settled.committed_at, None);
    let late = store.records().compare_and_set(&change).await;
    assert!(matches!(late, Err(CasError::Superseded)), "{late:?}");
}
