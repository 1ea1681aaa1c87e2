//! The breaker's limit is one for all hosts that sweep an engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use rtmanager::model::{EngineName, LiveStatus, PauseCause, Registration, Timestamp};
use rtmanager::ports::{Claim, Clock as _, DueCursor, DuePage, RecordStore, StoreError};
use rtmanager::sweeper::{Decision, SweepOptions};
use rtmanager_tests::mock_host::{Backends, ENGINE, IMAGE, MockHost, container, labels};
use rtmanager_tests::sweeping::{RETENTION, Swept};
use rtmanager_tests::tapped::{RecordTap, Tapped};
use tokio::sync::Barrier;

use super::{due_games, game, sweep, with_breaker};

/// Two walks make their first claims at the same moment, whatever each has counted before. What is late becomes due
/// just then.
struct Abreast {
    inner: Arc<dyn RecordStore>,
    late: Vec<Registration>,
    claims: AtomicUsize,
    barrier: Barrier,
}

#[async_trait]
impl RecordTap for Abreast {
    fn inner(&self) -> &Arc<dyn RecordStore> {
        &self.inner
    }

    async fn claim_due(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        after: Option<&DueCursor>,
        limit: u32,
        claim: &Claim,
    ) -> Result<DuePage, StoreError> {
        if self.claims.fetch_add(1, Ordering::SeqCst) < 2 {
            if self.barrier.wait().await.is_leader() {
                for registration in &self.late {
                    self.inner.register(registration, now).await.expect("registered");
                }
            }
            self.barrier.wait().await;
        }
        self.inner.claim_due(engine, floor, now, after, limit, claim).await
    }
}

/// Two hosts on one store, and what both do when they sweep at once: `due` games from the beginning, and so many more
/// from the first claim on.
async fn swept_by_two(due: u64, late: u64, options: SweepOptions) -> (MockHost, [Swept; 2]) {
    let host = MockHost::builder().wrap(move |world, behind| {
        let now = world.clock.now().saturating_add(2 * RETENTION);
        let late = (due + 1..=due + late).map(|n| late_registration(n, now)).collect();
        let (claims, barrier) = (AtomicUsize::new(0), Barrier::new(2));
        let records = Arc::new(Tapped(Abreast { inner: behind.records, late, claims, barrier }));
        Backends { records, ..behind }
    });
    let one = host.build();
    let other = one.successor(MockHost::builder());
    due_games(&one, due).await;
    for n in due + 1..=due + late {
        one.engine.create(&container(n), IMAGE, labels(&game(n)));
    }
    one.advance(2 * RETENTION);
    let (here, there) = (one.sweeper(options.clone()), other.sweeper(options));
    let swept = tokio::join!(sweep(&here), sweep(&there));
    (one, swept.into())
}

/// Stopped long before `now`.
fn late_registration(n: u64, now: Timestamp) -> Registration {
    Registration {
        game_id: game(n).parse().unwrap(),
        tenant: "tenant-a".parse().unwrap(),
        engine: ENGINE.parse().unwrap(),
        status: LiveStatus::Stopped,
        container_id: Some(container(n)),
        image_ref: None,
        labels: None,
        started_at: None,
        stopped_at: Some(now.saturating_sub(RETENTION + RETENTION / 2)),
    }
}

fn removed(swept: &[Swept; 2]) -> u64 {
    swept.iter().map(|swept| swept.engine().removed).sum()
}

/// Small pages and large ones, few runs at a time and many.
fn ways() -> impl Iterator<Item = SweepOptions> {
    [(1, 1), (3, 2), (7, 100), (100, 8)].into_iter().map(|(page_size, concurrency)| SweepOptions {
        page_size,
        concurrency,
        ..with_breaker(0.0)
    })
}

#[tokio::test]
async fn two_hosts_that_come_upon_a_backlog_together_remove_nothing_and_both_say_why() {
    for options in ways() {
        let host = super::host();
        let other = host.successor(MockHost::builder());
        due_games(&host, 60).await;
        let (here, there) = (host.sweeper(options.clone()), other.sweeper(options));
        let swept: [Swept; 2] = tokio::join!(sweep(&here), sweep(&there)).into();
        assert_eq!((removed(&swept), host.engine.containers().len()), (0, 60));
        for swept in &swept {
            let pause = swept.engine().paused.as_ref().expect("paused");
            assert_eq!(pause.cause, PauseCause::Breaker { removals: 60 });
            assert!(pause.reason.contains("would pass the limit of 20"), "{}", pause.reason);
        }
    }
}

#[tokio::test]
async fn two_hosts_together_remove_no_more_than_the_limit_and_both_say_why() {
    for options in ways() {
        let (host, swept) = swept_by_two(15, 45, options.clone()).await;
        let gone = 60 - host.engine.containers().len() as u64;
        assert_eq!(gone, removed(&swept), "{options:?}");
        assert!(gone <= 20, "{gone} were removed: {options:?}");
        for swept in &swept {
            let pause = swept.engine().paused.as_ref().expect("paused");
            assert!(matches!(pause.cause, PauseCause::Breaker { .. }), "{pause:?}");
            assert!(pause.reason.contains("would pass the limit of 20"), "{}", pause.reason);
        }
        assert_eq!(host.pauses.pauses().await.unwrap().len(), 1);
        assert!(host.no_lease_is_held());
    }
}

#[tokio::test]
async fn two_hosts_within_the_limit_remove_all_and_neither_pauses() {
    for options in ways() {
        for (due, late) in [(20, 0), (12, 8)] {
            let (host, swept) = swept_by_two(due, late, options.clone()).await;
            assert_eq!((removed(&swept), host.engine.containers().len()), (20, 0), "{options:?}");
            for swept in &swept {
                assert_eq!((&swept.engine().paused, &swept.engine().error), (&None, &None), "{options:?}");
                assert!(swept.games(Decision::WouldRemove).is_empty(), "{options:?}");
            }
            assert!(host.pauses.pauses().await.unwrap().is_empty());
        }
    }
}
