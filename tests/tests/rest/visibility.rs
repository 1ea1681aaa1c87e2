//! What is shown to whom of what they may see: values of settings, and the platform's hosts.

use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::model::Role;
use serde_json::{Value, json};

use super::policy_desk::{ACME, component, order};
use super::site::Site;

struct Callers {
    site: Site,
    admin: String,
    viewer: String,
    acme: String,
}

impl Callers {
    /// Acme is bound twice, and a third time by a canary, with secrets; two hosts are alive.
    async fn of_acme() -> Self {
        let site = Site::with(&[("http.listen", "127.0.0.1:0")]).await;
        let admin = site.token();
        let viewer = site.bearer("viewer", Role::Viewer).await;
        let acme = site.bearer("acme", Role::Tenant("acme".parse().unwrap())).await;
        let callers = Self { site, admin, viewer, acme };
        for number in [1, 2, 3] {
            let path = format!("/api/v1/policies?name=keep&version=1.{number}.0");
            let headers = [("Authorization", callers.admin.as_str())];
            let pushed = callers.site.client.upload(&path, "application/wasm", &headers, &component(number)).await;
            assert_eq!(pushed.status, 201, "{pushed:?}");
        }
        for (number, method, path) in
            [(1, "PUT", ACME.to_owned()), (2, "PUT", ACME.to_owned()), (3, "POST", format!("{ACME}/rollout"))]
        {
            let mut body =
                order(number, json!({"settings": {"api_key": format!("s3cret-{number}")}, "accept_authority": true}));
            if number == 3 {
                body["mode"] = json!("shadow");
            }
            let bound = callers.call(&callers.admin, method, &path, Some(body)).await;
            assert_eq!(bound.0, 200, "{bound:?}");
        }
        for (host, problem) in [("alpha-0a1b", None), ("beta-2c3d", Some("/var/lib/rtmanager/code: no space"))] {
            callers.site.host_says(host, "*", &[], None).await;
            callers.site.host_says(host, "acme", &[2], problem).await;
        }
        callers
    }

    async fn call(&self, bearer: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string());
        let answer = self.site.client.send(method, path, &[("Authorization", bearer)], body.as_deref()).await;
        (answer.status, answer.json())
    }

    async fn get(&self, bearer: &str, path: &str) -> Value {
        let (status, body) = self.call(bearer, "GET", path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

#[tokio::test]
async fn values_of_settings_are_shown_to_an_admin_and_to_the_tenant_and_names_to_everybody() {
    let callers = Callers::of_acme().await;
    let paths = [ACME.to_owned(), format!("{ACME}/generations/1"), format!("{ACME}/diff?from=1&to=2")];
    for path in &paths {
        let whole = callers.get(&callers.admin, path).await;
        assert!(whole.to_string().contains("s3cret-"), "{path}: {whole}");
        let masked = callers.get(&callers.viewer, path).await.to_string();
        assert!(!masked.contains("s3cret") && masked.contains(r#""settings":{"api_key":"***"}"#), "{path}: {masked}");
        let own = callers.get(&callers.acme, path).await.to_string();
        assert!(own.contains("s3cret-") && !own.contains("***"), "{path}: {own}");
    }
    let status = callers.get(&callers.viewer, ACME).await;
    for part in ["current", "previous", "staged"] {
        assert_eq!(status[part]["settings"], json!({"api_key": "***"}), "{part}");
    }
}

#[tokio::test]
async fn hosts_have_names_and_troubles_for_the_platform_and_numbers_for_tenants() {
    let callers = Callers::of_acme().await;
    let named = callers.get(&callers.viewer, ACME).await["replicas"].clone();
    assert_eq!((&named[0]["replica"], &named[1]["replica"]), (&json!("alpha-0a1b"), &json!("beta-2c3d")));
    assert_eq!(named[1]["problem"], "/var/lib/rtmanager/code: no space");
    let numbered = callers.get(&callers.acme, ACME).await["replicas"].clone();
    assert_eq!((&numbered[0]["replica"], &numbered[1]["replica"]), (&json!("host 1 of 2"), &json!("host 2 of 2")));
    assert_eq!((&numbered[0]["problem"], &numbered[0]["serves"]), (&Value::Null, &named[0]["serves"]));
    let problem = "this host cannot load what it should serve; the platform's operators see why";
    assert_eq!(numbered[1]["problem"], problem);

    // Nor does a binding that has to wait for them name them.
    callers.call(&callers.admin, "DELETE", &format!("{ACME}/rollout?reason=x"), None).await;
    for (bearer, first) in [(&callers.acme, "host 1 of 2"), (&callers.admin, "alpha-0a1b")] {
        let body = order(3, json!({"accept_authority": true}));
        let (status, refused) = callers.call(bearer, "PUT", ACME, Some(body)).await;
        assert_eq!((status, &refused["code"]), (409, &json!("not_ready")), "{refused}");
        let waiting = refused["waiting"].as_array().unwrap();
        assert!(waiting.len() == 2 && waiting[0].as_str().unwrap().starts_with(first), "{refused}");
        assert_eq!(refused.to_string().contains("alpha"), bearer == &callers.admin, "{refused}");
    }
    let body = order(3, json!({"accept_authority": true, "leave_behind": true}));
    let (_, bound) = callers.call(&callers.acme, "PUT", ACME, Some(body)).await;
    assert_eq!(bound["behind"], json!(["host 1 of 2 has not loaded it yet", format!("host 2 of 2: {problem}")]));
}

#[tokio::test]
async fn a_tenant_learns_whether_the_platform_is_ready_and_not_what_it_consists_of() {
    let callers = Callers::of_acme().await;
    assert_eq!(callers.get(&callers.acme, "/readyz").await, json!({"ready": true, "checks": []}));
    assert_eq!(callers.get(&callers.viewer, "/readyz").await["checks"].as_array().unwrap().len(), 3);
    callers.site.script.plan().fail_always(Call::EnginePing, Failure::Unavailable);
    let unready = callers.call(&callers.acme, "GET", "/readyz", None).await;
    assert_eq!(unready, (503, json!({"ready": false, "checks": []})));
    let (status, refused) = callers.call(&callers.acme, "GET", "/metrics", None).await;
    assert_eq!((status, &refused["code"]), (403, &json!("forbidden")));
}
