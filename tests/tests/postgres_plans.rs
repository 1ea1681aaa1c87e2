//! What statements cost where there are many rows: by the plans that the server made for them while they ran.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::io::{Read as _, Seek as _, SeekFrom};
use std::num::NonZeroU32;
use std::time::Duration;

use rtmanager::adapters::postgres::{PostgresOptions, PostgresStore};
use rtmanager::model::Timestamp;
use rtmanager::ports::{Claim, StatusChange};
use rtmanager_tests::contracts::fixture::{
    engine, entry, game, generation, intent, removal, run, stopped, tenant, token,
};
use rtmanager_tests::postgres::Postgres;
use sqlx::{Connection as _, PgConnection};

/// Writes the plan of every statement, with what it read, into its log.
const EXPLAIN: [&str; 8] = [
    "-c",
    "session_preload_libraries=auto_explain",
    "-c",
    "auto_explain.log_min_duration=0",
    "-c",
    "auto_explain.log_analyze=on",
    "-c",
    "auto_explain.log_timing=off",
];

/// Ten rows that are due now, and many of each kind that is not.
const ROWS: &str = "
    INSERT INTO runtime_records (game_id, engine, status, stopped_at, cleanup_wait_until, cleanup_wait_generation,
        cleanup_parked_at, cleanup_hold_reason, tenant, current_container_id)
    SELECT kind || i, CASE WHEN kind = 'elsewhere' THEN 'another' ELSE 'local' END,
        CASE WHEN kind = 'running' THEN 'running' ELSE 'stopped' END,
        timestamptz 'epoch' + i * interval '1 second',
        CASE WHEN kind IN ('waiting', 'held') THEN timestamptz '2050-01-01' + i * interval '1 second' END,
        CASE WHEN kind = 'waiting' THEN '7' END,
        CASE WHEN kind = 'parked' THEN timestamptz '2020-01-01' END,
        CASE WHEN kind = 'held' THEN 'evidence' END,
        'tenant' || i % 3, md5(kind || i) || md5('2' || kind || i)
    FROM (VALUES ('due', 10), ('waiting', 40000), ('held', 5000), ('parked', 20000), ('running', 40000),
        ('elsewhere', 20000)) AS kinds (kind, count), generate_series(1, count) AS i;
    INSERT INTO runtime_records (game_id, engine, status, removed_at)
        SELECT 'removed' || i, 'local', 'removed', '2020-01-01' FROM generate_series(1, 20000) AS i;
    VACUUM ANALYZE runtime_records";

/// A scope that was swapped ten thousand times; what the server has not counted yet, it estimates.
const SWAPS: &str = "
    ALTER TABLE policy_history SET (autovacuum_enabled = off);
    INSERT INTO policies (digest, name, version, owner, size, pushed_at, pushed_by)
        SELECT repeat(i::text, 64), 'swapped', i || '.0.0', 'x', 1, now(), 'x' FROM generate_series(1, 2) AS i;
    INSERT INTO policy_generations (scope, number, digest, settings, limits, grants, staged_at, staged_by, reason)
        SELECT 'tenant-a', i, repeat(i::text, 64), '{}', '{}', '[]', now(), 'x', 'x' FROM generate_series(1, 2) AS i;
    INSERT INTO policy_scopes (scope, current, last_generation, changed) VALUES ('tenant-a', 2, 2, 1);
    INSERT INTO policy_history (scope, event, from_generation, to_generation, at, actor, reason)
        SELECT 'tenant-a', 'bound', 1 + i % 2, 2 - i % 2, now(), 'x', 'x' FROM generate_series(1, 10000) AS i";

struct Site {
    server: Postgres,
    store: PostgresStore,
}

impl Site {
    async fn new() -> Self {
        Self::with(ROWS).await
    }

    async fn with(rows: &'static str) -> Self {
        let server = Postgres::start_with(&EXPLAIN, |_| {});
        // One connection, so that a statement that is made often comes to have a plan for any values.
        let options = PostgresOptions { max_connections: NonZeroU32::MIN, ..PostgresOptions::default() };
        let options = PostgresOptions { statement_timeout: Duration::from_secs(60), ..options };
        let store = PostgresStore::connect(&server.url("postgres"), options).await.unwrap();
        let mut platform = PgConnection::connect(&server.url("postgres")).await.unwrap();
        for statement in rows.split(';') {
            sqlx::raw_sql(statement).execute(&mut platform).await.unwrap();
        }
        Self { server, store }
    }

    /// The plans of what a call did, each time that it was made.
    async fn plans(&self, call: impl AsyncFn(&PostgresStore)) -> String {
        let mut log = std::fs::File::open(self.server.dir().join("log")).unwrap();
        log.seek(SeekFrom::End(0)).unwrap();
        for _ in 0..8 {
            call(&self.store).await;
        }
        let mut plans = String::new();
        log.read_to_string(&mut plans).unwrap();
        assert!(plans.contains("Query Text"), "nothing was logged");
        plans
    }
}

