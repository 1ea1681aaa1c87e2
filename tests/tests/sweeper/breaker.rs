//! The blast-radius breaker, from the count before the first removal to the last candidate.

use rtmanager::adapters::memory::Call;
use rtmanager::model::{LiveStatus, PauseCause, PauseScope, Registration};
use rtmanager::ports::Clock as _;
use rtmanager::sweeper::Decision;
use rtmanager_tests::fixtures::HOSTILE;
use rtmanager_tests::mock_host::{ENGINE, MockHost, container};
use rtmanager_tests::sweeping::{DAY, RETENTION};

use super::{dry_run, due_games, game, host, operators_pause, sweep, with_breaker};

fn engine() -> PauseScope {
    PauseScope::Engine(ENGINE.parse().unwrap())
}

#[tokio::test]
async fn too_many_candidates_pause_the_engine_before_the_first_removal() {
    let host = host();
    let sweeper = host.sweeper(with_breaker(0.2));
    let ids = due_games(&host, 30).await;
    let swept = sweep(&sweeper).await;
    assert_eq!((swept.items.len(), swept.engine().removed), (0, 0));
    assert!(ids.iter().all(|id| host.has_container(id)));
    let pause = swept.engine().paused.clone().expect("paused");
    assert_eq!((&pause.scope, pause.cause), (&engine(), PauseCause::Breaker { removals: 30 }));
    insta::assert_snapshot!(pause.reason, @"30 candidates on engine local and 0 removals within the last 24 h would pass the limit of 20 (30 records are not removed). See what is due and why with `rtmanager sweep --dry-run --engine local`; allow these 30 removals with `rtmanager resume --engine local`");
    assert_eq!(host.pauses.pauses().await.unwrap(), std::slice::from_ref(&pause));
    assert_eq!(sweep(&sweeper).await.engine().paused, Some(pause), "it stays so");
}

#[tokio::test]
async fn resuming_allows_what_was_counted_and_the_sweep_goes_on() {
    let host = host();
    let sweeper = host.sweeper(with_breaker(0.2));
    due_games(&host, 30).await;
    sweep(&sweeper).await;
    host.pauses.resume(&engine(), host.clock.now()).await.unwrap().unwrap();
    let swept = sweep(&sweeper).await;
    assert_eq!((swept.engine().removed, &swept.engine().paused), (30, &None));
}

#[tokio::test]
async fn twenty_removals_a_day_are_never_too_many_and_one_more_is() {
    let host = host();
    let sweeper = host.sweeper(with_breaker(0.0));
    due_games(&host, 20).await;
    assert_eq!(sweep(&sweeper).await.engine().removed, 20);
    host.stopped("one-more", &container(99)).await;
    host.store.write_directly({
        let mut record = host.record("one-more").await.unwrap().record;
        record.stopped_at = Some(host.clock.now().saturating_sub(RETENTION));
        record
    });
    assert!(sweep(&sweeper).await.engine().paused.is_some(), "the 20 of today count");
    host.pauses.resume(&engine(), host.clock.now()).await.unwrap();
    assert_eq!(sweep(&sweeper).await.engine().removed, 1);
}

#[tokio::test]
async fn the_day_rolls() {
    let host = host();
    let sweeper = host.sweeper(with_breaker(0.0));
    due_games(&host, 20).await;
    sweep(&sweeper).await;
    for n in 21..=40 {
        host.stopped(&game(n), &container(n)).await;
    }
    host.advance(RETENTION.max(2 * DAY));
    assert_eq!(sweep(&sweeper).await.engine().removed, 20);
}

#[tokio::test]
async fn the_share_is_of_the_records_that_are_not_removed() {
    let host = host();
    due_games(&host, 50).await;
    for n in 51..=100 {
        host.stopped(&game(n), &container(n)).await;
    }
    assert!(dry_run(&host.sweeper(with_breaker(0.49))).await.engine().paused.is_some());
    assert!(dry_run(&host.sweeper(with_breaker(0.5))).await.engine().paused.is_none());
    assert_eq!(sweep(&host.sweeper(with_breaker(0.5))).await.engine().removed, 50);
}

