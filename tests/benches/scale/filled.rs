//! Tables with many records, filled by one statement each.
//!
//! Rows stand in the order of the games' starts and are walked in that of their stops. Games last up to three days, so
//! that what is walked together stands not far apart. With `RTMANAGER_BENCH_SCATTERED` the two orders have nothing to
//! do with one another: the worst case, in which each row of a page is on another page of the disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rtmanager::adapters::postgres::{PostgresOptions, PostgresStore};
use rtmanager::adapters::sqlite::{SqliteOptions, SqliteStore};
use rtmanager::model::Timestamp;
use rtmanager::ports::RecordStore;
use rtmanager_tests::postgres::{Database, Postgres};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

/// Ten rows are due in a table of those that mostly are not.
pub(crate) const FEW: usize = 10;

/// The present: 2023-11-14.
pub(crate) fn now() -> Timestamp {
    Timestamp::EPOCH.saturating_add(Duration::from_secs(1_700_000_000))
}

/// All due rows stopped before this.
pub(crate) fn floor() -> Timestamp {
    now().saturating_sub(Duration::from_secs(30 * 86_400))
}

/// What the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All are due.
    Due,
    /// [`FEW`] are due; the rest back off, are kept by their policies, parked and held, a quarter each.
    FewDue,
}

impl Kind {
    /// Every how many rows there is one that is due.
    fn step(self, rows: usize) -> usize {
        match self {
            Self::Due => 1,
            Self::FewDue => rows / FEW,
        }
    }
}

/// `{rows}`, `{step}`, and by dialect the text of an id, the rows' numbers and a time of so many microseconds.
const FILL: &str = "INSERT INTO runtime_records (game_id, tenant, engine, status, current_container_id,
        current_image_ref, labels, created_at, started_at, stopped_at, last_op_at, cleanup_wait_until,
        cleanup_wait_reason, cleanup_wait_generation, cleanup_failed_attempts, cleanup_parked_at,
        cleanup_park_reason, cleanup_hold_reason, cleanup_hold_actor)
    SELECT 'game-' || (1000000000 + i), 'tenant-' || (i % 20), 'local', 'stopped', {id}, 'registry/game:' || (i % 50),
        '{\"rtmanager.owner\": \"rtmanager\"}', {started}, {started}, {stopped}, {stopped},
        CASE WHEN kind IN (1, 2, 4) THEN {later} END,
        CASE kind WHEN 1 THEN 'the engine failed' WHEN 2 THEN 'kept by the policy' WHEN 4 THEN 'held' END,
        CASE WHEN kind = 2 THEN 'generation' END,
        CASE WHEN kind IN (1, 3) THEN 3 ELSE 0 END,
        CASE WHEN kind = 3 THEN {stopped} END,
        CASE WHEN kind = 3 THEN 'failed too often' END,
        CASE WHEN kind = 4 THEN 'evidence' END,
        CASE WHEN kind = 4 THEN 'operator' END
    FROM (SELECT i, CASE WHEN i % {step} = 0 THEN 0 ELSE 1 + i % 4 END AS kind FROM {numbers}) AS numbered";

/// Games of 140 days that ended 60 days before the present, in the order of their starts.
const STARTED: &str = "(1700000000000000 - 203 * 86400000000 + i * (140 * 86400000000 / {rows}))";
/// Each lasts up to three days.
const LASTING: &str = "(i * 2654435761 % 4294967296) * 60";
/// In an order that has nothing to do with that of the starts.
const SCATTERED: &str = "(1700000000000000 - 203 * 86400000000 + (i * 2654435761 % 4294967296) * 2816)";

struct Dialect {
    id: &'static str,
    numbers: &'static str,
    time: fn(&str) -> String,
}

const POSTGRES: Dialect = Dialect {
    id: "md5(i::text) || md5('x' || i)",
    numbers: "generate_series(1::bigint, {rows}) AS i",
    time: |micros| format!("(timestamptz 'epoch' + {micros} * interval '1 microsecond')"),
};

const SQLITE: Dialect = Dialect {
    id: "lower(hex(randomblob(32)))",
    numbers: "(WITH RECURSIVE count (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM count WHERE i < {rows})
        SELECT i FROM count)",
    time: str::to_owned,
};

impl Dialect {
    fn fill(&self, kind: Kind, rows: usize) -> String {
        let time = |micros: &str| (self.time)(micros);
        let is_scattered = std::env::var_os("RTMANAGER_BENCH_SCATTERED").is_some();
        let started = if is_scattered { SCATTERED } else { STARTED };
        FILL.replace("{id}", self.id)
            .replace("{numbers}", self.numbers)
            .replace("{started}", &time(started))
            .replace("{stopped}", &time(&format!("({started} + {LASTING})")))
            .replace("{later}", &time("(1700000000000000 + i * 1000000)"))
            .replace("{step}", &kind.step(rows).to_string())
            .replace("{rows}", &rows.to_string())
    }
}

/// Records in a store, and what has to live as long.
pub(crate) struct Filled {
    pub(crate) records: Arc<dyn RecordStore>,
    /// Where it is, for a host.
    pub(crate) setting: (String, String),
    database: Option<Database>,
}

/// A server with memory for the large tables, as one that holds them has.
pub(crate) fn server() -> &'static Postgres {
    Box::leak(Box::new(Postgres::start_with(&["-c", "shared_buffers=2GB", "-c", "max_wal_size=8GB"], |_| {})))
}

pub(crate) async fn postgres(server: &'static Postgres, kind: Kind, rows: usize) -> Filled {
    let database = server.database().await;
    let mut platform = database.connect().await;
    for statement in [&*POSTGRES.fill(kind, rows), "VACUUM (ANALYZE) runtime_records", "CHECKPOINT"] {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut platform).await.unwrap();
    }
    let store = PostgresStore::connect(&database.url(), PostgresOptions::default()).await.unwrap();
    Filled { records: store.records(), setting: ("store.url".to_owned(), database.url()), database: Some(database) }
}

pub(crate) async fn sqlite(directory: &Path, kind: Kind, rows: usize) -> Filled {
    let path = directory.join(format!("{kind:?}-{rows}.db"));
    let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
    let mut platform = SqliteConnection::connect(&path.to_string_lossy()).await.unwrap();
    let fill = SQLITE.fill(kind, rows);
    let statements = [
        "PRAGMA cache_size = -1000000",
        "PRAGMA synchronous = OFF",
        &fill,
        "ANALYZE",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ];
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut platform).await.unwrap();
    }
    platform.close().await.unwrap();
    let setting = ("store.path".to_owned(), path.display().to_string());
    Filled { records: store.records(), setting, database: None }
}

impl Filled {
    /// What a database that is in use has done by itself now and then.
    pub(crate) async fn vacuum(&self) {
        if let Some(database) = &self.database {
            let mut platform: PgConnection = database.connect().await;
            sqlx::raw_sql("VACUUM runtime_records").execute(&mut platform).await.unwrap();
        }
    }
}
