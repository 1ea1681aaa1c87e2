//! What serves a scope: bound, tried, rolled back, revoked, taken away.

use std::str::FromStr;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::super::{Answer, Error, render};
use super::Desk;
use super::arguments::{LimitArg, canary, limit, limits, pair, quoted, span};
use super::text::{bound_text, revoked_text};
use crate::model::{GenerationId, Grant, InvalidId, PolicyDigest, PolicyScope, Revocation, RolloutMode};
use crate::policies::{self, PolicyId, RollBack, RolloutOrder};
use crate::views::{BoundPolicy, PolicyGeneration, PolicyRevocation};

#[derive(Debug, Args)]
pub(super) struct Bind {
    /// The tenant, or '*' for those without a binding of their own
    tenant: PolicyScope,
    /// NAME@VERSION, or a digest
    policy: PolicyId,
    /// What the policy reads through wasi:config/store; may be repeated
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// How much less than allowed it may use: NAME=VALUE, such as calls=100 or run_time=5s; may be repeated
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit)]
    limits: Vec<LimitArg>,
    /// What it may import and do, such as docker.remove; may be repeated [default: what its imports take]
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<Grant>,
    /// Why
    #[arg(long)]
    reason: String,
    /// Only if this generation is current; 0: only if the tenant has none
    #[arg(long, value_name = "NUMBER")]
    expect: Option<u64>,
    /// Accept that it may do more than what serves now
    #[arg(long)]
    accept_authority: bool,
    /// How long to wait for all hosts to be ready to serve it
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = span)]
    wait: Duration,
    /// Go on even if some are not: they keep to what they serve until they are
    #[arg(long)]
    leave_behind: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("mode").required(true).args(["shadow", "canary"])))]
pub(super) struct Rollout {
    #[command(flatten)]
    bind: Bind,
    /// Run it beside the current one, without effect, and tell where they differ
    #[arg(long)]
    shadow: bool,
    /// Let it serve a part of the games, such as 5%
    #[arg(long, value_name = "PERCENT", value_parser = canary)]
    canary: Option<RolloutMode>,
    /// Make it current after so many runs without a fault
    #[arg(long, value_name = "NUMBER")]
    clean_runs: Option<u64>,
    /// Make it current after so long without a fault
    #[arg(long, value_name = "SPAN", value_parser = span)]
    promote_after: Option<Duration>,
    /// Give it up at the first divergence, too
    #[arg(long)]
    stop_on_divergence: bool,
}

#[derive(Debug, Args)]
pub(super) struct OfScope {
    /// The tenant, or '*'
    tenant: PolicyScope,
    /// Why
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The tenant, or '*'
    tenant: PolicyScope,
    /// The generation's number [default: the one that served before; so doing it twice goes back and forth]
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
    /// Only if this generation is current
    #[arg(long, value_name = "NUMBER")]
    expect: Option<u64>,
    /// Let a rollout of another generation go on; otherwise it is given up
    #[arg(long)]
    keep_rollout: bool,
    /// Why
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// A generation such as acme/7, or the digest of a component
    subject: Subject,
    /// Why
    #[arg(long)]
    reason: String,
}

/// What to revoke.
#[derive(Debug, Clone)]
struct Subject(Revocation);

impl FromStr for Subject {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.contains('/') {
            return text.parse::<GenerationId>().map(|id| Self(Revocation::Generation(id)));
        }
        text.parse::<PolicyDigest>().map(|digest| Self(Revocation::Component(digest)))
    }
}

impl Bind {
    fn order(self) -> (PolicyScope, policies::Bind) {
        let bind = policies::Bind {
            policy: self.policy,
            settings: self.settings.into_iter().collect(),
            limits: limits(self.limits),
            grants: (!self.grants.is_empty()).then(|| self.grants.into_iter().collect()),
            reason: self.reason,
            expected: self.expect,
            accept_authority: self.accept_authority,
            patience: self.wait,
            leave_behind: self.leave_behind,
        };
        (self.tenant, bind)
    }

    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        let (scope, bind) = self.order();
        let policy = bind.policy.to_string();
        let view = BoundPolicy::from(&desk.policies.bind(&desk.caller, &scope, bind).await?);
        if desk.json {
            return Ok(Answer::ok(render::json(&view)?));
        }
        Ok(Answer::ok(bound_text(&scope, &policy, &view, "serves now") + &undo(&scope, view.before)))
    }
}