#[tokio::test]
async fn candidates_that_appear_during_a_sweep_do_not_get_past_the_limit() {
    for (page_size, concurrency) in [(1, 1), (3, 2), (100, 8), (7, 100)] {
        let host = host();
        due_games(&host, 15).await;
        let (store, now) = (host.store.clone(), host.clock.now());
        for n in 16..=25 {
            host.stopped(&game(n), &container(n)).await;
        }
        let records: Vec<_> = futures_util::future::join_all((16..=25).map(|n| {
            let host = &host;
            async move { host.record(&game(n)).await.unwrap().record }
        }))
        .await;
        let appear = async move {
            for mut record in records {
                record.stopped_at = Some(now.saturating_sub(RETENTION));
                store.write_directly(record);
            }
        };
        host.script.plan().meanwhile(Call::RecordClaimDue, 1, appear);
        let mut options = with_breaker(0.0);
        (options.page_size, options.concurrency) = (page_size, concurrency);
        let sweeper = host.sweeper(options);
        let swept = sweep(&sweeper).await;
        let on_engine = swept.engine();
        assert_eq!(on_engine.removed, 20, "page size {page_size}, concurrency {concurrency}");
        assert_eq!(host.engine.containers().len(), 5);
        let pause = on_engine.paused.clone().expect("paused");
        assert_eq!(pause.cause, PauseCause::Breaker { removals: 5 });
        assert_eq!(host.pauses.pauses().await.unwrap(), [pause]);
        assert!(!swept.games(Decision::WouldRemove).is_empty(), "says what was due beyond the limit");
        host.pauses.resume(&engine(), host.clock.now()).await.unwrap();
        assert_eq!(sweep(&sweeper).await.engine().removed, 5);
    }
}

#[tokio::test]
async fn candidates_that_their_policy_keeps_do_not_trip_it() {
    let host = MockHost::builder().setting("extra_retention_days", "30").build();
    due_games(&host, 60).await;
    let swept = sweep(&host.sweeper(with_breaker(0.2))).await;
    assert_eq!((swept.engine().kept, &swept.engine().paused), (60, &None));
}

#[tokio::test]
async fn candidates_of_a_paused_tenant_do_not_keep_others_from_being_swept() {
    let host = host();
    due_games(&host, 60).await;
    for n in 1..=55 {
        let mut record = host.record(&game(n)).await.unwrap().record;
        record.tenant = "tenant-b".parse().unwrap();
        host.store.write_directly(record);
    }
    let paused = operators_pause(&host, PauseScope::Tenant("tenant-b".parse().unwrap()));
    host.pauses.pause(&paused).await.unwrap();
    let swept = sweep(&host.sweeper(with_breaker(0.2))).await;
    assert_eq!(swept.games(Decision::Paused).len(), 55);
    assert_eq!((swept.engine().removed, &swept.engine().paused), (5, &None));
}

