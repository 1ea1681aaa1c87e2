//! What is done over REST stands in the trail, or is not done.

use std::sync::Arc;

use async_trait::async_trait;
use rtmanager::adapters::memory::Call;
use rtmanager::model::{AuditEntry, AuditEvent, Role};
use rtmanager::ports::{AuditLog, StoreError};
use serde_json::{Value, json};

use super::BASE;
use super::site::Site;

/// A log that takes nothing.
struct Full;

#[async_trait]
impl AuditLog for Full {
    async fn append(&self, _event: &AuditEvent) -> Result<AuditEntry, StoreError> {
        Err(StoreError::Unavailable("the disk is full".into()))
    }

    async fn read(&self, _from: u64, _limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(Vec::new())
    }

    async fn last(&self) -> Result<Option<AuditEntry>, StoreError> {
        Ok(None)
    }

    async fn remove_through(&self, _sequence: u64) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// Method, path, body, and of the entry action, subject and detail.
type Change = (&'static str, &'static str, Option<Value>, &'static str, &'static str, Value);

/// Everything that changes something.
fn changes() -> Vec<Change> {
    let register = json!({"tenant": "acme", "status": "stopped", "container_id": "ab".repeat(32)});
    let registered = json!({"tenant": "acme", "engine": "local", "container_id": "ab".repeat(32)});
    let why = || Some(json!({"reason": "case 7"}));
    let reason = || json!({"reason": "case 7"});
    vec![
        ("PUT", "internal/runtimes/g-1", Some(register), "runtime.register", "g-1", registered),
        ("PUT", "internal/runtimes/g-1/hold", why(), "runtime.hold", "g-1", reason()),
        ("DELETE", "internal/runtimes/g-1/hold", None, "runtime.unhold", "g-1", json!({})),
        ("DELETE", "internal/runtimes/g-1/parking", None, "runtime.unpark", "g-1", json!({})),
        ("DELETE", "internal/runtimes/g-1/container", None, "runtime.cleanup", "g-1", json!({"request": "req-7"})),
        ("PUT", "internal/pauses/global", why(), "sweeper.pause", "global", reason()),
        ("DELETE", "internal/pauses/global", None, "sweeper.resume", "global", json!({})),
        ("PUT", "internal/pauses/engines/local", why(), "sweeper.pause", "engine local", reason()),
        ("DELETE", "internal/pauses/engines/local", None, "sweeper.resume", "engine local", json!({})),
        ("PUT", "internal/pauses/tenants/acme", why(), "sweeper.pause", "tenant acme", reason()),
        ("DELETE", "internal/pauses/tenants/acme", None, "sweeper.resume", "tenant acme", json!({})),
        (
            "POST",
            "tokens",
            Some(json!({"name": "ci", "role": "viewer"})),
            "token.create",
            "ci",
            json!({"role": "viewer"}),
        ),
        ("DELETE", "tokens/ci", None, "token.revoke", "ci", json!({})),
    ]
}

#[tokio::test]
async fn every_change_leaves_one_entry_by_its_caller() {
    let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
    let bearer = site.bearer("ada", Role::Admin).await;
    let headers = [("Authorization", bearer.as_str()), ("X-Request-Id", "req-7")];
    for (index, (method, path, body, action, subject, detail)) in changes().into_iter().enumerate() {
        let body = body.map(|body| body.to_string());
        let answer = site.client.send(method, &format!("/api/v1/{path}"), &headers, body.as_deref()).await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        let page = site.client.send("GET", "/api/v1/audit?from=2", &headers, None).await.json();
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.len(), index + 1, "{method} {path}");
        let last = &items[index];
        assert_eq!((&last["action"], &last["subject"]), (&json!(action), &json!(subject)), "{method} {path}");
        assert_eq!(last["detail"], detail, "{method} {path}");
        assert_eq!((&last["actor"], &last["role"]), (&json!("token:ada"), &json!("admin")), "{method} {path}");
    }
}

