//! What serves a scope, and what happened to it.

use clap::Args;

use super::super::{Answer, Error, render};
use super::Desk;
use super::text::{change_table, divergence_table, generation_diff_text, status_table, status_text};
use crate::model::PolicyScope;
use crate::views::{Page, PolicyDiff, PolicyDivergence, PolicyHistoryEntry, PolicyStatus};

#[derive(Debug, Args)]
pub(super) struct Status {
    /// The tenant, or '*' for those without a binding of their own [default: all that were ever bound]
    tenant: Option<PolicyScope>,
}

#[derive(Debug, Args)]
pub(super) struct History {
    /// The tenant, or '*'
    tenant: PolicyScope,
    /// Before this change: where the last page ended
    #[arg(long, value_name = "ID")]
    before: Option<u64>,
    /// Rows at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The tenant, or '*'
    tenant: PolicyScope,
    /// Two generations' numbers; of one alone, the difference from the current one
    #[arg(value_name = "NUMBER", required = true, num_args = 1..=2)]
    numbers: Vec<u64>,
}

#[derive(Debug, Args)]
pub(super) struct Divergences {
    /// The tenant, or '*'
    tenant: PolicyScope,
    /// The generation's number
    generation: u64,
    /// Rows at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

impl Status {
    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        if let Some(scope) = self.tenant {
            let view = PolicyStatus::new(&scope, &desk.policies.status(&desk.caller, &scope).await?);
            return Ok(Answer::ok(if desk.json { render::json(&view)? } else { status_text(&view) }));
        }
        let mut all = Vec::new();
        for scope in desk.policies.scopes(&desk.caller).await? {
            all.push(PolicyStatus::new(&scope, &desk.policies.status(&desk.caller, &scope).await?));
        }
        Ok(Answer::ok(if desk.json { render::json(&all)? } else { status_table(&all) }))
    }
}

impl History {
    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        let rows = desk.policies.history(&desk.caller, &self.tenant, self.before, self.limit + 1).await?;
        let page: Page<PolicyHistoryEntry> = Page::of(&rows, self.limit, |last| last.id.to_string());
        Ok(Answer::ok(if desk.json { render::json(&page)? } else { change_table(&page) }))
    }
}

impl Diff {
    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        let (from, to) = match *self.numbers {
            [from, to] => (Some(from), to),
            [to] => (None, to),
            _ => return Err(Error::Usage("say one generation or two".to_owned())),
        };
        let view = PolicyDiff::from(&desk.policies.diff(&desk.caller, &self.tenant, from, to).await?);
        Ok(Answer::ok(if desk.json { render::json(&view)? } else { generation_diff_text(&view) }))
    }
}

impl Divergences {
    pub(super) async fn run(self, desk: &Desk) -> Result<Answer, Error> {
        let found = desk.policies.divergences(&desk.caller, &self.tenant, self.generation, self.limit).await?;
        let page = Page { items: found.iter().map(PolicyDivergence::from).collect(), next: None };
        Ok(Answer::ok(if desk.json { render::json(&page)? } else { divergence_table(&page) }))
    }
}
