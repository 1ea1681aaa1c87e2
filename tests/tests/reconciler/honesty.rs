//! Records of which somebody else writes, and whose containers somebody else starts, stops and removes.

use std::time::Duration;

use rtmanager::model::{Container, ContainerState, LiveStatus, RuntimeRecord, Status};
use rtmanager_tests::mock_host::{IMAGE, container, labels};

use super::site::{MINUTE, Site, games};

#[tokio::test]
async fn a_record_that_says_stopped_of_a_container_that_was_started_again_says_running() {
    let site = Site::without_discovery();
    let labelled = site.running(1, "labelled");
    let bare = site.unlabelled(2);
    for (game, id) in [("labelled", &labelled), ("bare", &bare)] {
        site.stop(id);
        site.register(game, LiveStatus::Stopped, id).await;
        site.host.advance(MINUTE);
        site.host.engine.start(id);
    }
    let mut refreshed = site.pass().await.refreshed;
    refreshed.sort_by(|a, b| a.game.cmp(&b.game));
    assert_eq!(games(&refreshed), ["bare", "labelled"]);
    for game in ["labelled", "bare"] {
        let record = site.tracked(game).await.record;
        assert_eq!((record.status, record.stopped_at), (Status::Running, None), "{game}");
        assert!(record.started_at.is_some(), "{game}");
    }
    assert_eq!(site.pass().await.refreshed, []);
}

#[tokio::test]
async fn a_record_that_says_running_of_a_container_that_ended_says_stopped_since_then() {
    let site = Site::without_discovery();
    let (labelled, bare) = (site.running(1, "labelled"), site.unlabelled(2));
    site.register("labelled", LiveStatus::Running, &labelled).await;
    site.register("bare", LiveStatus::Running, &bare).await;
    assert_eq!(site.pass().await.refreshed, []);
    site.stop(&labelled);
    site.stop(&bare);
    let ended = site.now();
    site.pass().await;
    for game in ["labelled", "bare"] {
        let record = site.tracked(game).await.record;
        assert_eq!(record.status, Status::Stopped, "{game}");
        assert!(record.stopped_at.unwrap() <= ended, "{game}: retention counts from the end of the run");
    }
}

#[tokio::test]
async fn the_end_of_an_earlier_run_than_the_records_does_not_date_its_stop() {
    let site = Site::without_discovery();
    let id = site.unlabelled(1);
    site.stop(&id);
    site.host.advance(MINUTE * 60);
    let record = site.register("g", LiveStatus::Running, &id).await;
    site.host.store.write_directly(RuntimeRecord { started_at: Some(site.now()), ..record });
    site.pass().await;
    let record = site.tracked("g").await.record;
    assert_eq!((record.status, record.stopped_at), (Status::Stopped, Some(site.now())));
}

#[tokio::test]
async fn a_container_that_ran_and_ended_between_two_looks_is_kept_from_its_last_end() {
    let site = Site::without_discovery();
    let id = site.unlabelled(1);
    site.stop(&id);
    let first = site.register("g", LiveStatus::Stopped, &id).await.stopped_at;
    site.pass().await;
    assert_eq!(site.tracked("g").await.record.stopped_at, first);
    site.host.engine.start(&id);
    site.stop(&id);
    assert_eq!(games(&site.pass().await.refreshed), ["g"]);
    assert!(site.tracked("g").await.record.stopped_at > first);
    assert_eq!(site.pass().await.refreshed, []);
}

#[tokio::test]
async fn a_platform_that_says_stopped_first_has_a_minute_to_stop_the_container() {
    let site = Site::without_discovery();
    let id = site.unlabelled(1);
    site.host.advance(Duration::from_secs(1));
    let before = site.register("g", LiveStatus::Stopped, &id).await;
    site.host.advance(Duration::from_secs(10));
    assert_eq!(site.reconciler.run().await.unwrap().refreshed, []);
    assert_eq!(site.tracked("g").await.record, before);
    assert_eq!(games(&site.pass().await.refreshed), ["g"]);
    assert_eq!(site.status("g").await, Status::Running);
}

#[tokio::test]
async fn a_container_that_was_never_started_contradicts_no_record() {
    let site = Site::without_discovery();
    site.host.engine.create(&container(1), IMAGE, labels("g"));
    let before = site.register("g", LiveStatus::Running, &container(1)).await;
    assert_eq!(site.pass().await.refreshed, []);
    assert_eq!(site.tracked("g").await.record, before);
}

