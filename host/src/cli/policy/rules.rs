//! What is allowed in a scope, and whose signatures count there.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::{Answer, Error, render};
use super::Desk;
use super::arguments::{LimitArg, limit, limits, read};
use super::text::{key_table, rules_text};
use crate::model::{Ceiling, Grant, PolicyScope};
use crate::signing::PublicKey;
use crate::views::{Page, PolicyRules, PolicySigner};

#[derive(Debug, Subcommand)]
pub(super) enum CeilingCommand {
    /// Shows what is allowed in a scope
    Show {
        /// The tenant, or '*'
        tenant: PolicyScope,
    },
    /// Sets what is allowed in a scope, all of it: what is not given has no bound but the host's
    Set(SetCeiling),
    /// Takes a scope's own ceiling away: that of '*' holds there
    Clear {
        /// The tenant, or '*'
        tenant: PolicyScope,
    },
}

#[derive(Debug, Args)]
pub(super) struct SetCeiling {
    /// The tenant, or '*'
    tenant: PolicyScope,
    /// The most that a limit may be: NAME=VALUE, such as calls=100 or run_time=5s; may be repeated
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit)]
    limits: Vec<LimitArg>,
    /// What may be granted, such as docker.remove; may be repeated [default: all there is]
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<Grant>,
    /// Take signed policies only
    #[arg(long)]
    signature_required: bool,
    /// Keep runtimes at least so many days, whatever their policy says
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    retention_days: u32,
}

#[derive(Debug, Args)]
pub(super) struct Keys {
    /// The tenant, or '*' for keys that are trusted in every scope
    tenant: PolicyScope,
}

#[derive(Debug, Args)]
pub(super) struct Trust {
    /// The tenant, or '*' for every scope
    tenant: PolicyScope,
    /// The public key's file: as `policy key new` or `openssl pkey -pubout` writes it
    key: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Distrust {
    /// The tenant, or '*' for keys that are trusted in every scope
    tenant: PolicyScope,
    /// The key's id
    key: String,
}

impl CeilingCommand {
    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        let scope = match self {
            Self::Show { tenant } => tenant,
            Self::Clear { tenant } => {
                desk.policies.set_ceiling(&desk.caller, &tenant, None).await?;
                tenant
            }
            Self::Set(set) => {
                let ceiling = Ceiling {
                    limits: limits(set.limits),
                    grants: (!set.grants.is_empty()).then(|| set.grants.into_iter().collect()),
                    signature_required: set.signature_required,
                    retention_days: set.retention_days,
                };
                desk.policies.set_ceiling(&desk.caller, &set.tenant, Some(ceiling)).await?;
                set.tenant
            }
        };
        let view = PolicyRules::from(&desk.policies.rules(&desk.caller, &scope).await?);
        Ok(Answer::ok(if desk.json { render::json(&view)? } else { rules_text(&scope, &view) }))
    }
}

impl Keys {
    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        let rules = desk.policies.rules(&desk.caller, &self.tenant).await?;
        let page = Page { items: rules.keys.iter().map(PolicySigner::from).collect(), next: None };
        Ok(Answer::ok(if desk.json { render::json(&page)? } else { key_table(&page) }))
    }
}

impl Trust {
    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        let key = PublicKey::from_pem(&read(&self.key, 16 << 10)?)?;
        let view = PolicySigner::from(&desk.policies.add_key(&desk.caller, &self.tenant, &key).await?);
        if desk.json {
            return Ok(Answer::ok(render::json(&view)?));
        }
        Ok(Answer::ok(format!("{} trusts key {}\n", self.tenant, view.id)))
    }
}

impl Distrust {
    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        desk.policies.revoke_key(&desk.caller, &self.tenant, &self.key).await?;
        if desk.json {
            let said = serde_json::json!({ "scope": self.tenant.as_str(), "revoked": self.key });
            return Ok(Answer::ok(render::json(&said)?));
        }
        Ok(Answer::ok(format!("{} trusts key {} no more; what is bound stays bound\n", self.tenant, self.key)))
    }
}
