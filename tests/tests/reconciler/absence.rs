//! Containers that an engine misses for a while, and engines that miss everything.

use std::time::Duration;

use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::model::{Container, LiveStatus, RuntimeRecord, Status};
use rtmanager::ports::ContainerEngine as _;
use rtmanager_tests::mock_host::MockHost;

use super::site::{MINUTE, Site, games};

const HOUR: Duration = Duration::from_secs(3_600);
const COUNT: u64 = 6;

fn site() -> Site {
    Site::closing_after(HOUR, MockHost::builder(), false)
}

/// Six records of containers that run, seen by a pass.
async fn six_running(site: &Site) -> Vec<RuntimeRecord> {
    for n in 0..COUNT {
        let id = site.unlabelled(n);
        site.register(&format!("g-{n}"), LiveStatus::Running, &id).await;
    }
    assert_eq!(site.pass().await.refreshed, []);
    records(site).await
}

async fn records(site: &Site) -> Vec<RuntimeRecord> {
    let mut records = Vec::new();
    for n in 0..COUNT {
        records.push(site.tracked(&format!("g-{n}")).await.record);
    }
    records
}

async fn statuses(site: &Site) -> Vec<Status> {
    records(site).await.into_iter().map(|record| record.status).collect()
}

/// So many containers are not there any more. Answers what brings them back.
async fn lose(site: &Site, count: u64) -> Vec<Container> {
    let mut lost = Vec::new();
    for id in site.host.engine.containers().into_iter().take(count as usize) {
        lost.push(site.host.engine.inspect(&id).await.unwrap().unwrap());
        assert!(site.host.engine.vanish(&id));
    }
    lost
}

async fn failing_pass(site: &Site) {
    site.host.script.plan().fail_always(Call::EngineListLabelled, Failure::Unavailable);
    site.reconciler.run().await.unwrap_err();
    site.host.script.plan().mend();
}

fn bring_back(site: &Site, lost: Vec<Container>) {
    lost.into_iter().for_each(|container| site.host.engine.put(container));
}

#[tokio::test]
async fn an_engine_that_misses_everything_for_a_while_costs_no_record() {
    for discovers in [false, true] {
        let site = Site::closing_after(HOUR, MockHost::builder(), discovers);
        let before = six_running(&site).await;
        let lost = lose(&site, COUNT).await;
        for _ in 0..10 {
            let report = site.pass().await;
            assert_eq!((report.refreshed.len(), report.closed.len()), (0, 0));
            assert_eq!(report.orphans.running_records.len() as u64, COUNT);
            let why = "the containers of 6 records vanished at once: the engine may have lost its data or be another \
                       one, so no record is stopped or closed before they have been missing for 3600s";
            assert_eq!(report.left_open.as_deref(), Some(why));
        }
        bring_back(&site, lost);
        let report = site.pass().await;
        assert_eq!((report.left_open, report.orphans), (None, Default::default()));
        assert_eq!(records(&site).await, before, "nothing was written at all");
        assert_eq!(site.entries(), []);
    }
}

#[tokio::test]
async fn an_engine_that_misses_everything_and_fails_now_and_then_costs_no_record_either() {
    let site = site();
    let before = six_running(&site).await;
    lose(&site, COUNT).await;
    for _ in 0..3 {
        site.host.advance(HOUR / 2);
        site.reconciler.run_whole().await.unwrap();
        failing_pass(&site).await;
    }
    assert_eq!(records(&site).await, before);
}

#[tokio::test]
async fn what_is_missed_for_the_whole_span_is_stopped_and_runs_again_when_the_engine_is_back() {
    let site = site();
    six_running(&site).await;
    let lost = lose(&site, COUNT).await;
    site.pass().await;
    site.host.advance(HOUR);
    let report = site.pass().await;
    assert_eq!((report.refreshed.len() as u64, report.closed.len()), (COUNT, 0), "never both by one pass");
    bring_back(&site, lost);
    assert_eq!(site.pass().await.refreshed.len() as u64, COUNT);
    assert!(statuses(&site).await.iter().all(|status| *status == Status::Running));
}

