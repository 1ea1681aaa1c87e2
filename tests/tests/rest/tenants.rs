//! A tenant's token: what is another tenant's is not there for it, by any route or filter.

use rtmanager::model::{Hold, Role};
use serde_json::{Value, json};

use super::BASE;
use super::site::Site;
use rtmanager_tests::http::Answer;

struct Tenant {
    site: Site,
    bearer: String,
}

impl Tenant {
    /// Acme's, beside which there is a rival.
    async fn acme() -> Self {
        let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
        site.stopped("g-1", 40).await;
        site.stopped_of("rival", "secret-game", 40).await;
        site.logged("g-1", None).await;
        site.logged_of("rival", "secret-game", None).await;
        let bearer = site.bearer("acme", Role::Tenant("acme".parse().unwrap())).await;
        Self { site, bearer }
    }

    async fn get(&self, path: &str) -> Answer {
        self.site.client.send("GET", path, &[("Authorization", &self.bearer)], None).await
    }

    async fn rows(&self, path: &str, key: &str) -> Vec<String> {
        let page = self.get(&format!("{BASE}/{path}")).await.json();
        page["items"].as_array().unwrap().iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn lists_hold_its_own_rows_whatever_is_asked_for() {
    let acme = Tenant::acme().await;
    for (query, expected) in [
        ("runtimes", &["g-1"][..]),
        ("runtimes?tenant=acme", &["g-1"]),
        ("runtimes?tenant=rival", &[]),
        ("runtimes?engine=local&status=stopped", &["g-1"]),
        ("runtimes?after=a&limit=1", &["g-1"]),
        ("runtimes?after=g-1", &[]),
        ("operations", &["g-1"]),
        ("operations?tenant=acme", &["g-1"]),
        ("operations?tenant=rival", &[]),
        ("operations?game_id=secret-game", &[]),
        ("operations?before=3&limit=200", &["g-1"]),
        ("operations?op_source=admin_rest&outcome=success", &["g-1"]),
    ] {
        assert_eq!(acme.rows(query, "game_id").await, expected, "{query}");
    }
}

#[tokio::test]
async fn another_tenants_game_is_answered_as_one_that_nobody_has() {
    let acme = Tenant::acme().await;
    let said = async |path: &str| {
        let answer = acme.get(path).await;
        let mut body = answer.json();
        body["request_id"] = json!("");
        (answer.status, body.to_string())
    };
    for suffix in ["", "/explain"] {
        let (status, others) = said(&format!("{BASE}/runtimes/secret-game{suffix}")).await;
        let (_, nobodys) = said(&format!("{BASE}/runtimes/secret-gamf{suffix}")).await;
        assert_eq!(status, 404);
        assert_eq!(others, nobodys.replace("secret-gamf", "secret-game"));
        assert_eq!(said(&format!("{BASE}/runtimes/g-1{suffix}")).await.0, 200);
    }
}

#[tokio::test]
async fn an_explanation_tells_nothing_that_was_logged_for_another() {
    let acme = Tenant::acme().await;
    acme.site.logged_of("rival", "g-1", None).await;
    let explained = acme.get(&format!("{BASE}/runtimes/g-1/explain")).await.json();
    assert_eq!((&explained["last_operation"], &explained["runtime"]["tenant"]), (&Value::Null, &json!("acme")));
    acme.site.logged("g-1", None).await;
    let explained = acme.get(&format!("{BASE}/runtimes/g-1/explain")).await.json();
    assert_eq!(explained["last_operation"]["tenant"], "acme");
}

#[tokio::test]
async fn nothing_that_is_answered_names_the_other_tenant_or_its_game() {
    let acme = Tenant::acme().await;
    let hold = Hold { reason: "case".to_owned(), actor: "token:rival-ops".to_owned(), until: None };
    acme.site.store.records().set_hold(&"secret-game".parse().unwrap(), Some(&hold)).await.unwrap();
    for path in ["runtimes", "operations", "runtimes/g-1", "runtimes/g-1/explain", "orphans", "pauses"] {
        let answer = acme.get(&format!("{BASE}/{path}")).await;
        assert!(!answer.body.contains("rival") && !answer.body.contains("secret-game"), "{path}: {answer:?}");
    }
    for path in ["/readyz", "/healthz", "/api/v1/openapi.json"] {
        let answer = acme.get(path).await;
        assert!(answer.status == 200 && !answer.body.contains("rival"), "{path}: {answer:?}");
    }
}
