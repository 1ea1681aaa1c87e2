//! What a run told its caller, held against the log and the world.

use std::time::Duration;

use super::invariant::Invariant;
use super::plan::Leases;
use super::site::Site;
use super::sometimes::Sometimes;
use crate::adapters::memory::Call;
use crate::lifecycle::OperationResult;
use crate::model::{Author, ErrorCode, LoggedOperation, Outcome};
use crate::ports::Clock as _;

/// After its own time, a run may wait so long for its entry and for the release of its lease.
const AFTER_RUN: Duration = Duration::from_secs(75);
/// To remove a container, a run looks at it, reads the record, and renews its lease before and between.
const CALLS_EACH: u64 = 6;
/// To begin and to end, to settle what is unknown, and to renew its lease while it waits.
const OWN_CALLS: u64 = 100;

/// Checks a run that has ended.
pub(super) fn check(site: &Site, step: u32, game: usize, result: &OperationResult, began: Duration) {
    let code = result.error_code.as_ref().map_or("-", ErrorCode::as_str);
    site.note(&format!("run {step} (g{game})"), format_args!("ended: {} {code}", result.outcome.as_str()));
    let took = site.elapsed().saturating_sub(began);
    let logged = site.store.logged();
    let own: Vec<&LoggedOperation> = logged.iter().filter(|entry| entry.entry.run_id == result.run_id).collect();
    let mut seen = site.seen();
    let witness = &mut seen.witness;
    if result.error_code == Some(ErrorCode::REPLAY_NO_OP) {
        witness.reach(Sometimes::Replayed);
    }
    if result.error_code == Some(ErrorCode::POLICY_REVOKED) {
        witness.reach(Sometimes::NobodyServed);
    }
    let limit = site.limits.run_time + AFTER_RUN;
    let delayed = witness.was_delayed(step);
    witness.require(delayed || took <= limit, Invariant::Bounded, || {
        format!("run {step} took {} s, and {} s are the limit", took.as_secs(), limit.as_secs())
    });
    let (calls, most) = (witness.calls_of(step), calls_at_most(site));
    witness.require(calls <= most, Invariant::Bounded, || {
        format!("run {step} made {calls} calls of ports, and {most} are the limit")
    });
    witness.require(own.len() <= 1, Invariant::OneOutcome, || format!("run {step} has {} entries", own.len()));
    let log_failed = witness.has_missed(step, &[Call::LogAppend, Call::LogNoteFault]);
    match (result.entry, own.first()) {
        (Some(id), Some(logged)) => {
            witness.require(logged.id == id, Invariant::OneOutcome, || {
                format!("run {step} was told that its entry is {}, and it is {}", id.0, logged.id.0)
            });
            let agrees = log_failed || logged.entry.author == Author::Recovery || agree(logged, result);
            witness.require(agrees, Invariant::OneOutcome, || {
                format!("the entry of run {step} says something else than its caller was told")
            });
        }
        (Some(id), None) => {
            witness.breach(Invariant::OneOutcome, format!("entry {} of run {step} is not in the log", id.0));
        }
        (None, _) => {
            witness.reach(Sometimes::EntryLost);
            witness.require(log_failed, Invariant::OneOutcome, || {
                format!("run {step} has no entry, though the log took all that it was given")
            });
        }
    }
    drop(seen);
    check_success(site, step, game, result);
    check_lease(site, step);
}

/// A call of a policy's takes so many of ports at most, and a run some of its own.
fn calls_at_most(site: &Site) -> u64 {
    u64::from(site.limits.calls).saturating_mul(CALLS_EACH).saturating_add(OWN_CALLS)
}

/// Checks what a sweep leaves behind.
pub(super) fn check_sweep(site: &Site, step: u32) {
    check_lease(site, step);
}

fn agree(logged: &LoggedOperation, result: &OperationResult) -> bool {
    let entry = &logged.entry;
    let (outcome, code) = match &entry.fault {
        Some(fault) => (Outcome::Failure, Some(&fault.code)),
        None => (entry.outcome, entry.error_code.as_ref()),
    };
    (outcome, code) == (result.outcome, result.error_code.as_ref())
}

/// Success without a change of its own, or the record read as removed, is a lie.
fn check_success(site: &Site, step: u32, game: usize, result: &OperationResult) {
    if result.outcome != Outcome::Success {
        return;
    }
    let mut seen = site.seen();
    let changed = seen.witness.changed.values().any(|of| *of == step);
    let replayed = result.error_code == Some(ErrorCode::REPLAY_NO_OP);
    seen.witness.require(changed || replayed, Invariant::OneOutcome, || {
        format!("run {step} on g{game} succeeded and changed nothing")
    });
}

/// A run that ended has given its lease back, unless the store did not take it.
fn check_lease(site: &Site, step: u32) {
    if site.leases != Leases::Honest {
        return;
    }
    let now = site.clock.now();
    let mut seen = site.seen();
    let lost = seen.witness.has_missed(step, &[Call::LeaseRelease, Call::LeaseTryAcquire, Call::LeaseRenew]);
    let left = seen.witness.tokens_of(step).find_map(|(game, token)| {
        let (holder, until) = site.store.lease(game)?;
        (holder == *token && now < until).then(|| game.clone())
    });
    if let Some(game) = left.filter(|_| !lost) {
        seen.witness.breach(Invariant::LeaseEnds, format!("step {step} ended and left the lease of {game} held"));
    }
}
