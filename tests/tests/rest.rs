//! The REST interface, by HTTP over the sockets it really listens on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

#[path = "rest/allowances.rs"]
mod allowances;
#[path = "rest/audit.rs"]
mod audit;
#[path = "rest/cleanup.rs"]
mod cleanup;
#[path = "rest/inputs.rs"]
mod inputs;
#[path = "rest/journals.rs"]
mod journals;
#[path = "rest/limits.rs"]
mod limits;
#[path = "rest/matrix.rs"]
mod matrix;
#[path = "rest/policies.rs"]
mod policies;
#[path = "rest/policy_bindings.rs"]
mod policy_bindings;
#[path = "rest/policy_desk.rs"]
mod policy_desk;
#[path = "rest/policy_rollouts.rs"]
mod policy_rollouts;
#[path = "rest/policy_rules.rs"]
mod policy_rules;
#[path = "rest/roles.rs"]
mod roles;
#[path = "rest/site.rs"]
mod site;
#[path = "rest/sockets.rs"]
mod sockets;
#[path = "rest/tenants.rs"]
mod tenants;
#[path = "rest/visibility.rs"]
mod visibility;

use std::sync::Arc;
use std::time::Duration;

use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::model::{ErrorCode, Timestamp};
use rtmanager::ports::{Clock, Disposition};
use serde_json::json;

use site::Site;

const BASE: &str = "/api/v1/internal";

#[tokio::test]
async fn a_registered_runtime_is_read_back_with_its_cleanup_state() {
    let site = Site::open().await;
    let body = json!({
        "tenant": "acme", "status": "stopped", "container_id": "ab".repeat(32), "image_ref": "img:1",
        "labels": {"tier": "gold"}, "stopped_at": "2026-01-01T00:00:00Z",
    });
    let put = site.client.put(&format!("{BASE}/runtimes/g-1"), &body).await;
    assert_eq!(put.status, 200, "{put:?}");
    let got = site.client.get(&format!("{BASE}/runtimes/g-1")).await;
    insta::assert_json_snapshot!(got.json());
}

#[tokio::test]
async fn labels_stay_until_others_are_given_or_the_container_is_another() {
    let site = Site::open().await;
    let path = format!("{BASE}/runtimes/g-1");
    let put = async |container: &str, labels: Option<serde_json::Value>| {
        let mut body = json!({"tenant": "acme", "status": "stopped", "container_id": container.repeat(32)});
        body.as_object_mut().unwrap().extend(labels.map(|labels| ("labels".to_owned(), labels)));
        site.client.put(&path, &body).await.json()["labels"].clone()
    };
    let protection = json!({"keep": "true"});
    assert_eq!(put("ab", Some(protection.clone())).await, protection);
    assert_eq!(put("ab", None).await, protection);
    assert_eq!(put("ab", Some(json!({}))).await, json!({}));
    assert_eq!(put("ab", Some(protection.clone())).await, protection);
    assert_eq!(put("cd", None).await, json!({}));
}

#[tokio::test]
async fn a_game_without_record_is_a_problem_with_the_requests_id() {
    let site = Site::open().await;
    let path = format!("{BASE}/runtimes/nobody");
    let answer = site.client.send("GET", &path, &[("X-Request-Id", "req-from-afar")], None).await;
    assert_eq!(answer.problem(), (404, "not_found".to_owned()));
    insta::assert_json_snapshot!(answer.json());
}

#[tokio::test]
async fn a_request_id_that_is_malformed_or_missing_is_replaced() {
    let site = Site::open().await;
    let long = "x".repeat(129);
    for given in ["", "with space", "tab\tbed", long.as_str()] {
        let answer = site.client.send("GET", "/healthz", &[("X-Request-Id", given)], None).await;
        let made = answer.header("x-request-id").unwrap();
        assert!(made.starts_with("req-") && made.len() == 24, "{made}");
    }
    let kept = site.client.send("GET", "/healthz", &[("X-Request-Id", "a/b:c")], None).await;
    assert_eq!(kept.header("x-request-id"), Some("a/b:c"));
}

#[tokio::test]
async fn a_game_id_is_percent_decoded_exactly_once() {
    let site = Site::open().await;
    let body = json!({"status": "running"});
    for (path, game) in
        [("a%2Fb", "a/b"), ("c%20d", "c d"), ("e%2525", "e%25"), ("f+g", "f+g"), ("%C3%A9", "é"), ("..", "..")]
    {
        let answer = site.client.put(&format!("{BASE}/runtimes/{path}"), &body).await;
        assert_eq!((answer.status, answer.json()["game_id"].as_str()), (200, Some(game)), "{path}");
    }
    for wrong in ["%FF", "%0A", "%20"] {
        let answer = site.client.put(&format!("{BASE}/runtimes/{wrong}"), &body).await;
        assert_eq!(answer.problem(), (400, "invalid_request".to_owned()), "{wrong}");
    }
}

