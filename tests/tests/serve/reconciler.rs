//! The server keeps the records honest by itself, and tells what has no counterpart.

use rtmanager_tests::dockerd::Dockerd;
use serde_json::{Value, json};

use super::site::{GAME, Site};

/// Orphans of a kind, as `rtmanager reconcile` tells them.
fn orphans(reconciled: &Value, kind: &str) -> Value {
    let kinds = reconciled["orphans"].as_array().unwrap();
    kinds.iter().find(|found| found["kind"] == kind).unwrap()["count"].clone()
}

#[tokio::test]
async fn by_its_events_an_engine_is_looked_at_long_before_the_interval_is_over() {
    let dockerd = Dockerd::shared().await;
    let site = Site::on(&dockerd, "serve-hints", &["discovery.interval=1h", "cleanup_interval=1h"]);
    let mut server = site.serve().await;
    site.answers().await;
    let id = dockerd.running(&site.labels()).await;
    let status = || site.json(&["runtimes"])["items"][0]["status"].clone();
    site.until("the container is discovered", async || status() == "running").await;
    dockerd.discard(&id).await;
    site.until("its record is stopped", async || status() == "stopped").await;
    assert!(site.operations().is_empty(), "its container has not been missing for long enough");
    server.terminated().await;
}

#[tokio::test]
async fn the_record_of_a_container_that_stays_away_is_closed() {
    let dockerd = Dockerd::shared().await;
    let site = Site::on(&dockerd, "serve-closes", &["discovery.close_after=2s", "cleanup_interval=1h"]);
    let mut server = site.serve().await;
    site.answers().await;
    let id = dockerd.running(&site.labels()).await;
    let status = || site.json(&["runtimes"])["items"][0]["status"].clone();
    site.until("the container is discovered", async || status() == "running").await;
    dockerd.discard(&id).await;
    site.until("its record is closed", async || status() == "removed").await;
    assert_eq!(site.operations(), [super::site::entry("success", "reconciler", &id)]);
    server.terminated().await;
}

#[tokio::test]
async fn with_discovery_off_a_container_without_a_record_is_told_and_not_recorded() {
    let dockerd = Dockerd::shared().await;
    let site = Site::on(&dockerd, "reconcile-orphans", &["discovery.enabled=false"]);
    let id = dockerd.exited(&site.labels()).await;
    // A platform has a minute to write the record.
    let told = site.json(&["reconcile"]);
    assert_eq!((&told[0]["engine"], &told[0]["error"]), (&json!("local"), &json!(null)), "{told}");
    assert_eq!(orphans(&told[0], "stopped_container"), json!(0), "it is too young to be an orphan");
    assert_eq!(site.json(&["runtimes"])["items"], json!([]), "{GAME} is not discovered");
    assert!(dockerd.has(&id).await);
    dockerd.discard(&id).await;
}
