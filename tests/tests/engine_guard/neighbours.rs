//! A hung engine holds up nobody else's: neither a sweep, nor the places for runs.

use std::sync::Arc;
use std::time::Duration;

use rtmanager::adapters::memory::{Call, Failure, ManualClock, MemoryEngine, Script};
use rtmanager::guarded::GuardedEngine;
use rtmanager::metrics::Metrics;
use rtmanager::ports::ContainerEngine;
use rtmanager::sweeper::SweepRequest;
use rtmanager_tests::mock_host::{ENGINE, IMAGE, MockHost, container, labels, request};
use rtmanager_tests::sweeping::{RETENTION, Swept, sweep_options};

use super::{options, until};

const HUNG: &str = "hung";
/// Containers on each engine.
const GAMES: u64 = 12;
/// Longest wait for what should not wait at all.
const DEADLINE: Duration = Duration::from_secs(20);

/// A host with due games on its own engine and on a guarded one that answers pings and hangs in everything else.
async fn beside_a_hung_engine(concurrent_runs: u32) -> (MockHost, Script) {
    let (clock, script) = (Arc::new(ManualClock::default()), Script::default());
    let memory = Arc::new(MemoryEngine::new(clock.clone()));
    let behind = script.engine(memory.clone());
    let metrics = Arc::new(Metrics::new().unwrap());
    let guarded = GuardedEngine::new(HUNG.parse().unwrap(), behind, options(8), clock, metrics);
    let guarded: Arc<dyn ContainerEngine> = Arc::new(guarded);
    let host = MockHost::builder().concurrent_runs(concurrent_runs).one_more_engine(HUNG, guarded).build();
    for n in 1..=GAMES {
        host.stopped(&format!("well-{n}"), &container(n)).await;
        let (game, id) = (format!("hung-{n}"), container(100 + n));
        memory.create(&id, IMAGE, labels(&game));
        let mut record = host.stopped(&game, &id).await;
        host.engine.vanish(&id);
        record.engine = HUNG.parse().unwrap();
        // Of a tenant each, since one alone would not take all places.
        record.tenant = format!("tenant-{n}").parse().unwrap();
        host.store.write_directly(record);
    }
    script.plan().fail_always(Call::EngineInspect, Failure::Hang);
    script.plan().fail_always(Call::EngineRemove, Failure::Hang);
    host.advance(RETENTION);
    (host, script)
}

async fn sweep_of(host: &MockHost, engine: &str) -> Swept {
    let request = SweepRequest { engine: Some(engine.parse().unwrap()), ..SweepRequest::default() };
    let sweeper = host.sweeper(sweep_options());
    let swept = tokio::time::timeout(DEADLINE, Swept::by(&sweeper, &request)).await;
    swept.expect("the other engine hangs, and this one waits for it")
}

#[tokio::test]
async fn its_sweep_hangs_and_the_others_ends() {
    let (host, script) = beside_a_hung_engine(64).await;
    let sweeper = host.sweeper(sweep_options());
    let hung = SweepRequest { engine: Some(HUNG.parse().unwrap()), ..SweepRequest::default() };
    let hanging = tokio::spawn(async move { Swept::by(&sweeper, &hung).await });
    until(|| script.journal().count(Call::EngineInspect) == 2).await;
    assert_eq!(sweep_of(&host, ENGINE).await.on(ENGINE).removed, GAMES);
    assert!(!hanging.is_finished());
    hanging.abort();
}

#[tokio::test]
async fn runs_that_are_stuck_on_it_leave_places_to_the_others() {
    let (host, script) = beside_a_hung_engine(8).await;
    let stuck: Vec<_> = (1..=GAMES)
        .map(|n| {
            let lifecycle = host.lifecycle.clone();
            tokio::spawn(async move { lifecycle.cleanup(request(&format!("hung-{n}"), "admin_rest")).await })
        })
        .collect();
    until(|| script.journal().count(Call::EngineInspect) == 4).await;
    // Of eight places, four are shared and each engine has two of its own.
    until(|| host.store.leases_held(rtmanager::ports::Clock::now(&*host.clock)) == 6).await;
    assert_eq!(sweep_of(&host, ENGINE).await.on(ENGINE).removed, GAMES);
    assert!(stuck.iter().all(|run| !run.is_finished()));
    stuck.iter().for_each(|run| run.abort());
}

#[tokio::test]
async fn a_sweep_makes_no_more_runs_than_the_engine_takes_calls() {
    let (host, script) = beside_a_hung_engine(64).await;
    let mut options = sweep_options();
    (options.concurrency, options.page_size) = (100, 100);
    let sweeper = host.sweeper(options);
    let hung = SweepRequest { engine: Some(HUNG.parse().unwrap()), ..SweepRequest::default() };
    let hanging = tokio::spawn(async move { Swept::by(&sweeper, &hung).await });
    until(|| script.journal().count(Call::EngineInspect) == 4).await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(host.store.leases_held(rtmanager::ports::Clock::now(&*host.clock)), 4);
    hanging.abort();
}