#[tokio::test]
async fn reading_leaves_none_and_what_is_denied_leaves_that_it_was() {
    let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
    let bearer = site.bearer("eve", Role::Viewer).await;
    let headers = [("Authorization", bearer.as_str())];
    for (method, path, body, ..) in changes() {
        let body = body.map(|body| body.to_string());
        let answer = site.client.send(method, &format!("/api/v1/{path}"), &headers, body.as_deref()).await;
        assert_eq!(answer.status, 403, "{method} {path}");
    }
    let denied = site.trail.read(2, 100).await.unwrap();
    assert_eq!(denied.len(), changes().len());
    assert!(denied.iter().all(|entry| entry.event.action == "access.denied"), "{denied:?}");
    for path in ["runtimes", "operations", "pauses", "orphans"] {
        assert_eq!(site.client.send("GET", &format!("{BASE}/{path}"), &headers, None).await.status, 200);
    }
    assert_eq!(site.trail.read(2, 100).await.unwrap(), denied);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_refused_and_not_done() {
    let site = Site::audited_by(Arc::new(Full)).await;
    site.stopped("g-1", 40).await;
    for (method, path, body, ..) in changes() {
        let body = body.map(|body| body.to_string());
        let answer = site.client.send(method, &format!("/api/v1/{path}"), &[], body.as_deref()).await;
        assert_eq!(answer.problem(), (503, "service_unavailable".to_owned()), "{method} {path}");
        assert!(answer.body.contains("the audit trail cannot be written"), "{answer:?}");
    }
    let journal = site.script.journal();
    for call in [
        Call::RecordRegister,
        Call::RecordSetHold,
        Call::RecordUnpark,
        Call::PauseSet,
        Call::PauseResume,
        Call::LeaseTryAcquire,
        Call::EngineRemove,
    ] {
        assert_eq!(journal.count(call), 0, "{call:?}");
    }
    assert_eq!(site.store.access().tokens().await.unwrap(), []);
}

#[tokio::test]
async fn what_failed_says_so_beside_what_was_asked_for() {
    let site = Site::open().await;
    let nobody = format!("{BASE}/runtimes/nobody");
    site.client.delete(&format!("{nobody}/container")).await;
    site.client.put(&format!("{nobody}/hold"), &json!({"reason": "x"})).await;
    site.client.delete("/api/v1/tokens/none").await;
    let page = site.client.get("/api/v1/audit").await.json();
    let outcomes: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["detail"]["of"].as_u64()).collect();
    assert_eq!(outcomes, [None, Some(1), None, Some(3), None, Some(5)]);
    assert_eq!(page["items"][1]["detail"], json!({"of": 1, "outcome": "failed", "code": "not_found"}));
    let paged = site.client.get("/api/v1/audit?from=2&limit=2").await.json();
    assert_eq!((&paged["items"][0]["sequence"], &paged["next"]), (&json!(2), &json!("4")));
}

#[tokio::test]
async fn the_trail_is_checked_and_against_a_link_that_is_remembered() {
    let site = Site::open().await;
    let verify = async |query: &str| site.client.get(&format!("/api/v1/audit/verification{query}")).await;
    assert_eq!(verify("").await.json(), json!({"intact": true, "head": null, "broken": null, "pruned": null}));
    site.client.put(&format!("{BASE}/pauses/global"), &json!({"reason": "x"})).await;
    let found = verify("").await.json();
    let head = found["head"].as_str().unwrap();
    assert_eq!(verify(&format!("?head={head}")).await.json(), found);
    let later = head.replacen("1:", "2:", 1);
    let cut = verify(&format!("?head={later}")).await.json();
    assert_eq!((&cut["intact"], &cut["broken"]["sequence"]), (&json!(false), &json!(2)), "{cut}");
    assert_eq!(verify("?head=1").await.problem(), (400, "invalid_request".to_owned()));
}
