//! How rollouts end by themselves. Any host may end one: the store lets it happen once.

use super::Watcher;
use super::scope::ScopeBindings;
use super::tally::Tried;
use super::watch::in_time;
use crate::model::{ErrorChain, PolicyScope, Rollout, RolloutCounts, Signed};
use crate::ports::{StoreError, SwapError, SwapKind};

/// Who ends a rollout that nobody ended.
const ACTOR: &str = "rollout";

/// What is to become of a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    GoOn,
    GiveUp(String),
    Promote(String),
}

impl Watcher {
    /// Adds up what runs have shown, and ends the rollouts that are to end by it, or whose time has come.
    pub(super) async fn settle_rollouts(&self) -> Result<(), StoreError> {
        let mut failed = None;
        for ((scope, number), tried) in self.registry.tally().take() {
            if let Err(error) = self.settle(&scope, number, &tried).await {
                self.registry.tally().add((scope, number), tried);
                failed = Some(error);
            }
        }
        let now = self.stores.clock.now();
        for scope in self.registry.scopes() {
            let Some(rollout) = scope.candidate.as_ref().map(|candidate| &candidate.rollout) else { continue };
            if rollout.goal.promote_at.is_some_and(|at| at <= now) {
                self.settle(&scope.scope, rollout.number, &Tried::default()).await?;
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn settle(&self, scope: &PolicyScope, number: u64, tried: &Tried) -> Result<(), StoreError> {
        let generations = &self.stores.generations;
        let Some(sum) = in_time(generations.count_rollout(scope, number, &tried.counts)).await? else { return Ok(()) };
        // From here on nothing is counted again: what fails is told, and found once more by its sum.
        for divergence in &tried.divergences {
            if let Err(error) = in_time(generations.add_divergence(scope, number, divergence)).await {
                tracing::warn!(%scope, number, error = %ErrorChain(&error), "a divergence was counted, but not kept");
            }
        }
        let Some(known) = self.registry.scope(scope) else { return Ok(()) };
        let rollout = known.candidate.as_ref().map(|candidate| &candidate.rollout);
        let Some(rollout) = rollout.filter(|rollout| rollout.number == number) else { return Ok(()) };
        let verdict = judge(rollout, sum, tried, self.stores.clock.now());
        if let Err(error) = self.carry_out(&known, number, verdict).await {
            tracing::warn!(%scope, number, error = %ErrorChain(&error), "a rollout was to end, and goes on for now");
            // Looked at again at the next turn.
            self.registry.tally().add((scope.clone(), number), Tried::default());
        }
        Ok(())
    }

    async fn carry_out(&self, known: &ScopeBindings, number: u64, verdict: Verdict) -> Result<(), StoreError> {
        let scope = &known.scope;
        match verdict {
            Verdict::GoOn => Ok(()),
            Verdict::GiveUp(reason) => {
                let signed = self.signed(&reason);
                if in_time(self.stores.generations.end_rollout(scope, number, &signed)).await? {
                    self.metrics.rollout_ended("given_up");
                    tracing::error!(%scope, number, reason, "a rollout was given up");
                }
                Ok(())
            }
            Verdict::Promote(reason) => self.promote(known, number, &reason).await,
        }
    }

    async fn promote(&self, known: &ScopeBindings, number: u64, reason: &str) -> Result<(), StoreError> {
        let scope = &known.scope;
        let Some(candidate) = &known.candidate else { return Ok(()) };
        let artifact = in_time(self.stores.policies.get(&candidate.binding.reference.digest)).await?;
        let mark = artifact.as_ref().map(|artifact| (&artifact.name, &artifact.version));
        let expected = known.reference().and_then(|current| current.generation.number());
        let signed = self.signed(reason);
        match self.stores.generations.swap(scope, expected, number, SwapKind::Promote, mark, &signed).await {
            Ok(()) => {
                self.metrics.rollout_ended("promoted");
                tracing::info!(%scope, number, reason, "a rollout was promoted");
                Ok(())
            }
            Err(SwapError::Store(error)) => Err(error),
            // Somebody else was faster.
            Err(error) => {
                tracing::debug!(%scope, number, %error, "a rollout was not promoted");
                Ok(())
            }
        }
    }

    fn signed(&self, reason: &str) -> Signed {
        Signed { at: self.stores.clock.now(), actor: ACTOR.to_owned(), reason: reason.to_owned() }
    }
}

/// Faults come first: a generation with one is never promoted.
fn judge(rollout: &Rollout, sum: RolloutCounts, tried: &Tried, now: crate::model::Timestamp) -> Verdict {
    let goal = rollout.goal;
    if sum.faults > 0 {
        let which = tried.fault.as_ref().map(|fault| format!(", the last of them {}: {}", fault.code, fault.message));
        return Verdict::GiveUp(format!("{} faults in {} runs{}", sum.faults, sum.runs, which.unwrap_or_default()));
    }
    if goal.stop_on_divergence && sum.divergences > 0 {
        return Verdict::GiveUp(format!(
            "{} of {} runs differ from the current generation's",
            sum.divergences, sum.runs
        ));
    }
    if goal.clean_runs.is_some_and(|runs| sum.runs >= runs) {
        return Verdict::Promote(format!("{} runs without a fault", sum.runs));
    }
    // What was never run has not proven itself.
    if sum.runs > 0 && goal.promote_at.is_some_and(|at| at <= now) {
        return Verdict::Promote(format!("its time has come, after {} runs without a fault", sum.runs));
    }
    Verdict::GoOn
}
