//! Stopped records whose container somebody removed by hand.

use rtmanager::adapters::memory::Call;
use rtmanager::model::{Hold, LiveStatus, Outcome, Parked, Pause, PauseCause, PauseScope, Status};
use rtmanager::ports::Disposition;
use rtmanager::sweeper::SweepRequest;
use rtmanager_tests::mock_host::{IMAGE, MockHost, container, labels};
use rtmanager_tests::sweeping::{DAY, Swept};

use super::site::{MINUTE, Site, games};

#[tokio::test]
async fn a_stopped_record_whose_container_is_gone_is_closed_by_a_run_of_its_own() {
    for site in [Site::without_discovery(), Site::with_discovery()] {
        let id = site.missing(1, "g").await;
        let report = site.pass().await;
        assert_eq!((games(&report.closed), games(&report.orphans.stopped_records)), (vec![], vec!["g"]));
        let report = site.pass().await;
        assert_eq!((games(&report.closed), report.left_open), (vec!["g"], None));
        let record = site.tracked("g").await.record;
        assert_eq!((record.status, record.container_id), (Status::Removed, None));
        let entry = site.host.entries().pop().unwrap().entry;
        assert_eq!((entry.op_source.as_str(), entry.outcome), ("reconciler", Outcome::Success));
        assert!(entry.source_ref.starts_with("pass over local at 2026-"), "{}", entry.source_ref);
        assert_eq!((entry.container_id, entry.actor), (Some(id), None));
        assert!(site.host.script.journal().count(Call::EngineRemove) == 0, "nothing is removed");
        assert!(site.host.no_lease_is_held());
        assert_eq!(site.pass().await.orphans, Default::default());
    }
}

#[tokio::test]
async fn a_running_record_whose_container_vanished_is_stopped_and_closed_by_a_later_pass() {
    let site = Site::without_discovery();
    let id = site.running(1, "g");
    site.register("g", LiveStatus::Running, &id).await;
    site.host.engine.vanish(&id);
    let report = site.pass().await;
    assert_eq!((games(&report.refreshed), games(&report.closed)), (vec!["g"], vec![]));
    assert_eq!(site.status("g").await, Status::Stopped);
    assert_eq!(games(&site.pass().await.closed), ["g"]);
    assert_eq!(site.status("g").await, Status::Removed);
}

#[tokio::test]
async fn a_held_a_parked_and_a_backing_off_game_are_left_alone_each_pass() {
    let site = Site::without_discovery();
    for (n, game) in [(1, "held"), (2, "parked"), (3, "backing-off"), (4, "kept-by-policy")] {
        site.missing(n, game).await;
    }
    let records = site.host.store.records();
    let hold = Hold { reason: "evidence".to_owned(), actor: "ann".to_owned(), until: None };
    records.set_hold(&"held".parse().unwrap(), Some(&hold)).await.unwrap();
    let until = site.now().saturating_add(DAY);
    let wait = |generation: Option<&str>| Disposition::Wait {
        until,
        reason: "wait".to_owned(),
        generation: generation.map(|text| text.parse().unwrap()),
        failed_attempts: 1,
    };
    let parked = Parked { at: site.now(), reason: "failed".to_owned() };
    let park = Disposition::Park { parked, failed_attempts: 9 };
    for (game, disposition) in [("parked", park), ("backing-off", wait(None)), ("kept-by-policy", wait(Some("acme/1")))]
    {
        let version = site.tracked(game).await.record.version;
        assert!(records.dispose(&game.parse().unwrap(), version, &disposition).await.unwrap());
    }
    assert_eq!(site.pass().await.closed, []);
    for pass in 0..3 {
        let report = site.pass().await;
        let expected = if pass == 0 { vec!["kept-by-policy"] } else { vec![] };
        assert_eq!(games(&report.closed), expected, "a policy keeps a container, not its absence");
        assert_eq!(games(&report.orphans.stopped_records), ["backing-off", "held", "parked"]);
    }
    assert_eq!(site.entries().len(), 1, "nothing was tried in vain");
}

#[tokio::test]
async fn an_engine_that_has_lost_everything_closes_nothing_and_is_left_to_the_sweeper() {
    const COUNT: u64 = 60;
    let site = Site::without_discovery();
    for n in 0..COUNT {
        site.missing(n, &format!("g-{n:02}")).await;
    }
    let why = site.pass().await.left_open.unwrap();
    assert!(why.starts_with("the containers of 60 records vanished at once: "), "{why}");
    for _ in 0..3 {
        let report = site.pass().await;
        assert_eq!(report.closed, []);
        assert_eq!(report.orphans.stopped_records.len() as u64, COUNT);
        let why = report.left_open.unwrap();
        assert!(why.contains("60 stopped records do not exist, and the breaker would allow 20 more"), "{why}");
    }
    assert_eq!(site.entries(), []);
    site.host.advance(DAY * 30);
    let swept = Swept::by(&site.sweeper, &SweepRequest::default()).await;
    let paused = swept.engine().paused.clone().unwrap();
    assert!(matches!(paused.cause, PauseCause::Breaker { removals: COUNT }), "{paused:?}");
    let why = site.pass().await.left_open.unwrap();
    assert!(why.starts_with("stopped records without a container stay open: paused by sweeper: "), "{why}");
    assert_eq!(site.entries(), []);
}

