//! The operation itself, through its endpoint: status, body, and what stays behind.

use std::time::Duration;

use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::model::Status;
use rtmanager::ports::LeaseToken;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::BASE;
use super::site::{Site, container};
use rtmanager_tests::http::request;

fn path(game: &str) -> String {
    format!("{BASE}/runtimes/{game}/container")
}

#[tokio::test]
async fn removes_a_stopped_container_and_answers_with_the_record() {
    let site = Site::open().await;
    site.stopped("g-1", 40).await;
    let answer = site.client.send("DELETE", &path("g-1"), &[("X-Request-Id", "req-7")], None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!(
        (&body["outcome"], &body["error_code"], &body["runtime"]["status"]),
        (&json!("success"), &json!(null), &json!("removed"))
    );
    assert!(site.engine.containers().is_empty());

    let entry = &site.store.logged()[0].entry;
    assert_eq!((entry.op_source.as_str(), entry.source_ref.as_str()), ("admin_rest", "req-7"));
    assert!(entry.actor.as_ref().unwrap().starts_with("unix:uid="));
    assert_eq!(entry.run_id.as_str(), body["run_id"].as_str().unwrap());
}

#[tokio::test]
async fn repeating_it_is_a_success_that_says_so() {
    let site = Site::open().await;
    site.stopped("g-1", 40).await;
    assert_eq!(site.client.delete(&path("g-1")).await.status, 200);
    let again = site.client.delete(&path("g-1")).await;
    assert_eq!((again.status, &again.json()["error_code"]), (200, &json!("replay_no_op")));
}

#[tokio::test]
async fn what_cannot_be_done_has_the_status_of_its_code() {
    let site = Site::open().await;
    let running = site.client.put(&format!("{BASE}/runtimes/live"), &json!({"status": "running"})).await;
    assert_eq!(running.status, 200);
    for (game, expected) in
        [("live", (409, "conflict")), ("nobody", (404, "not_found")), ("%20", (400, "invalid_request"))]
    {
        let answer = site.client.delete(&path(game)).await;
        assert_eq!(answer.problem(), (expected.0, expected.1.to_owned()), "{game}");
        let last = site.store.logged().pop().unwrap().entry;
        assert_eq!(answer.json()["run_id"], last.run_id.as_str(), "{game}");
        assert_eq!(last.source_ref, answer.header("x-request-id").unwrap(), "{game}");
    }
}

#[tokio::test]
async fn a_held_game_and_a_game_under_another_operation_are_conflicts() {
    let site = Site::open().await;
    site.stopped("held", 40).await;
    site.stopped("leased", 40).await;
    let hold = site.client.put(&format!("{BASE}/runtimes/held/hold"), &json!({"reason": "evidence"})).await;
    assert_eq!(hold.status, 200);
    assert_eq!(site.client.delete(&path("held")).await.problem(), (409, "conflict".to_owned()));

    let leases = site.store.leases(site.clock.clone());
    let token = LeaseToken::from_bytes([1; 32]);
    leases.try_acquire(&"leased".parse().unwrap(), &token, Duration::from_secs(60)).await.unwrap();
    assert_eq!(site.client.delete(&path("leased")).await.problem(), (409, "conflict".to_owned()));
    assert_eq!(site.engine.containers().len(), 2);
}

#[tokio::test]
async fn an_engine_that_is_away_is_503_and_the_record_stays() {
    let site = Site::open().await;
    site.stopped("g-1", 40).await;
    site.script.plan().fail_always(Call::EngineInspect, Failure::Unavailable);
    site.script.plan().fail_always(Call::EngineRemove, Failure::Unavailable);
    assert_eq!(site.client.delete(&path("g-1")).await.problem(), (503, "service_unavailable".to_owned()));
    let record = site.store.records().get(&"g-1".parse().unwrap()).await.unwrap().unwrap().record;
    assert_eq!((record.status, record.container_id), (Status::Stopped, Some(container("g-1"))));
}

#[tokio::test]
async fn a_run_goes_on_when_its_caller_hangs_up() {
    let site = Site::open().await;
    site.stopped("g-1", 40).await;
    site.engine.set_removal_time(Duration::from_millis(300));
    let mut wire = site.client.connect().await;
    wire.write_all(request("DELETE", &path("g-1"), &[], None).as_bytes()).await.unwrap();
    for _ in 0..200 {
        if site.script.journal().count(Call::EngineRemove) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(wire);
    for _ in 0..500 {
        if !site.store.logged().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(site.store.logged()[0].entry.outcome.as_str(), "success");
    assert!(site.engine.containers().is_empty());
}

#[tokio::test]
async fn a_cleanup_is_measured_under_bounded_labels() {
    let site = Site::open().await;
    site.stopped("secret-game", 40).await;
    assert_eq!(site.client.delete(&path("secret-game")).await.status, 200);
    assert_eq!(site.client.delete(&path("nobody")).await.status, 404);
    let metrics = site.client.get("/metrics").await.body;
    for series in [
        "rtmanager_cleanups_total{code=\"none\",op_source=\"admin_rest\",outcome=\"success\"} 1",
        "rtmanager_cleanups_total{code=\"not_found\",op_source=\"admin_rest\",outcome=\"failure\"} 1",
        "rtmanager_lease_acquire_latency_seconds_count{result=\"acquired\"} 2",
        "rtmanager_run_phase_duration_seconds_count{phase=\"instantiate\"} 2",
        "rtmanager_run_phase_duration_seconds_count{phase=\"handle\"} 2",
        "rtmanager_run_phase_duration_seconds_count{phase=\"total\"} 2",
    ] {
        assert!(metrics.lines().any(|line| line == series), "{series} is not in\n{metrics}");
    }
    for unbounded in ["secret-game", "nobody", "acme", container("secret-game").as_str()] {
        assert!(!metrics.contains(unbounded), "{unbounded} is a label in\n{metrics}");
    }
}
