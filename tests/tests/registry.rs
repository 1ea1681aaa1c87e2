//! What serves whom while it is swapped, revoked, lost and found: on the mock host, with real components.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use rtmanager::access::Trail;
use rtmanager::adapters::memory::Call;
use rtmanager::lifecycle::{OperationResult, ReviewResult};
use rtmanager::model::{
    Author, BindingSpec, GenerationId, LimitOverrides, Outcome, PolicyDigest, PolicyScope, Revocation, Status,
};
use rtmanager::ports::Clock as _;
use rtmanager::registry::{Stores, Watcher};
use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager_tests::bound::{grants, plain, signed, tenant_a, with_setting};
use rtmanager_tests::fixtures::{self, C_POLICY, HOSTILE};
use rtmanager_tests::hostile::assert_still_stopped;
use rtmanager_tests::mock_host::{GAME, MockHost, container};

#[path = "registry/apps.rs"]
mod apps;
#[path = "registry/ceilings.rs"]
mod ceilings;
#[path = "registry/damage.rs"]
mod damage;
#[path = "registry/loading.rs"]
mod loading;
#[path = "registry/outage.rs"]
mod outage;
#[path = "registry/restored.rs"]
mod restored;
#[path = "registry/slow.rs"]
mod slow;
#[path = "registry/sweeps.rs"]
mod sweeps;

/// A host that follows its store, with the default policy in its file.
async fn host() -> MockHost {
    let host = MockHost::builder().following_store().build();
    host.follow().await;
    host
}

/// The same with a stopped game.
async fn host_with_game() -> MockHost {
    let host = host().await;
    host.stopped(GAME, &container(1)).await;
    host
}

/// What a watcher follows: the host's own stores.
fn stores(host: &MockHost) -> Stores {
    Stores {
        generations: host.store.generations(),
        policies: host.store.policies(),
        access: host.store.access(),
        trail: Trail::new(host.store.audit(), host.clock.clone()),
        clock: host.clock.clone(),
    }
}

fn id(text: &str) -> GenerationId {
    text.parse().unwrap()
}

fn code(result: &OperationResult) -> &str {
    result.error_code.as_ref().map_or("-", |code| code.as_str())
}

/// A policy that does nothing and says so: visibly another one than the default policy.
async fn idle(host: &MockHost) -> BindingSpec {
    with_setting(&host.push(HOSTILE).await, "mode", "idle")
}

#[tokio::test]
async fn a_tenants_own_generation_stands_before_everybodys_and_that_before_the_file() {
    let host = host_with_game().await;
    let idle = idle(&host).await;
    let by_file = |generation: &GenerationId| generation.as_str().starts_with("*/file-");
    host.cleanup("none").await;
    assert!(by_file(&host.last_generation()), "{}", host.last_generation());

    host.bind(&PolicyScope::Default, &idle).await;
    assert_eq!(code(&host.cleanup(GAME).await), "hostile");
    assert_eq!(host.last_generation(), id("*/1"));

    let own = plain(&host.push(DEFAULT_POLICY).await);
    host.bind(&tenant_a(), &own).await;
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success);
    let entry = host.entries().pop().unwrap().entry;
    assert_eq!((entry.policy.generation, entry.policy.digest), (id("tenant-a/1"), own.digest));
    assert_eq!(entry.tenant.map(|tenant| tenant.to_string()).as_deref(), Some("tenant-a"));

    host.store.generations().unbind(&tenant_a(), 1, &signed(host.clock.now())).await.unwrap();
    host.follow().await;
    assert_eq!(code(&host.cleanup(GAME).await), "hostile", "everybody's serves again");
    host.store.generations().unbind(&PolicyScope::Default, 1, &signed(host.clock.now())).await.unwrap();
    host.follow().await;
    host.cleanup(GAME).await;
    assert!(by_file(&host.last_generation()));
}

