//! What serves a scope: bound, compared, rolled back, revoked, unbound.

use rtmanager::model::Role;
use rtmanager_tests::fixtures;
use serde_json::{Value, json};

use super::policy_desk::{ACME, order, steady};
use super::site::Site;

#[tokio::test]
async fn a_binding_is_examined_swapped_in_and_shown() {
    let site = Site::open().await;
    site.with_versions(&[1]).await;
    let more = json!({"settings": {"days": "30"}, "limits": {"calls": 100}, "accept_authority": true});
    let bound = site.bind(1, more).await;
    assert_eq!(bound.status, 200, "{bound:?}");
    insta::assert_json_snapshot!("bound", steady(bound.json()));
    site.host_says("host-a", "*", &[], None).await;
    site.host_says("host-a", "acme", &[1], Some("no memory")).await;
    insta::assert_json_snapshot!("status", steady(site.client.get(ACME).await.json()));
    let history = site.client.get(&format!("{ACME}/history")).await.json();
    insta::assert_json_snapshot!("history", steady(history));
    let generation = site.client.get(&format!("{ACME}/generations/1")).await.json();
    assert_eq!(generation, bound.json()["generation"]);
}

#[tokio::test]
async fn a_check_finds_out_what_a_binding_would_come_to_and_changes_nothing() {
    let site = Site::open().await;
    site.with_versions(&[1]).await;
    let checked = site.client.post(&format!("{ACME}/check"), &order(1, json!({}))).await;
    assert_eq!(checked.status, 200, "{checked:?}");
    insta::assert_json_snapshot!(steady(checked.json()));
    assert_eq!(site.serving().await, Value::Null);
    assert_eq!(site.client.get(&format!("{ACME}/generations/1")).await.problem().0, 404);
}

#[tokio::test]
async fn more_authority_is_bound_only_if_it_is_accepted_and_told_as_a_difference() {
    let site = Site::open().await;
    site.with_versions(&[1, 2]).await;
    site.bind(1, json!({"limits": {"calls": 10}, "accept_authority": true})).await;
    assert_eq!(site.push("name=hostile&version=1.0.0", fixtures::HOSTILE).await.status, 201);
    let wider = json!({"policy": "hostile@1.0.0", "limits": {"calls": 20}});
    let refused = site.bind(2, wider.clone()).await;
    assert_eq!(refused.problem(), (409, "authority_not_accepted".to_owned()));
    insta::assert_json_snapshot!(steady(refused.json()));
    assert_eq!(site.serving().await, json!("acme/1"));
    let mut accepted = wider;
    accepted["accept_authority"] = json!(true);
    assert_eq!(site.bind(2, accepted).await.status, 200);
    let diff = site.client.get(&format!("{ACME}/diff?from=1&to=2")).await.json();
    assert_eq!(diff["authority"]["gained"], json!(["logging", "wasi"]));
    let back = site.client.get(&format!("{ACME}/diff?to=1")).await.json();
    assert_eq!(
        (&back["authority"]["widens"], &back["authority"]["lost"]),
        (&json!(false), &json!(["logging", "wasi"]))
    );
}

#[tokio::test]
async fn a_binding_over_another_than_the_expected_one_is_a_conflict() {
    let site = Site::open().await;
    site.with_versions(&[1, 2]).await;
    assert_eq!(site.bind(1, json!({"expected": 1})).await.problem(), (409, "conflict".to_owned()));
    assert_eq!(site.bind(1, json!({"expected": 0})).await.status, 200);
    let late = site.bind(2, json!({"expected": 0})).await;
    assert_eq!(late.problem(), (409, "conflict".to_owned()));
    assert_eq!(late.json()["detail"], "the current generation is 1, not the expected one");
    assert_eq!(site.bind(2, json!({"expected": 1})).await.status, 200);
}

#[tokio::test]
async fn an_older_version_is_refused_and_a_rollback_to_it_is_not() {
    let site = Site::open().await;
    site.with_versions(&[1, 2]).await;
    site.bound(&[1, 2]).await;
    let older = site.bind(1, json!({})).await;
    assert_eq!(older.problem(), (409, "version_too_low".to_owned()));
    insta::assert_json_snapshot!(older.json()["detail"]);
    let back = site.client.post(&format!("{ACME}/rollback"), &json!({"reason": "worse"})).await;
    assert_eq!((back.status, back.json()["generation"].clone()), (200, json!("acme/1")));
    assert_eq!(site.serving().await, json!("acme/1"));
    // The mark stays.
    assert_eq!(site.bind(1, json!({})).await.problem(), (409, "version_too_low".to_owned()));
    for (wrong, status, code) in [
        (json!({"to": 1, "reason": "x"}), 400, "invalid_request"),
        (json!({"to": 9, "reason": "x"}), 404, "not_found"),
        (json!({"expected": 2, "reason": "x"}), 409, "conflict"),
        (json!({"reason": ""}), 400, "invalid_request"),
    ] {
        let answer = site.client.post(&format!("{ACME}/rollback"), &wrong).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{wrong}");
    }
}