#[tokio::test]
async fn what_stays_away_is_closed_in_the_end_as_far_as_the_breaker_allows() {
    let site = site();
    six_running(&site).await;
    lose(&site, COUNT).await;
    site.pass().await;
    site.host.advance(HOUR);
    site.pass().await;
    assert_eq!(site.pass().await.closed.len() as u64, COUNT);
    assert!(statuses(&site).await.iter().all(|status| *status == Status::Removed));
}

#[tokio::test]
async fn half_of_the_containers_may_vanish_at_once_and_so_may_two_of_two() {
    let site = site();
    six_running(&site).await;
    lose(&site, 3).await;
    let report = site.pass().await;
    assert_eq!((report.refreshed.len(), report.left_open), (3, None));
    lose(&site, 2).await;
    let report = site.pass().await;
    assert_eq!((report.refreshed.len(), report.left_open), (2, None), "2 of the 3 that were there are not many");
}

#[tokio::test]
async fn those_that_were_missing_before_do_not_hide_that_all_others_vanish() {
    let site = site();
    six_running(&site).await;
    lose(&site, 3).await;
    assert_eq!(site.pass().await.refreshed.len(), 3);
    lose(&site, 3).await;
    let report = site.pass().await;
    assert_eq!((report.refreshed.len(), report.left_open.is_some()), (0, true));
}

#[tokio::test]
async fn a_record_is_closed_once_its_container_was_missed_for_the_span_by_more_than_one_pass() {
    let site = site();
    site.missing(1, "g").await;
    site.host.advance(HOUR * 10);
    assert_eq!(site.pass().await.closed, [], "how long it has been missing is not known");
    site.host.advance(HOUR - MINUTE * 3);
    assert_eq!(site.pass().await.closed, [], "a minute too early");
    assert_eq!(games(&site.pass().await.closed), ["g"]);
}

#[tokio::test]
async fn a_container_that_was_there_in_between_is_missed_anew() {
    for labelled in [false, true] {
        let site = site();
        let id = if labelled { site.running(1, "g") } else { site.unlabelled(1) };
        site.stop(&id);
        site.register("g", LiveStatus::Stopped, &id).await;
        let lost = lose(&site, 1).await;
        site.pass().await;
        site.host.advance(HOUR / 2);
        bring_back(&site, lost);
        assert_eq!(site.pass().await.orphans, Default::default());
        lose(&site, 1).await;
        site.pass().await;
        site.host.advance(HOUR / 2);
        assert_eq!(site.pass().await.closed, []);
        site.host.advance(HOUR / 2);
        assert_eq!(games(&site.pass().await.closed), ["g"]);
    }
}

#[tokio::test]
async fn after_a_failure_of_the_engine_a_container_is_missed_anew() {
    let site = site();
    site.missing(1, "g").await;
    site.pass().await;
    site.host.advance(HOUR);
    failing_pass(&site).await;
    assert_eq!(site.pass().await.closed, []);
    site.host.advance(HOUR / 2);
    assert_eq!(site.pass().await.closed, []);
    site.host.advance(HOUR / 2);
    assert_eq!(games(&site.pass().await.closed), ["g"]);
}

#[tokio::test]
async fn without_any_span_too_no_pass_closes_what_it_has_missed_or_stopped_first() {
    let site = Site::closing_after(Duration::ZERO, MockHost::builder(), false);
    let id = site.unlabelled(1);
    site.register("runs", LiveStatus::Running, &id).await;
    site.host.engine.vanish(&id);
    site.missing(2, "ended").await;
    let report = site.reconciler.run().await.unwrap();
    assert_eq!((games(&report.refreshed), games(&report.closed)), (vec!["runs"], vec![]));
    let report = site.reconciler.run().await.unwrap();
    assert_eq!((report.refreshed.len(), games(&report.closed)), (0, vec!["ended", "runs"]));
}

#[tokio::test]
async fn without_any_span_too_no_pass_changes_anything_once_most_vanish_at_once() {
    let site = Site::closing_after(Duration::ZERO, MockHost::builder(), false);
    six_running(&site).await;
    lose(&site, 4).await;
    let report = site.pass().await;
    assert_eq!((report.refreshed.len(), report.left_open.is_some()), (0, true));
    let report = site.pass().await;
    assert_eq!((report.refreshed.len(), report.closed.len(), report.left_open), (4, 0, None));
    assert_eq!(site.pass().await.closed.len(), 4);
}
