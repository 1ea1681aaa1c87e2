//! Generations that are tried before they serve.

use rtmanager::model::{Divergence, DivergenceKind, Grants, RolloutCounts, RunId, Timestamp};
use serde_json::{Value, json};

use super::policy_desk::{ACME, order, steady};
use super::site::{NOW, Site};
use rtmanager_tests::http::Answer;

/// A site at which acme is bound to 1.1.0, and 1.2.0 is there.
async fn site() -> Site {
    let site = Site::open().await;
    site.with_versions(&[1, 2, 3]).await;
    site.bound(&[1]).await;
    site
}

async fn start(site: &Site, number: usize, more: Value) -> Answer {
    site.client.post(&format!("{ACME}/rollout"), &order(number, more)).await
}

#[tokio::test]
async fn a_shadow_is_tried_counted_and_promoted() {
    let site = site().await;
    let goals = json!({"mode": "shadow", "clean_runs": 200, "promote_after_ms": 3_600_000, "stop_on_divergence": true});
    let begun = start(&site, 2, goals).await;
    assert_eq!((begun.status, begun.json()["before"].clone()), (200, json!(1)), "{begun:?}");
    let scope = "acme".parse().unwrap();
    let seen = RolloutCounts { runs: 9, faults: 0, divergences: 1 };
    site.store.generations().count_rollout(&scope, 2, &seen).await.unwrap();
    let divergence = Divergence {
        game_id: "g-1".to_owned(),
        run_id: RunId::from_bytes([1; 16]),
        kind: DivergenceKind::WouldKeep,
        current: "removed".to_owned(),
        candidate: "kept for 5 days".to_owned(),
        at: Timestamp::from_micros(NOW),
    };
    site.store.generations().add_divergence(&scope, 2, &divergence).await.unwrap();
    let status = site.client.get(ACME).await.json();
    insta::assert_json_snapshot!("rollout", steady(status["rollout"].clone()));
    assert_eq!(status["current"]["number"], 1);
    let listed = site.client.get(&format!("{ACME}/rollout/2/divergences")).await.json();
    insta::assert_json_snapshot!("divergences", listed);
    let promoted = site.client.post(&format!("{ACME}/rollout/promotion"), &json!({"reason": "as good"})).await;
    assert_eq!(promoted.json(), json!({"generation": "acme/2", "promoted": true}));
    assert_eq!(site.serving().await, json!("acme/2"));
    // It is the mark now, as if it had been bound.
    assert_eq!(site.bind(1, json!({})).await.problem(), (409, "version_too_low".to_owned()));
}

#[tokio::test]
async fn a_canary_is_given_up_and_serves_nobody() {
    let site = site().await;
    assert_eq!(start(&site, 2, json!({"mode": {"canary_percent": 2.5}})).await.status, 200);
    assert_eq!(site.client.get(ACME).await.json()["rollout"]["canary_percent"], json!(2.5));
    let second = start(&site, 3, json!({"mode": "shadow"})).await;
    assert_eq!(second.problem(), (409, "conflict".to_owned()));
    let ended = site.client.delete(&format!("{ACME}/rollout?reason=slow")).await;
    assert_eq!(ended.json(), json!({"generation": "acme/2", "promoted": false}));
    assert_eq!(site.serving().await, json!("acme/1"));
    for (answer, what) in [
        (site.client.delete(&format!("{ACME}/rollout?reason=again")).await, "end"),
        (site.client.post(&format!("{ACME}/rollout/promotion"), &json!({"reason": "x"})).await, "promote"),
    ] {
        assert_eq!(answer.problem(), (409, "conflict".to_owned()), "{what}");
        assert_eq!(answer.json()["detail"], "no rollout is under way", "{what}");
    }
}

#[tokio::test]
async fn a_rollout_is_examined_as_a_binding_is_and_needs_one_to_stand_beside() {
    let site = site().await;
    for percent in [json!(0), json!(0.001), json!(100.01), json!(-5), json!("5")] {
        let answer = start(&site, 2, json!({"mode": {"canary_percent": percent}})).await;
        assert_eq!(answer.problem(), (400, "invalid_request".to_owned()), "{percent}");
    }
    let all: Vec<_> = Grants::all().iter().map(ToString::to_string).collect();
    let wider = start(&site, 2, json!({"mode": "shadow", "grants": all})).await;
    assert_eq!(wider.problem(), (409, "authority_not_accepted".to_owned()));
    let rival = site.client.post("/api/v1/tenants/rival/policy/rollout", &order(2, json!({"mode": "shadow"}))).await;
    assert_eq!(rival.problem(), (400, "invalid_request".to_owned()));
}