#[tokio::test]
async fn until_the_store_was_read_nobody_is_served_and_no_lease_is_taken() {
    let host = MockHost::builder().following_store().build();
    let record = host.stopped(GAME, &container(1)).await;
    let result = host.cleanup(GAME).await;
    assert_eq!((result.outcome, code(&result)), (Outcome::Failure, "policy_unavailable"));
    assert_eq!(host.entries().pop().unwrap().entry.author, Author::Host);
    let tracked = host.record(GAME).await.unwrap();
    let reviewed = host.lifecycle.review(tracked, host.clock.now(), false).await;
    assert!(matches!(reviewed, ReviewResult::Busy(_)), "{reviewed:?}");
    assert_eq!(host.script.journal().count(Call::LeaseTryAcquire), 0);
    assert_eq!(host.lifecycle.serving(&record.tenant), None);
    host.follow().await;
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success);
}

/// The calls of one cleanup by the policy that is bound, each with its number among those of its kind.
async fn calls_of_a_run(spec: &BindingSpec) -> Vec<(Call, u32)> {
    let host = bound_to(spec).await;
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success);
    let mut made = BTreeMap::new();
    let count = |call: Call| {
        let nth = made.entry(call).or_insert(0);
        *nth += 1;
        (call, *nth)
    };
    host.script.journal().calls().into_iter().map(count).collect()
}

/// A host whose tenant is bound to this, and a game that its policy would clean up.
async fn bound_to(spec: &BindingSpec) -> MockHost {
    let host = host_with_game().await;
    for component in [DEFAULT_POLICY, C_POLICY, HOSTILE] {
        host.push(component).await;
    }
    host.bind(&tenant_a(), spec).await;
    host
}

/// Policies that clean up, in three languages' bindings.
fn cleaners() -> [BindingSpec; 3] {
    [DEFAULT_POLICY, C_POLICY, HOSTILE].map(|component| plain(&PolicyDigest::of(component)))
}

#[tokio::test]
async fn a_run_ends_on_the_generation_that_it_began_with_at_whatever_call_it_is_swapped() {
    for spec in cleaners() {
        let calls = calls_of_a_run(&spec).await;
        assert!(calls.len() >= 8, "{calls:?}");
        // The first is the look at whose game it is: before a policy was chosen.
        for &(call, nth) in &calls[1..] {
            let host = Arc::new(bound_to(&spec).await);
            let next = host.stage(&tenant_a(), &idle(&host).await).await;
            let other = host.clone();
            host.script.plan().meanwhile(call, nth, async move {
                other.swap(&tenant_a(), next).await;
                other.follow().await;
            });
            let result = host.cleanup(GAME).await;
            assert_eq!((result.outcome, code(&result)), (Outcome::Success, "-"), "swapped at {call} {nth}");
            let entry = host.entries().pop().unwrap().entry;
            assert_eq!(
                (entry.policy.generation, &entry.policy.digest),
                (id("tenant-a/1"), &spec.digest),
                "{call} {nth}"
            );
            assert_eq!(entry.fault, None);
            assert_eq!(host.record(GAME).await.unwrap().record.status, Status::Removed);

            let result = host.cleanup(GAME).await;
            assert_eq!(code(&result), "hostile", "the next run is the new generation's: {:?}", result.message);
            assert_eq!(host.last_generation(), id("tenant-a/2"));
            assert!(host.no_lease_is_held());
        }
    }
}

