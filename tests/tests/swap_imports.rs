//! A run is held inside each of its imports while its tenant's generation is swapped or revoked: it ends on the generation
//! that it began with, settings included; and once it is revoked, it removes nothing and changes no record.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::collections::BTreeSet;

use rtmanager::adapters::memory::Call;
use rtmanager::lifecycle::ReviewResult;
use rtmanager::model::{BindingSpec, GenerationId, Grants, Outcome, PolicyDigest, Revocation, Status};
use rtmanager::ports::Clock as _;
use rtmanager::runtime::DEFAULT_POLICY;
use rtmanager_tests::bound::{plain, tenant_a};
use rtmanager_tests::fixtures::{C_POLICY, HOSTILE};
use rtmanager_tests::mock_host::GAME;

#[path = "swap_imports/held.rs"]
mod held;

use held::{Held, Site};

const OLD: &str = "by the old one";
const NEW: &str = "by the new one";

/// An import, by the grant that it takes; a policy that calls it in a cleanup; and where a run is held while it does.
struct Row {
    import: &'static str,
    policy: &'static [u8],
    held: Held,
}

/// Settings are the run's own from its start, and nothing can hold it while it reads them: so it is held right before, and
/// what it reads is what it would have read.
const ROWS: [Row; 12] = [
    Row { import: "leases", policy: HOSTILE, held: Held::Port(Call::LeaseTryAcquire) },
    Row { import: "leases", policy: DEFAULT_POLICY, held: Held::Port(Call::LeaseRelease) },
    Row { import: "records.get", policy: HOSTILE, held: Held::Port(Call::RecordBeginRun) },
    Row { import: "docker.inspect", policy: DEFAULT_POLICY, held: Held::Port(Call::EngineInspect) },
    Row { import: "docker.remove", policy: HOSTILE, held: Held::Port(Call::RecordGetForEffect) },
    Row { import: "docker.remove", policy: HOSTILE, held: Held::Port(Call::EngineRemove) },
    Row { import: "docker.remove", policy: C_POLICY, held: Held::Port(Call::EngineRemove) },
    Row { import: "records.update-status", policy: HOSTILE, held: Held::Port(Call::RecordCompareAndSet) },
    Row { import: "op-log", policy: HOSTILE, held: Held::Port(Call::LogAppend) },
    Row { import: "logging", policy: C_POLICY, held: Held::Log },
    Row { import: "settings:*", policy: HOSTILE, held: Held::Port(Call::RecordCompareAndSet) },
    Row { import: "clock", policy: DEFAULT_POLICY, held: Held::Clock },
];

/// The policy on terms of which its entry tells, if it is one that does.
fn spec(component: &[u8], says: &str) -> BindingSpec {
    let settings = match component == HOSTILE {
        true => [("mode", "honest"), ("says", says)].map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        false => Default::default(),
    };
    BindingSpec { settings, ..plain(&PolicyDigest::of(component)) }
}

fn says(component: &[u8]) -> Option<&'static str> {
    (component == HOSTILE).then_some(OLD)
}

fn id(text: &str) -> GenerationId {
    text.parse().unwrap()
}

#[test]
fn the_table_has_a_row_for_every_import() {
    let all: BTreeSet<_> = Grants::all().iter().map(ToString::to_string).filter(|grant| grant != "wasi").collect();
    let rows: BTreeSet<_> = ROWS.iter().map(|row| row.import.to_owned()).collect();
    // WASI reaches nothing that is the tenant's.
    assert_eq!(rows, all);
}

