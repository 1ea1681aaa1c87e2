//! The trail: read, checked, pruned.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::caller::CallerOf;
use super::input::{Body, Parameters, page_length, parsed};
use super::problem::Problem;
use super::routes::Routes;
use super::{Failures, Services};
use crate::access::Action;
use crate::model::Timestamp;
use crate::views::{AuditedAction, Page, PrunedTrail, TrailVerification};

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Action::ReadAudit, routes!(list))
        .with(Action::ReadAudit, routes!(verify))
        .with(Action::PruneAudit, routes!(prune))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Range {
    /// From this sequence number on; 1 if not given. The `next` of the page before.
    from: Option<u64>,
    /// Rows, from 1 to 200; 50 if not given.
    limit: Option<u32>,
}

/// What admins and operators did, oldest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(Range),
    responses((status = 200, description = "A page.", body = Page<AuditedAction>), Failures))]
async fn list(
    State(services): State<Arc<Services>>,
    Parameters(asked): Parameters<Range>,
) -> Result<Json<Page<AuditedAction>>, Problem> {
    let limit = page_length(asked.limit)?;
    let rows = services.trail.read(asked.from.unwrap_or(1), limit + 1).await?;
    Ok(Json(Page::of(&rows, limit, |last| last.sequence.saturating_add(1).to_string())))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Remembered {
    /// A link as somebody remembers it, SEQUENCE:HASH, to be found in the trail as it was.
    head: Option<String>,
}

/// Walks the whole trail to its first broken link.
#[utoipa::path(get, path = "/api/v1/audit/verification", tag = "audit", params(Remembered),
    responses((status = 200, description = "What was found, be it broken.", body = TrailVerification), Failures))]
async fn verify(
    State(services): State<Arc<Services>>,
    Parameters(asked): Parameters<Remembered>,
) -> Result<Json<TrailVerification>, Problem> {
    let found = services.trail.verify(parsed(asked.head.as_deref())?).await?;
    Ok(Json(TrailVerification::from(&found)))
}

/// What to take away of the trail.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PruneOrder {
    /// Every link from before this time, in RFC 3339, up to the first that is not.
    before: String,
}

/// Takes the trail's oldest links away, once the whole of it was verified, and leaves one that vouches for where it begins.
#[utoipa::path(post, path = "/api/v1/audit/pruning", tag = "audit", request_body = PruneOrder,
    responses((status = 200, description = "What was taken away.", body = PrunedTrail), Failures))]
async fn prune(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Body(order): Body<PruneOrder>,
) -> Result<Json<PrunedTrail>, Problem> {
    let before: Timestamp =
        order.before.parse().map_err(|_| Problem::invalid_request("before must be a time, in RFC 3339"))?;
    let Some(through) = services.trail.last_before(before).await? else {
        return Ok(Json(PrunedTrail { links: 0, through: None }));
    };
    let links = services.trail.prune(&caller, through).await?;
    Ok(Json(PrunedTrail { links, through: Some(through.to_string()) }))
}
