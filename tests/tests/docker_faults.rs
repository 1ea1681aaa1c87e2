//! The Docker adapter against an engine that answers by a script: what cannot be had from a real one at will.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

use std::time::{Duration, Instant};

use rtmanager::adapters::docker::DockerEngine;
use rtmanager::model::{ContainerState, Labels, Removal};
use rtmanager::ports::{ContainerEngine, EngineError};
use rtmanager_tests::dockerd::labels;
use rtmanager_tests::fake_engine::{Call, FakeEngine, Reply, container, container_id, listed};
use serde_json::json;

/// Plays a removal: what inspecting answers, in order, and what removing answers.
async fn removal(
    inspections: impl IntoIterator<Item = Reply>,
    deletion: Reply,
) -> (Result<Removal, EngineError>, FakeEngine) {
    let fake = FakeEngine::start();
    fake.on(Call::Inspect, inspections);
    fake.on(Call::Delete, [deletion]);
    (fake.engine().remove(&container_id()).await, fake)
}

fn is_unavailable(answer: &Result<Removal, EngineError>) -> bool {
    matches!(answer, Err(EngineError::Unavailable(_)))
}

fn is_unknown(answer: &Result<Removal, EngineError>) -> bool {
    matches!(answer, Err(EngineError::Unknown(_)))
}

fn is_refused(answer: &Result<Removal, EngineError>, state: &ContainerState) -> bool {
    matches!(answer, Err(EngineError::Refused(found)) if found == state)
}

#[tokio::test]
async fn removed_by_this_call() {
    let (answer, fake) = removal([Reply::container("exited")], Reply::done()).await;
    assert_eq!(answer.unwrap(), Removal::Removed);
    let expected = format!("DELETE /v1.41/containers/{}?v=false&force=false&link=false", container_id());
    assert_eq!(fake.requests().last(), Some(&expected));
}

#[tokio::test]
async fn absent_before_removing_is_already_gone_and_not_asked_for() {
    let (answer, fake) = removal([Reply::absent()], Reply::done()).await;
    assert_eq!(answer.unwrap(), Removal::AlreadyGone);
    assert_eq!(fake.deletes(), 0);
}

#[tokio::test]
async fn absent_when_removing_is_already_gone() {
    let (answer, _) = removal([Reply::container("exited")], Reply::absent()).await;
    assert_eq!(answer.unwrap(), Removal::AlreadyGone);
}

#[tokio::test]
async fn live_and_unheard_of_states_are_refused_without_asking_to_remove() {
    for state in ["running", "paused", "restarting", "stopping"] {
        let (answer, fake) = removal([Reply::container(state)], Reply::done()).await;
        assert!(is_refused(&answer, &ContainerState::from_text(state)), "{state}: {answer:?}");
        assert_eq!(fake.deletes(), 0, "{state}");
    }
}

#[tokio::test]
async fn created_exited_and_dead_can_be_removed() {
    for state in ["created", "exited", "dead"] {
        let (answer, _) = removal([Reply::container(state)], Reply::done()).await;
        assert_eq!(answer.unwrap(), Removal::Removed, "{state}");
    }
}

#[tokio::test]
async fn somebody_elses_removal_is_awaited_and_not_repeated() {
    let inspections = [Reply::container("removing"), Reply::container("removing"), Reply::absent()];
    let (answer, fake) = removal(inspections, Reply::done()).await;
    assert_eq!(answer.unwrap(), Removal::AlreadyGone);
    assert_eq!(fake.deletes(), 0);
}

#[tokio::test]
async fn somebody_elses_removal_that_failed_is_taken_over() {
    let (answer, fake) = removal([Reply::container("removing"), Reply::container("dead")], Reply::done()).await;
    assert_eq!(answer.unwrap(), Removal::Removed);
    assert_eq!(fake.deletes(), 1);
}

