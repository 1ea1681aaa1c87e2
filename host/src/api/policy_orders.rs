//! What people order of policies, as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use crate::config::show_span;
use crate::model::{Grants, RolloutMode};
use crate::policies::{Bind, RolloutOrder};
use crate::views::PolicyLimits;

/// How long hosts are waited for if nobody says.
const PATIENCE: Duration = Duration::from_secs(10);
/// And at most.
const LONGEST_PATIENCE: Duration = Duration::from_secs(120);

/// What to bind a scope to, and how.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BindOrder {
    /// `NAME@VERSION`, or the digest of the component.
    policy: String,
    /// What the policy reads through `wasi:config/store`.
    #[serde(default)]
    settings: BTreeMap<String, String>,
    /// How much less than the ceiling allows it may use.
    #[serde(default)]
    limits: PolicyLimits,
    /// What it may import and do; what its imports take if not given.
    grants: Option<Vec<String>>,
    /// 1 to 1,024 bytes.
    reason: String,
    /// The generation that has to be current, 0 meaning that the scope has none; whichever is if not given.
    expected: Option<u64>,
    /// Whether the new one may do more than the current one.
    #[serde(default)]
    accept_authority: bool,
    /// How long to wait for all hosts to be ready to serve it, up to 120,000; 10,000 if not given.
    wait_ms: Option<u64>,
    /// Whether to swap even if some are not: they keep to the current one until they are.
    #[serde(default)]
    leave_behind: bool,
}

/// What to bind a scope to once it has proved itself, and how to try it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TryOrder {
    /// `NAME@VERSION`, or the digest of the component.
    policy: String,
    /// As for a binding.
    #[serde(default)]
    settings: BTreeMap<String, String>,
    /// As for a binding.
    #[serde(default)]
    limits: PolicyLimits,
    /// As for a binding.
    grants: Option<Vec<String>>,
    /// 1 to 1,024 bytes.
    reason: String,
    /// As for a binding.
    expected: Option<u64>,
    /// As for a binding.
    #[serde(default)]
    accept_authority: bool,
    /// As for a binding.
    wait_ms: Option<u64>,
    /// As for a binding.
    #[serde(default)]
    leave_behind: bool,
    /// `"shadow"`, or `{"canary_percent": 5}`.
    mode: TryMode,
    /// Becomes current after so many runs without a fault.
    clean_runs: Option<u64>,
    /// Becomes current after so long without a fault.
    promote_after_ms: Option<u64>,
    /// Whether it is given up at the first divergence, too.
    #[serde(default)]
    stop_on_divergence: bool,
}

/// How a generation is tried.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum TryMode {
    /// Beside the current one, without effect.
    Shadow,
    /// Instead of the current one, for so many percent of the games: 0.01 to 100.
    CanaryPercent(f64),
}

/// Back to an earlier generation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollBackOrder {
    /// Its number; the one before the current one if not given.
    pub to: Option<u64>,
    /// The generation that has to be current.
    pub expected: Option<u64>,
    /// Whether a rollout of another generation goes on beside it; otherwise it is given up.
    #[serde(default)]
    pub keep_rollout: bool,
    /// 1 to 1,024 bytes.
    pub reason: String,
}

/// Away with a generation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeOrder {
    /// Its number.
    pub generation: u64,
    /// 1 to 1,024 bytes.
    pub reason: String,
}

/// Why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// 1 to 1,024 bytes.
    pub reason: String,
}

/// Whose policy a path is about, as it is described; read as a segment.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "a description")]
pub(super) struct OfScope {
    /// The tenant; `*` for those without a binding of their own.
    tenant: String,
}

/// Why, in a request without a body.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Reason {
    /// 1 to 1,024 bytes.
    pub reason: String,
}

/// A key to trust.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyOrder {
    /// The public key: ed25519, as `openssl pkey -pubout` writes it.
    pub public_key: String,
}

/// The number of a generation, from a path.
pub(super) fn generation_number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::invalid_request("a generation is named by its number"))
}

impl TryFrom<BindOrder> for Bind {
    type Error = Problem;

    fn try_from(order: BindOrder) -> Result<Self, Problem> {
        let grants = order.grants.map(|grants| grants.iter().map(|text| text.parse()).collect::<Result<Grants, _>>());
        let patience = order.wait_ms.map_or(PATIENCE, Duration::from_millis);
        if patience > LONGEST_PATIENCE {
            let most = show_span(LONGEST_PATIENCE);
            return Err(Problem::invalid_request(format!("wait_ms is more than {most}")));
        }
        Ok(Self {
            policy: order.policy.parse()?,
            settings: order.settings,
            limits: (&order.limits).into(),
            grants: grants.transpose().map_err(|error| Problem::invalid_request(error.to_string()))?,
            reason: order.reason,
            expected: order.expected,
            accept_authority: order.accept_authority,
            patience,
            leave_behind: order.leave_behind,
        })
    }
}

impl TryFrom<TryOrder> for RolloutOrder {
    type Error = Problem;

    fn try_from(order: TryOrder) -> Result<Self, Problem> {
        let mode = match order.mode {
            TryMode::Shadow => RolloutMode::Shadow,
            TryMode::CanaryPercent(percent) => RolloutMode::of_percent(percent)
                .ok_or_else(|| Problem::invalid_request("canary_percent must be 0.01 to 100, in hundredths"))?,
        };
        let TryOrder { policy, settings, limits, grants, reason, expected, accept_authority, wait_ms, .. } = order;
        let leave_behind = order.leave_behind;
        let bind =
            BindOrder { policy, settings, limits, grants, reason, expected, accept_authority, wait_ms, leave_behind };
        Ok(Self {
            bind: bind.try_into()?,
            mode,
            clean_runs: order.clean_runs,
            promote_after: order.promote_after_ms.map(Duration::from_millis),
            stop_on_divergence: order.stop_on_divergence,
        })
    }
}
