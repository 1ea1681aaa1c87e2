//! Each limit, by a caller that runs into it.

use std::time::Duration;

use rtmanager::adapters::memory::{Call, Failure};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::BASE;
use super::site::Site;
use rtmanager_tests::http::{PATIENCE, answer, request, rest_of};

#[tokio::test]
async fn a_header_that_does_not_come_in_time_ends_the_connection() {
    let site = Site::with(&[("http.header_time", "200ms")]).await;
    let mut wire = site.client.connect().await;
    wire.write_all(b"GET /healthz HTTP/1.1\r\nHost: local").await.unwrap();
    let said = rest_of(&mut wire).await;
    assert!(!said.contains("200 OK"), "{said}");
}

#[tokio::test]
async fn a_connection_that_never_speaks_is_ended() {
    let site = Site::with(&[("http.header_time", "200ms")]).await;
    let mut wire = site.client.connect().await;
    assert_eq!(rest_of(&mut wire).await, "");
}

#[tokio::test]
async fn a_header_that_is_too_large_is_refused() {
    let site = Site::with(&[("http.max_header_bytes", "8192")]).await;
    let fits = site.client.send("GET", "/healthz", &[("X-Filler", &"x".repeat(7_000))], None).await;
    assert_eq!(fits.status, 200);
    let large = site.client.send("GET", "/healthz", &[("X-Filler", &"x".repeat(9_000))], None).await;
    assert_eq!(large.status, 431);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let site = Site::with(&[("http.max_body_bytes", "1024")]).await;
    let body = json!({"status": "running", "image_ref": "x".repeat(2_000)});
    let answer = site.client.put(&format!("{BASE}/runtimes/g-1"), &body).await;
    assert_eq!(answer.problem(), (413, "payload_too_large".to_owned()));
}

#[tokio::test]
async fn a_chunked_body_that_is_too_large_is_refused_as_well() {
    let site = Site::with(&[("http.max_body_bytes", "1024")]).await;
    let mut wire = site.client.connect().await;
    let head = format!(
        "PUT {BASE}/runtimes/g-1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n800\r\n{}\r\n0\r\n\r\n",
        "x".repeat(0x800)
    );
    wire.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut wire).await.problem(), (413, "payload_too_large".to_owned()));
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_refused() {
    let site = Site::with(&[("http.body_time", "200ms")]).await;
    let mut wire = site.client.connect().await;
    let whole = request("PUT", &format!("{BASE}/runtimes/g-1"), &[], Some("{\"status\": \"running\"}"));
    wire.write_all(&whole.as_bytes()[..whole.len() - 3]).await.unwrap();
    assert_eq!(answer(&mut wire).await.problem(), (408, "request_timeout".to_owned()));
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let site = Site::open().await;
    let path = format!("{BASE}/runtimes/g-1");
    let form = site.client.send("PUT", &path, &[("Content-Type", "text/plain")], Some("{}")).await;
    assert_eq!(form.problem(), (415, "unsupported_media_type".to_owned()));
    let broken = site.client.send("PUT", &path, &[], Some("{\"status\":")).await;
    assert_eq!(broken.problem(), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_all_the_same() {
    let site = Site::with(&[("http.request_time", "200ms")]).await;
    site.script.plan().fail(Call::RecordGet, 1, Failure::Hang);
    let late = site.client.get(&format!("{BASE}/runtimes/g-1")).await;
    assert_eq!(late.problem(), (503, "service_unavailable".to_owned()));
    assert!(late.body.contains("no answer within 200ms"), "{}", late.body);
}

#[tokio::test]
async fn connections_past_the_cap_wait_for_their_turn() {
    let site = Site::with(&[("http.max_connections", "1")]).await;
    let first = site.client.connect().await;
    let mut second = site.client.connect().await;
    second.write_all(request("GET", "/healthz", &[], None).as_bytes()).await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(300), second.read(&mut byte)).await;
    assert!(early.is_err(), "served beside the first");
    drop(first);
    assert_eq!(answer(&mut second).await.status, 200);
}

#[tokio::test]
async fn a_shutdown_lets_requests_under_way_finish_and_takes_no_new_ones() {
    let site = Site::open().await;
    let whole = request("PUT", &format!("{BASE}/runtimes/g-1"), &[], Some("{\"status\": \"running\"}"));
    let (early, late) = whole.split_at(whole.len() - 3);
    let mut wire = site.client.connect().await;
    wire.write_all(early.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    site.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!site.directory.path().join("api.sock").exists(), "still listening");
    wire.write_all(late.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut wire).await.status, 200);
    assert!(tokio::time::timeout(PATIENCE, site.served).await.unwrap().unwrap(), "said that it did not drain");
}

#[tokio::test]
async fn a_shutdown_waits_no_longer_than_the_drain_time() {
    let site = Site::with(&[("http.drain_time", "200ms")]).await;
    site.script.plan().fail(Call::RecordGet, 1, Failure::Hang);
    let mut wire = site.client.connect().await;
    wire.write_all(request("GET", &format!("{BASE}/runtimes/g-1"), &[], None).as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    site.shutdown.cancel();
    assert!(!tokio::time::timeout(PATIENCE, site.served).await.unwrap().unwrap(), "said that it drained");
    assert!(began.elapsed() < Duration::from_secs(5));
}
