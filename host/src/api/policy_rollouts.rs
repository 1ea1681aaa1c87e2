//! Trying a generation before it serves a scope.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::caller::CallerOf;
use super::input::{Body, Parameters, Segment, Segments, page_length};
use super::policy_orders::{OfScope, Reason, TryOrder, Why, generation_number};
use super::problem::Problem;
use super::routes::Routes;
use super::{Failures, PolicyFailures, Services};
use crate::access::Action;
use crate::model::{GenerationId, PolicyScope};
use crate::views::{BoundPolicy, Page, PolicyDivergence};

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Action::ChangePolicies, routes!(start, end))
        .with(Action::ChangePolicies, routes!(promote))
        .with(Action::ReadPolicies, routes!(divergences))
}

/// What became of a rollout.
#[derive(Serialize, ToSchema)]
struct RolloutEnd {
    /// The generation that was tried.
    generation: String,
    /// Whether it serves now.
    promoted: bool,
}

/// Begins to try a generation: as a shadow, or on some of the games. It is examined as if it were bound.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/policy/rollout", tag = "tenant policies", request_body = TryOrder,
    params(OfScope),
    responses((status = 200, description = "The generation that is tried.", body = BoundPolicy),
        Failures, PolicyFailures))]
async fn start(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
    Body(order): Body<TryOrder>,
) -> Result<Json<BoundPolicy>, Problem> {
    let begun = services.policies.start_rollout(&caller, &scope.parse()?, order.try_into()?).await?;
    Ok(Json((&begun).into()))
}

/// Gives up the generation that is tried.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}/policy/rollout", tag = "tenant policies",
    params(OfScope, Reason),
    responses((status = 200, description = "The generation that was tried.", body = RolloutEnd), Failures))]
async fn end(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
    Parameters(why): Parameters<Reason>,
) -> Result<Json<RolloutEnd>, Problem> {
    let scope: PolicyScope = scope.parse()?;
    let number = services.policies.end_rollout(&caller, &scope, &why.reason).await?;
    Ok(Json(RolloutEnd { generation: GenerationId::numbered(&scope, number).to_string(), promoted: false }))
}

/// Makes the generation that is tried current now.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/policy/rollout/promotion", tag = "tenant policies",
    request_body = Why,
    params(OfScope),
    responses((status = 200, description = "The generation that serves now.", body = RolloutEnd), Failures))]
async fn promote(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
    Body(why): Body<Why>,
) -> Result<Json<RolloutEnd>, Problem> {
    let scope: PolicyScope = scope.parse()?;
    let number = services.policies.promote(&caller, &scope, &why.reason).await?;
    Ok(Json(RolloutEnd { generation: GenerationId::numbered(&scope, number).to_string(), promoted: true }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Length {
    /// Rows, from 1 to 200; 50 if not given.
    limit: Option<u32>,
}

/// How runs of a generation differed from those that they stood beside, newest first.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/policy/rollout/{generation}/divergences", tag = "tenant policies",
    params(OfScope,
        ("generation" = u64, Path, description = "Its number."), Length),
    responses((status = 200, description = "The latest.", body = Page<PolicyDivergence>), Failures))]
async fn divergences(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segments(scope, number): Segments,
    Parameters(asked): Parameters<Length>,
) -> Result<Json<Page<PolicyDivergence>>, Problem> {
    let (number, limit) = (generation_number(&number)?, page_length(asked.limit)?);
    let rows = services.policies.divergences(&caller, &scope.parse()?, number, limit).await?;
    Ok(Json(Page { items: rows.iter().map(PolicyDivergence::from).collect(), next: None }))
}
