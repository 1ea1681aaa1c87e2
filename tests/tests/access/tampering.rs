//! Somebody writes to the trail's table: whatever they change, it shows, and which link it was.

use std::path::Path;

use rtmanager::access::{Anchor, Caller, Deed, Trail};
use rtmanager::adapters::sqlite::{SqliteOptions, SqliteStore};
use rtmanager::adapters::system_clock::SystemClock;
use rtmanager::model::{AuditEntry, AuditEvent, Role};
use rtmanager::orders::Error;
use sqlx::{Connection as _, SqliteConnection};

const ROWS: u64 = 4;
const TEXTS: [&str; 5] = ["actor", "role", "action", "subject", "detail"];

struct Desk {
    directory: tempfile::TempDir,
    store: SqliteStore,
    trail: Trail,
}

impl Desk {
    /// A trail of four links, and a copy of it to go back to.
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).await;
        let trail = Trail::new(store.audit(), std::sync::Arc::new(SystemClock));
        for index in 0..ROWS {
            let caller = Caller { actor: format!("token:é{index}"), role: Role::Tenant("acme".parse().unwrap()) };
            let deed = Deed::new("policy.bind", format!("acme/{index}")).with("why", "case 7");
            trail.audited(&caller, deed, async { Ok::<_, Error>(()) }).await.unwrap();
        }
        let desk = Self { directory, store, trail };
        desk.run("CREATE TABLE copy AS SELECT * FROM audit_log").await;
        desk
    }

    async fn run(&self, sql: &str) {
        let url = format!("sqlite://{}", self.directory.path().join("trail.db").display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn restore(&self) {
        self.run("DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM copy").await;
        assert_eq!(self.found(None).await, None);
    }

    async fn found(&self, head: Option<Anchor>) -> Option<(u64, String)> {
        let broken = self.trail.verify(head).await.unwrap().broken;
        broken.map(|link| (link.sequence, link.flaw.to_string()))
    }

    /// What is found after this; then all is as before.
    async fn after(&self, sql: &str, head: Option<Anchor>) -> Option<(u64, String)> {
        self.run(sql).await;
        let found = self.found(head).await;
        self.restore().await;
        found
    }

    async fn head(&self) -> Anchor {
        self.trail.verify(None).await.unwrap().head.unwrap()
    }
}

async fn open(directory: &Path) -> SqliteStore {
    SqliteStore::open(&directory.join("trail.db"), SqliteOptions::default()).await.unwrap()
}

fn changed(sequence: u64) -> Option<(u64, String)> {
    Some((sequence, "it was changed: its hash is not that of what it says".to_owned()))
}

fn missing(sequence: u64) -> Option<(u64, String)> {
    Some((sequence, "it is missing".to_owned()))
}

fn cut_off(sequence: u64) -> Option<(u64, String)> {
    Some((sequence, "it is missing: the trail was cut off before it".to_owned()))
}

#[tokio::test]
async fn a_change_of_any_byte_of_any_column_shows_and_says_where() {
    let desk = Desk::open().await;
    let rows = desk.store.audit().read(1, 10).await.unwrap();
    for AuditEntry { sequence, event, .. } in &rows {
        let AuditEvent { actor, role, action, subject, detail, .. } = event;
        for (column, text) in TEXTS.iter().zip([actor, role, action, subject, detail]) {
            // By characters: with half of one it would not be text, which is another test.
            for (place, found) in text.char_indices() {
                let other = if found == 'x' { "y" } else { "x" };
                let forged = [&text[..place], other, &text[place + found.len_utf8()..]].concat();
                let sql = format!("UPDATE audit_log SET {column} = '{forged}' WHERE sequence = {sequence}");
                desk.run(&sql).await;
                assert_eq!(desk.found(None).await, changed(*sequence), "{sql}");
                desk.run(&format!("UPDATE audit_log SET {column} = '{text}' WHERE sequence = {sequence}")).await;
            }
            for forged in [format!("{text} "), format!("{text}x"), text[..text.len() - 1].to_owned(), String::new()] {
                let sql = format!("UPDATE audit_log SET {column} = '{forged}' WHERE sequence = {sequence}");
                assert_eq!(desk.after(&sql, None).await, changed(*sequence), "{sql}");
            }
        }
    }
}

#[tokio::test]
async fn a_change_of_time_or_of_any_byte_of_a_hash_shows() {
    let desk = Desk::open().await;
    for AuditEntry { sequence, previous, hash, .. } in desk.store.audit().read(1, 10).await.unwrap() {
        for by in [-1, 1, 86_400_000_000_i64] {
            let sql = format!("UPDATE audit_log SET at = at + {by} WHERE sequence = {sequence}");
            assert_eq!(desk.after(&sql, None).await, changed(sequence), "{sql}");
        }
        for (column, bytes) in [("previous", previous), ("hash", hash)] {
            for place in 0..bytes.len() {
                let mut forged = bytes;
                forged[place] ^= 1;
                let forged = hex::encode(forged);
                let sql = format!("UPDATE audit_log SET {column} = x'{forged}' WHERE sequence = {sequence}");
                assert_eq!(desk.after(&sql, None).await, changed(sequence), "{sql}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_text_or_no_time_any_more_is_named_as_unreadable() {
    let desk = Desk::open().await;
    for sequence in 1..=ROWS {
        for broken in ["at = -1", "actor = CAST(x'ff41' AS TEXT)", "detail = CAST(x'c3' AS TEXT)"] {
            let sql = format!("UPDATE audit_log SET {broken} WHERE sequence = {sequence}");
            let (place, flaw) = desk.after(&sql, None).await.unwrap();
            assert!(place == sequence && flaw.starts_with("it cannot be read: "), "{sql}: {place}: {flaw}");
        }
    }
}

#[tokio::test]
async fn links_that_are_deleted_moved_or_swapped_show() {
    let desk = Desk::open().await;
    let swap = |a: u64, b: u64| {
        format!(
            "UPDATE audit_log SET sequence = 99 WHERE sequence = {a}; UPDATE audit_log SET sequence = {a} WHERE \
             sequence = {b}; UPDATE audit_log SET sequence = {b} WHERE sequence = 99"
        )
    };
    for sequence in 1..ROWS {
        let delete = format!("DELETE FROM audit_log WHERE sequence = {sequence}");
        assert_eq!(desk.after(&delete, None).await, missing(sequence));
        assert_eq!(desk.after(&swap(sequence, sequence + 1), None).await, changed(sequence));
        let close = format!("{delete}; UPDATE audit_log SET sequence = sequence - 1 WHERE sequence > {sequence}");
        assert_eq!(desk.after(&close, None).await, changed(sequence), "a gap that was closed");
    }
    for (from, to) in [(ROWS, 9), (1, 0), (2, -2)] {
        let sql = format!("UPDATE audit_log SET sequence = {to} WHERE sequence = {from}");
        assert_eq!(desk.after(&sql, None).await, missing(from), "{sql}");
    }
}

#[tokio::test]
async fn a_tail_that_was_cut_off_shows_to_whoever_remembers_the_head() {
    let desk = Desk::open().await;
    let head = desk.head().await;
    assert_eq!(desk.found(Some(head)).await, None);
    for first in 1..=ROWS {
        let cut = format!("DELETE FROM audit_log WHERE sequence >= {first}");
        assert_eq!(desk.after(&cut, None).await, None, "the chain alone does not tell");
        assert_eq!(desk.after(&cut, Some(head)).await, cut_off(first));
    }
}

#[tokio::test]
async fn a_link_that_was_forged_with_its_hash_is_not_followed_by_the_next() {
    let desk = Desk::open().await;
    let head = desk.head().await;
    for link in desk.store.audit().read(1, 10).await.unwrap() {
        let event = AuditEvent { actor: "eve".to_owned(), ..link.event };
        let forged = AuditEntry::link(link.sequence, link.previous, event);
        let hash = hex::encode(forged.hash);
        let sql = format!("UPDATE audit_log SET actor = 'eve', hash = x'{hash}' WHERE sequence = {}", link.sequence);
        let (place, flaw) = desk.after(&sql, Some(head)).await.unwrap();
        let expected = match link.sequence {
            ROWS => (ROWS, "it is not the link that is remembered, so the trail was written anew"),
            sequence => (sequence + 1, "it does not follow on the link before it"),
        };
        assert_eq!((place, flaw.as_str()), expected);
    }
}

#[tokio::test]
async fn a_trail_longer_than_a_page_is_walked_to_its_end() {
    let desk = Desk::open().await;
    let log = desk.store.audit();
    let event = log.read(1, 1).await.unwrap().remove(0).event;
    for _ in 0..1_100 {
        log.append(&event).await.unwrap();
    }
    assert_eq!(desk.head().await.sequence, ROWS + 1_100);
    desk.run("UPDATE audit_log SET subject = 'x' WHERE sequence = 777").await;
    assert_eq!(desk.found(None).await, changed(777));
    desk.run("UPDATE audit_log SET at = -1 WHERE sequence = 600").await;
    assert_eq!(desk.found(None).await.unwrap().0, 600);
}

#[tokio::test]
async fn appends_of_several_processes_at_once_make_one_chain() {
    let desk = Desk::open().await;
    let stores = [open(desk.directory.path()).await, open(desk.directory.path()).await];
    let appending = (0..8_usize).map(|index| {
        let trail = Trail::new(stores[index % 2].audit(), std::sync::Arc::new(SystemClock));
        tokio::spawn(async move {
            for _ in 0..10 {
                let done = async { Ok::<_, Error>(()) };
                trail.audited(&Caller::admin("cli"), Deed::new("a", "b"), done).await.unwrap();
            }
        })
    });
    futures_util::future::try_join_all(appending).await.unwrap();
    assert_eq!((desk.found(None).await, desk.head().await.sequence), (None, ROWS + 80));
}
