//! Ceilings, and whose signatures count.

use rtmanager::model::Role;
use rtmanager::signing::{SigningKey, TenantScope};
use serde_json::{Value, json};

use super::policy_desk::{ACME, component, digest, envelope, key};
use super::site::Site;

const EVERYBODY: &str = "/api/v1/tenants/*/policy";

async fn trust(site: &Site, scope: &str, key: &SigningKey) {
    let trusted = site.client.post(&format!("{scope}/keys"), &json!({"public_key": key.public().to_pem()})).await;
    assert_eq!((trusted.status, trusted.json()["id"].clone()), (200, json!(key.public().id().as_str())), "{trusted:?}");
}

async fn sign(site: &Site, number: usize, key: &SigningKey, tenants: TenantScope) {
    let path = format!("/api/v1/policies/{}/signatures", digest(&component(number)));
    assert_eq!(site.client.post(&path, &envelope(number, key, tenants)).await.status, 200);
}

#[tokio::test]
async fn a_ceiling_bounds_what_is_bound_next() {
    let site = Site::open().await;
    site.with_versions(&[1]).await;
    let ceiling = json!({"limits": {"calls": 50, "run_time_ms": 5_000}, "retention_days": 7});
    let set = site.client.put(&format!("{ACME}/ceiling"), &ceiling).await;
    insta::assert_json_snapshot!("ceiling", set.json());
    let over = site.bind(1, json!({"limits": {"calls": 51}})).await;
    assert_eq!(over.problem(), (400, "invalid_request".to_owned()));
    let bound = site.bind(1, json!({})).await;
    assert_eq!(bound.json()["generation"]["limits"]["calls"], 50, "{bound:?}");
    let narrow = json!({"grants": ["clock", "leases", "records.get", "settings:*", "docker.inspect", "op-log"]});
    site.client.put(&format!("{ACME}/ceiling"), &narrow).await;
    let beyond = site.bind(1, json!({})).await;
    assert_eq!(beyond.problem(), (400, "invalid_request".to_owned()));
    assert_eq!(beyond.json()["detail"], "the ceiling of acme does not allow records.update-status, docker.remove");
    let cleared = site.client.delete(&format!("{ACME}/ceiling")).await;
    assert_eq!((cleared.status, cleared.json()["own"].clone()), (200, Value::Null));
    let wrong = site.client.put(&format!("{ACME}/ceiling"), &json!({"grants": ["docker"]})).await;
    assert_eq!(wrong.problem(), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn everybodys_ceiling_holds_where_there_is_no_other_and_a_tenant_cannot_lift_it() {
    let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
    let (admin, acme) = (site.token(), site.bearer("acme", Role::Tenant("acme".parse().unwrap())).await);
    let call = async |bearer: &str, method: &str, path: &str, body: &Value| {
        site.client.send(method, path, &[("Authorization", bearer)], Some(&body.to_string())).await
    };
    let set = call(&admin, "PUT", &format!("{EVERYBODY}/ceiling"), &json!({"limits": {"calls": 20}})).await;
    assert_eq!(set.status, 200, "{set:?}");
    let headers = [("Authorization", acme.as_str())];
    let path = "/api/v1/policies?name=mine&version=1.0.0";
    assert_eq!(site.client.upload(path, "application/wasm", &headers, &component(1)).await.status, 201);
    let bind = json!({"policy": "mine@1.0.0", "reason": "x", "wait_ms": 0, "limits": {"calls": 21}});
    let over = call(&acme, "PUT", ACME, &bind).await;
    assert_eq!(over.problem(), (400, "invalid_request".to_owned()));
    assert_eq!(call(&acme, "PUT", &format!("{ACME}/ceiling"), &json!({})).await.problem().0, 403);
    let seen = site.client.send("GET", &format!("{ACME}/ceiling"), &headers, None).await.json();
    assert_eq!((&seen["own"], &seen["effective"]["limits"]["calls"]), (&Value::Null, &json!(20)));
}

#[tokio::test]
async fn a_scope_that_takes_signed_policies_only_takes_those_of_the_keys_it_trusts() {
    let site = Site::open().await;
    site.with_versions(&[1, 2, 3]).await;
    site.client.put(&format!("{ACME}/ceiling"), &json!({"signature_required": true})).await;
    let (release, stranger) = (key(1), key(2));
    trust(&site, ACME, &release).await;
    let mut refused = Vec::new();
    let unsigned = site.bind(1, json!({})).await;
    assert_eq!(unsigned.problem(), (422, "signature_required".to_owned()));
    refused.push(unsigned.json()["detail"].clone());
    sign(&site, 1, &stranger, TenantScope::Any).await;
    refused.push(site.bind(1, json!({})).await.json()["detail"].clone());
    sign(&site, 1, &release, TenantScope::from_texts(["rival"]).unwrap()).await;
    refused.push(site.bind(1, json!({})).await.json()["detail"].clone());
    insta::assert_json_snapshot!("unsigned", refused);
    sign(&site, 1, &release, TenantScope::from_texts(["acme"]).unwrap()).await;
    site.bound(&[1]).await;

    // A key that everybody trusts counts here as well, and revoked it does not.
    let platform = key(3);
    trust(&site, EVERYBODY, &platform).await;
    sign(&site, 2, &platform, TenantScope::Any).await;
    site.bound(&[2]).await;
    sign(&site, 3, &platform, TenantScope::Any).await;
    let id = platform.public().id();
    let gone = site.client.delete(&format!("{EVERYBODY}/keys/{id}")).await;
    assert!(gone.json()["items"][0]["revoked_at"].is_string(), "{gone:?}");
    let revoked = site.bind(3, json!({})).await;
    assert_eq!(revoked.problem(), (422, "signature_required".to_owned()));
    assert!(revoked.body.contains(&format!("key {id} is revoked")), "{revoked:?}");
    // What is bound stays, but is not gone back to.
    assert_eq!(site.serving().await, json!("acme/2"));
    assert_eq!(site.client.post(&format!("{ACME}/rollback"), &json!({"reason": "x"})).await.status, 200);
    let back = site.client.post(&format!("{ACME}/rollback"), &json!({"to": 2, "reason": "x"})).await;
    assert_eq!(back.problem(), (422, "signature_required".to_owned()));
}

#[tokio::test]
async fn a_revoked_key_is_not_trusted_again_and_what_is_no_key_is_told_so() {
    let site = Site::open().await;
    let key = key(1);
    trust(&site, ACME, &key).await;
    trust(&site, ACME, &key).await;
    let path = format!("{ACME}/keys");
    assert_eq!(site.client.delete(&format!("{path}/{}", key.public().id())).await.status, 200);
    let again = site.client.post(&path, &json!({"public_key": key.public().to_pem()})).await;
    assert_eq!(again.problem(), (400, "invalid_request".to_owned()));
    assert_eq!(site.client.delete(&format!("{path}/abc")).await.problem(), (404, "not_found".to_owned()));
    assert_eq!(site.client.post(&path, &json!({"public_key": "none"})).await.problem().0, 400);
    let listed = site.client.get(&path).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}
