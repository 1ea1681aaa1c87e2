//! What the Docker adapter makes of the engine's events.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::time::Duration;

use futures_util::StreamExt as _;
use rtmanager::ports::{ContainerEngine as _, EngineError, Hints};
use rtmanager_tests::fake_engine::{Call, FakeEngine, Reply};
use serde_json::json;
use tokio::time::timeout;

fn event(action: &str, digit: &str) -> String {
    let actor = json!({ "ID": digit.repeat(64), "Attributes": {} });
    let event = json!({ "Type": "container", "Action": action, "Actor": actor, "scope": "local", "time": 1 });
    format!("{event}\n")
}

async fn hints(fake: &FakeEngine, labels: &[(String, String)]) -> Hints {
    fake.engine().watch(labels).await.unwrap().expect("a stream")
}

async fn next(hints: &mut Hints) -> Option<String> {
    let next = timeout(Duration::from_secs(10), hints.next()).await.expect("an answer or an end");
    next.map(|id| id.as_str()[..1].to_owned())
}

#[tokio::test]
async fn only_events_that_change_what_a_record_should_say_are_hints() {
    let fake = FakeEngine::start();
    let told = [
        ("create", "a"),
        ("exec_create: sh", "0"),
        ("start", "b"),
        ("health_status: healthy", "0"),
        ("died", "c"),
        ("rename", "0"),
        ("destroy", "d"),
    ];
    fake.on(Call::Events, [Reply::Lines(told.map(|(action, digit)| event(action, digit)).concat())]);
    let mut hints = hints(&fake, &[]).await;
    for digit in ["a", "b", "c", "d"] {
        assert_eq!(next(&mut hints).await.as_deref(), Some(digit));
    }
    assert!(timeout(Duration::from_millis(700), hints.next()).await.is_err(), "no time limit of a request ends it");
}

#[tokio::test]
async fn the_engine_is_asked_for_events_of_containers_with_the_labels_only() {
    let fake = FakeEngine::start();
    fake.on(Call::Events, [Reply::Lines(event("start", "a"))]);
    let mut hints = hints(&fake, &[("owner".to_owned(), "us".to_owned())]).await;
    assert_eq!(next(&mut hints).await.as_deref(), Some("a"));
    let request = fake.requests().into_iter().find(|request| request.contains("/events")).unwrap();
    assert!(request.starts_with("GET /v1.41/events?filters="), "{request}");
    for part in ["%22type%22%3A%5B%22container%22%5D", "%22label%22%3A%5B%22owner%3Dus%22%5D"] {
        assert!(request.contains(part), "{request}");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_refused_or_garbled_ends() {
    for reply in [
        Reply::Cut,
        Reply::CutBody,
        Reply::failure(500, "no"),
        Reply::ProxyNotFound,
        Reply::Lines("not json\n".to_owned()),
        Reply::Lines("{\"Type\":\"a thing of the future\"}\n".to_owned()),
    ] {
        let fake = FakeEngine::start();
        fake.on(Call::Events, [reply.clone()]);
        let mut hints = hints(&fake, &[]).await;
        assert_eq!(next(&mut hints).await, None, "{reply:?}");
    }
}

#[tokio::test]
async fn an_engine_that_is_away_cannot_be_followed() {
    let fake = FakeEngine::start();
    fake.stop();
    let refused = fake.engine().watch(&[]).await.err();
    assert!(matches!(refused, Some(EngineError::Unavailable(_))), "{refused:?}");
}