#[tokio::test]
async fn labels_and_image_of_the_platforms_record_stay() {
    let site = Site::without_discovery();
    let id = site.running(1, "g");
    let record = site.register("g", LiveStatus::Running, &id).await;
    let own = rtmanager_tests::dockerd::labels(&[("keep", "true")]);
    site.host.store.write_directly(RuntimeRecord { labels: own.clone(), image_ref: Some("other:2".into()), ..record });
    site.stop(&id);
    site.pass().await;
    let record = site.tracked("g").await.record;
    assert_eq!((record.status, record.labels, record.image_ref), (Status::Stopped, own, Some("other:2".into())));
}

#[tokio::test]
async fn a_container_whose_labels_contradict_the_record_is_reported_and_changes_nothing() {
    let site = Site::without_discovery();
    let mut theirs = labels("g");
    theirs.insert("rtmanager.owner".to_owned(), "them".to_owned());
    site.host.engine.create(&container(1), IMAGE, theirs);
    site.host.engine.start(&container(1));
    site.host.engine.stop(&container(1), 0);
    let before = site.register("g", LiveStatus::Running, &container(1)).await;
    let report = site.pass().await;
    let reason = "its label rtmanager.owner names another owner, tenant or game than the record";
    assert_eq!(report.conflicts.iter().map(|finding| finding.reason.as_str()).collect::<Vec<_>>(), [reason]);
    assert_eq!(site.tracked("g").await.record, before);
}

#[tokio::test]
async fn with_discovery_too_a_record_without_labels_is_kept_honest() {
    let site = Site::with_discovery();
    let id = site.unlabelled(1);
    site.register("g", LiveStatus::Running, &id).await;
    site.stop(&id);
    assert_eq!(games(&site.pass().await.refreshed), ["g"]);
    assert_eq!(site.status("g").await, Status::Stopped);
}

#[tokio::test]
async fn a_record_is_changed_by_what_is_so_now_and_not_by_what_was_listed() {
    let site = Site::without_discovery();
    let id = site.running(1, "g");
    site.register("g", LiveStatus::Running, &id).await;
    site.stop(&id);
    let (engine, again) = (site.host.engine.clone(), id.clone());
    let script = site.host.script.clone();
    script.plan().meanwhile(rtmanager::adapters::memory::Call::RecordList, 1, async move {
        assert!(engine.start(&again));
    });
    assert_eq!(site.pass().await.refreshed, []);
    assert_eq!(site.status("g").await, Status::Running);
}

#[tokio::test]
async fn an_engine_that_is_gone_leaves_every_record_as_it_is_and_is_reported() {
    use rtmanager::adapters::memory::{Call, Failure};
    let site = Site::without_discovery();
    let id = site.running(1, "g");
    site.register("g", LiveStatus::Running, &id).await;
    site.pass().await;
    let before = site.tracked("g").await;
    site.host.engine.vanish(&id);
    for call in [Call::EngineListLabelled, Call::EngineInspect, Call::EnginePing] {
        site.host.script.plan().fail_always(call, Failure::Unavailable);
    }
    assert!(site.reconciler.run().await.is_err());
    assert_eq!(site.tracked("g").await, before);
    let standing = site.reconciler.standing();
    assert!(standing.findings.is_some(), "what was found before is still told");
    let (_, why) = standing.failure.unwrap();
    assert!(why.starts_with("the engine could not be looked at"), "{why}");
    let metrics = site.host.metrics.render().unwrap();
    assert!(metrics.contains("rtmanager_reconcile_failing{engine=\"local\"} 1"), "{metrics}");
}

#[tokio::test]
async fn many_records_are_looked_at_a_slice_at_a_time_and_all_of_them_in_the_end() {
    const COUNT: u64 = 2_300;
    let site = Site::without_discovery();
    for n in 0..COUNT {
        site.register(&format!("g-{n:05}"), LiveStatus::Running, &container(n)).await;
        site.host.engine.put(running(&site, n));
    }
    site.host.engine.vanish(&container(COUNT - 1));
    assert_eq!(site.pass().await.refreshed.len(), 0, "the last record is beyond the first slice");
    assert_eq!(site.pass().await.refreshed.len(), 1);
    site.host.engine.vanish(&container(COUNT - 2));
    assert_eq!(site.reconciler.run_whole().await.unwrap().refreshed.len(), 1);
}

fn running(site: &Site, n: u64) -> Container {
    Container {
        id: container(n),
        name: String::new(),
        state: ContainerState::Running,
        exit_code: None,
        created_at: Some(site.now()),
        started_at: Some(site.now()),
        finished_at: None,
        image: IMAGE.to_owned(),
        labels: rtmanager::model::Labels::new(),
    }
}