#[tokio::test]
async fn a_revoked_generation_serves_nobody_and_is_not_gone_back_to() {
    let site = Site::open().await;
    site.with_versions(&[1, 2]).await;
    site.bound(&[1, 2]).await;
    let revoke = async |generation: u64| {
        let body = json!({"generation": generation, "reason": "wrong"});
        site.client.post(&format!("{ACME}/revocation"), &body).await
    };
    assert_eq!(revoke(2).await.json(), json!({"revoked": "acme/2", "unserved": ["acme"]}));
    assert_eq!(site.client.get(ACME).await.json()["revoked"], json!([2]));
    let back = site.client.post(&format!("{ACME}/rollback"), &json!({"reason": "away"})).await;
    assert_eq!(back.status, 200, "{back:?}");
    let again = site.client.post(&format!("{ACME}/rollback"), &json!({"to": 2, "reason": "x"})).await;
    assert_eq!(again.problem(), (409, "conflict".to_owned()));
    assert_eq!(revoke(7).await.problem(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn what_is_unbound_is_served_as_tenants_without_a_binding_are() {
    let site = Site::open().await;
    site.with_versions(&[1]).await;
    site.bound(&[1]).await;
    assert_eq!(site.client.delete(ACME).await.problem(), (400, "invalid_request".to_owned()));
    let gone = site.client.delete(&format!("{ACME}?reason=moved")).await;
    assert_eq!((gone.status, gone.json()), (200, json!({"unbound": "acme"})));
    assert_eq!(site.serving().await, Value::Null);
    assert_eq!(site.client.delete(&format!("{ACME}?reason=moved")).await.problem().0, 404);
}

#[tokio::test]
async fn hosts_that_are_not_ready_keep_a_binding_staged_unless_they_are_left_behind() {
    let site = Site::open().await;
    site.with_versions(&[1, 2]).await;
    site.host_says("host-a", "*", &[], None).await;
    site.host_says("host-b", "*", &[], None).await;
    site.host_says("host-b", "acme", &[], Some("no room for its code")).await;
    let refused = site.bind(1, json!({"wait_ms": 60})).await;
    assert_eq!(refused.problem(), (409, "not_ready".to_owned()));
    insta::assert_json_snapshot!(steady(refused.json()));
    let status = site.client.get(ACME).await.json();
    assert_eq!((&status["current"], &status["staged"]["number"]), (&Value::Null, &json!(1)));
    let bound = site.bind(2, json!({"leave_behind": true})).await;
    assert_eq!((bound.status, bound.json()["behind"].as_array().unwrap().len()), (200, 2));
}

#[tokio::test]
async fn a_tenant_binds_its_own_scope_and_sees_no_other() {
    let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
    let bearer = site.bearer("acme", Role::Tenant("acme".parse().unwrap())).await;
    let headers = [("Authorization", bearer.as_str())];
    let path = "/api/v1/policies?name=mine&version=1.0.0";
    assert_eq!(
        site.client.upload(path, "application/wasm", &headers, &super::policy_desk::component(1)).await.status,
        201
    );
    let body = json!({"policy": "mine@1.0.0", "reason": "x", "wait_ms": 0}).to_string();
    let bound = site.client.send("PUT", ACME, &headers, Some(&body)).await;
    assert_eq!(bound.json()["generation"]["staged"]["actor"], "token:acme", "{bound:?}");
    for scope in ["rival", "*", "%2A"] {
        let path = format!("/api/v1/tenants/{scope}/policy");
        assert_eq!(site.client.send("GET", &path, &headers, None).await.status, 403, "{scope}");
        assert_eq!(site.client.send("PUT", &path, &headers, Some(&body)).await.status, 403, "{scope}");
    }
    // What is a tenant's binds nobody else, not even by an admin.
    let admin = [("Authorization", &*site.token())].map(|(name, value)| (name, value.to_owned()));
    let admin: Vec<_> = admin.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let digest = super::policy_desk::digest(&super::policy_desk::component(1));
    let body = json!({"policy": digest, "reason": "x"}).to_string();
    let foreign = site.client.send("PUT", "/api/v1/tenants/rival/policy", &admin, Some(&body)).await;
    assert_eq!(foreign.problem(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_told_so() {
    let site = Site::open().await;
    site.with_versions(&[1]).await;
    for wrong in [
        json!({"policy": "keep"}),
        json!({"grants": ["docker.kill"]}),
        json!({"limits": {"calls": 1_000_000}}),
        json!({"limits": {"speed": 1}}),
        json!({"wait_ms": 120_001}),
        json!({"reason": " "}),
        json!({"surprise": 1}),
    ] {
        assert_eq!(site.bind(1, wrong.clone()).await.problem(), (400, "invalid_request".to_owned()), "{wrong}");
    }
    let ungranted = site.bind(1, json!({"grants": ["clock"]})).await;
    assert_eq!(ungranted.problem(), (422, "policy_refused".to_owned()));
    assert_eq!(site.bind(9, json!({})).await.problem(), (404, "not_found".to_owned()));
    assert_eq!(site.client.get("/api/v1/tenants/a%20b/policy").await.problem().0, 400);
}

#[tokio::test]
async fn the_trail_holds_what_a_binding_came_to_and_no_value_of_a_setting() {
    let site = Site::open().await;
    site.with_versions(&[1]).await;
    let more = json!({"settings": {"days": "secret"}, "limits": {"calls": 100}, "accept_authority": true});
    assert_eq!(site.bind(1, more).await.status, 200);
    let page = site.client.get("/api/v1/audit").await.json();
    let links = page["items"].as_array().unwrap();
    let link = links.iter().find(|link| link["action"] == "policy.swap").unwrap();
    assert_eq!(link["subject"], "acme/1");
    let detail = &link["detail"];
    assert_eq!((&detail["number"], &detail["policy"]), (&json!(1), &json!("keep@1.1.0")));
    assert_eq!(detail["digest"].as_str().unwrap(), super::policy_desk::digest(&super::policy_desk::component(1)));
    assert_eq!((&detail["settings"], &detail["limits"]), (&json!(["days"]), &json!("calls=100")));
    assert!(detail["grants"].as_str().unwrap().contains("docker.remove"), "{detail}");
    assert!(!page.to_string().contains("secret"));
    let ordered = links.iter().find(|link| link["action"] == "policy.bind").unwrap();
    assert_eq!((&ordered["subject"], &ordered["detail"]["limits"]), (&json!("acme"), &json!("calls=100")));
    assert!(ordered["sequence"].as_u64() < link["sequence"].as_u64());
}

#[tokio::test]
async fn a_scope_has_so_many_staged_generations_at_most_and_the_error_says_so() {
    let site = Site::open().await;
    site.with_versions(&[1, 2]).await;
    assert_eq!(site.bind(1, json!({})).await.status, 200);
    let generations = site.store.generations();
    let scope = "acme".parse().unwrap();
    let current = generations.generation(&scope, 1).await.unwrap().unwrap();
    for _ in 0..20 {
        generations.stage(&scope, &current.spec, &current.staged).await.unwrap();
    }
    let refused = site.bind(2, json!({})).await;
    assert_eq!(refused.problem(), (400, "invalid_request".to_owned()));
    let said = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(said.starts_with("acme has 20 generations that were staged and never used, which is the most"), "{said}");
    assert_eq!(site.client.get(&format!("{ACME}/generations/22")).await.problem().0, 404, "it was not staged");
}

#[tokio::test]
async fn the_status_tells_what_a_later_ceiling_leaves() {
    let site = Site::open().await;
    site.with_versions(&[1]).await;
    site.bind(1, json!({"limits": {"calls": 100}})).await;
    let ceiling = json!({"limits": {"calls": 7}, "grants": ["clock", "leases"]});
    let set = site.client.put("/api/v1/tenants/acme/policy/ceiling", &ceiling).await;
    assert_eq!(set.status, 200, "{set:?}");
    let status = site.client.get(ACME).await.json();
    assert_eq!(status["current"]["limits"]["calls"], 100, "it is bound as it was");
    assert_eq!(status["effective"]["limits"]["calls"], 7);
    assert_eq!(status["effective"]["grants"], json!(["clock", "leases"]));
}

#[tokio::test]
async fn a_rollback_gives_up_a_rollout_unless_it_is_asked_to_keep_it() {
    for (keep, left) in [(true, json!(3)), (false, Value::Null)] {
        let site = Site::open().await;
        site.with_versions(&[1, 2, 3]).await;
        site.bound(&[1, 2]).await;
        let begun = site.client.post(&format!("{ACME}/rollout"), &order(3, json!({"mode": "shadow"}))).await;
        assert_eq!(begun.status, 200, "{begun:?}");
        let back = json!({"reason": "x", "keep_rollout": keep});
        assert_eq!(site.client.post(&format!("{ACME}/rollback"), &back).await.status, 200);
        let status = site.client.get(ACME).await.json();
        assert_eq!((&status["current"]["number"], &status["rollout"]["number"]), (&json!(1), &left));
    }
}
