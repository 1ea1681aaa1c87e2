//! How rollouts end by themselves. Any host may end one: the store lets it happen once.

use super::Watcher;
use super::scope::ScopeBindings;
use super::tally::Tried;
use super::watch::in_time;
use crate::access::{Caller, Deed, Failure, Unrecorded};
use crate::model::{ErrorChain, PolicyName, PolicyScope, PolicyVersion, Rollout, RolloutCounts, Signed};
use crate::ports::{StoreError, SwapError, SwapKind};

/// Why a rollout did not end.
#[derive(Debug, thiserror::Error)]
enum Undone {
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
    #[error(transparent)]
    Swap(#[from] SwapError),
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Self::Swap(error.into())
    }
}

impl Failure for Undone {
    fn code(&self) -> &str {
        match self {
            Self::Unrecorded(_) => "service_unavailable",
            Self::Swap(SwapError::Store(error)) => error.code(),
            Self::Swap(_) => "conflict",
        }
    }

    fn may_have_happened(&self) -> bool {
        matches!(self, Self::Swap(SwapError::Store(error)) if error.may_have_happened())
    }
}

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

    async fn carry_out(&self, known: &ScopeBindings, number: u64, verdict: Verdict) -> Result<(), Undone> {
        if verdict == Verdict::GoOn || !self.is_under_way(&known.scope, number).await? {
            return Ok(());
        }
        let ended = match &verdict {
            Verdict::GoOn => return Ok(()),
            Verdict::GiveUp(reason) => self.give_up(&known.scope, number, reason).await,
            Verdict::Promote(reason) => self.promote(known, number, reason).await,
        };
        let scope = &known.scope;
        match (ended, verdict) {
            (Ok(()), Verdict::GiveUp(reason)) => {
                self.metrics.rollout_ended("given_up");
                tracing::error!(%scope, number, reason, "a rollout was given up");
            }
            (Ok(()), Verdict::Promote(reason)) => {
                self.metrics.rollout_ended("promoted");
                tracing::info!(%scope, number, reason, "a rollout was promoted");
            }
            (Ok(()), Verdict::GoOn) => {}
            (Err(error @ (Undone::Unrecorded(_) | Undone::Swap(SwapError::Store(_)))), _) => return Err(error),
            // Somebody else was faster.
            (Err(error), _) => tracing::debug!(%scope, number, %error, "a rollout did not end so"),
        }
        Ok(())
    }

    /// Asked first, so that of many hosts that see the same few tell the trail of it.
    async fn is_under_way(&self, scope: &PolicyScope, number: u64) -> Result<bool, StoreError> {
        let state = in_time(self.stores.generations.state(scope)).await?;
        Ok(state.and_then(|state| state.rollout).is_some_and(|rollout| rollout.number == number))
    }

    async fn give_up(&self, scope: &PolicyScope, number: u64, reason: &str) -> Result<(), Undone> {
        let (generations, signed, of) = (self.stores.generations.clone(), self.signed(reason), scope.clone());
        let ending = async move {
            match in_time(generations.end_rollout(&of, number, &signed)).await? {
                true => Ok(()),
                false => Err(SwapError::Rollout("the rollout is over already").into()),
            }
        };
        let deed = Deed::new("policy.end_rollout", scope).with("number", number).with("reason", reason.to_owned());
        self.stores.trail.audited(&self.caller(), deed, ending).await
    }

    async fn promote(&self, known: &ScopeBindings, number: u64, reason: &str) -> Result<(), Undone> {
        let Some(candidate) = &known.candidate else { return Ok(()) };
        let digest = candidate.binding.reference.digest.clone();
        let called = self.called(known, number).await?;
        let expected = known.reference().and_then(|current| current.generation.number());
        let (generations, signed, scope) = (self.stores.generations.clone(), self.signed(reason), known.scope.clone());
        let deed = Deed::new("policy.promote", &scope)
            .with("number", number)
            .with("digest", digest.as_str())
            .with("reason", reason.to_owned());
        let promoting = async move {
            let mark = called.as_ref().map(|(name, version)| (name, version));
            Ok(generations.swap(&scope, expected, number, SwapKind::Promote, mark, &signed).await?)
        };
        self.stores.trail.audited(&self.caller(), deed, promoting).await
    }

    /// What the policy of a generation was called when it was rolled out; of one that does not tell, what its component
    /// is called.
    async fn called(
        &self,
        known: &ScopeBindings,
        number: u64,
    ) -> Result<Option<(PolicyName, PolicyVersion)>, StoreError> {
        let mut generations = known.state.iter().flat_map(|state| super::scope::wanted(state));
        let Some(spec) = generations.find(|generation| generation.number == number).map(|it| &it.spec) else {
            return Ok(None);
        };
        if spec.called.is_some() {
            return Ok(spec.called.clone());
        }
        let named = in_time(self.stores.policies.named(&spec.digest)).await?;
        let open = named.into_iter().find(|policy| policy.is_open_to(known.scope.tenant()));
        Ok(open.map(|policy| (policy.name, policy.version)))
    }

    fn caller(&self) -> Caller {
        Caller::admin(format!("host:{}", self.replica))
    }

    fn signed(&self, reason: &str) -> Signed {
        Signed { at: self.stores.clock.now(), actor: self.caller().actor, reason: reason.to_owned() }
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
    // A run that ended otherwise than the one beside it is for people to judge.
    let clean = sum.runs.saturating_sub(sum.divergences);
    if goal.clean_runs.is_some_and(|runs| clean >= runs) {
        return Verdict::Promote(format!("{clean} clean runs"));
    }
    // What was never run has not proven itself.
    if sum.runs > 0 && goal.promote_at.is_some_and(|at| at <= now) {
        return Verdict::Promote(format!("its time has come, after {} runs without a fault", sum.runs));
    }
    Verdict::GoOn
}
