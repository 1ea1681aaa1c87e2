//! The operation log, from the newest entry to the oldest.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::caller::CallerOf;
use super::input::{Parameters, Segment, page_length, parsed};
use super::problem::Problem;
use super::routes::Routes;
use super::{Failures, Services};
use crate::access::Action;
use crate::model::{EntryId, Outcome, RunId, RunJournal};
use crate::ports::OperationFilter;
use crate::views::{Operation, Page};

pub(super) fn routes() -> Routes {
    Routes::default().with(Action::ReadRuntimes, routes!(list)).with(Action::ReadRuntimes, routes!(journal))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filters {
    /// Only of this game.
    game_id: Option<String>,
    /// Only of this tenant.
    tenant: Option<String>,
    /// Only with this outcome: `success` or `failure`. An entry with a fault beside it is a failure.
    outcome: Option<String>,
    /// Only with this code, as the entry's or as its fault's.
    error_code: Option<String>,
    /// Only from this source: `admin_rest`, `auto_ttl`, `cli` or `reconciler`.
    op_source: Option<String>,
    /// Only finished at or after this time.
    since: Option<String>,
    /// Only finished before this time.
    until: Option<String>,
    /// Before this entry: the `next` of the page before.
    before: Option<u64>,
    /// Rows, from 1 to 200; 50 if not given.
    limit: Option<u32>,
}

/// Lists what was done, by whom, and why it ended as it did.
#[utoipa::path(get, path = "/api/v1/internal/operations", tag = "operations", params(Filters),
    responses((status = 200, description = "A page.", body = Page<Operation>), Failures))]
async fn list(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Parameters(asked): Parameters<Filters>,
) -> Result<Json<Page<Operation>>, Problem> {
    let limit = page_length(asked.limit)?;
    let before = asked.before.map(EntryId);
    let asked = filter(asked)?;
    let Some(tenant) = caller.sight(asked.tenant.clone()) else { return Ok(Json(Page::empty())) };
    let filter = OperationFilter { tenant, ..asked };
    let rows = services.ports.operations.list(&filter, before, limit + 1).await?;
    Ok(Json(Page::of(&rows, limit, |last| last.id.0.to_string())))
}

/// What the policy called in a run, and what it was answered, where that was written down. `explain` tells it in words.
#[utoipa::path(get, path = "/api/v1/internal/operations/{run_id}/journal", tag = "operations",
    params(("run_id" = String, Path, description = "The run.")),
    responses((status = 200, description = "The journal.", body = serde_json::Value), Failures))]
async fn journal(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(run): Segment,
) -> Result<Json<RunJournal>, Problem> {
    let run: RunId = run.parse()?;
    let kept = services.journals.get(&run).await?.and_then(|kept| kept.journal);
    // What is another tenant's, or nobody's, is as if it were not there.
    let own = |journal: &RunJournal| match caller.role.tenant() {
        Some(own) => journal.tenant.as_ref() == Some(own),
        None => true,
    };
    let none = || Problem::not_found(format!("no journal of run {run} was kept"));
    kept.filter(own).map(Json).ok_or_else(none)
}

fn filter(asked: Filters) -> Result<OperationFilter, Problem> {
    let outcome = asked.outcome.map(|text| {
        Outcome::from_text(&text).ok_or_else(|| Problem::invalid_request("outcome must be success or failure"))
    });
    Ok(OperationFilter {
        game: asked.game_id,
        tenant: parsed(asked.tenant.as_deref())?,
        outcome: outcome.transpose()?,
        error_code: asked.error_code,
        op_source: asked.op_source,
        since: parsed(asked.since.as_deref())?,
        until: parsed(asked.until.as_deref())?,
    })
}
