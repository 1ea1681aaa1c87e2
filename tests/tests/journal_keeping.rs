//! Journals go to the store behind the runs' backs: whose, how many, for how long; and nothing that befalls them befalls a
//! run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rtmanager::journals::{JournalOptions, Journals, Recorded};
use rtmanager::model::{JournalBounds, Outcome, RunId, RunJournal, TenantId, Timestamp};
use rtmanager::ports::{Clock as _, JournalFilter, JournalStore, KeptJournal, StoreError};
use rtmanager_tests::fixtures::HOSTILE;
use rtmanager_tests::mock_host::{MockHost, container};

const PATIENCE: Duration = Duration::from_secs(60);

fn all() -> JournalOptions {
    JournalOptions { recorded: Recorded::All, ..JournalOptions::default() }
}

fn journals(host: &MockHost, options: JournalOptions) -> Arc<Journals> {
    let journals = Journals::begin(options, host.store.journals(), host.metrics.clone());
    host.lifecycle.record_for(journals.clone());
    journals
}

async fn kept(host: &MockHost) -> Vec<RunJournal> {
    let listed = host.store.journals().list(&JournalFilter::default(), None, 1_000).await.unwrap();
    listed.into_iter().map(|kept| kept.journal.unwrap()).collect()
}

async fn clean(host: &MockHost, games: u64) {
    for number in 1..=games {
        let game = format!("game-{number}");
        host.stopped(&game, &container(number)).await;
        let outcome = host.cleanup(&game).await.outcome;
        // The labels name another game, which is no failure of the journal's.
        assert!(outcome == Outcome::Success, "{game}");
        host.advance(Duration::from_secs(1));
    }
}

fn counted(host: &MockHost, result: &str) -> u64 {
    let line = format!("rtmanager_run_journals_total{{result=\"{result}\"}} ");
    let text = host.metrics.render().unwrap();
    text.lines().find_map(|it| it.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn journals_of_the_tenants_named_are_kept_and_no_others() {
    let of = |tenants: &[&str]| Recorded::Tenants(tenants.iter().map(|it| it.parse::<TenantId>().unwrap()).collect());
    for (recorded, expected) in
        [(Recorded::none(), 0), (of(&["rival"]), 0), (of(&["rival", "tenant-a"]), 3), (Recorded::All, 3)]
    {
        let host = MockHost::builder().build();
        let journals = journals(&host, JournalOptions { recorded: recorded.clone(), ..all() });
        clean(&host, 3).await;
        assert!(journals.flush(PATIENCE).await);
        assert_eq!(kept(&host).await.len(), expected, "{recorded:?}");
        assert_eq!(counted(&host, "kept"), expected as u64);
    }
}

#[tokio::test]
async fn of_a_game_without_a_record_only_everybodys_journal_tells() {
    for (recorded, expected) in [(Recorded::All, 1), (Recorded::Tenants(["tenant-a".parse().unwrap()].into()), 0)] {
        let host = MockHost::builder().build();
        let journals = journals(&host, JournalOptions { recorded, ..all() });
        host.cleanup("nobody-knows").await;
        assert!(journals.flush(PATIENCE).await);
        assert_eq!(kept(&host).await.len(), expected);
    }
}

#[tokio::test]
async fn a_share_of_the_runs_is_kept() {
    let host = MockHost::builder().build();
    let journals = journals(&host, JournalOptions { share: 0.5, ..all() });
    clean(&host, 60).await;
    assert!(journals.flush(PATIENCE).await);
    let kept = kept(&host).await.len();
    assert!((15..=45).contains(&kept), "{kept} of 60");
}

#[tokio::test]
async fn old_journals_and_too_many_go() {
    let host = MockHost::builder().build();
    let day = Duration::from_secs(86_400);
    let journals = journals(&host, JournalOptions { retention: 2 * day, ..all() });
    clean(&host, 2).await;
    host.advance(3 * day);
    host.stopped("late", &container(9)).await;
    host.cleanup("late").await;
    assert!(journals.flush(PATIENCE).await);
    assert_eq!(journals.prune(host.clock.now()).await.unwrap(), 2);
    assert_eq!(kept(&host).await.len(), 1);
    assert_eq!(journals.prune(host.clock.now()).await.unwrap(), 0);

    let host = MockHost::builder().build();
    let each = {
        let probe = self::journals(&host, all());
        clean(&host, 4).await;
        assert!(probe.flush(PATIENCE).await);
        kept(&host).await[0].to_json().unwrap().len() as u64
    };
    let tight = Journals::begin(
        JournalOptions { tenant_bytes: each * 5 / 2, ..all() },
        host.store.journals(),
        host.metrics.clone(),
    );
    assert_eq!(tight.prune(host.clock.now()).await.unwrap(), 2);
    let games: Vec<_> = kept(&host).await.into_iter().map(|journal| journal.request.game_id).collect();
    assert_eq!(games, ["game-4", "game-3"]);
}

/// A store that does what it is told, and nothing else.
#[derive(Default)]
struct Broken {
    hangs: AtomicBool,
    asked: AtomicUsize,
}

#[async_trait]
impl JournalStore for Broken {
    async fn add(&self, _: &RunJournal) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Err(StoreError::Corrupt("on purpose".to_owned()))
    }

    async fn get(&self, _: &RunId) -> Result<Option<KeptJournal>, StoreError> {
        Ok(None)
    }

    async fn list(&self, _: &JournalFilter, _: Option<&RunId>, _: u32) -> Result<Vec<KeptJournal>, StoreError> {
        Ok(Vec::new())
    }

    async fn prune(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn shrink(&self, _: u64, _: u32) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[tokio::test]
async fn a_store_that_fails_costs_journals_and_no_run() {
    let host = MockHost::builder().build();
    let store = Arc::new(Broken::default());
    let journals = Journals::begin(all(), store.clone(), host.metrics.clone());
    host.lifecycle.record_for(journals.clone());
    clean(&host, 5).await;
    assert!(journals.flush(PATIENCE).await);
    assert_eq!((counted(&host, "failed"), counted(&host, "kept")), (5, 0));
    assert_eq!(store.asked.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_store_that_hangs_slows_no_run_and_what_finds_no_room_is_counted() {
    let host = MockHost::builder().build();
    let store = Arc::new(Broken::default());
    store.hangs.store(true, Ordering::SeqCst);
    let journals = Journals::begin(all(), store, host.metrics.clone());
    host.lifecycle.record_for(journals.clone());
    let began = tokio::time::Instant::now();
    clean(&host, 300).await;
    assert!(counted(&host, "dropped") >= 40, "{}", counted(&host, "dropped"));
    assert!(began.elapsed() < PATIENCE);
    assert!(!journals.flush(Duration::from_millis(50)).await);
}

#[tokio::test]
async fn a_flood_is_kept_within_the_bounds_of_the_configuration() {
    let host = MockHost::builder().policy(HOSTILE).setting("mode", "call-flood").build();
    let bounds = JournalBounds { exchanges: 7, bytes: 64 << 10 };
    let journals = journals(&host, JournalOptions { bounds, ..all() });
    host.stopped("game-1", &container(1)).await;
    host.cleanup("game-1").await;
    assert!(journals.flush(PATIENCE).await);
    let kept = kept(&host).await;
    assert_eq!(kept[0].exchanges.len(), 7);
    assert!(kept[0].omitted > 900, "{}", kept[0].omitted);
}
