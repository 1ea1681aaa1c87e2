//! What the walk costs: by the plan that SQLite makes, and by the steps that it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::{CENSUS, FRESH, WAITED};
use crate::adapters::sqlite::open::MIGRATIONS;

async fn tables() -> SqliteConnection {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    MIGRATIONS.run_direct(None, &mut connection, false).await.unwrap();
    connection
}

async fn plan(sql: &'static str) -> Vec<String> {
    let explained = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = sqlx::query(explained).fetch_all(&mut tables().await).await.unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

#[tokio::test]
async fn fresh_rows_are_searched_in_index_order() {
    let plan = plan(FRESH).await;
    assert_eq!(
        plan,
        [
            "SEARCH runtime_records USING INDEX runtime_records_due_fresh (engine=? AND (stopped_at,game_id)>(?,?) AND stopped_at<?)"
        ]
    );
}

#[tokio::test]
async fn waited_rows_are_searched_in_index_order() {
    let plan = plan(WAITED).await;
    assert_eq!(
        plan,
        [
            "SEARCH runtime_records USING INDEX runtime_records_due_waited (engine=? AND (cleanup_wait_until,game_id)>(?,?) AND cleanup_wait_until<?)"
        ]
    );
}

#[tokio::test]
async fn the_census_scans_no_table() {
    let plan = plan(CENSUS).await;
    let reads: Vec<_> = plan.iter().filter(|line| line.starts_with("SCAN ") && *line != "SCAN CONSTANT ROW").collect();
    assert!(reads.is_empty(), "{plan:?}");
}

/// Fills the table with rows of which ten are due, and as many of each other kind as given.
async fn filled(others: i64) -> SqliteConnection {
    let mut connection = tables().await;
    let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO runtime_records (game_id, engine, status, stopped_at, cleanup_wait_until, cleanup_parked_at,
            cleanup_hold_reason)
        SELECT ?2 || i, iif(?2 = 'elsewhere', 'another', 'local'), ?3, i, ?4, ?5, ?6 FROM n";
    let kinds = [
        ("due", 10, "stopped", None, None, None),
        ("waiting", others, "stopped", Some(2_000_000), None, None),
        ("held", others, "stopped", Some(2_000_000), None, Some("evidence")),
        ("parked", others, "stopped", None, Some(1), None),
        ("running", others, "running", None, None, None),
        ("elsewhere", others, "stopped", None, None, None),
    ];
    for (name, count, status, wait, parked, hold) in kinds {
        let query = sqlx::query(rows).bind(count).bind(name).bind(status).bind(wait).bind(parked).bind(hold);
        query.execute(&mut connection).await.unwrap();
    }
    connection
}

/// Answers the rows that are due, and the steps that finding them took.
async fn walked(connection: &mut SqliteConnection, sql: &'static str) -> (usize, u64) {
    let steps = Arc::new(AtomicU64::new(0));
    let counter = steps.clone();
    connection.lock_handle().await.unwrap().set_progress_handler(1, move || {
        counter.fetch_add(1, Ordering::Relaxed);
        true
    });
    let query = sqlx::query(sql).bind(1_000_000_i64).bind(-1_i64).bind("").bind(100_i64).bind(1_000_000_i64);
    let query = query.bind("local");
    let found = query.fetch_all(&mut *connection).await.unwrap().len();
    connection.lock_handle().await.unwrap().remove_progress_handler();
    (found, steps.load(Ordering::Relaxed))
}

#[tokio::test]
async fn waiting_held_parked_and_running_rows_and_those_of_other_engines_cost_the_walk_nothing() {
    let (mut few, mut many) = (filled(1).await, filled(3_000).await);
    for (sql, due) in [(FRESH, 10), (WAITED, 0)] {
        let (found, steps) = walked(&mut few, sql).await;
        assert_eq!(found, due);
        assert_eq!(walked(&mut many, sql).await, (found, steps));
        assert!(steps > 0);
    }
}