#[tokio::test]
async fn closings_count_as_removals_of_the_day() {
    let site = Site::without_discovery();
    for n in 0..15 {
        site.missing(n, &format!("first-{n:02}")).await;
    }
    assert_eq!(site.two_passes().await.closed.len(), 15);
    for n in 15..21 {
        site.missing(n, &format!("second-{n}")).await;
    }
    let report = site.two_passes().await;
    assert_eq!((report.closed.len(), report.orphans.stopped_records.len()), (0, 6), "15 + 6 would be more than 20");
    site.host.advance(DAY);
    assert_eq!(site.pass().await.closed.len(), 6);
}

#[tokio::test]
async fn a_pause_of_all_of_the_engine_or_of_the_tenant_stops_closings() {
    for scope in [
        PauseScope::Global,
        PauseScope::Engine("local".parse().unwrap()),
        PauseScope::Tenant("tenant-a".parse().unwrap()),
    ] {
        let site = Site::without_discovery();
        site.missing(1, "g").await;
        let (cause, reason) = (PauseCause::Operator, "repairs".to_owned());
        let pause = Pause { scope: scope.clone(), cause, reason, actor: "ann".to_owned(), at: site.now() };
        site.host.pauses.pause(&pause).await.unwrap();
        assert_eq!(site.two_passes().await.closed, [], "{scope}");
        assert_eq!(site.entries(), []);
        site.host.pauses.resume(&scope, site.now()).await.unwrap();
        assert_eq!(site.pass().await.closed.len(), 1, "{scope}");
    }
}

#[tokio::test]
async fn a_closing_that_fails_backs_off_and_says_why() {
    use rtmanager::adapters::memory::Failure;
    let site = Site::without_discovery();
    site.missing(1, "g").await;
    site.host.script.plan().fail_always(Call::LeaseTryAcquire, Failure::Refuse);
    let report = site.two_passes().await;
    let orphan = &report.orphans.stopped_records[0];
    assert!(orphan.reason.starts_with("its container does not exist; closing it failed: conflict: "), "{orphan:?}");
    let tries = || site.host.script.journal().count(Call::LeaseTryAcquire);
    assert_eq!(tries(), 1);
    // The first wait is a minute, then two: of passes two minutes apart it meets the first, then each second one.
    site.pass().await;
    assert_eq!(tries(), 2);
    site.host.advance(MINUTE / 2);
    site.reconciler.run().await.unwrap();
    assert_eq!(tries(), 2, "not yet again");
    site.pass().await;
    assert_eq!(tries(), 3);
}

#[tokio::test]
async fn a_container_that_comes_to_the_game_while_it_is_being_closed_is_not_removed() {
    let site = Site::without_discovery();
    site.missing(1, "g").await;
    let (store, engine, clock) = (site.host.store.clone(), site.host.engine.clone(), site.host.clock.clone());
    let next = site.host.registration("g", LiveStatus::Stopped, Some(&container(2)));
    site.host.script.plan().meanwhile(Call::LeaseTryAcquire, 1, async move {
        use rtmanager::ports::Clock as _;
        engine.create(&container(2), IMAGE, labels("g"));
        store.records().register(&next, clock.now()).await.unwrap();
    });
    assert_eq!(site.two_passes().await.closed, []);
    assert!(site.host.has_container(&container(2)), "the reconciler removes nothing");
    assert_eq!(site.status("g").await, Status::Stopped);
    let entries = site.entries();
    assert_eq!(entries, [("g".to_owned(), "reconciler".to_owned(), Outcome::Failure)]);
}

#[tokio::test]
async fn a_record_without_any_container_is_the_sweepers() {
    let site = Site::without_discovery();
    site.host.register("g", LiveStatus::Stopped, None).await;
    let report = site.two_passes().await;
    assert_eq!((report.closed, report.orphans), (vec![], Default::default()));
}

#[tokio::test]
async fn a_policy_that_fails_is_not_asked_again_at_once() {
    let builder = MockHost::builder().policy(rtmanager_tests::fixtures::SOUND);
    let site = Site::of(builder, false);
    site.missing(1, "g").await;
    site.two_passes().await;
    site.reconciler.run().await.unwrap();
    assert_eq!(site.entries().len(), 1);
    assert_eq!(site.status("g").await, Status::Stopped);
}