/// The command that takes a binding back.
fn undo(scope: &PolicyScope, before: Option<u64>) -> String {
    let scope = quoted(scope.as_str());
    match before {
        Some(before) => format!("undo it with: rtmanager policy rollback {scope} --to {before} --reason …\n"),
        None => format!("undo it with: rtmanager policy unbind {scope} --reason …\n"),
    }
}

impl Rollout {
    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        let Self { bind, canary, clean_runs, promote_after, stop_on_divergence, .. } = self;
        let (scope, bind) = bind.order();
        let policy = bind.policy.to_string();
        let mode = canary.unwrap_or(RolloutMode::Shadow);
        let order = RolloutOrder { bind, mode, clean_runs, promote_after, stop_on_divergence };
        let view = BoundPolicy::from(&desk.policies.start_rollout(&desk.caller, &scope, order).await?);
        if desk.json {
            return Ok(Answer::ok(render::json(&view)?));
        }
        let said = match mode {
            RolloutMode::Shadow => "is tried as a shadow".to_owned(),
            RolloutMode::Canary { per_myriad } => {
                format!("is tried on {}% of the games", f64::from(per_myriad) / 100.0)
            }
        };
        let named = quoted(scope.as_str());
        let next = format!(
            "look at it with: rtmanager policy status {named}\nend it with: rtmanager policy rollout-promote {named} \
             --reason …, or rollout-end\n"
        );
        Ok(Answer::ok(bound_text(&scope, &policy, &view, &said) + &next))
    }
}

impl OfScope {
    pub(super) async fn promote(self, desk: &Desk) -> Result<Answer, Error> {
        let number = desk.policies.promote(&desk.caller, &self.tenant, &self.reason).await?;
        said(desk, &self.tenant, Some(number), "serves now")
    }

    pub(super) async fn end_rollout(self, desk: &Desk) -> Result<Answer, Error> {
        let number = desk.policies.end_rollout(&desk.caller, &self.tenant, &self.reason).await?;
        said(desk, &self.tenant, Some(number), "is not tried any more")
    }

    pub(super) async fn unbind(self, desk: &Desk) -> Result<Answer, Error> {
        desk.policies.unbind(&desk.caller, &self.tenant, &self.reason).await?;
        said(desk, &self.tenant, None, "has no binding of its own any more")
    }
}

fn said(desk: &Desk, scope: &PolicyScope, number: Option<u64>, said: &str) -> Result<Answer, Error> {
    let subject = number.map_or_else(|| scope.to_string(), |number| GenerationId::numbered(scope, number).to_string());
    if desk.json {
        return Ok(Answer::ok(render::json(&serde_json::json!({ "subject": subject, "said": said }))?));
    }
    Ok(Answer::ok(format!("{subject} {said}\n")))
}

impl Rollback {
    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        let (to, expected, keep_rollout) = (self.to, self.expect, self.keep_rollout);
        let order = RollBack { to, expected, keep_rollout, reason: self.reason };
        let generation = desk.policies.roll_back(&desk.caller, &self.tenant, order).await?;
        if desk.json {
            return Ok(Answer::ok(render::json(&PolicyGeneration::from(&generation))?));
        }
        Ok(Answer::ok(format!("{} serves {} again\n", generation.id(), self.tenant)))
    }
}

impl Revoke {
    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        let revoked = desk.policies.revoke(&desk.caller, self.subject.0, &self.reason).await?;
        let view = PolicyRevocation::from(&revoked);
        Ok(Answer::ok(if desk.json { render::json(&view)? } else { revoked_text(&view) }))
    }
}