#[tokio::test]
async fn a_registration_that_contradicts_what_is_known_is_a_conflict() {
    let site = Site::open().await;
    site.stopped("g-1", 1).await;
    let path = format!("{BASE}/runtimes/g-1");
    let other_tenant = site.client.put(&path, &json!({"tenant": "rival", "status": "running"})).await;
    assert_eq!(other_tenant.problem(), (409, "conflict".to_owned()));

    let wrong = [
        json!({"tenant": "acme", "status": "removed"}),
        json!({"tenant": "acme", "status": "running", "container_id": "abc"}),
        json!({"tenant": "acme", "status": "running", "engine": "nowhere"}),
        json!({"tenant": "acme", "status": "running", "stopped_at": "yesterday"}),
        json!({"tenant": "acme", "status": "running", "surprise": 1}),
        json!({"tenant": "not a name", "status": "running"}),
    ];
    for body in wrong {
        let answer = site.client.put(&path, &body).await;
        assert_eq!(answer.problem(), (400, "invalid_request".to_owned()), "{body}");
    }
}

#[tokio::test]
async fn runtimes_are_walked_by_keyset_without_gap_or_repeat() {
    let site = Site::open().await;
    for (index, game) in ["a", "bb", "ccc", "dddd", "eeeee"].into_iter().enumerate() {
        site.stopped(game, index as u64).await;
    }
    let mut seen = Vec::new();
    let mut next = String::new();
    for _ in 0..4 {
        let page = site.client.get(&format!("{BASE}/runtimes?limit=2&tenant=acme&status=stopped{next}")).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|row| row["game_id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(after) => next = format!("&after={after}"),
            None => break,
        }
    }
    assert_eq!(seen, ["a", "bb", "ccc", "dddd", "eeeee"]);
    for (limit, next) in [(4, json!("dddd")), (5, json!(null)), (6, json!(null))] {
        let page = site.client.get(&format!("{BASE}/runtimes?limit={limit}")).await.json();
        assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (limit.min(5), &next), "{limit}");
    }
    let none = site.client.get(&format!("{BASE}/runtimes?tenant=rival")).await.json();
    assert_eq!(none, json!({"items": [], "next": null}));
}

#[tokio::test]
async fn a_filter_that_is_not_known_is_refused_rather_than_ignored() {
    let site = Site::open().await;
    for query in [
        "runtimes?state=stopped",
        "runtimes?limit=0",
        "runtimes?limit=201",
        "operations?game=g",
        "operations?outcome=maybe",
        "operations?since=yesterday",
        "runtimes?tenant=a%20b",
    ] {
        let answer = site.client.get(&format!("{BASE}/{query}")).await;
        assert_eq!(answer.problem(), (400, "invalid_request".to_owned()), "{query}");
    }
}

#[tokio::test]
async fn operations_are_listed_newest_first_with_filters() {
    let site = Site::open().await;
    site.logged("g-1", None).await;
    site.logged("g-2", Some(ErrorCode::CONFLICT)).await;
    site.logged("g-1", Some(ErrorCode::SERVICE_UNAVAILABLE)).await;
    let first = site.client.get(&format!("{BASE}/operations?limit=2")).await.json();
    insta::assert_json_snapshot!(first);
    let before = first["next"].as_str().unwrap();
    let second = site.client.get(&format!("{BASE}/operations?limit=2&before={before}")).await.json();
    assert_eq!((second["items"].as_array().unwrap().len(), &second["next"]), (1, &json!(null)));

    let exact = site.client.get(&format!("{BASE}/operations?limit=3")).await.json();
    assert_eq!((exact["items"].as_array().unwrap().len(), &exact["next"]), (3, &json!(null)));

    let of_game = site.client.get(&format!("{BASE}/operations?game_id=g-1&outcome=failure")).await.json();
    assert_eq!(of_game["items"].as_array().unwrap().len(), 1);
    assert_eq!(of_game["items"][0]["error_code"], "service_unavailable");
}