#[tokio::test]
async fn a_run_that_is_revoked_at_whatever_call_removes_nothing_and_changes_no_record_from_then_on() {
    for spec in cleaners() {
        for &(call, nth) in &calls_of_a_run(&spec).await[1..] {
            for revocation in [Revocation::Generation(id("tenant-a/1")), Revocation::Component(spec.digest.clone())] {
                let host = Arc::new(bound_to(&spec).await);
                let other = host.clone();
                let revoking = revocation.clone();
                host.script.plan().meanwhile(call, nth, async move { other.revoke(&revoking).await });
                host.cleanup(GAME).await;
                let calls = host.script.journal().calls();
                let at = calls.iter().enumerate().filter(|(_, made)| **made == call).nth(nth as usize - 1).unwrap().0;
                let told = format!("revoked {} at {call} {nth}: {calls:?}", revocation.subject());
                // What the call was that it happened in is already under way, but for the change itself.
                assert!(!calls[at + 1..].contains(&Call::EngineRemove), "{told}");
                let changed_before = calls[..at].contains(&Call::RecordCompareAndSet);
                let status = host.record(GAME).await.unwrap().record.status;
                assert_eq!(status == Status::Removed, changed_before, "{told}");
                assert!(host.no_lease_is_held(), "{told}");
                let entries = host.entries();
                assert_eq!(entries.len(), 1, "{told}");
                assert!(host.store.open_runs().is_empty(), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn a_scope_whose_generation_was_revoked_serves_nobody() {
    let host = host_with_game().await;
    let digest = host.push(DEFAULT_POLICY).await;
    host.bind(&PolicyScope::Default, &plain(&host.push(C_POLICY).await)).await;
    host.bind(&tenant_a(), &plain(&digest)).await;
    host.revoke(&Revocation::Generation(id("tenant-a/1"))).await;
    host.follow().await;

    let result = host.cleanup(GAME).await;
    assert_eq!((result.outcome, code(&result)), (Outcome::Failure, "policy_revoked"));
    let entry = host.entries().pop().unwrap().entry;
    assert_eq!((entry.author, entry.policy.generation), (Author::Host, id("tenant-a/1")));
    assert_eq!(entry.error_code.unwrap().as_str(), "policy_revoked");
    assert_eq!(host.script.journal().count(Call::LeaseTryAcquire), 0, "no lease is taken");
    assert_still_stopped(&host).await;
    let tracked = host.record(GAME).await.unwrap();
    let reviewed = host.lifecycle.review(tracked, host.clock.now(), false).await;
    let ReviewResult::Faulted(fault) = reviewed else { panic!("{reviewed:?}") };
    assert_eq!(fault.code.as_str(), "policy_revoked");

    host.bind(&tenant_a(), &with_setting(&digest, "extra_retention_days", "1")).await;
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success);
    assert_eq!(host.last_generation(), id("tenant-a/2"));
}

#[tokio::test]
async fn a_component_that_was_revoked_serves_nobody_though_a_file_binds_it() {
    let host = host_with_game().await;
    let digest = host.push(DEFAULT_POLICY).await;
    assert_eq!(host.cleanup("none").await.error_code.unwrap().as_str(), "not_found");
    host.revoke(&Revocation::Component(digest)).await;
    host.follow().await;
    assert_eq!(code(&host.cleanup(GAME).await), "policy_revoked");
    assert_still_stopped(&host).await;
}

#[tokio::test]
async fn what_a_generation_does_not_grant_is_denied() {
    let everything = [
        "clock",
        "leases",
        "records.get",
        "records.update-status",
        "docker.inspect",
        "docker.remove",
        "op-log",
        "logging",
        "wasi",
        "settings:*",
    ];
    for (without, effect) in [
        ("leases", Call::LeaseTryAcquire),
        ("records.get", Call::RecordBeginRun),
        ("docker.remove", Call::EngineRemove),
        ("records.update-status", Call::RecordCompareAndSet),
    ] {
        let host = host_with_game().await;
        let held: Vec<_> = everything.into_iter().filter(|grant| *grant != without).collect();
        let spec = BindingSpec { grants: grants(&held), ..plain(&host.push(HOSTILE).await) };
        host.bind(&tenant_a(), &spec).await;
        let result = host.cleanup(GAME).await;
        assert_eq!(result.message.as_deref(), Some("denied(not-granted)"), "without {without}");
        assert_eq!(host.script.journal().count(effect), 0, "{effect} was called without {without}");
        assert!(host.no_lease_is_held());
    }
    let host = host_with_game().await;
    let held: Vec<_> = everything.into_iter().filter(|grant| *grant != "op-log").collect();
    let spec = BindingSpec { grants: grants(&held), ..plain(&host.push(DEFAULT_POLICY).await) };
    host.bind(&tenant_a(), &spec).await;
    assert_eq!(code(&host.cleanup(GAME).await), "policy_no_entry");
    assert_eq!(host.entries().pop().unwrap().entry.author, Author::Host);
}

#[tokio::test]
async fn an_inspection_that_is_not_granted_is_denied_in_a_review_too() {
    let host = host_with_game().await;
    let spec = with_setting(&host.push(HOSTILE).await, "review_mode", "read");
    let spec = BindingSpec { grants: grants(&["records.get", "settings:review_mode"]), ..spec };
    host.bind(&tenant_a(), &spec).await;
    let tracked = host.record(GAME).await.unwrap();
    let reviewed = host.lifecycle.review(tracked, host.clock.now(), true).await;
    assert_eq!(reviewed, ReviewResult::Keep("record ok, container denied(not-granted)".to_owned()));
}

#[tokio::test]
async fn a_policy_reads_only_the_settings_that_are_granted() {
    let host = host_with_game().await;
    let spec = with_setting(&host.push(HOSTILE).await, "mode", "idle");
    let spec = BindingSpec { grants: grants(&["leases", "records.get", "op-log", "wasi", "settings:size"]), ..spec };
    host.bind(&tenant_a(), &spec).await;
    let result = host.cleanup(GAME).await;
    assert_eq!(
        result.message.as_deref(),
        Some("denied(not-granted)"),
        "without its mode it is honest, and may not remove"
    );
}

#[tokio::test]
async fn a_generations_own_limits_bound_its_runs_and_never_widen_the_hosts() {
    let host = host_with_game().await;
    let digest = host.push(DEFAULT_POLICY).await;
    let with_calls = |calls| BindingSpec {
        limits: LimitOverrides { calls: Some(calls), ..LimitOverrides::default() },
        ..plain(&digest)
    };
    host.bind(&tenant_a(), &with_calls(2)).await;
    assert_eq!(code(&host.cleanup(GAME).await), "policy_calls_exceeded");
    let chatty = with_setting(&host.push(HOSTILE).await, "mode", "call-flood");
    let limits = LimitOverrides { calls: Some(u32::MAX), ..LimitOverrides::default() };
    host.bind(&tenant_a(), &BindingSpec { limits, ..chatty }).await;
    assert_eq!(code(&host.cleanup(GAME).await), "policy_calls_exceeded", "the host's own limit stands");
}

#[tokio::test]
async fn two_hosts_on_one_store_come_to_serve_the_same() {
    let first = Arc::new(host_with_game().await);
    let second = first.successor(MockHost::builder().following_store());
    let watching =
        [&first.watcher, &second.watcher].map(|watcher| tokio::spawn(Watcher::run_for_ever(watcher.clone())));
    let idle = idle(&first).await;
    for round in 1..=5_u64 {
        let number = first.stage(&tenant_a(), &idle).await;
        first.swap(&tenant_a(), number).await;
        let expected = id(&format!("tenant-a/{number}"));
        for host in [&*first, &second] {
            until(|| host.lifecycle.serving(&"tenant-a".parse().unwrap()) == Some(vec![expected.clone()])).await;
        }
        assert_eq!(number, round);
        assert_eq!(code(&second.cleanup(GAME).await), "hostile");
        assert_eq!(second.last_generation(), expected);
    }
    let replicas: Vec<_> = first.reports(&tenant_a()).await.into_iter().map(|report| report.replica).collect();
    assert_eq!(replicas, ["host-1", "host-2"]);
    second.watcher.retire().await;
    assert_eq!(first.reports(&tenant_a()).await.len(), 1, "one that stops says nothing any more");
    watching.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Waits for a condition, for at most ten seconds.
async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it did not come about in ten seconds");
}

#[tokio::test]
async fn the_store_cannot_be_made_to_serve_what_is_no_policy() {
    let host = host_with_game().await;
    host.bind(&tenant_a(), &plain(&host.push(DEFAULT_POLICY).await)).await;
    host.bind(&tenant_a(), &plain(&host.push(&fixtures::undeclared_import()).await)).await;
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success);
    assert_eq!(host.last_generation(), id("tenant-a/1"), "what served goes on");
}
