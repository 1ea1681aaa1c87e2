//! The contract through another language's generator: the policy in C does the same job in the same host.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::time::Duration;

use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::lifecycle::ReviewResult;
use rtmanager::model::{Author, LiveStatus, Outcome, RuntimeRecord, Status, TrackedRuntime};
use rtmanager::ports::Clock as _;
use rtmanager_tests::fixtures::C_POLICY;
use rtmanager_tests::mock_host::{GAME, IMAGE, MockHost, container};

fn host() -> MockHost {
    MockHost::builder().policy(C_POLICY).build()
}

/// Outcome and code, as the caller was told; the log was told the same, by the policy.
async fn cleanup(host: &MockHost) -> (Outcome, Option<String>) {
    let result = host.cleanup(GAME).await;
    let entry = host.entries().pop().unwrap().entry;
    assert_eq!(
        (entry.outcome, &entry.error_code, &entry.error_message),
        (result.outcome, &result.error_code, &result.message)
    );
    assert_eq!((entry.author, entry.fault), (Author::Policy, None));
    assert!(host.no_lease_is_held());
    (result.outcome, result.error_code.map(|code| code.to_string()))
}

#[tokio::test]
async fn a_stopped_container_is_removed_and_its_record_and_entry_say_so() {
    let host = host();
    host.stopped(GAME, &container(1)).await;
    assert_eq!(cleanup(&host).await, (Outcome::Success, None));
    assert!(!host.has_container(&container(1)));
    assert_eq!(host.record(GAME).await.unwrap().record.status, Status::Removed);
    let entry = host.entries().pop().unwrap().entry;
    assert_eq!((entry.container_id, entry.image_ref.as_deref()), (Some(container(1)), Some(IMAGE)));
    assert_eq!(cleanup(&host).await, (Outcome::Success, Some("replay_no_op".to_owned())));
}

#[tokio::test]
async fn every_kind_of_answer_reaches_it() {
    let host = host();
    assert_eq!(cleanup(&host).await, (Outcome::Failure, Some("not_found".to_owned())));
    host.register(GAME, LiveStatus::Running, Some(&container(1))).await;
    assert_eq!(cleanup(&host).await, (Outcome::Failure, Some("conflict".to_owned())));
    let record = host.stopped(GAME, &container(1)).await;
    for (call, failure, code) in [
        (Call::LeaseTryAcquire, Failure::Unavailable, "service_unavailable"),
        (Call::LeaseTryAcquire, Failure::Refuse, "conflict"),
        (Call::EngineRemove, Failure::LoseRequest, "service_unavailable"),
        (Call::EngineRemove, Failure::Refuse, "conflict"),
        (Call::RecordCompareAndSet, Failure::Corrupt, "internal_error"),
    ] {
        host.script.plan().fail_always(call, failure);
        assert_eq!(cleanup(&host).await, (Outcome::Failure, Some(code.to_owned())), "{call} {failure:?}");
        host.script.plan().mend();
    }
    host.store.write_directly(RuntimeRecord { status: Status::Other("zombie".to_owned()), ..record });
    assert_eq!(cleanup(&host).await, (Outcome::Failure, Some("internal_error".to_owned())));
}

#[tokio::test]
async fn its_review_waits_a_day_for_a_container_that_never_started() {
    let host = host();
    let record = host.register(GAME, LiveStatus::Stopped, Some(&container(1))).await;
    let floor = host.clock.now();
    let never_started = TrackedRuntime { record, cleanup: Default::default() };
    let day = Duration::from_secs(86_400);
    let advice = host.lifecycle.review(never_started.clone(), floor, true).await;
    assert_eq!(advice, ReviewResult::WaitUntil(floor.saturating_add(day)));
    host.advance(day);
    assert_eq!(host.lifecycle.review(never_started, floor, true).await, ReviewResult::WouldHandle);
}