#[tokio::test]
async fn a_dry_run_says_that_it_would_trip_and_shows_all_candidates() {
    let host = host();
    due_games(&host, 30).await;
    let swept = dry_run(&host.sweeper(with_breaker(0.2))).await;
    assert_eq!(swept.games(Decision::WouldRemove).len(), 30);
    assert!(matches!(swept.engine().paused.as_ref().unwrap().cause, PauseCause::Breaker { removals: 30 }));
    assert!(host.pauses.pauses().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_sweep_that_fails_often_uses_up_no_budget() {
    let host = MockHost::builder().policy(HOSTILE).setting("mode", "trap-under-lease").build();
    due_games(&host, 20).await;
    let swept = sweep(&host.sweeper(with_breaker(0.0))).await;
    assert_eq!((swept.engine().failed, &swept.engine().paused), (20, &None));
    assert!(host.no_lease_is_held());
}

#[tokio::test]
async fn a_removal_counts_even_if_its_policy_denies_it() {
    for mode in ["trap-after-update", "entry-succeeds-answer-fails"] {
        let host = MockHost::builder().policy(HOSTILE).setting("mode", mode).build();
        due_games(&host, 3).await;
        let swept = sweep(&host.sweeper(with_breaker(0.0))).await;
        assert_eq!((swept.engine().removed, swept.engine().failed), (3, 0), "{mode}: {:?}", swept.items);
        assert!(swept.items[0].reason.starts_with("removed, but policy_"), "{}", swept.items[0].reason);
    }
}

#[tokio::test]
async fn a_container_that_is_gone_counts_even_if_no_record_says_so_yet() {
    let host = MockHost::builder().policy(HOSTILE).setting("mode", "trap-after-remove").build();
    let sweeper = host.sweeper(with_breaker(0.0));
    let gone = due_games(&host, 15).await;
    let swept = sweep(&sweeper).await;
    assert_eq!((swept.engine().failed, swept.engine().removed), (15, 0));
    assert!(gone.iter().all(|id| !host.has_container(id)));
    for n in 101..=115 {
        host.stopped(&format!("later-{n}"), &container(n)).await;
        let mut record = host.record(&format!("later-{n}")).await.unwrap().record;
        record.stopped_at = Some(host.clock.now().saturating_sub(RETENTION));
        host.store.write_directly(record);
    }
    let swept = sweep(&sweeper).await;
    assert!(matches!(swept.engine().paused.as_ref().unwrap().cause, PauseCause::Breaker { .. }));
    assert!((101..=115).all(|n| host.has_container(&container(n))), "15 of 20 a day are gone already");
}

#[tokio::test]
async fn within_one_walk_too() {
    let host = MockHost::builder().policy(HOSTILE).setting("mode", "trap-after-remove").build();
    let ids = due_games(&host, 20).await;
    let sweeper = host.sweeper(with_breaker(0.0));
    // Ten more appear after the count.
    let (store, engine, now) = (host.store.clone(), host.engine.clone(), host.clock.now());
    let records: Vec<_> = (201..=210)
        .map(|n| (host.registration(&format!("late-{n}"), LiveStatus::Stopped, Some(&container(n))), n))
        .collect();
    host.script.plan().meanwhile(Call::RecordClaimDue, 1, async move {
        for (registration, n) in records {
            engine.create(&container(n), "image", Default::default());
            let stopped_at = Some(now.saturating_sub(RETENTION));
            let registration = Registration { stopped_at, ..registration };
            store.records().register(&registration, now).await.unwrap();
        }
    });
    let swept = sweep(&sweeper).await;
    let late = (201..=210).filter(|n| !host.has_container(&container(*n))).count();
    let early = ids.iter().filter(|id| !host.has_container(id)).count();
    assert_eq!(early + late, 20, "no more than the limit");
    assert!(swept.engine().paused.is_some());
}

#[tokio::test]
async fn resuming_allows_only_what_was_due_by_the_policies_word() {
    let host = host();
    let sweeper = host.sweeper(with_breaker(0.0));
    due_games(&host, 60).await;
    for n in 1..=35 {
        let mut record = host.record(&game(n)).await.unwrap().record;
        record.tenant = "tenant-b".parse().unwrap();
        host.store.write_directly(record);
    }
    let paused = operators_pause(&host, PauseScope::Tenant("tenant-b".parse().unwrap()));
    host.pauses.pause(&paused).await.unwrap();
    let pause = sweep(&sweeper).await.engine().paused.clone().expect("25 are more than 20");
    assert_eq!(pause.cause, PauseCause::Breaker { removals: 25 });
    host.pauses.resume(&engine(), host.clock.now()).await.unwrap();
    assert_eq!(sweep(&sweeper).await.engine().removed, 25);
}
