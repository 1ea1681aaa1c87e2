//! Trying a generation before it serves: as a shadow, or on some of the games.

use std::time::Duration;

use super::binding::{Bind, Bound, Examination, deed, resolved};
use super::{Error, Policies, may_change};
use crate::access::{Caller, Deed};
use crate::model::{PolicyScope, Rollout, RolloutCounts, RolloutGoal, RolloutMode, Signed};
use crate::ports::{SwapError, SwapKind};

/// How to try a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutOrder {
    /// What to bind, should it prove itself.
    pub bind: Bind,
    /// How it is tried.
    pub mode: RolloutMode,
    /// Becomes current after so many runs without a fault.
    pub clean_runs: Option<u64>,
    /// Becomes current after so long without a fault.
    pub promote_after: Option<Duration>,
    /// Ends at the first divergence, too.
    pub stop_on_divergence: bool,
}

impl Policies {
    /// Begins to roll a generation out. It is examined as if it were bound.
    pub async fn start_rollout(
        &self,
        caller: &Caller,
        scope: &PolicyScope,
        order: RolloutOrder,
    ) -> Result<Bound, Error> {
        may_change(caller, scope)?;
        let signed = self.signed(caller, &order.bind.reason)?;
        let mode = match order.mode {
            RolloutMode::Shadow => "shadow".to_owned(),
            RolloutMode::Canary { per_myriad } => format!("canary {per_myriad}/10000"),
        };
        let deed = deed("policy.rollout", scope, &order.bind).with("mode", mode);
        let (desk, scope, by) = (self.clone(), scope.clone(), caller.clone());
        self.0.trail.audited(caller, deed, async move { desk.try_out(&by, &scope, &order, &signed).await }).await
    }

    async fn try_out(
        &self,
        caller: &Caller,
        scope: &PolicyScope,
        order: &RolloutOrder,
        signed: &Signed,
    ) -> Result<Bound, Error> {
        let _busy = self.0.busy.enter(scope)?;
        let underway = self.0.generations.state(scope).await?.and_then(|state| state.rollout);
        if underway.is_some() {
            // Told before anything is staged; the store says so, too, if one begins meanwhile.
            return Err(SwapError::Rollout("a rollout is under way already").into());
        }
        let (before, examined) = self.examine_to_swap(scope, &order.bind).await?;
        if before.is_none() {
            let detail = "a rollout is tried beside a generation of the scope's own, and it has none: bind it first";
            return Err(Error::Invalid(detail.to_owned()));
        }
        let Examination { spec, change, scenarios, .. } = examined;
        let generation = self.stage(scope, &spec, signed).await?;
        let behind = self.ready(caller, &generation, before, &order.bind).await?;
        let promote_at = order.promote_after.map(|span| self.0.clock.now().saturating_add(span));
        let goal =
            RolloutGoal { clean_runs: order.clean_runs, promote_at, stop_on_divergence: order.stop_on_divergence };
        let (number, counts) = (generation.number, RolloutCounts::default());
        let rollout = Rollout { number, mode: order.mode, goal, counts, started: signed.clone() };
        let (generations, of) = (self.0.generations.clone(), scope.clone());
        let starting = async move { Ok::<_, Error>(generations.start_rollout(&of, before, &rollout).await?) };
        self.0.trail.audited(caller, resolved("policy.try", &generation), starting).await?;
        Ok(Bound { generation, before, change, scenarios, behind })
    }

    /// Makes the generation that is rolled out current now.
    pub async fn promote(&self, caller: &Caller, scope: &PolicyScope, reason: &str) -> Result<u64, Error> {
        may_change(caller, scope)?;
        let signed = self.signed(caller, reason)?;
        let deed = Deed::new("policy.promote", scope).with("reason", reason.to_owned());
        let (desk, scope) = (self.clone(), scope.clone());
        let promoting = async move {
            let state = desk.bound(&scope).await?;
            let number = state.rollout.map(|rollout| rollout.number).ok_or_else(none)?;
            let current = state.current.map(|generation| generation.number);
            let spec = desk.generation(&scope, number).await?.spec;
            desk.check_allowed(&scope, &spec).await?;
            let artifact = desk.policy_of(&scope, &spec).await?;
            let mark = artifact.as_ref().map(|artifact| (&artifact.name, &artifact.version));
            desk.0.generations.swap(&scope, current, number, SwapKind::Promote, mark, &signed).await?;
            Ok::<_, Error>(number)
        };
        self.0.trail.audited(caller, deed, promoting).await
    }

    /// Gives up the generation that is rolled out.
    pub async fn end_rollout(&self, caller: &Caller, scope: &PolicyScope, reason: &str) -> Result<u64, Error> {
        may_change(caller, scope)?;
        let signed = self.signed(caller, reason)?;
        let deed = Deed::new("policy.end_rollout", scope).with("reason", reason.to_owned());
        let (desk, scope) = (self.clone(), scope.clone());
        let ending = async move {
            let number = desk.bound(&scope).await?.rollout.map(|rollout| rollout.number).ok_or_else(none)?;
            let ended = desk.0.generations.end_rollout(&scope, number, &signed).await?;
            ended.then_some(number).ok_or_else(none)
        };
        self.0.trail.audited(caller, deed, ending).await
    }
}

fn none() -> Error {
    SwapError::Rollout("no rollout is under way").into()
}
