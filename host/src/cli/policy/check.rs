//! Whether a host would take a policy.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::super::{Answer, Error, render};
use super::Desk;
use super::arguments::{pair, read};
use super::text::{component_text, examination_text};
use crate::app;
use crate::config::Loaded;
use crate::model::{LimitOverrides, PolicyScope};
use crate::policies::{Bind, PolicyId};
use crate::views::PolicyExamination;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// A component's file, which takes no store; or NAME@VERSION or a digest of a policy in the store
    policy: String,
    /// As if it were bound for this tenant
    #[arg(long, value_name = "TENANT", default_value = "*")]
    tenant: PolicyScope,
    /// What it would read through wasi:config/store; may be repeated
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
}

impl Check {
    pub(super) async fn run(self, loaded: Loaded, operator: String, json: bool) -> Result<Answer, Error> {
        let (file, settings) = (Path::new(&self.policy), self.settings.into_iter().collect());
        if file.is_file() {
            let component = read(file, loaded.config.admission.shape.component_bytes)?;
            let view = app::check_component(&loaded.config, component, settings).await??;
            return Ok(Answer::ok(if json { render::json(&view)? } else { component_text(&self.policy, &view) }));
        }
        let Ok(policy) = self.policy.parse::<PolicyId>() else {
            let detail = format!("{:?} is no file, no NAME@VERSION and no digest", self.policy);
            return Err(Error::Usage(detail));
        };
        let desk = Desk::open(loaded, operator, json).await?;
        let examined = desk.policies.check(&desk.caller, &self.tenant, &as_it_is(policy, settings)).await?;
        let view = PolicyExamination::from(&examined);
        Ok(Answer::ok(if json { render::json(&view)? } else { examination_text(&self.tenant, &view) }))
    }
}

/// With everything that it asks for.
fn as_it_is(policy: PolicyId, settings: BTreeMap<String, String>) -> Bind {
    Bind {
        policy,
        settings,
        limits: LimitOverrides::default(),
        grants: None,
        reason: String::new(),
        expected: None,
        accept_authority: true,
        patience: Duration::ZERO,
        leave_behind: false,
    }
}
