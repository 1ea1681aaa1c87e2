//! Tokens over REST: made, listed, replaced, revoked, ended. What each role may is in `matrix`.

use rtmanager_tests::http::Answer;
use serde_json::{Value, json};

use super::site::Site;

async fn on_tcp() -> Site {
    let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
    site.stopped("g-1", 40).await;
    site
}

async fn call(site: &Site, bearer: &str, method: &str, path: &str, body: Option<&str>) -> Answer {
    site.client.send(&method.to_uppercase(), path, &[("Authorization", bearer)], body).await
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

#[tokio::test]
async fn a_token_is_replaced_by_another_and_both_open_until_the_overlap_ends() {
    let site = on_tcp().await;
    let old = site.bearer("ci", rtmanager::model::Role::Viewer).await;
    let order = json!({"overlap_seconds": 60}).to_string();
    let made = call(&site, &site.token(), "post", "/api/v1/tokens/ci/rotation", Some(&order)).await;
    assert_eq!((made.status, made.header("cache-control")), (200, Some("no-store")), "{made:?}");
    let made = made.json();
    assert_eq!((&made["token"]["name"], &made["token"]["role"]), (&json!("ci.2"), &json!("viewer")));
    let new = format!("Bearer {}", made["secret"].as_str().unwrap());
    for bearer in [&old, &new] {
        assert_eq!(call(&site, bearer, "get", "/healthz", None).await.status, 200);
    }
    site.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(call(&site, &old, "get", "/healthz", None).await.problem().0, 401);
    assert_eq!(call(&site, &new, "get", "/healthz", None).await.status, 200);
    let again = call(&site, &site.token(), "post", "/api/v1/tokens/ci/rotation", Some("{}")).await;
    assert_eq!(again.problem(), (409, "conflict".to_owned()));
    let nobody = call(&site, &site.token(), "post", "/api/v1/tokens/nobody/rotation", Some("{}")).await;
    assert_eq!(nobody.problem(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn the_list_tells_when_a_token_was_used_and_that_its_end_is_near() {
    let site = on_tcp().await;
    let order = json!({"name": "short", "role": "viewer", "expires_at": "2026-02-20T12:00:00Z"}).to_string();
    let made = call(&site, &site.token(), "post", "/api/v1/tokens", Some(&order)).await.json();
    let bearer = format!("Bearer {}", made["secret"].as_str().unwrap());
    let listed = async || call(&site, &site.token(), "get", "/api/v1/tokens", None).await.json()["items"][0].clone();
    assert_eq!((&listed().await["last_used_at"], &listed().await["notice"]), (&Value::Null, &Value::Null));
    site.clock.advance(std::time::Duration::from_secs(6 * 86_400));
    call(&site, &bearer, "get", "/healthz", None).await;
    let shown = listed().await;
    assert_eq!((&shown["last_used_at"], &shown["notice"]), (&json!("2026-02-06T12:00:00Z"), &json!("expires_soon")));
    site.clock.advance(std::time::Duration::from_secs(299));
    call(&site, &bearer, "get", "/healthz", None).await;
    assert_eq!(listed().await["last_used_at"], "2026-02-06T12:00:00Z", "that is not news yet");
    site.clock.advance(std::time::Duration::from_secs(1));
    call(&site, &bearer, "get", "/healthz", None).await;
    assert_eq!(listed().await["last_used_at"], "2026-02-06T12:05:00Z");
}
