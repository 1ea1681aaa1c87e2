//! Components in the store: pushed, listed, shown, vouched for, revoked.

use rtmanager::model::Role;
use rtmanager::policies::Unsafe;
use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager::signing::TenantScope;
use rtmanager_tests::{bombs, fixtures};
use serde_json::{Value, json};

use super::policy_desk::{component, digest, envelope, key, steady};
use super::site::Site;

const POLICIES: &str = "/api/v1/policies";

#[tokio::test]
async fn a_component_is_pushed_once_and_comes_back_as_it_is() {
    let site = Site::open().await;
    let pushed = site.push("name=keep&version=1.0.0", DEFAULT_POLICY).await;
    assert_eq!(pushed.status, 201, "{pushed:?}");
    let shown = pushed.json();
    let path = format!("{POLICIES}/{}", digest(DEFAULT_POLICY));
    assert_eq!(site.client.get(&path).await.json(), shown);
    assert!(site.client.fetch(&format!("{path}/component")).await == DEFAULT_POLICY);
    let again = site.push("name=keep&version=1.0.0", DEFAULT_POLICY).await;
    assert_eq!((again.status, again.json()), (200, shown.clone()));
    insta::assert_json_snapshot!(steady(shown));
}

#[tokio::test]
async fn a_version_never_changes_and_a_component_may_have_several_names() {
    let site = Site::open().await;
    site.with_versions(&[1]).await;
    let answer = site.push("name=keep&version=1.1.0", &component(2)).await;
    assert_eq!(answer.problem(), (409, "conflict".to_owned()));
    assert_eq!(site.push("name=other&version=1.1.0", &component(1)).await.status, 201);
    let wrong = ["name=Keep&version=1.0.0", "name=keep&version=1", "name=keep", "name=keep&version=1.0.0&owner=a%20b"];
    for label in wrong {
        assert_eq!(site.push(label, DEFAULT_POLICY).await.problem().0, 400, "{label}");
    }
}

