//! One candidate of a sweep, from offer to disposition.

use super::disposal::Failure;
use super::{Decision, Inner, Sweep, SweepItem};
use crate::lifecycle::{OperationResult, ReviewResult, Reviewed};
use crate::model::{ErrorCode, GenerationId, Hold, Outcome, Status, TenantId, Timestamp, TrackedRuntime};
use crate::ports::Disposition;

/// What the walk is told of a candidate.
#[derive(Clone, Copy)]
pub(super) struct Dealt {
    pub(super) decision: Decision,
    /// Its engine does not answer any more, which is no failure of the candidate's.
    pub(super) engine_gone: bool,
}

/// What becomes of a candidate, why, and what is written beside its record.
type Decided = (Decision, String, Option<Disposition>);

impl Inner {
    /// Deals with one candidate, writes what becomes of it, and tells the observer.
    pub(super) async fn offer(
        &self,
        sweep: &Sweep,
        runtime: TrackedRuntime,
        paused: &[TenantId],
        may_remove: bool,
    ) -> Dealt {
        let (decision, reason, mut disposition) = self.decide(sweep, &runtime, paused, may_remove).await;
        let failed = matches!(decision, Decision::Failed | Decision::Parked);
        let by_backend = failed && reason.starts_with(ErrorCode::SERVICE_UNAVAILABLE.as_str());
        let engine_gone = by_backend && !self.answers(&runtime.record.engine).await;
        let decision = if engine_gone { Decision::Failed } else { decision };
        if engine_gone {
            disposition = None;
        }
        if let Some(disposition) = disposition.filter(|_| !sweep.dry_run) {
            self.dispose(&runtime, &disposition).await;
            if decision == Decision::Held {
                self.end_wait_for_a_lifted_hold(sweep, &runtime).await;
            }
        }
        if let (Decision::Removed, Some(container)) = (decision, &runtime.record.container_id) {
            self.unrecorded.settle(&runtime.record.engine, container);
        }
        (sweep.observer)(&SweepItem::new(&runtime, decision, reason));
        Dealt { decision, engine_gone }
    }

    async fn decide(&self, sweep: &Sweep, runtime: &TrackedRuntime, paused: &[TenantId], may_remove: bool) -> Decided {
        let record = &runtime.record;
        if paused.contains(&record.tenant) {
            return (Decision::Paused, format!("tenant {} is paused", record.tenant), None);
        }
        if let Some(hold) = runtime.cleanup.hold.as_ref().filter(|hold| hold.is_active(sweep.now)) {
            return self.held(sweep, runtime, hold);
        }
        let retention = self.options.retention.max(self.lifecycle.retention(&record.tenant));
        let floor_passed_at = record.stopped_at.unwrap_or_default().saturating_add(retention);
        if floor_passed_at > self.present(sweep) {
            return self.below_ceiling(sweep, runtime, floor_passed_at);
        }
        let Reviewed { result, generation } = self.lifecycle.offer(runtime.clone(), floor_passed_at, !may_remove).await;
        match result {
            ReviewResult::WouldHandle => (Decision::WouldRemove, would_remove(sweep), None),
            ReviewResult::WaitUntil(until) => {
                let reason = format!("the policy keeps it until {until}");
                let wait = self.options.retry.wait(runtime, self.present(sweep), until, &reason, generation);
                (Decision::Kept, reason, Some(wait))
            }
            ReviewResult::Keep(why) => {
                let reason = format!("the policy keeps it: {why}");
                let wait = self.options.retry.keep(runtime, self.present(sweep), &reason, generation);
                (Decision::Kept, reason, Some(wait))
            }
            // Nobody is to unpark its games one by one when another generation is bound, so this is no failure of theirs.
            ReviewResult::Faulted(fault) if fault.code == ErrorCode::POLICY_REVOKED => {
                let reason = format!("{}: {}", fault.code, fault.message);
                let wait = self.options.retry.keep(runtime, self.present(sweep), &reason, generation);
                (Decision::Kept, reason, Some(wait))
            }
            // A repaired policy shall be asked at once, so this wait belongs to the generation.
            ReviewResult::Faulted(fault) => {
                let reason = format!("{}: {}", fault.code, fault.message);
                self.failed(runtime, sweep, reason, Some(generation))
            }
            ReviewResult::Busy(why) => (Decision::Busy, format!("{why}; the next sweep looks again"), None),
            ReviewResult::Handled(result) => self.handled(runtime, sweep, &result).await,
        }
    }

