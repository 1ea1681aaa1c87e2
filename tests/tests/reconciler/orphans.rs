//! Containers without records, and records without containers.

use std::time::Duration;

use rtmanager::model::LiveStatus;
use rtmanager_tests::captured_log::{CapturedLog, captured_log};
use rtmanager_tests::mock_host::container;

use super::site::{MINUTE, Site, games};

#[tokio::test]
async fn labelled_containers_without_a_record_are_reported_running_and_stopped_apart_and_make_none() {
    let site = Site::without_discovery();
    site.running(1, "runs");
    let ended = site.running(2, "ended");
    site.stop(&ended);
    let known = site.running(3, "known");
    site.register("known", LiveStatus::Running, &known).await;
    site.unlabelled(4);
    let report = site.pass().await;
    assert_eq!(games(&report.orphans.running_containers), ["runs"]);
    assert_eq!(games(&report.orphans.stopped_containers), ["ended"]);
    assert_eq!((report.registered.len(), site.host.record("runs").await), (0, None));
    assert_eq!(site.host.engine.containers().len(), 4, "none is removed");
}

#[tokio::test]
async fn a_container_whose_record_says_removed_or_is_of_another_status_is_told_apart() {
    let site = Site::without_discovery();
    let id = site.running(1, "g");
    let record = site.register("g", LiveStatus::Running, &id).await;
    let odd = rtmanager::model::Status::from_text("migrating");
    site.host.store.write_directly(rtmanager::model::RuntimeRecord { status: odd, ..record });
    assert_eq!(site.pass().await.orphans, Default::default(), "a record names it");
    assert!(site.host.store.delete_directly(&"g".parse().unwrap()));
    assert_eq!(games(&site.pass().await.orphans.running_containers), ["g"]);
}

#[tokio::test]
async fn a_platform_has_a_minute_to_write_the_record_of_a_container() {
    let site = Site::without_discovery();
    site.running(1, "g");
    site.host.advance(Duration::from_secs(10));
    assert_eq!(site.reconciler.run().await.unwrap().orphans, Default::default());
    assert_eq!(site.pass().await.orphans.running_containers.len(), 1);
}

#[tokio::test]
async fn where_discovery_is_on_no_container_is_an_orphan() {
    let site = Site::with_discovery();
    site.running(1, "g");
    let report = site.pass().await;
    assert_eq!((report.registered.len(), report.orphans), (1, Default::default()));
}

#[tokio::test]
async fn orphans_are_gauged_by_engine_and_kind_and_go_when_they_are_gone() {
    let site = Site::without_discovery();
    site.running(1, "g");
    site.pass().await;
    let gauge = |count: u32| format!("rtmanager_orphans{{engine=\"local\",kind=\"running_container\"}} {count}");
    let metrics = site.host.metrics.render().unwrap();
    assert!(metrics.contains(&gauge(1)), "{metrics}");
    site.host.engine.vanish(&container(1));
    site.pass().await;
    let metrics = site.host.metrics.render().unwrap();
    assert!(metrics.contains(&gauge(0)), "{metrics}");
    assert!(metrics.contains("rtmanager_reconcile_failing{engine=\"local\"} 0"), "{metrics}");
}

#[tokio::test]
async fn what_is_found_is_logged_once_and_again_only_when_it_changes() {
    let (_guard, log) = captured_log();
    let site = Site::without_discovery();
    site.running(1, "g");
    let lines = |log: &CapturedLog| log.text().matches("container left alone").count();
    for _ in 0..3 {
        site.pass().await;
    }
    assert_eq!(lines(&log), 1, "{}", log.text());
    site.running(2, "h");
    site.pass().await;
    site.host.advance(MINUTE);
    site.pass().await;
    assert_eq!(lines(&log), 2, "{}", log.text());
}
