//! The trail: read, and checked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::input::{Parameters, page_length, parsed};
use super::problem::Problem;
use super::routes::Routes;
use super::{Failures, Services};
use crate::access::Action;
use crate::views::{AuditedAction, Page, TrailVerification};

pub(super) fn routes() -> Routes {
    Routes::default().with(Action::ReadAudit, routes!(list)).with(Action::ReadAudit, routes!(verify))
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
