//! Somebody writes to the trail's table, in either database, before and after it was pruned: it shows, and where.

use std::sync::Arc;

use rtmanager::access::{Anchor, Caller, Deed, Trail};
use rtmanager::adapters::postgres::{PostgresOptions, PostgresStore};
use rtmanager::adapters::sqlite::{SqliteOptions, SqliteStore};
use rtmanager::adapters::system_clock::SystemClock;
use rtmanager::model::AuditEntry;
use rtmanager::orders::Error;
use rtmanager_tests::postgres::Postgres;
use sqlx::{Connection as _, PgConnection, SqliteConnection};

/// A database, by whom its rows can be written past rtmanager.
enum Backend {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<PgConnection>),
}

struct Desk {
    trail: Trail,
    backend: Backend,
    /// What must live as long.
    _home: Box<dyn std::any::Any + Send>,
}

impl Desk {
    async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trail.db");
        let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
        let connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        let trail = Trail::new(store.audit(), Arc::new(SystemClock));
        Self { trail, backend: Backend::Sqlite(Box::new(connection)), _home: Box::new(directory) }
    }

    async fn postgres() -> Self {
        let database = Postgres::shared().database().await;
        let store = PostgresStore::connect(&database.url(), PostgresOptions::default()).await.unwrap();
        let connection = database.connect().await;
        let trail = Trail::new(store.audit(), Arc::new(SystemClock));
        Self { trail, backend: Backend::Postgres(Box::new(connection)), _home: Box::new(database) }
    }

    async fn run(&mut self, sql: &str) {
        let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
        match &mut self.backend {
            Backend::Sqlite(connection) => drop(sql.execute(&mut **connection).await.unwrap()),
            Backend::Postgres(connection) => drop(sql.execute(&mut **connection).await.unwrap()),
        }
    }

    /// A value of each column that stands there nowhere.
    fn forgeries(&self) -> [(&'static str, &'static str); 8] {
        let (later, bytes) = match &self.backend {
            Backend::Sqlite(..) => ("at + 1", "x'0909090909090909090909090909090909090909090909090909090909090909'"),
            Backend::Postgres(..) => (
                "at + interval '1 microsecond'",
                "'\\x0909090909090909090909090909090909090909090909090909090909090909'::bytea",
            ),
        };
        [
            ("at", later),
            ("actor", "actor || 'x'"),
            ("role", "'admin '"),
            ("action", "upper(action)"),
            ("subject", "''"),
            ("detail", "'{}'"),
            ("previous", bytes),
            ("hash", bytes),
        ]
    }

    async fn write(&self, links: u64) {
        for index in 0..links {
            let deed = Deed::new("policy.bind", format!("acme/{index}")).with("why", "case 7");
            self.trail.audited(&Caller::admin("cli:uid=7"), deed, async { Ok::<_, Error>(()) }).await.unwrap();
        }
    }

    async fn links(&self) -> Vec<AuditEntry> {
        self.trail.read(1, 100).await.unwrap()
    }

    async fn broken_at(&self, head: Option<Anchor>) -> Option<u64> {
        self.trail.verify(head).await.unwrap().broken.map(|link| link.sequence)
    }

    /// Where it is broken after this; then all is as before.
    async fn after(&mut self, sql: &str, head: Option<Anchor>) -> Option<u64> {
        self.run(sql).await;
        let found = self.broken_at(head).await;
        self.run("DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM copy").await;
        assert_eq!(self.broken_at(head).await, None, "{sql}");
        found
    }
}

/// Whatever is done to any link of this trail shows.
async fn shows(desk: &mut Desk) {
    desk.run("CREATE TABLE copy AS SELECT * FROM audit_log").await;
    let links = desk.links().await;
    let last = links.last().unwrap();
    let vouching = links.iter().find(|link| link.event.action == "audit.prune").map(|link| link.sequence);
    let head = Anchor { sequence: last.sequence, hash: last.hash };
    assert_eq!(desk.broken_at(Some(head)).await, None);
    for link in &links {
        altered(desk, link.sequence).await;
        let cut = format!("DELETE FROM audit_log WHERE sequence >= {}", link.sequence);
        // With the pruning's own link, nothing vouches for the beginning any more.
        let expected = if vouching.is_some_and(|voucher| link.sequence <= voucher) { 1 } else { link.sequence };
        assert_eq!(desk.after(&cut, Some(head)).await, Some(expected), "{cut}");
    }
    for pair in links.windows(2) {
        let (one, other) = (pair[0].sequence, pair[1].sequence);
        let swap = format!(
            "UPDATE audit_log SET sequence = 99 WHERE sequence = {one}; UPDATE audit_log SET sequence = {one} WHERE \
             sequence = {other}; UPDATE audit_log SET sequence = {other} WHERE sequence = 99"
        );
        assert_eq!(desk.after(&swap, None).await.map(|at| at == one || at == other), Some(true), "{swap}");
        let delete = format!("DELETE FROM audit_log WHERE sequence = {one}");
        let found = desk.after(&delete, None).await;
        assert!(found == Some(one) || found == Some(1), "{delete}: {found:?}");
        let close = format!("{delete}; UPDATE audit_log SET sequence = sequence - 1 WHERE sequence = {other}");
        assert!(desk.after(&close, None).await.is_some(), "{close}");
    }
    desk.run("DROP TABLE copy").await;
}

async fn altered(desk: &mut Desk, sequence: u64) {
    let begins = desk.links().await[0].sequence;
    for (column, value) in desk.forgeries() {
        let sql = format!("UPDATE audit_log SET {column} = {value} WHERE sequence = {sequence}");
        let found = desk.after(&sql, None).await;
        // Where a pruned trail begins, what the first link follows on is vouched for by a later one.
        let expected =
            if column == "previous" && sequence == begins && begins > 1 { [sequence, 1] } else { [sequence; 2] };
        assert!(found.is_some_and(|at| expected.contains(&at)), "{sql}: {found:?}");
    }
}

async fn pruned(desk: &Desk, sequence: u64) {
    let links = desk.links().await;
    let last = links.iter().find(|link| link.sequence == sequence).unwrap();
    let through = Anchor { sequence, hash: last.hash };
    desk.trail.prune(&Caller::admin("cli:uid=7"), through).await.unwrap();
    assert_eq!(desk.trail.verify(None).await.unwrap().pruned, Some(through));
}

async fn tampering_shows_before_and_after_a_pruning(mut desk: Desk) {
    desk.write(4).await;
    shows(&mut desk).await;
    pruned(&desk, 2).await;
    desk.write(2).await;
    shows(&mut desk).await;
    // A pruning that is said to have gone further than it did does not vouch.
    desk.run("DELETE FROM audit_log WHERE sequence = 3").await;
    assert_eq!(desk.broken_at(None).await, Some(1));
}

#[tokio::test]
async fn in_sqlite_tampering_with_any_link_shows_before_and_after_a_pruning() {
    tampering_shows_before_and_after_a_pruning(Desk::sqlite().await).await;
}

#[tokio::test]
async fn in_postgres_tampering_with_any_link_shows_before_and_after_a_pruning() {
    tampering_shows_before_and_after_a_pruning(Desk::postgres().await).await;
}