#[tokio::test]
async fn swapped_inside_any_import_a_run_ends_on_the_generation_that_it_began_with() {
    for Row { import, policy, held } in ROWS {
        for nth in held.first().. {
            let site = Site::bound_to(&spec(policy, OLD)).await;
            let next = site.host.stage(&tenant_a(), &spec(HOSTILE, NEW)).await;
            let other = site.host.clone();
            let run = site.cleanup(held, nth, async move {
                other.swap(&tenant_a(), next).await;
                other.follow().await;
            });
            let (result, was_held) = run.await;
            let told = format!("{import}, held by {held:?} {nth}");
            if !was_held {
                assert!(nth > held.first(), "{told}: it was never called");
                break;
            }
            assert_eq!((result.outcome, result.error_code), (Outcome::Success, None), "{told}");
            let entry = site.host.entries().pop().unwrap().entry;
            assert_eq!(entry.policy.generation, id("tenant-a/1"), "{told}");
            assert_eq!(entry.policy.digest, PolicyDigest::of(policy), "{told}");
            assert_eq!((entry.error_message.as_deref(), entry.fault), (says(policy), None), "{told}");
            assert_eq!(site.status().await, Status::Removed, "{told}");
            assert!(site.host.no_lease_is_held(), "{told}");

            site.stopped_again().await;
            assert_eq!(site.host.cleanup(GAME).await.outcome, Outcome::Success, "{told}");
            let entry = site.host.entries().pop().unwrap().entry;
            let found = (entry.policy.generation, entry.error_message.as_deref());
            assert_eq!(found, (id("tenant-a/2"), Some(NEW)), "{told}: the next run");
        }
    }
}

#[tokio::test]
async fn revoked_inside_any_import_a_run_removes_nothing_and_changes_no_record_from_then_on() {
    for Row { import, policy, held } in ROWS {
        let of_component = Revocation::Component(PolicyDigest::of(policy));
        for revocation in [Revocation::Generation(id("tenant-a/1")), of_component] {
            for nth in held.first().. {
                let site = Site::bound_to(&spec(policy, OLD)).await;
                let (other, revoked) = (site.clone(), revocation.clone());
                let run = site.cleanup(held, nth, async move {
                    other.host.revoke(&revoked).await;
                    other.note().await;
                });
                let (result, was_held) = run.await;
                let told = format!("{import}, held by {held:?} {nth}, {} revoked", revocation.subject());
                if !was_held {
                    assert!(nth > held.first(), "{told}: it was never called");
                    break;
                }
                let (removals, status) = site.noted();
                // The removal that it was held in was under way.
                assert_eq!(site.removals(), removals, "{told}");
                assert_eq!(site.status().await, status, "{told}");
                let succeeds = status == Status::Removed;
                assert_eq!(result.outcome == Outcome::Success, succeeds, "{told}: {result:?}");
                let entries = site.host.entries();
                assert_eq!(entries.len(), 1, "{told}");
                assert_eq!(entries[0].entry.policy.generation, id("tenant-a/1"), "{told}");
                assert!(site.host.no_lease_is_held() && site.host.store.open_runs().is_empty(), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn swapped_while_it_asks_for_the_time_a_policy_goes_on_and_the_next_one_is_asked_next() {
    let asking = |says: &str| {
        let mut spec = spec(HOSTILE, says);
        spec.settings.insert("review_mode".to_owned(), "wait".to_owned());
        spec
    };
    // Each look at the clock sees another time, so what the policy answers tells which look was its own.
    let site = Site::bound_to(&asking(OLD)).await;
    let began = site.host.clock.now();
    let (reviewed, _) = site.review(u64::MAX, async {}).await;
    let ReviewResult::WaitUntil(at) = reviewed.result else { panic!("{reviewed:?}") };
    let own = at.as_micros() - 60_000_000 - began.as_micros();
    assert!((1..100).contains(&own), "look {own}");

    let site = Site::bound_to(&asking(OLD)).await;
    let mut keeping = spec(HOSTILE, NEW);
    keeping.settings.insert("review_mode".to_owned(), "keep".to_owned());
    let next = site.host.stage(&tenant_a(), &keeping).await;
    let other = site.host.clone();
    let (reviewed, was_held) = site
        .review(own, async move {
            other.swap(&tenant_a(), next).await;
            other.follow().await;
        })
        .await;
    assert!(was_held);
    assert!(matches!(reviewed.result, ReviewResult::WaitUntil(_)), "{reviewed:?}");
    assert_eq!(reviewed.generation, id("tenant-a/1"));
    let (reviewed, _) = site.review(u64::MAX, async {}).await;
    assert!(matches!(reviewed.result, ReviewResult::Keep(_)), "{reviewed:?}");
    assert_eq!(reviewed.generation, id("tenant-a/2"));
}
