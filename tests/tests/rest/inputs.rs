//! Whatever is sent: an answer, never a fault of ours, and a problem if it is no success.

use std::cell::RefCell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::BASE;
use super::site::{Site, container};
use rtmanager_tests::http::Answer;
use rtmanager_tests::seeded::seeded;

/// One request: method, path with query, body.
type Sent = (&'static str, String, Option<String>);

fn percent_encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

/// A path's segment: any bytes at all, and now and then a game that there is.
fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("g-1".to_owned()),
        3 => proptest::collection::vec(any::<u8>(), 1..40).prop_map(|bytes| percent_encoded(&bytes)),
        1 => any::<String>().prop_map(|text| percent_encoded(text.as_bytes())),
        1 => "[a-z0-9._~%-]{1,12}",
        1 => (1usize..2_000).prop_map(|length| "x".repeat(length)),
    ]
}

fn leaf() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop_oneof!["running", "stopped", "removed", "local", "acme", "2026-02-30T00:00:00Z", "9999-12-31T23:59:59Z"]
            .prop_map(Value::from),
        Just(json!(container("another").as_str())),
    ]
    .boxed()
}

/// JSON of any shape, mostly with the keys that bodies have.
fn document() -> impl Strategy<Value = Value> {
    let keys = "tenant|engine|status|container_id|image_ref|labels|started_at|stopped_at|reason|until|x";
    let any_shape = leaf().prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(keys, inner, 0..8).prop_map(|map| map.into_iter().collect()),
        ]
    });
    prop_oneof![any_shape, registration()]
}

/// A registration that is right for the most part, now and then with another value in one place.
fn registration() -> impl Strategy<Value = Value> {
    let containers = [Value::Null, json!(container("g-1").as_str()), json!(container("another").as_str())];
    let right = (
        prop_oneof![3 => Just("acme"), 1 => Just("rival")],
        prop_oneof![Just("running"), Just("stopped")],
        proptest::sample::select(containers.to_vec()),
    );
    let right = right
        .prop_map(|(tenant, status, container)| json!({"tenant": tenant, "status": status, "container_id": container}));
    let places = ["tenant", "status", "container_id", "image_ref", "labels", "started_at", "stopped_at"];
    let wrong = proptest::option::of((proptest::sample::select(places.to_vec()), leaf()));
    (right, wrong).prop_map(|(mut body, wrong)| {
        if let Some((place, value)) = wrong {
            body[place] = value;
        }
        body
    })
}

fn body() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        1 => Just(None),
        6 => document().prop_map(|document| Some(document.to_string())),
        1 => any::<String>().prop_map(Some),
        1 => (1usize..600).prop_map(|depth| Some("[".repeat(depth))),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let names = "tenant|engine|status|after|limit|game_id|outcome|error_code|op_source|since|until|before|x";
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| percent_encoded(&bytes)),
        any::<i64>().prop_map(|number| number.to_string()),
        "acme|local|stopped|success|g-1|2026-01-01T00:00:00Z|9999-12-31T23:59:59Z",
    ];
    let pairs = proptest::collection::vec((names, value), 0..4);
    pairs.prop_map(|pairs| {
        let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    })
}

fn sent() -> impl Strategy<Value = Sent> {
    let of_game = (
        prop_oneof![Just("GET"), Just("PUT"), Just("DELETE"), Just("POST")],
        segment(),
        prop_oneof![Just(""), Just("/container"), Just("/hold"), Just("/parking"), Just("/explain"), Just("/")],
        body(),
    )
        .prop_map(|(method, game, rest, body)| (method, format!("{BASE}/runtimes/{game}{rest}"), body));
    let of_list = (prop_oneof![Just("runtimes"), Just("operations")], query())
        .prop_map(|(list, query)| ("GET", format!("{BASE}/{list}?{query}"), None));
    let of_pause = (
        prop_oneof![Just("PUT"), Just("DELETE")],
        prop_oneof![Just("global"), Just("engines"), Just("tenants")],
        segment(),
        body(),
    )
        .prop_map(|(method, scope, name, body)| (method, format!("{BASE}/pauses/{scope}/{name}"), body));
    prop_oneof![4 => of_game, 2 => of_list, 1 => of_pause]
}

fn check(sent: &Sent, answer: &Answer) -> Result<(), TestCaseError> {
    prop_assert_ne!(answer.status, 500, "{:?}: {}", sent, answer.body);
    let content_type = answer.header("content-type").unwrap_or_default();
    let document: Result<Value, _> = serde_json::from_str(&answer.body);
    prop_assert!(document.is_ok(), "{:?}: {:?}", sent, answer);
    if answer.status == 200 {
        prop_assert_eq!(content_type, "application/json", "{:?}", sent);
        return Ok(());
    }
    // Nothing here fails by itself, so there is no 503 either: what is refused is the caller's doing.
    prop_assert!((400..500).contains(&answer.status), "{:?}: {:?}", sent, answer);
    prop_assert_eq!(content_type, "application/problem+json", "{:?}", sent);
    prop_assert_eq!(&document.unwrap_or_default()["status"], answer.status, "{:?}", sent);
    Ok(())
}

#[test]
fn whatever_is_sent_is_answered_and_never_with_a_fault_of_ours() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let site = runtime.block_on(Site::open());
    runtime.block_on(site.stopped("g-1", 40));
    let statuses = RefCell::new(BTreeSet::new());
    let ran = TestRunner::new(seeded(2_000, 9)).run(&sent(), |sent| {
        let (method, path, body) = &sent;
        let answer = runtime.block_on(site.client.send(method, path, &[], body.as_deref()));
        statuses.borrow_mut().insert(answer.status);
        check(&sent, &answer)
    });
    ran.unwrap();
    // What is sent gets everywhere: past the parsers, and not only past them.
    let statuses = statuses.into_inner();
    assert!(statuses.is_superset(&[200, 400, 404, 405, 409].into()), "{statuses:?}");
    for list in ["runtimes", "operations", "pauses"] {
        let shown = runtime.block_on(site.client.get(&format!("{BASE}/{list}")));
        assert_eq!(shown.status, 200, "what was taken cannot be shown: {shown:?}");
    }
}