    async fn handled(&self, runtime: &TrackedRuntime, sweep: &Sweep, result: &OperationResult) -> Decided {
        let code = result.error_code.as_ref().map_or("", ErrorCode::as_str);
        match result.outcome {
            Outcome::Success if code.is_empty() => (Decision::Removed, "due by the policy's word".to_owned(), None),
            Outcome::Success => (Decision::Removed, "was removed already".to_owned(), None),
            Outcome::Failure => {
                if let Some(container) = &result.removed_container {
                    self.unrecorded.note(&runtime.record.engine, container, self.ports.clock.monotonic());
                }
                let reason = format!("{code}: {}", result.message.as_deref().unwrap_or("no message"));
                self.not_handled(runtime, sweep, reason).await
            }
        }
    }

    /// A cleanup that somebody else's write got in the way of is no failure of the game.
    async fn not_handled(&self, runtime: &TrackedRuntime, sweep: &Sweep, reason: String) -> Decided {
        match self.ports.records.get(&runtime.record.game_id).await {
            // By this run, whose policy then went wrong, or by another: for the breaker it counts.
            Ok(Some(found)) if found.record.status == Status::Removed => {
                (Decision::Removed, format!("removed, but {reason}"), None)
            }
            Ok(found) if found.as_ref().map(|now| now.record.version) != Some(runtime.record.version) => {
                (Decision::Busy, format!("its record changed meanwhile; {reason}"), None)
            }
            Ok(Some(TrackedRuntime { cleanup, .. }))
                if cleanup.hold.as_ref().is_some_and(|hold| hold.is_active(self.present(sweep))) =>
            {
                cleanup.hold.map_or((Decision::Held, reason, None), |hold| self.held(sweep, runtime, &hold))
            }
            // If the record cannot be read, the failure stands as it is.
            Ok(_) | Err(_) => self.failed(runtime, sweep, reason, None),
        }
    }

    /// The tenant's runtimes are kept for longer than the walk's floor. What an admin has set outlives a swap.
    fn below_ceiling(&self, sweep: &Sweep, runtime: &TrackedRuntime, until: Timestamp) -> Decided {
        let reason = format!("the runtimes of tenant {} are kept until {until} at least", runtime.record.tenant);
        let wait = self.options.retry.hold(runtime, self.present(sweep), Some(until), &reason);
        (Decision::Kept, reason, Some(wait))
    }

    fn held(&self, sweep: &Sweep, runtime: &TrackedRuntime, hold: &Hold) -> Decided {
        let reason = format!("held by {}: {}", hold.actor, hold.reason);
        let wait = self.options.retry.hold(runtime, self.present(sweep), hold.until, &reason);
        (Decision::Held, reason, Some(wait))
    }

    fn failed(
        &self,
        runtime: &TrackedRuntime,
        sweep: &Sweep,
        reason: String,
        generation: Option<GenerationId>,
    ) -> Decided {
        let draw = self.draw();
        match self.options.retry.failure(runtime, self.present(sweep), &reason, generation, draw) {
            Failure::Retry(wait) => (Decision::Failed, reason, Some(wait)),
            Failure::Park(park) => (Decision::Parked, reason, Some(park)),
        }
    }

    /// Lifting a hold ends its wait, but not one that is written afterwards by a sweep that had read the hold before.
    async fn end_wait_for_a_lifted_hold(&self, sweep: &Sweep, runtime: &TrackedRuntime) {
        let now = self.present(sweep);
        let Ok(Some(found)) = self.ports.records.get(&runtime.record.game_id).await else { return };
        if found.cleanup.hold.as_ref().is_none_or(|hold| !hold.is_active(now)) {
            let ended = self.options.retry.hold(&found, now, Some(now), "its hold was lifted");
            self.dispose(&found, &ended).await;
        }
    }

    async fn dispose(&self, runtime: &TrackedRuntime, disposition: &Disposition) {
        let record = &runtime.record;
        match self.ports.records.dispose(&record.game_id, record.version, disposition).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::debug!(game_id = %record.game_id, "the record changed meanwhile; no wait was written")
            }
            Err(error) => {
                tracing::warn!(game_id = %record.game_id, %error, "no wait was written; the next sweep asks again");
            }
        }
    }

    /// A number in 0..1 for jitter. Without randomness, the longest wait.
    fn draw(&self) -> f64 {
        let mut bytes = [0; 4];
        match self.ports.randomness.fill(&mut bytes) {
            Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
            Err(error) => {
                tracing::warn!(%error, "no jitter");
                1.0
            }
        }
    }
}

fn would_remove(sweep: &Sweep) -> String {
    let due = "due by the policy's word";
    if sweep.dry_run { due.to_owned() } else { format!("{due}, but past the limit of removals a day") }
}
