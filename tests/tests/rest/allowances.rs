//! How much callers may ask: tenants by rate and at once, whoever is refused by token or address, addresses by connection.

use std::time::Duration;

use rtmanager::model::Role;
use rtmanager_tests::http::{Answer, Client, PATIENCE, answer, request};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::BASE;
use super::site::Site;

const TOO_MANY: (u16, &str) = (429, "too_many_requests");

fn acme() -> Role {
    Role::Tenant("acme".parse().unwrap())
}

async fn on_tcp(flags: &[(&str, &str)]) -> Site {
    Site::with(&[&[("http.listen", "127.0.0.1:0")], flags].concat()).await
}

async fn call(site: &Site, bearer: &str, method: &str, path: &str) -> Answer {
    site.client.send(method, path, &[("Authorization", bearer)], None).await
}

fn problem(answer: &Answer) -> (u16, String) {
    answer.problem()
}

fn is_too_many(answer: &Answer) -> bool {
    problem(answer) == (TOO_MANY.0, TOO_MANY.1.to_owned())
}

async fn counted(site: &Site, reason: &str) -> u64 {
    let text = call(site, &site.token(), "GET", "/metrics").await.body;
    let line = format!("rtmanager_http_refused_total{{reason=\"{reason}\"}} ");
    text.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn a_tenant_asks_no_faster_than_its_rate_with_all_its_tokens_together_and_holds_up_nobody() {
    let site = on_tcp(&[("http.tenant_requests_per_minute", "6")]).await;
    let first = site.bearer("first", acme()).await;
    let second = site.bearer("second", acme()).await;
    let others =
        [site.bearer("rival", Role::Tenant("rival".parse().unwrap())).await, site.bearer("ops", Role::Operator).await];
    for bearer in [&first, &second].into_iter().cycle().take(6) {
        assert_eq!(call(&site, bearer, "GET", "/healthz").await.status, 200);
    }
    for bearer in [&first, &second] {
        let refused = call(&site, bearer, "GET", "/healthz").await;
        assert!(is_too_many(&refused), "{refused:?}");
        assert_eq!((refused.header("retry-after"), refused.json()["retry_after"].as_u64()), (Some("11"), Some(11)));
    }
    for bearer in others.iter().chain([&site.token()]).cycle().take(3) {
        assert_eq!(call(&site, bearer, "GET", "/healthz").await.status, 200);
    }
    assert_eq!(counted(&site, "rate").await, 2);
    site.clock.advance(Duration::from_secs(10));
    assert_eq!(call(&site, &first, "GET", "/healthz").await.status, 200);
    assert!(is_too_many(&call(&site, &first, "GET", "/healthz").await));
}

#[tokio::test]
async fn orders_count_five_times_and_examinations_twenty_times() {
    let site = on_tcp(&[("http.tenant_requests_per_minute", "100")]).await;
    let bearer = site.bearer("ci", acme()).await;
    let scope = "/api/v1/tenants/acme/policy";
    for (method, path, times) in [
        ("GET", scope.to_owned(), 100),
        ("DELETE", format!("{scope}?reason=x"), 20),
        ("POST", format!("{scope}/check"), 5),
    ] {
        for _ in 0..times {
            assert_ne!(call(&site, &bearer, method, &path).await.status, 429, "{method}");
        }
        assert_eq!(call(&site, &bearer, method, &path).await.status, 429, "{method}");
        site.clock.advance(Duration::from_secs(60));
    }
    let links = site.trail.read(1, 1_000).await.unwrap().len();
    for _ in 0..50 {
        call(&site, &bearer, "DELETE", &format!("{scope}?reason=x")).await;
    }
    let more = site.trail.read(1, 1_000).await.unwrap().len() - links;
    assert_eq!(more, 2 * 20, "what is refused for its number is not in the trail");
}

/// A request whose body does not come.
async fn slow(site: &Site, bearer: &str) -> impl Send {
    let whole = request("PUT", "/api/v1/tenants/acme/policy", &[("Authorization", bearer)], Some("{\"policy\": 1}"));
    let mut wire = site.client.connect().await;
    wire.write_all(&whole.as_bytes()[..whole.len() - 3]).await.unwrap();
    wire
}

#[tokio::test]
async fn a_tenant_has_so_many_requests_under_way_and_the_rest_are_refused_at_once() {
    let site = on_tcp(&[("http.tenant_concurrent_requests", "2"), ("http.body_time", "30s")]).await;
    let bearer = site.bearer("ci", acme()).await;
    let held = (slow(&site, &bearer).await, slow(&site, &bearer).await);
    let refused = tokio::time::timeout(PATIENCE, async {
        // Both are on their way.
        loop {
            let answer = call(&site, &bearer, "GET", "/healthz").await;
            if answer.status != 200 {
                return answer;
            }
        }
    });
    let refused = refused.await.unwrap();
    assert!(is_too_many(&refused) && refused.header("retry-after") == Some("2"), "{refused:?}");
    let rival = site.bearer("rival", Role::Tenant("rival".parse().unwrap())).await;
    assert_eq!(call(&site, &rival, "GET", "/healthz").await.status, 200);
    drop(held);
    let served = async { while call(&site, &bearer, "GET", "/healthz").await.status != 200 {} };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
    assert!(counted(&site, "concurrency").await > 0);
}

#[tokio::test]
async fn denied_orders_are_recorded_up_to_a_number_and_refused_past_it() {
    let site = on_tcp(&[("http.refusals_per_minute", "3")]).await;
    let (eve, ada) = (site.bearer("eve", Role::Viewer).await, site.bearer("ada", Role::Viewer).await);
    let pause = format!("{BASE}/pauses/global");
    for _ in 0..3 {
        assert_eq!(problem(&call(&site, &eve, "DELETE", &pause).await), (403, "forbidden".to_owned()));
    }
    for _ in 0..3 {
        assert!(is_too_many(&call(&site, &eve, "DELETE", &pause).await));
    }
    assert_eq!(call(&site, &eve, "GET", &format!("{BASE}/pauses")).await.status, 200, "looking is not an order");
    assert_eq!(call(&site, &ada, "DELETE", &pause).await.status, 403, "another token has its own number");
    let denied: Vec<_> = site.trail.read(3, 100).await.unwrap().into_iter().map(|entry| entry.event).collect();
    let told: Vec<_> = denied.iter().map(|event| (event.actor.as_str(), event.action.as_str())).collect();
    let by = |actor| (actor, "access.denied");
    assert_eq!(told, [by("token:eve"), by("token:eve"), by("token:eve"), by("token:ada")]);
    assert_eq!(denied[0].subject, format!("DELETE {pause}"));
    let detail: serde_json::Value = serde_json::from_str(&denied[0].detail).unwrap();
    let needs = "this needs the role admin or operator, and the caller's is viewer";
    assert_eq!(detail, json!({"code": "forbidden", "needs": needs}));
    assert_eq!((counted(&site, "denied").await, counted(&site, "denials").await), (4, 3));
}

#[tokio::test]
async fn failed_authentications_from_an_address_are_bounded_and_shut_out_nobody_who_was_let_in() {
    let site = on_tcp(&[("http.refusals_per_minute", "5")]).await;
    let (known, late) = (site.bearer("known", Role::Admin).await, site.bearer("late", Role::Admin).await);
    assert_eq!(call(&site, &known, "GET", "/healthz").await.status, 200);
    let wrong = format!("Bearer {}", "A".repeat(43));
    for bearer in [&wrong, "", "Basic x", &wrong, "Bearer short"] {
        assert_eq!(problem(&call(&site, bearer, "GET", "/healthz").await), (401, "unauthorized".to_owned()));
    }
    for bearer in [&wrong, "", &late] {
        let refused = call(&site, bearer, "GET", "/healthz").await;
        assert!(is_too_many(&refused) && refused.header("retry-after") == Some("13"), "{refused:?}");
    }
    for bearer in [&known, &site.token()] {
        assert_eq!(call(&site, bearer, "GET", "/healthz").await.status, 200);
    }
    assert_eq!((counted(&site, "unauthenticated").await, counted(&site, "strangers").await), (5, 3));
    assert_eq!(site.trail.read(1, 100).await.unwrap().len(), 2, "only the two tokens that were made");
    call(&site, &site.token(), "DELETE", "/api/v1/tokens/known").await;
    assert_eq!(
        call(&site, &known, "GET", "/healthz").await.status,
        429,
        "a token that was revoked is looked up once more"
    );
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(call(&site, &late, "GET", "/healthz").await.status, 200);
    assert_eq!(call(&site, &known, "GET", "/healthz").await.status, 401);
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_is_told_so() {
    let site = on_tcp(&[("http.max_connections_per_address", "2")]).await;
    let Client::Tcp(_) = site.client else { panic!("not on TCP") };
    let held = (site.client.connect().await, site.client.connect().await);
    // Those before it are taken in their order.
    let mut third = site.client.connect().await;
    let refused = answer(&mut third).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{refused:?}");
    assert_eq!(refused.json()["code"], "too_many_requests");
    drop(held);
    let served = async {
        loop {
            let mut wire = site.client.connect().await;
            let asked = request("GET", "/healthz", &[("Authorization", &site.token())], None);
            if wire.write_all(asked.as_bytes()).await.is_ok() && answer(&mut wire).await.status == 200 {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
    assert!(counted(&site, "connections").await > 0);
}
