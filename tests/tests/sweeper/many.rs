//! Many candidates: in pages, side by side, by several sweepers, and in bounded memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rtmanager::adapters::memory::{Call, ManualClock, MemoryEngine};
use rtmanager::model::{Container, ContainerId, Removal, Status};
use rtmanager::ports::{ContainerEngine, EngineError, Listing};
use rtmanager::sweeper::{Decision, SweepItem};
use rtmanager_tests::fixtures::HOSTILE;
use rtmanager_tests::mock_host::{ENGINE, IMAGE, MockHost, container, labels};
use rtmanager_tests::sweeping::{RETENTION, Swept, sweep_options};

use super::{due_games, game, host, reviewing, sweep};

/// Counts removals under way.
struct Watched {
    inner: Arc<dyn ContainerEngine>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    under_way: AtomicUsize,
    peak: AtomicUsize,
    removed: AtomicUsize,
}

/// A host whose removals take a while and are counted.
fn watched(removal_time: Duration) -> (MockHost, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let watching = counts.clone();
    let host = MockHost::builder().wrap(move |world, mut behind| {
        world.engine.set_removal_time(removal_time);
        behind.engine = Arc::new(Watched { inner: behind.engine, counts: watching });
        behind
    });
    (host.build(), counts)
}

#[async_trait]
impl ContainerEngine for Watched {
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        self.inner.inspect(id).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError> {
        let counts = &self.counts;
        let under_way = counts.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        counts.peak.fetch_max(under_way, Ordering::SeqCst);
        let removal = self.inner.remove(id).await;
        counts.under_way.fetch_sub(1, Ordering::SeqCst);
        if matches!(removal, Ok(Removal::Removed)) {
            counts.removed.fetch_add(1, Ordering::SeqCst);
        }
        removal
    }

    async fn list_labelled(&self, labels: &[(String, String)]) -> Result<Listing, EngineError> {
        self.inner.list_labelled(labels).await
    }

    async fn ping(&self) -> Result<(), EngineError> {
        self.inner.ping().await
    }

    fn capacity(&self) -> usize {
        self.inner.capacity()
    }
}

#[tokio::test]
async fn every_candidate_is_offered_once_whatever_the_page_size() {
    for page_size in 1..=9 {
        let host = reviewing("keep");
        due_games(&host, 8).await;
        // Half of them wait and come due again: the walk's second part.
        sweep(&host.sweeper(sweep_options())).await;
        host.advance(RETENTION);
        for n in 9..=16 {
            host.stopped(&game(n), &container(n)).await;
        }
        host.advance(RETENTION);
        let mut options = sweep_options();
        options.page_size = page_size;
        let swept = sweep(&host.sweeper(options)).await;
        let expected: Vec<_> = (1..=16).map(game).collect();
        assert_eq!(swept.games(Decision::Kept), expected, "page size {page_size}");
        assert_eq!(swept.engine().census.due, 16);
    }
}

#[tokio::test]
async fn sweeping_again_finds_nothing_to_do() {
    let host = host();
    let sweeper = host.sweeper(sweep_options());
    due_games(&host, 10).await;
    assert_eq!(sweep(&sweeper).await.engine().removed, 10);
    let entries = host.entries().len();
    let again = sweep(&sweeper).await;
    assert!(again.items.is_empty());
    assert_eq!((again.engine().census.due, host.entries().len()), (0, entries));
}

#[tokio::test]
async fn runs_side_by_side_up_to_the_limit_of_an_engine() {
    for concurrency in [1, 3, 8] {
        let (host, counts) = watched(Duration::from_millis(30));
        due_games(&host, 24).await;
        let mut options = sweep_options();
        (options.concurrency, options.page_size) = (concurrency, 5);
        assert_eq!(sweep(&host.sweeper(options)).await.engine().removed, 24);
        assert_eq!(counts.peak.load(Ordering::SeqCst), concurrency);
    }
}