#[tokio::test]
async fn policies_of_every_language_are_pushed_and_listed_by_name_and_version() {
    let site = Site::open().await;
    site.with_versions(&[10, 9]).await;
    assert_eq!(site.push("name=in-c&version=0.1.0", fixtures::C_POLICY).await.status, 201);
    let page = site.client.get(&format!("{POLICIES}?limit=2")).await.json();
    let names = |page: &Value| -> Vec<String> {
        let named = |row: &Value| format!("{}@{}", row["name"].as_str().unwrap(), row["version"].as_str().unwrap());
        page["items"].as_array().unwrap().iter().map(named).collect()
    };
    assert_eq!(names(&page), ["in-c@0.1.0", "keep@1.9.0"]);
    let rest = site.client.get(&format!("{POLICIES}?after={}", page["next"].as_str().unwrap())).await.json();
    assert_eq!((names(&rest), &rest["next"]), (vec!["keep@1.10.0".to_owned()], &Value::Null));
    let named = site.client.get(&format!("{POLICIES}?name=in-c")).await.json();
    assert_eq!(names(&named), ["in-c@0.1.0"]);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_what_is_wrong_and_is_not_in_the_store() {
    let site = Site::open().await;
    let mut refused = Vec::new();
    for component in [
        fixtures::GARBAGE.to_vec(),
        fixtures::core_module(),
        fixtures::without_exports(),
        fixtures::undeclared_import(),
        fixtures::nested_components(90),
        fixtures::TRAPPING_START.to_vec(),
        fixtures::HUGE_MEMORY.to_vec(),
    ] {
        let answer = site.push("name=keep&version=1.0.0", &component).await;
        assert_eq!(answer.problem(), (422, "policy_refused".to_owned()), "{answer:?}");
        refused.push(answer.json()["detail"].as_str().unwrap().to_owned());
        assert_eq!(site.client.get(&format!("{POLICIES}/{}", digest(&component))).await.status, 404);
    }
    insta::assert_json_snapshot!(refused);
}

#[tokio::test]
async fn a_body_that_is_no_component_by_its_type_or_size_is_not_read() {
    let site = Site::open().await;
    let path = format!("{POLICIES}?name=keep&version=1.0.0");
    let other = site.client.upload(&path, "application/json", &[], b"{}").await;
    assert_eq!(other.problem(), (415, "unsupported_media_type".to_owned()));
    // Larger than http.max_body_bytes, and smaller than a component may be.
    let padded = bombs::padded(DEFAULT_POLICY, 1 << 20);
    assert_eq!(site.push("name=padded&version=1.0.0", &padded).await.status, 201);
    let large = site.client.upload(&path, "application/wasm", &[], &vec![0; (32 << 20) + 1]).await;
    assert_eq!(large.problem(), (413, "payload_too_large".to_owned()));
    assert!(large.body.contains("33554432 bytes (admission.component_bytes)"), "{large:?}");
}

#[tokio::test]
async fn nobody_takes_a_component_from_others_by_pushing_it_first() {
    let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
    let tenant = |name: &str| Role::Tenant(name.parse().unwrap());
    let (eve, acme) = (site.bearer("eve", tenant("eve")).await, site.bearer("acme", tenant("acme")).await);
    let admin = site.token();
    let push = async |bearer: &str, label: &str| {
        let headers = [("Authorization", bearer)];
        site.client.upload(&format!("{POLICIES}?{label}"), "application/wasm", &headers, &component(1)).await
    };
    let listed = async |bearer: &str| {
        let page = site.client.send("GET", POLICIES, &[("Authorization", bearer)], None).await.json();
        let row = |row: &Value| (row["name"].clone(), row["owner"].clone());
        page["items"].as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(push(&eve, "name=mine&version=1.0.0").await.status, 201);
    let pushed = push(&admin, "name=keep&version=1.1.0").await;
    assert_eq!((pushed.status, &pushed.json()["owner"]), (201, &Value::Null), "{pushed:?}");
    assert_eq!(push(&acme, "name=keep&version=1.1.0").await.status, 201);
    assert_eq!(listed(&acme).await, [(json!("keep"), Value::Null), (json!("keep"), json!("acme"))]);
    assert_eq!(listed(&eve).await, [(json!("keep"), Value::Null), (json!("mine"), json!("eve"))]);
    let path = format!("{POLICIES}/{}", digest(&component(1)));
    for (bearer, owner) in [(&acme, json!("acme")), (&eve, json!("eve"))] {
        let shown = site.client.send("GET", &path, &[("Authorization", bearer)], None).await.json();
        assert_eq!(shown["owner"], owner, "each is shown its own");
    }
}

#[tokio::test]
async fn a_tenants_component_is_there_for_nobody_else() {
    let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
    let tenant = |name: &str| Role::Tenant(name.parse().unwrap());
    let (acme, rival) = (site.bearer("acme", tenant("acme")).await, site.bearer("rival", tenant("rival")).await);
    let admin = site.token();
    let push = async |bearer: &str, label: &str, number: usize| {
        let headers = [("Authorization", bearer)];
        site.client.upload(&format!("{POLICIES}?{label}"), "application/wasm", &headers, &component(number)).await
    };
    let pushed = push(&acme, "name=keep&version=1.0.0", 1).await;
    assert_eq!((pushed.status, pushed.json()["owner"].clone()), (201, json!("acme")));
    for (bearer, owner) in [(&rival, "acme"), (&acme, "rival")] {
        let foreign = push(bearer, &format!("name=keep&version=2.0.0&owner={owner}"), 2).await;
        assert_eq!(foreign.problem(), (403, "forbidden".to_owned()));
    }
    assert_eq!(push(&admin, "name=keep&version=1.0.0", 3).await.json()["owner"], Value::Null);

    let path = format!("{POLICIES}/{}", digest(&component(1)));
    let call = async |bearer: &str, method: &str, path: &str, body: Option<&str>| {
        site.client.send(method, path, &[("Authorization", bearer)], body).await
    };
    let signature = envelope(1, &key(1), TenantScope::Any).to_string();
    for (method, end, body) in [
        ("GET", "", None),
        ("GET", "/component", None),
        ("POST", "/signatures", Some(signature.as_str())),
        ("POST", "/revocation", Some(r#"{"reason": "x"}"#)),
    ] {
        let foreign = call(&rival, method, &format!("{path}{end}"), body).await;
        assert_eq!(foreign.problem(), (404, "not_found".to_owned()), "{method} {end}");
    }
    let rows = async |bearer: &str| call(bearer, "GET", POLICIES, None).await.json()["items"].as_array().unwrap().len();
    assert_eq!((rows(&acme).await, rows(&rival).await, rows(&admin).await), (2, 1, 2));
    // What is the platform's can be seen, and is not theirs to sign or revoke.
    let platforms = format!("{POLICIES}/{}", digest(&component(3)));
    assert_eq!(call(&rival, "GET", &platforms, None).await.status, 200);
    let revoked = call(&rival, "POST", &format!("{platforms}/revocation"), Some(r#"{"reason": "x"}"#)).await;
    assert_eq!(revoked.problem(), (403, "forbidden".to_owned()));
    // A component is revoked wherever its bytes are bound, also by others: not even its owner does that.
    let revoked = call(&acme, "POST", &format!("{path}/revocation"), Some(r#"{"reason": "x"}"#)).await;
    assert_eq!(revoked.problem(), (403, "forbidden".to_owned()));
    assert_eq!(call(&admin, "POST", &format!("{path}/revocation"), Some(r#"{"reason": "x"}"#)).await.status, 200);
}

#[tokio::test]
async fn a_signature_is_kept_and_what_is_none_is_refused() {
    let site = Site::open().await;
    site.with_versions(&[1]).await;
    let path = format!("{POLICIES}/{}/signatures", digest(&component(1)));
    let key = key(1);
    let signed = site.client.post(&path, &envelope(1, &key, TenantScope::Any)).await;
    assert_eq!((signed.status, signed.json()["signers"].clone()), (200, json!([key.public().id().as_str()])));
    assert_eq!(site.client.post(&path, &json!({"payload": "x"})).await.problem().0, 400);
    let large = json!({ "payload": "x".repeat(128 << 10) });
    assert_eq!(site.client.post(&path, &large).await.problem(), (413, "payload_too_large".to_owned()));
}

#[tokio::test]
async fn a_revoked_component_leaves_its_scopes_unserved_and_is_not_bound_again() {
    let site = Site::open().await;
    site.with_versions(&[1, 2]).await;
    site.bound(&[1]).await;
    let path = format!("{POLICIES}/{}/revocation", digest(&component(1)));
    let revoked = site.client.post(&path, &json!({"reason": "removes too much"})).await;
    assert_eq!((revoked.status, revoked.json()["unserved"].clone()), (200, json!(["acme"])));
    let again = site.bind(1, json!({})).await;
    assert_eq!(again.problem(), (409, "conflict".to_owned()), "{again:?}");
    assert_eq!(again.json()["detail"], "generation 2 was revoked");
    site.bound(&[2]).await;
    assert_eq!(site.client.post(&path, &json!({"reason": " "})).await.problem(), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn a_policy_that_breaks_the_protocol_is_refused_with_the_history_in_which_it_does() {
    let site = Site::open().await;
    site.with_versions(&[1, 2]).await;
    let scenario = "1 run of g-1: removes before it holds the lease".to_owned();
    site.gate.refuse(&component(1), Unsafe::Policy { what: "it removes without a lease".to_owned(), scenario });
    let refused = site.bind(1, json!({})).await;
    assert_eq!(refused.problem(), (422, "policy_unsafe".to_owned()));
    insta::assert_json_snapshot!(steady(refused.json()));
    site.gate.refuse(&component(2), Unsafe::Unchecked("no memory".to_owned()));
    assert_eq!(site.bind(2, json!({})).await.problem(), (503, "service_unavailable".to_owned()));
    assert_eq!(site.serving().await, Value::Null);
}

#[tokio::test]
async fn examining_a_policy_may_take_longer_than_other_requests() {
    let site = Site::with(&[("http.request_time", "10ms")]).await;
    assert_eq!(site.push("name=keep&version=1.0.0", DEFAULT_POLICY).await.status, 201);
    let order = json!({"policy": "keep@1.0.0", "reason": "x", "wait_ms": 100});
    site.host_says("host-a", "*", &[], None).await;
    let waited = site.client.put("/api/v1/tenants/acme/policy", &order).await;
    assert_eq!(waited.problem(), (409, "not_ready".to_owned()));
}
