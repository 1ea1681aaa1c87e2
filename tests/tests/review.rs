//! What a policy may do in a review, and what its answers come to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::time::Duration;

use rtmanager::adapters::memory::Call;
use rtmanager::lifecycle::ReviewResult;
use rtmanager::model::{Outcome, Status, Timestamp};
use rtmanager::ports::Clock as _;
use rtmanager::runtime::Limits;
use rtmanager_tests::hostile::{assert_untouched, hostile_review, review};
use rtmanager_tests::mock_host::{GAME, MockHost, MockHostBuilder, container};

async fn reviewed(builder: MockHostBuilder) -> (MockHost, ReviewResult) {
    let host = builder.build();
    host.stopped(GAME, &container(1)).await;
    let result = review(&host, false).await;
    (host, result)
}

/// Nothing at all was written: no lease, no entry, no effect.
async fn assert_only_read(host: &MockHost) {
    assert_untouched(host).await;
    for write in [Call::LeaseTryAcquire, Call::LogAppend, Call::LogNoteFault] {
        assert_eq!(host.script.journal().count(write), 0, "{write}");
    }
    assert!(host.entries().is_empty(), "a run that only reviewed writes no entry");
}

async fn kept(mode: &str) -> String {
    let (host, result) = reviewed(hostile_review(mode)).await;
    assert_only_read(&host).await;
    let ReviewResult::Keep(reason) = result else { panic!("{mode}: {result:?}") };
    reason
}

#[tokio::test]
async fn writing_imports_are_denied_during_review() {
    for mode in ["acquire", "append"] {
        assert_eq!(kept(mode).await, "denied(review-is-read-only)", "{mode}");
    }
}

#[tokio::test]
async fn reading_imports_work_during_review() {
    assert_eq!(kept("read").await, "record ok, container ok");
}

#[tokio::test]
async fn a_reason_is_bounded_and_escaped() {
    assert_eq!(kept("giant-reason").await, format!("{}…", "r".repeat(256)));
    assert_eq!(kept("escapes").await, "\\u{1b}[2J\\r\\nforged\\u{0}");
}

#[tokio::test]
async fn a_wait_is_passed_on_as_the_policy_said_it() {
    for (mode, wait) in [("wait-past", Some(1)), ("wait-for-ever", Some(u64::MAX)), ("wait", None)] {
        let (host, result) = reviewed(hostile_review(mode)).await;
        let until =
            wait.map_or_else(|| host.clock.now().saturating_add(Duration::from_secs(60)), Timestamp::from_micros);
        assert_eq!(result, ReviewResult::WaitUntil(until), "{mode}");
        assert_only_read(&host).await;
    }
}

#[tokio::test]
async fn a_fault_in_review_keeps_the_candidate_and_is_counted() {
    let limits = Limits { guest_time: Duration::from_millis(100), ..Limits::default() };
    for (mode, code) in [
        ("trap", "policy_trap"),
        ("panic", "policy_trap"),
        ("exit", "policy_trap"),
        ("busy-loop", "policy_deadline_exceeded"),
    ] {
        let (host, result) = reviewed(hostile_review(mode).limits(limits.clone())).await;
        let ReviewResult::Faulted(fault) = result else { panic!("{mode}: {result:?}") };
        assert_eq!(fault.code.as_str(), code, "{mode}");
        assert_only_read(&host).await;
        let metrics = host.metrics.render().unwrap();
        assert!(metrics.contains(&format!("rtmanager_policy_faults_total{{code=\"{code}\"}} 1")), "{metrics}");
        assert!(metrics.contains("rtmanager_reviews_total{advice=\"fault\"} 1"), "{metrics}");
    }
}

#[tokio::test]
async fn a_due_candidate_is_handled_by_the_sweepers_name() {
    let (host, result) = reviewed(hostile_review("due")).await;
    let ReviewResult::Handled(result) = result else { panic!("{result:?}") };
    assert_eq!((result.outcome, result.error_code), (Outcome::Success, None));
    assert!(!host.has_container(&container(1)));
    let entries = host.entries();
    assert_eq!(entries.len(), 1);
    let entry = &entries[0].entry;
    assert_eq!((entry.op_source.as_str(), entry.source_ref.as_str(), &entry.actor), ("auto_ttl", "", &None));
    assert_eq!((&entry.run_id, Some(entries[0].id)), (&result.run_id, result.entry));
    assert!(host.no_lease_is_held());
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let host = hostile_review("due").build();
    host.stopped(GAME, &container(1)).await;
    assert_eq!(review(&host, true).await, ReviewResult::WouldHandle);
    assert_only_read(&host).await;
}

#[tokio::test]
async fn what_was_read_for_the_review_does_not_count_for_the_removal() {
    let mode = hostile_review("due").setting("mode", "remove-before-load");
    let (host, result) = reviewed(mode.setting("container", container(1).as_str())).await;
    let ReviewResult::Handled(result) = result else { panic!("{result:?}") };
    assert_eq!(result.message.as_deref(), Some("denied(record-not-loaded)"));
    assert_untouched(&host).await;
}

#[tokio::test]
async fn a_fault_after_the_review_is_a_failed_run_with_an_entry() {
    let (host, result) = reviewed(hostile_review("due").setting("mode", "trap-after-remove")).await;
    let ReviewResult::Handled(result) = result else { panic!("{result:?}") };
    assert_eq!(result.error_code.unwrap().as_str(), "policy_trap");
    assert_eq!(host.entries().len(), 1);
    assert_eq!(host.record(GAME).await.unwrap().record.status, Status::Stopped);
    assert!(host.no_lease_is_held());
}