#[tokio::test]
async fn a_slow_engine_does_not_hold_up_another() {
    let slow = Arc::new(MemoryEngine::new(Arc::new(ManualClock::default())));
    slow.set_removal_time(Duration::from_secs(3_600));
    let host = MockHost::builder().one_more_engine("slow", slow.clone()).build();
    due_games(&host, 6).await;
    for n in 1..=3 {
        let id = container(100 + n);
        slow.create(&id, IMAGE, labels(&game(n)));
        let mut record = host.record(&game(n)).await.unwrap().record;
        (record.engine, record.container_id) = ("slow".parse().unwrap(), Some(id));
        host.store.write_directly(record);
    }
    let sweeper = host.sweeper(sweep_options());
    let sweeping = tokio::spawn(async move { sweep(&sweeper).await });
    let done = async {
        while host.record(&game(6)).await.unwrap().record.status != Status::Removed {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), done).await.expect("the fast engine is swept meanwhile");
    assert!(!sweeping.is_finished());
    assert_eq!(slow.containers().len(), 3);
    sweeping.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sweepers_on_one_store_remove_each_container_once_and_blame_no_game() {
    let (one, counts) = watched(Duration::from_millis(2));
    let other = one.successor(MockHost::builder().policy(HOSTILE).setting("mode", "honest"));
    due_games(&one, 40).await;
    let mut options = sweep_options();
    options.concurrency = 4;
    let (here, there) = (one.sweeper(options.clone()), other.sweeper(options));
    let (here, there) = tokio::join!(sweep(&here), sweep(&there));
    assert_eq!(counts.removed.load(Ordering::SeqCst), 40);
    for swept in [&here, &there] {
        assert_eq!((swept.engine().failed, swept.engine().parked), (0, 0), "{:?}", swept.items);
    }
    for n in 1..=40 {
        let tracked = one.record(&game(n)).await.unwrap();
        assert_eq!((tracked.record.status, tracked.cleanup.failed_attempts), (Status::Removed, 0));
    }
    assert!(one.no_lease_is_held());
}

#[tokio::test]
async fn an_engine_slower_than_the_claims_on_its_games_is_swept_to_the_end_all_the_same() {
    let host = host();
    due_games(&host, 6).await;
    let mut options = sweep_options();
    (options.concurrency, options.claim_ttl) = (1, Duration::from_secs(10));
    for nth in 1..=6 {
        let clock = host.clock.clone();
        host.script.plan().meanwhile(Call::EngineRemove, nth, async move { clock.advance(Duration::from_secs(11)) });
    }
    assert_eq!(sweep(&host.sweeper(options)).await.engine().removed, 6);
    let claims = host.script.journal().count(Call::RecordClaimDue);
    assert!(claims > 3, "claimed anew whenever the claim had ended, not {claims} times");
    assert_eq!(host.store.records().end_abandoned_claims(rtmanager::model::Timestamp::MAX).await.unwrap(), []);
}

#[tokio::test]
async fn ten_thousand_candidates_are_swept_with_no_more_than_a_page_at_hand() {
    const COUNT: u64 = 10_000;
    const PAGE: u32 = 500;
    const RUNS: usize = 125;
    let host = host();
    let template = host.stopped("template", &container(1)).await;
    host.store.delete_directly(&template.game_id);
    host.engine.vanish(&container(1));
    for n in 1..=COUNT {
        let mut record = template.clone();
        (record.game_id, record.container_id) = (game(n).parse().unwrap(), None);
        host.store.write_directly(record);
    }
    host.advance(RETENTION);
    let mut options = sweep_options();
    (options.page_size, options.concurrency) = (PAGE, RUNS);
    let (dealt_with, most) = (Arc::new(AtomicUsize::default()), Arc::new(AtomicUsize::default()));
    let (seen, at_hand, script) = (dealt_with.clone(), most.clone(), host.script.clone());
    let observer = Arc::new(move |_: &SweepItem| {
        let seen = seen.fetch_add(1, Ordering::SeqCst);
        if seen % 100 == 0 {
            let read = script.journal().count(Call::RecordClaimDue) * PAGE as usize;
            at_hand.fetch_max(read.saturating_sub(seen), Ordering::SeqCst);
        }
    });
    let report = host.sweeper(options).sweep(&Default::default(), observer).await.unwrap();
    assert_eq!(report.engines.values().map(|engine| engine.removed).sum::<u64>(), COUNT);
    assert_eq!(dealt_with.load(Ordering::SeqCst) as u64, COUNT);
    let most = most.load(Ordering::SeqCst);
    assert!(most <= PAGE as usize + RUNS, "{most} rows were at hand");
}

#[tokio::test]
async fn the_observer_is_told_what_the_report_counts() {
    let host = reviewing("keep");
    due_games(&host, 5).await;
    let swept = sweep(&host.sweeper(sweep_options())).await;
    let games: BTreeSet<_> = swept.items.iter().map(|item| item.game_id.clone()).collect();
    assert_eq!((games.len() as u64, swept.items.len() as u64), (swept.engine().kept, 5));
    let item = swept.items.iter().find(|item| item.container_id == Some(container(1))).expect("told of the first");
    assert_eq!(item.engine.as_str(), ENGINE);
    assert!(item.stopped_at.is_some());
}

#[tokio::test]
async fn the_gauges_tell_the_last_sweep() {
    let host = host();
    let ids = due_games(&host, 5).await;
    host.engine.start(&ids[1]);
    let mut options = sweep_options();
    options.retry.park_after = 1;
    let swept: Swept = sweep(&host.sweeper(options)).await;
    assert_eq!(swept.engine().parked, 1);
    let text = host.metrics.render().unwrap();
    for (result, count) in [("candidates", 5), ("removed", 4), ("kept", 0), ("failed", 1), ("parked", 1)] {
        let line = format!("rtmanager_sweep_runtimes{{engine=\"local\",result=\"{result}\"}} {count}");
        assert!(text.contains(&line), "{line}\n{text}");
    }
}