#[tokio::test]
async fn a_hold_is_set_by_its_actor_and_lifted() {
    let site = Site::open().await;
    site.stopped("g-1", 40).await;
    let path = format!("{BASE}/runtimes/g-1/hold");
    let held = site.client.put(&path, &json!({"reason": " evidence ", "until": "2026-02-28T00:00:00Z"})).await;
    let hold = &held.json()["cleanup"]["hold"];
    assert_eq!((hold["reason"].as_str(), hold["until"].as_str()), (Some("evidence"), Some("2026-02-28T00:00:00Z")));
    assert!(hold["actor"].as_str().unwrap().starts_with("unix:uid="), "{hold}");

    for wrong in [json!({"reason": "  "}), json!({}), json!({"reason": "x", "until": "2026-01-01T00:00:00Z"})] {
        assert_eq!(site.client.put(&path, &wrong).await.problem(), (400, "invalid_request".to_owned()), "{wrong}");
    }
    assert_eq!(site.client.delete(&path).await.json()["cleanup"]["hold"], json!(null));
    let nobody = site.client.put(&format!("{BASE}/runtimes/nobody/hold"), &json!({"reason": "x"})).await;
    assert_eq!(nobody.problem(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_parked_game_is_unparked() {
    let site = Site::open().await;
    site.stopped("g-1", 40).await;
    let game = "g-1".parse().unwrap();
    let records = site.store.records();
    let version = records.get(&game).await.unwrap().unwrap().record.version;
    let parked = rtmanager::model::Parked { at: Timestamp::from_micros(site::NOW), reason: "conflict: why".to_owned() };
    assert!(records.dispose(&game, version, &Disposition::Park { parked, failed_attempts: 8 }).await.unwrap());

    let explained = site.client.get(&format!("{BASE}/runtimes/g-1/explain")).await.json();
    assert_eq!(explained["blockers"][0]["kind"], "parked");
    let unparked = site.client.delete(&format!("{BASE}/runtimes/g-1/parking")).await.json();
    assert_eq!((&unparked["cleanup"]["parked"], &unparked["cleanup"]["failed_attempts"]), (&json!(null), &json!(0)));
}

#[tokio::test]
async fn pauses_are_set_listed_and_lifted_by_scope() {
    let site = Site::open().await;
    for scope in ["global", "engines/local", "tenants/acme"] {
        let paused = site.client.put(&format!("{BASE}/pauses/{scope}"), &json!({"reason": "maintenance"})).await;
        assert_eq!(paused.status, 200, "{paused:?}");
    }
    let again = site.client.put(&format!("{BASE}/pauses/global"), &json!({"reason": "another"})).await;
    assert_eq!(again.json()["reason"], "maintenance");
    let listed = site.client.get(&format!("{BASE}/pauses")).await.json();
    let scopes: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|p| (p["scope"].clone(), p["name"].clone())).collect();
    assert_eq!(
        scopes,
        [(json!("global"), json!(null)), (json!("engine"), json!("local")), (json!("tenant"), json!("acme"))]
    );
    let lifted = site.client.delete(&format!("{BASE}/pauses/engines/local")).await;
    assert_eq!(lifted.json()["cause"], "operator");
    let none = site.client.delete(&format!("{BASE}/pauses/engines/local")).await;
    assert_eq!((none.status, none.json()), (200, json!(null)));
}

#[tokio::test]
async fn pauses_are_counted_when_they_are_asked_for() {
    let site = Site::open().await;
    let counted = async || {
        let text = site.client.get("/metrics").await.body;
        text.lines().find_map(|line| line.strip_prefix("rtmanager_paused_scopes ")).map(str::to_owned)
    };
    assert_eq!(counted().await.as_deref(), Some("0"));
    site.client.put(&format!("{BASE}/pauses/tenants/acme"), &json!({"reason": "maintenance"})).await;
    assert_eq!(counted().await.as_deref(), Some("1"));
    site.client.delete(&format!("{BASE}/pauses/tenants/acme")).await;
    assert_eq!(counted().await.as_deref(), Some("0"));
}

#[tokio::test]
async fn explain_says_why_a_runtime_is_kept_and_when_it_is_due() {
    let site = Site::open().await;
    site.stopped("fresh", 3).await;
    site.stopped("overdue", 40).await;
    let fresh = site.client.get(&format!("{BASE}/runtimes/fresh/explain")).await.json();
    insta::assert_json_snapshot!(fresh);
    let overdue = site.client.get(&format!("{BASE}/runtimes/overdue/explain")).await.json();
    assert_eq!(overdue["blockers"], json!([]));
    assert!(overdue["summary"].as_str().unwrap().starts_with("It is due"), "{overdue}");
}

#[tokio::test]
async fn a_store_that_fails_is_503_and_a_corrupt_one_500() {
    let site = Site::open().await;
    let plan = site.script.plan();
    let path = format!("{BASE}/runtimes/g-1");
    for (nth, failure, expected) in [
        (1, Failure::Unavailable, (503, "service_unavailable")),
        (2, Failure::LoseReply, (503, "service_unavailable")),
        (3, Failure::Corrupt, (500, "internal_error")),
    ] {
        plan.fail(Call::RecordGet, nth, failure);
        let answer = site.client.get(&path).await;
        assert_eq!(answer.problem(), (expected.0, expected.1.to_owned()), "{failure:?}");
    }
    assert_eq!(site.client.get(&path).await.status, 404);
}

#[tokio::test]
async fn without_randomness_no_request_is_served_under_a_shared_id() {
    let site = Site::open().await;
    site.script.plan().fail_always(Call::RandomnessFill, Failure::Unavailable);
    assert_eq!(site.client.get("/healthz").await.status, 503);
    site.script.plan().mend();
    assert_eq!(site.client.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn readiness_names_what_does_not_answer() {
    let site = Site::open().await;
    assert_eq!(site.client.get("/readyz").await.status, 200);
    site.script.plan().fail_always(Call::EnginePing, Failure::Unavailable);
    let unready = site.client.get("/readyz").await;
    assert_eq!(unready.status, 503);
    insta::assert_json_snapshot!(unready.json());
    assert_eq!(site.client.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn an_engine_that_hangs_makes_it_unready_in_time() {
    let site = Site::open().await;
    site.script.plan().fail_always(Call::EnginePing, Failure::Hang);
    let unready = site.client.get("/readyz").await.json();
    assert_eq!(unready["checks"][2]["detail"], "no answer within 2s");
}

#[tokio::test]
async fn metrics_and_description_are_served_and_what_is_unknown_is_a_problem() {
    let site = Site::open().await;
    let metrics = site.client.get("/metrics").await;
    assert_eq!((metrics.status, metrics.header("content-type")), (200, Some("text/plain; version=0.0.4")));

    let described = site.client.get("/api/v1/openapi.json").await.json();
    let paths = described["paths"].as_object().unwrap();
    let operations: Vec<String> = paths
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    insta::assert_json_snapshot!(operations);
    assert_eq!(described["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    assert_eq!(described["security"], json!([{"token": []}, {}]));
    for (path, methods) in paths.iter().filter(|(path, _)| path.starts_with("/api/")) {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(["401", "403"].iter().all(|status| operation["responses"][status].is_object()), "{method} {path}");
            assert!(operation["description"].as_str().unwrap().contains("Needs the role "), "{method} {path}");
        }
    }

    assert_eq!(site.client.get("/api/v2").await.problem(), (404, "not_found".to_owned()));
    let posted = site.client.send("POST", &format!("{BASE}/runtimes"), &[], Some("{}")).await;
    assert_eq!(posted.problem(), (405, "method_not_allowed".to_owned()));
}

struct BrokenClock;

impl Clock for BrokenClock {
    fn now(&self) -> Timestamp {
        panic!("the clock fell off the wall")
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_next_request_is_served() {
    let site = Site::ticking(&[], Some(Arc::new(BrokenClock))).await;
    let answer = site.client.put(&format!("{BASE}/runtimes/g-1"), &json!({"status": "running"})).await;
    assert_eq!(answer.problem(), (500, "internal_error".to_owned()));
    assert!(!answer.body.contains("wall"), "{}", answer.body);
    assert_eq!(site.client.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn orphans_are_those_of_the_last_pass_with_its_time() {
    let site = Site::with(&[("discovery.enabled", "false")]).await;
    let path = format!("{BASE}/orphans");
    let none = site.client.get(&path).await.json();
    assert_eq!((&none["items"][0]["engine"], &none["items"][0]["at"]), (&json!("local"), &json!(null)));
    site.stopped("vanished", 1).await;
    site.engine.vanish(&site::container("vanished"));
    let own = [("rtmanager.owner", "rtmanager"), ("rtmanager.tenant", "acme"), ("rtmanager.game", "unknown")];
    let own: rtmanager::model::Labels = own.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    site.engine.create(&site::container("unknown"), "img:1", own);
    site.clock.advance(Duration::from_secs(120));
    site.reconciler.run().await.unwrap();
    insta::assert_json_snapshot!(site.client.get(&path).await.json());
    site.script.plan().fail_always(Call::EngineListLabelled, Failure::Unavailable);
    site.clock.advance(Duration::from_secs(60));
    site.reconciler.run().await.unwrap_err();
    let stale = site.client.get(&path).await.json();
    let said = stale["items"][0]["error"].as_str().unwrap();
    assert!(said.starts_with("the engine could not be looked at: "), "{said}");
    assert_eq!(stale["items"][0]["at"], json!("2026-01-31T12:02:00Z"), "what was found before, with its time");
}
