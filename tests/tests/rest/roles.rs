//! Every route × every role, over TCP with tokens. A route that is described and stands in no row here fails the test.

use std::collections::BTreeSet;

use rtmanager::model::Role;
use serde_json::{Value, json};

use super::site::Site;
use rtmanager_tests::http::Answer;

/// Method, path, a body that is taken, and who may: admin, operator, viewer, the tenant of `g-1`, another tenant.
const TABLE: [(&str, &str, Option<&str>, &str); 50] = [
    ("get", "/healthz", None, "+++++"),
    ("get", "/readyz", None, "+++++"),
    ("get", "/metrics", None, "+++++"),
    ("get", "/api/v1/internal/runtimes", None, "+++++"),
    ("get", "/api/v1/internal/runtimes/{game_id}", None, "++++0"),
    ("get", "/api/v1/internal/runtimes/{game_id}/explain", None, "++++0"),
    ("get", "/api/v1/internal/operations", None, "+++++"),
    ("get", "/api/v1/internal/orphans", None, "+++--"),
    ("get", "/api/v1/internal/pauses", None, "+++--"),
    ("put", "/api/v1/internal/runtimes/{game_id}", Some(r#"{"tenant": "acme", "status": "stopped"}"#), "++---"),
    ("delete", "/api/v1/internal/runtimes/{game_id}/container", None, "++---"),
    ("put", "/api/v1/internal/runtimes/{game_id}/hold", Some(r#"{"reason": "x"}"#), "++---"),
    ("delete", "/api/v1/internal/runtimes/{game_id}/hold", None, "++---"),
    ("delete", "/api/v1/internal/runtimes/{game_id}/parking", None, "++---"),
    ("put", "/api/v1/internal/pauses/global", Some(r#"{"reason": "x"}"#), "++---"),
    ("delete", "/api/v1/internal/pauses/global", None, "++---"),
    ("put", "/api/v1/internal/pauses/engines/{engine}", Some(r#"{"reason": "x"}"#), "++---"),
    ("delete", "/api/v1/internal/pauses/engines/{engine}", None, "++---"),
    ("put", "/api/v1/internal/pauses/tenants/{tenant}", Some(r#"{"reason": "x"}"#), "++---"),
    ("delete", "/api/v1/internal/pauses/tenants/{tenant}", None, "++---"),
    ("get", "/api/v1/tokens", None, "+----"),
    ("post", "/api/v1/tokens", Some(r#"{"name": "made", "role": "viewer"}"#), "+----"),
    ("delete", "/api/v1/tokens/{name}", None, "+----"),
    ("get", "/api/v1/audit", None, "+----"),
    ("get", "/api/v1/audit/verification", None, "+----"),
    ("get", "/api/v1/policies", None, "+++++"),
    ("post", "/api/v1/policies", None, "+--++"),
    ("get", "/api/v1/policies/{digest}", None, "00000"),
    ("get", "/api/v1/policies/{digest}/component", None, "00000"),
    ("post", "/api/v1/policies/{digest}/signatures", Some(ENVELOPE), "0--00"),
    ("post", "/api/v1/policies/{digest}/revocation", Some(r#"{"reason": "x"}"#), "0--00"),
    ("get", "/api/v1/tenants/{tenant}/policy", None, "++++-"),
    ("put", "/api/v1/tenants/{tenant}/policy", Some(BIND), "0--0-"),
    ("delete", "/api/v1/tenants/{tenant}/policy", None, "0--0-"),
    ("post", "/api/v1/tenants/{tenant}/policy/check", Some(BIND), "0000-"),
    ("post", "/api/v1/tenants/{tenant}/policy/rollback", Some(r#"{"reason": "x"}"#), "0--0-"),
    ("post", "/api/v1/tenants/{tenant}/policy/revocation", Some(r#"{"generation": 1, "reason": "x"}"#), "0--0-"),
    ("get", "/api/v1/tenants/{tenant}/policy/history", None, "++++-"),
    ("get", "/api/v1/tenants/{tenant}/policy/diff", None, "0000-"),
    ("get", "/api/v1/tenants/{tenant}/policy/generations/{generation}", None, "0000-"),
    ("post", "/api/v1/tenants/{tenant}/policy/rollout", Some(TRY), "0--0-"),
    ("delete", "/api/v1/tenants/{tenant}/policy/rollout", None, "0--0-"),
    ("post", "/api/v1/tenants/{tenant}/policy/rollout/promotion", Some(r#"{"reason": "x"}"#), "0--0-"),
    ("get", "/api/v1/tenants/{tenant}/policy/rollout/{generation}/divergences", None, "++++-"),
    ("get", "/api/v1/tenants/{tenant}/policy/ceiling", None, "++++-"),
    ("put", "/api/v1/tenants/{tenant}/policy/ceiling", Some("{}"), "+----"),
    ("delete", "/api/v1/tenants/{tenant}/policy/ceiling", None, "+----"),
    ("get", "/api/v1/tenants/{tenant}/policy/keys", None, "++++-"),
    ("post", "/api/v1/tenants/{tenant}/policy/keys", Some(KEY), "+----"),
    ("delete", "/api/v1/tenants/{tenant}/policy/keys/{key}", None, "0----"),
];

const BIND: &str = r#"{"policy": "keep@1.0.0", "reason": "x"}"#;
const TRY: &str = r#"{"policy": "keep@1.0.0", "mode": "shadow", "reason": "x"}"#;
const ENVELOPE: &str = r#"{"payload": "aGk=", "payloadType": "x", "signatures": [{"sig": "aGk="}]}"#;
const KEY: &str = r#"{"public_key":
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEANZUe0lrCuSI3ufh1Hzv5W7cqb6K4k/AggrFUrnPEsIs=\n-----END PUBLIC KEY-----"}"#;

/// Not in the description, being the description.
const DESCRIPTION: &str = "/api/v1/openapi.json";

async fn on_tcp() -> Site {
    let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
    site.stopped("g-1", 40).await;
    site
}

async fn bearers(site: &Site) -> Vec<(String, String)> {
    let tenant = |name: &str| Role::Tenant(name.parse().unwrap());
    let roles = [Role::Admin, Role::Operator, Role::Viewer, tenant("acme"), tenant("rival")];
    let mut bearers = Vec::new();
    for (index, role) in roles.into_iter().enumerate() {
        bearers.push((role.to_string(), site.bearer(&format!("t{index}"), role).await));
    }
    site.bearer("doomed", Role::Viewer).await;
    bearers
}

fn filled(path: &str) -> String {
    let digest = "a".repeat(64);
    let parts = [("{game_id}", "g-1"), ("{engine}", "local"), ("{tenant}", "acme"), ("{name}", "doomed")];
    let policies = [("{digest}", digest.as_str()), ("{generation}", "1"), ("{key}", "k")];
    let queries = [("/policy", "?reason=x"), ("/rollout", "?reason=x"), ("/diff", "?to=1")];
    let query = queries.iter().find(|(end, _)| path.ends_with(end)).map_or("", |(_, query)| query);
    let all = parts.iter().chain(&policies);
    all.fold(path.to_owned(), |path, (name, value)| path.replace(name, value)) + query
}

async fn call(site: &Site, bearer: &str, method: &str, path: &str, body: Option<&str>) -> Answer {
    site.client.send(&method.to_uppercase(), path, &[("Authorization", bearer)], body).await
}

#[tokio::test]
async fn every_route_is_for_the_roles_of_its_row_and_for_nobody_else() {
    let site = on_tcp().await;
    let bearers = bearers(&site).await;
    for (method, path, body, expected) in TABLE {
        let path = filled(path);
        let mut found = String::new();
        // Those who may last, so that what they do is not yet done when others are refused.
        for (role, bearer) in bearers.iter().rev() {
            let answer = call(&site, bearer, method, &path, body).await;
            let mark = match answer.status {
                403 => {
                    let problem = answer.json();
                    assert_eq!(answer.problem(), (403, "forbidden".to_owned()));
                    let detail = problem["detail"].as_str().unwrap();
                    assert!(detail.starts_with("this needs the role admin"), "{detail}");
                    assert!(detail.ends_with(&format!("and the caller's is {role}")), "{detail}");
                    '-'
                }
                404 => '0',
                200 => '+',
                // Without a component's name and the component.
                400 if path == "/api/v1/policies" => '+',
                // What the first who may has done, the second finds done.
                409 if role == "admin" => '+',
                other => panic!("{method} {path} as {role}: {other}: {answer:?}"),
            };
            found.insert(0, mark);
        }
        assert_eq!(found, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn every_route_that_is_described_stands_in_the_table_and_says_its_roles() {
    let site = on_tcp().await;
    let token = site.token();
    let described = call(&site, &token, "get", DESCRIPTION, None).await.json();
    let routes: BTreeSet<(String, String)> = described["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())))
        .collect();
    let table = TABLE.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(routes, table);
    for (method, path, _, expected) in TABLE {
        let said = described["paths"][path][method]["description"].as_str().unwrap();
        let roles = match expected {
            "+----" | "0----" => "admin",
            "+--++" | "0--00" => "admin or tenant",
            "0--0-" => "admin or tenant ID",
            "++++-" | "0000-" => "admin, operator, viewer or tenant ID",
            "++---" => "admin or operator",
            "+++--" => "admin, operator or viewer",
            _ => "admin, operator, viewer or tenant",
        };
        assert!(said.ends_with(&format!("Needs the role {roles}.")), "{method} {path}: {said}");
    }
}

#[tokio::test]
async fn nobody_reaches_any_route_without_a_token_that_is_valid() {
    let site = on_tcp().await;
    let revoked = site.bearer("ci", Role::Admin).await;
    assert_eq!(call(&site, &revoked, "get", "/api/v1/tokens", None).await.status, 200);
    assert_eq!(call(&site, &site.token(), "delete", "/api/v1/tokens/ci", None).await.status, 200);
    let unknown = format!("Bearer {}", "A".repeat(43));
    for (method, path, body, _) in TABLE.into_iter().chain([("get", DESCRIPTION, None, "")]) {
        for bearer in [&revoked, &unknown, ""] {
            let answer = call(&site, bearer, method, &filled(path), body).await;
            assert_eq!(answer.problem(), (401, "unauthorized".to_owned()), "{method} {path} {bearer}");
        }
    }
}

#[tokio::test]
async fn a_token_opens_nothing_once_it_has_expired() {
    let site = on_tcp().await;
    let order = json!({"name": "short", "role": "viewer", "expires_at": "2026-01-31T12:01:00Z"}).to_string();
    let made = call(&site, &site.token(), "post", "/api/v1/tokens", Some(&order)).await;
    assert_eq!((made.status, made.header("cache-control")), (200, Some("no-store")));
    let bearer = format!("Bearer {}", made.json()["secret"].as_str().unwrap());
    assert_eq!(call(&site, &bearer, "get", "/healthz", None).await.status, 200);
    site.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(call(&site, &bearer, "get", "/healthz", None).await.problem().0, 401);
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked_and_never_shown_again() {
    let site = Site::open().await;
    let order = json!({"name": "ci", "role": "tenant", "tenant": "acme"});
    let post = async |body: &Value| site.client.send("POST", "/api/v1/tokens", &[], Some(&body.to_string())).await;
    let made = post(&order).await.json();
    let secret = made["secret"].as_str().unwrap();
    let listed = site.client.get("/api/v1/tokens").await;
    assert_eq!(listed.json()["items"][0], made["token"]);
    assert!(!listed.body.contains(secret), "{listed:?}");
    assert_eq!((&made["token"]["role"], &made["token"]["tenant"]), (&json!("tenant"), &json!("acme")));

    assert_eq!(post(&order).await.problem(), (409, "conflict".to_owned()));
    for wrong in [
        json!({"name": "file", "role": "viewer"}),
        json!({"name": "a b", "role": "viewer"}),
        json!({"name": "x", "role": "root"}),
        json!({"name": "x", "role": "tenant"}),
        json!({"name": "x", "role": "viewer", "tenant": "acme"}),
        json!({"name": "x", "role": "viewer", "expires_at": "2026-01-01T00:00:00Z"}),
        json!({"name": "x", "role": "viewer", "expires_at": "tomorrow"}),
        json!({"name": "x", "role": "viewer", "secret": "mine"}),
    ] {
        assert_eq!(post(&wrong).await.problem(), (400, "invalid_request".to_owned()), "{wrong}");
    }
    let revoked = site.client.delete("/api/v1/tokens/ci").await.json();
    assert_eq!(revoked["revoked_at"], "2026-01-31T12:00:00Z");
    assert_eq!(site.client.delete("/api/v1/tokens/cd").await.problem(), (404, "not_found".to_owned()));
}