/// No row of the table is read to be thrown away, nor is the table read from end to end.
fn assert_exact(plans: &str) {
    assert!(!plans.contains("Seq Scan on runtime_records"), "{plans}");
    assert!(!plans.contains("Rows Removed by Filter"), "{plans}");
}

fn now() -> Timestamp {
    Timestamp::EPOCH.saturating_add(Duration::from_secs(1_700_000_000))
}

#[tokio::test]
async fn no_statement_reads_more_rows_than_it_answers_or_counts() {
    let site = Site::new().await;
    let local = engine("local");
    let walk = site
        .plans(async |store| {
            let page = store.records().due(&local, now(), now(), None, 100).await.unwrap();
            assert_eq!(page.rows.len(), 10);
        })
        .await;
    assert_exact(&walk);
    assert!(walk.contains("runtime_records_due_fresh") && walk.contains("runtime_records_due_waited"), "{walk}");

    let claims = site
        .plans(async |store| {
            let claim = Claim { walk: "w".to_owned(), until: now().saturating_add(Duration::from_secs(60)) };
            let page = store.records().claim_due(&local, now(), now(), None, 100, &claim).await.unwrap();
            assert_eq!(page.rows.len(), 10);
        })
        .await;
    assert_exact(&claims);

    let counts = site
        .plans(async |store| {
            let census = store.records().census(&local, now(), now(), now(), "").await.unwrap();
            assert_eq!((census.not_removed, census.due, census.claimed), (105_010, 10, 10));
        })
        .await;
    assert!(!counts.contains("Seq Scan on runtime_records"), "{counts}");

    let others = site
        .plans(async |store| {
            let records = store.records();
            assert_eq!(records.tenants().await.unwrap().len(), 3 + 1);
            records.end_abandoned_claims(now()).await.unwrap();
            records.void_waits(&tenant("nobody"), &[generation(8)]).await.unwrap();
            records.begin_run(&intent(1, "due1")).await.unwrap().unwrap();
            records.supersede_run(&run(1)).await.unwrap().unwrap();
            records.release_claims("w").await.unwrap();
        })
        .await;
    assert!(!others.contains("Seq Scan on runtime_records"), "{others}");
}

/// Every host reads it at every swap, beside the runs that go on.
#[tokio::test]
async fn of_a_long_history_of_swaps_the_last_lines_are_read() {
    let site = Site::with(SWAPS).await;
    let read = site
        .plans(async |store| {
            let changes = store.generations().changed_since(0).await.unwrap();
            assert_eq!(changes.states[0].previous.as_ref().map(|generation| generation.number), Some(1));
        })
        .await;
    let scans: Vec<_> = read.lines().filter(|line| line.contains("on policy_history")).collect();
    let is_short = |line: &&str| line.contains("Index Scan Backward") && line.contains("actual rows=1 ");
    assert!(!scans.is_empty() && scans.iter().all(is_short), "{scans:#?}");
}

#[tokio::test]
async fn each_step_of_a_run_is_one_statement() {
    let server = Postgres::start_with(&["-c", "log_statement=all"], |_| {});
    let store = PostgresStore::connect(&server.url("postgres"), PostgresOptions::default()).await.unwrap();
    let (records, log, leases) = (store.records(), store.operation_log(), store.leases());
    records.register(&stopped("g", 1), now()).await.unwrap();
    let mut written = std::fs::File::open(server.dir().join("log")).unwrap();
    written.seek(SeekFrom::End(0)).unwrap();

    let minute = Duration::from_secs(60);
    leases.try_acquire(&game("g"), &token(1), minute).await.unwrap();
    let begun = records.begin_run(&intent(1, "g")).await.unwrap().unwrap();
    records.compare_and_set(&StatusChange { fence: begun.fence, ..removal("g", 1) }).await.unwrap();
    log.append(&entry(1, "g")).await.unwrap();
    leases.release(&game("g"), &token(1)).await.unwrap();

    let mut said = String::new();
    written.read_to_string(&mut said).unwrap();
    let statements: Vec<_> = said.lines().filter(|line| line.contains("LOG:  ")).collect();
    assert_eq!(statements.len(), 5, "{statements:#?}");
}

#[tokio::test]
async fn what_every_run_changes_of_its_record_touches_no_index() {
    let site = Site::new().await;
    for number in 1..=50 {
        site.store.records().begin_run(&intent(number, "due1")).await.unwrap().unwrap();
    }
    let mut platform = PgConnection::connect(&site.server.url("postgres")).await.unwrap();
    let updates = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'runtime_records'";
    // Statistics arrive when a session has been idle for a while.
    for _ in 0..300 {
        let (all, hot): (i64, i64) = sqlx::query_as(updates).fetch_one(&mut platform).await.unwrap();
        if all >= 50 {
            assert_eq!(hot, all);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server counted no updates");
}