#[tokio::test]
async fn a_removal_that_never_ends_is_unavailable_after_the_deadline() {
    let began = Instant::now();
    let (answer, fake) = removal([Reply::container("removing")], Reply::done()).await;
    assert!(is_unavailable(&answer), "{answer:?}");
    assert_eq!(fake.deletes(), 0);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn in_progress_is_followed_to_absence_whatever_its_status() {
    // 409 today, 400 at API 1.25; the text is not read.
    for status in [409, 400] {
        let inspections = [Reply::container("exited"), Reply::container("removing"), Reply::absent()];
        let (answer, _) = removal(inspections, Reply::failure(status, "removal is already in progress")).await;
        assert_eq!(answer.unwrap(), Removal::AlreadyGone, "{status}");
    }
}

#[tokio::test]
async fn started_between_the_look_and_the_removal_is_refused() {
    // Docker says 409; Podman says 500 for a container in a wrong state.
    for status in [409, 500] {
        let inspections = [Reply::container("exited"), Reply::container("running")];
        let (answer, _) = removal(inspections, Reply::failure(status, "container state improper")).await;
        assert!(is_refused(&answer, &ContainerState::Running), "{status}: {answer:?}");
    }
}

#[tokio::test]
async fn a_storage_failure_leaves_it_dead_and_is_unavailable() {
    let failure = Reply::failure(500, "driver failed to remove root filesystem: device or resource busy");
    let (answer, _) = removal([Reply::container("exited"), Reply::container("dead")], failure).await;
    assert!(is_unavailable(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_failure_after_the_effect_is_a_removal() {
    let failure = Reply::failure(500, "lease does not exist: not found");
    let (answer, _) = removal([Reply::container("exited"), Reply::absent()], failure).await;
    assert_eq!(answer.unwrap(), Removal::Removed);
}

#[tokio::test]
async fn a_refusal_of_a_container_that_could_be_removed_is_unavailable() {
    for status in [400, 403, 409, 503] {
        let (answer, fake) = removal([Reply::container("exited")], Reply::failure(status, "no")).await;
        assert!(is_unavailable(&answer), "{status}: {answer:?}");
        assert_eq!(fake.deletes(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_lost_answer_with_the_effect_done_is_a_removal() {
    for lost in [Reply::Cut, Reply::Hang] {
        let (answer, fake) = removal([Reply::container("exited"), Reply::absent()], lost).await;
        assert_eq!(answer.unwrap(), Removal::Removed);
        assert_eq!(fake.deletes(), 1);
    }
}

#[tokio::test]
async fn a_lost_answer_is_followed_while_the_engine_works_on() {
    let inspections = ["exited", "exited", "removing"].map(Reply::container).into_iter().chain([Reply::absent()]);
    let (answer, _) = removal(inspections, Reply::Hang).await;
    assert_eq!(answer.unwrap(), Removal::Removed);
}

#[tokio::test]
async fn a_lost_answer_without_the_effect_is_unavailable() {
    let (answer, fake) = removal([Reply::container("exited")], Reply::Cut).await;
    assert!(is_unavailable(&answer), "{answer:?}");
    assert_eq!(fake.deletes(), 1, "a removal is never repeated by itself");
}

#[tokio::test]
async fn a_lost_answer_and_a_container_that_runs_is_refused() {
    let (answer, _) = removal([Reply::container("exited"), Reply::container("running")], Reply::Cut).await;
    assert!(is_refused(&answer, &ContainerState::Running), "{answer:?}");
}

#[tokio::test]
async fn a_lost_answer_is_unknown_only_if_looking_again_fails_to_the_end() {
    for blind in [Reply::Hang, Reply::Cut, Reply::failure(500, "starting"), Reply::CutBody] {
        let began = Instant::now();
        let (answer, _) = removal([Reply::container("exited"), blind], Reply::Cut).await;
        assert!(is_unknown(&answer), "{answer:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn an_engine_that_comes_back_while_following_tells_what_became_of_it() {
    let inspections = [Reply::container("exited"), Reply::Cut, Reply::failure(503, "starting"), Reply::absent()];
    let (answer, _) = removal(inspections, Reply::Cut).await;
    assert_eq!(answer.unwrap(), Removal::Removed);
}

#[tokio::test]
async fn an_engine_that_is_gone_is_unavailable_and_nothing_is_removed() {
    let fake = FakeEngine::start();
    fake.on(Call::Inspect, [Reply::container("exited")]);
    let engine = fake.engine();
    engine.inspect(&container_id()).await.unwrap();
    fake.stop();
    let answer = engine.remove(&container_id()).await;
    assert!(is_unavailable(&answer), "{answer:?}");
    assert_eq!(fake.deletes(), 0);
}

#[tokio::test]
async fn no_answer_to_the_first_look_is_unavailable_and_nothing_is_removed() {
    for blind in [Reply::Hang, Reply::Cut, Reply::CutBody, Reply::failure(500, "no")] {
        let (answer, fake) = removal([blind], Reply::done()).await;
        assert!(is_unavailable(&answer), "{answer:?}");
        assert_eq!(fake.deletes(), 0);
    }
}

#[tokio::test]
async fn a_description_of_another_container_is_not_believed() {
    let other = Reply::Json(200, container(&"e".repeat(64).parse().unwrap(), "exited", &Labels::new()));
    let (answer, fake) = removal([other], Reply::done()).await;
    assert!(is_unavailable(&answer), "{answer:?}");
    assert_eq!(fake.deletes(), 0);
}

#[tokio::test]
async fn absence_by_the_word_of_a_proxy_is_not_believed() {
    let (answer, _) = removal([Reply::ProxyNotFound], Reply::done()).await;
    assert!(is_unavailable(&answer), "{answer:?}");
    let (answer, _) = removal([Reply::container("exited")], Reply::ProxyNotFound).await;
    // On a machine that is slow at that moment, looking again does not come to its end.
    assert!(is_unavailable(&answer) || matches!(answer, Err(EngineError::Unknown(_))), "{answer:?}");
}

#[tokio::test]
async fn a_slow_answer_within_the_limit_is_an_answer() {
    let slow = Reply::After(Duration::from_millis(150), Box::new(Reply::done()));
    let (answer, _) = removal([Reply::container("exited")], slow).await;
    assert_eq!(answer.unwrap(), Removal::Removed);
}

#[tokio::test]
async fn anonymous_volumes_are_named_in_the_request_only_if_configured() {
    let fake = FakeEngine::start();
    fake.on(Call::Inspect, [Reply::container("exited")]);
    fake.on(Call::Delete, [Reply::done()]);
    let mut options = fake.options();
    options.removal.anonymous_volumes = true;
    DockerEngine::connect(&options).unwrap().remove(&container_id()).await.unwrap();
    assert!(fake.requests().last().unwrap().ends_with("?v=true&force=false&link=false"));
}

#[tokio::test]
async fn what_reaches_a_policy_never_holds_the_engines_words() {
    let (answer, _) = removal([Reply::failure(500, "secret /var/lib/docker path")], Reply::done()).await;
    let error = answer.unwrap_err();
    assert_eq!(error.to_string(), "the container engine is unavailable");
    let chain = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    assert!(chain.map(ToString::to_string).any(|text| text.contains("secret")), "the log would not tell");
}

fn versions(oldest: &str, newest: &str) -> Reply {
    Reply::Json(200, json!({ "ApiVersion": newest, "MinAPIVersion": oldest }))
}

#[tokio::test]
async fn the_api_version_is_negotiated_once_and_sent_with_each_request() {
    let fake = FakeEngine::start();
    fake.on(Call::Version, [versions("1.44", "1.99")]);
    fake.on(Call::Inspect, [Reply::container("exited")]);
    let engine = fake.engine();
    assert_eq!(fake.requests(), Vec::<String>::new(), "connecting asks nothing");
    engine.inspect(&container_id()).await.unwrap();
    engine.inspect(&container_id()).await.unwrap();
    let inspect = format!("GET /v1.53/containers/{}/json", container_id());
    assert_eq!(fake.requests(), ["GET /version", &inspect, &inspect]);
}

#[tokio::test]
async fn an_engine_without_a_common_version_is_named_in_the_log_and_asked_for_nothing() {
    for (oldest, newest) in [("1.12", "1.24"), ("1.54", "1.60")] {
        let fake = FakeEngine::start();
        fake.on(Call::Version, [versions(oldest, newest)]);
        let error = fake.engine().remove(&container_id()).await.unwrap_err();
        let causes: Vec<_> = std::iter::successors(std::error::Error::source(&error), |error| error.source())
            .map(ToString::to_string)
            .collect();
        let expected =
            format!("the engine speaks API {oldest} to {newest}; this version of rtmanager speaks 1.25 to 1.53");
        assert_eq!(causes.last(), Some(&expected));
        assert_eq!(fake.requests(), ["GET /version"]);
    }
}

#[tokio::test]
async fn an_engine_replaced_by_one_of_another_version_is_asked_again_in_that() {
    let fake = FakeEngine::start();
    fake.on(Call::Version, [versions("1.12", "1.41"), versions("1.44", "1.52")]);
    fake.on(Call::Inspect, [Reply::failure(400, "client version 1.41 is too old"), Reply::container("exited")]);
    let found = fake.engine().inspect(&container_id()).await.unwrap().unwrap();
    assert_eq!(found.state, ContainerState::Exited);
    assert!(fake.requests().last().unwrap().starts_with("GET /v1.52/"));
}

#[tokio::test]
async fn the_version_is_negotiated_anew_after_the_connection_was_lost() {
    let fake = FakeEngine::start();
    fake.on(Call::Version, [versions("1.12", "1.41"), versions("1.24", "1.43")]);
    fake.on(Call::Inspect, [Reply::Cut, Reply::container("exited")]);
    let engine = fake.engine();
    engine.inspect(&container_id()).await.unwrap_err();
    engine.inspect(&container_id()).await.unwrap();
    assert!(fake.requests().last().unwrap().starts_with("GET /v1.43/"));
}

fn ours() -> Labels {
    labels(&[("owner", "us")])
}

fn wanted() -> [(String, String); 1] {
    [("owner".to_owned(), "us".to_owned())]
}

fn image(labels: &Labels) -> Reply {
    Reply::Json(200, json!({ "Config": { "Labels": labels } }))
}

#[tokio::test]
async fn a_filter_that_the_engine_ignores_leads_to_nobody_elses_container() {
    let fake = FakeEngine::start();
    let strangers = "e".repeat(64).parse().unwrap();
    fake.on(
        Call::List,
        [Reply::Json(200, json!([listed(&strangers, &Labels::new()), listed(&container_id(), &ours())]))],
    );
    fake.on(Call::Inspect, [Reply::Json(200, container(&container_id(), "exited", &ours()))]);
    fake.on(Call::Image, [image(&Labels::new())]);
    let found = fake.engine().list_labelled(&wanted()).await.unwrap().containers;
    assert_eq!(found.into_iter().map(|container| container.id).collect::<Vec<_>>(), [container_id()]);
    assert!(!fake.requests().iter().any(|request| request.contains(strangers.as_str())));
}

#[tokio::test]
async fn labels_that_are_gone_when_looked_at_do_not_count() {
    let fake = FakeEngine::start();
    fake.on(Call::List, [Reply::Json(200, json!([listed(&container_id(), &ours())]))]);
    fake.on(Call::Inspect, [Reply::container("exited")]);
    fake.on(Call::Image, [image(&Labels::new())]);
    assert_eq!(fake.engine().list_labelled(&wanted()).await.unwrap().containers, []);
}

#[tokio::test]
async fn a_container_that_goes_while_listing_is_left_out() {
    let fake = FakeEngine::start();
    fake.on(Call::List, [Reply::Json(200, json!([listed(&container_id(), &ours())]))]);
    fake.on(Call::Inspect, [Reply::absent()]);
    assert_eq!(fake.engine().list_labelled(&wanted()).await.unwrap().containers, []);
}

#[tokio::test]
async fn a_container_whose_image_is_gone_has_no_word_of_its_own() {
    let fake = FakeEngine::start();
    fake.on(Call::List, [Reply::Json(200, json!([listed(&container_id(), &ours())]))]);
    fake.on(Call::Inspect, [Reply::Json(200, container(&container_id(), "exited", &ours()))]);
    fake.on(Call::Image, [Reply::absent()]);
    assert_eq!(fake.engine().list_labelled(&wanted()).await.unwrap().containers, []);
}

#[tokio::test]
async fn an_image_is_asked_for_its_labels_once() {
    let fake = FakeEngine::start();
    fake.on(Call::List, [Reply::Json(200, json!([listed(&container_id(), &ours())]))]);
    fake.on(Call::Inspect, [Reply::Json(200, container(&container_id(), "exited", &ours()))]);
    fake.on(Call::Image, [image(&Labels::new())]);
    let engine = fake.engine();
    engine.list_labelled(&wanted()).await.unwrap();
    engine.list_labelled(&wanted()).await.unwrap();
    assert_eq!(fake.requests().iter().filter(|request| request.contains("/images/")).count(), 1);
}

#[tokio::test]
async fn a_fault_while_a_container_goes_is_looked_at_again() {
    // Podman's, as it was seen.
    let going = || Reply::failure(500, "container does not exist in database: no such container");
    let (answer, fake) = removal([going(), Reply::absent()], Reply::done()).await;
    assert_eq!(answer.unwrap(), Removal::AlreadyGone);
    assert_eq!(fake.deletes(), 0);
    fake.on(Call::List, [going(), going(), Reply::Json(200, json!([]))]);
    assert!(fake.engine().list_labelled(&wanted()).await.is_ok());
    fake.on(Call::Inspect, [going(), going(), going(), Reply::absent()]);
    assert!(fake.engine().inspect(&container_id()).await.is_err(), "a lasting fault is told");
}

#[tokio::test]
async fn a_state_that_only_podman_has_spoils_no_listing() {
    let fake = FakeEngine::start();
    let mut entry = listed(&container_id(), &ours());
    entry["State"] = json!("stopped");
    fake.on(Call::List, [Reply::Json(200, json!([entry]))]);
    fake.on(Call::Inspect, [Reply::Json(200, container(&container_id(), "stopped", &ours()))]);
    fake.on(Call::Image, [image(&Labels::new())]);
    let found = fake.engine().list_labelled(&wanted()).await.unwrap().containers;
    assert_eq!(found.into_iter().map(|container| container.state).collect::<Vec<_>>(), [ContainerState::Exited]);
}

#[tokio::test]
async fn half_a_list_is_no_list() {
    let fake = FakeEngine::start();
    fake.on(Call::List, [Reply::CutBody]);
    assert!(matches!(fake.engine().list_labelled(&wanted()).await, Err(EngineError::Unavailable(_))));
    fake.on(Call::List, [Reply::Json(200, json!([{ "Id": "short", "Labels": ours() }]))]);
    assert!(matches!(fake.engine().list_labelled(&wanted()).await, Err(EngineError::Unavailable(_))));
}

#[tokio::test]
async fn one_container_that_cannot_be_described_does_not_hide_the_others() {
    let fake = FakeEngine::start();
    let broken = "e".repeat(64).parse().unwrap();
    fake.on(Call::List, [Reply::Json(200, json!([listed(&broken, &ours()), listed(&broken, &ours())]))]);
    fake.on(Call::Image, [image(&Labels::new())]);
    fake.on(
        Call::Inspect,
        [Reply::failure(502, "layer not known"), Reply::Json(200, container(&broken, "exited", &ours()))],
    );
    let listing = fake.engine().list_labelled(&wanted()).await.unwrap();
    assert_eq!((listing.containers.len(), listing.passed_over.len()), (1, 1));
    let reason = &listing.passed_over[0].reason;
    assert!(reason.starts_with("it cannot be described: the engine answered with status 502"), "{reason}");

    fake.on(Call::Inspect, [Reply::Cut]);
    fake.on(Call::Ping, [Reply::Cut]);
    assert!(matches!(fake.engine().list_labelled(&wanted()).await, Err(EngineError::Unavailable(_))), "it is gone");
}
