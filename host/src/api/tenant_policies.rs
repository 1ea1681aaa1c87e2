//! What serves a scope: bound, rolled back, revoked, taken away; and what is to be known of it.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::caller::CallerOf;
use super::input::{Body, Parameters, Segment, Segments, page_length};
use super::policy_orders::{BindOrder, OfScope, Reason, RevokeOrder, RollBackOrder, generation_number};
use super::problem::Problem;
use super::routes::Routes;
use super::{Failures, PolicyFailures, Services};
use crate::access::Action;
use crate::model::{GenerationId, PolicyScope, Revocation};
use crate::policies::RollBack;
use crate::views::{
    BoundPolicy, Page, PolicyDiff, PolicyExamination, PolicyGeneration, PolicyHistoryEntry, PolicyRevocation,
    PolicyStatus,
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Action::ReadPolicies, routes!(status))
        .with(Action::ChangePolicies, routes!(bind, unbind))
        .with(Action::ReadPolicies, routes!(check))
        .with(Action::ChangePolicies, routes!(roll_back))
        .with(Action::ChangePolicies, routes!(revoke))
        .with(Action::ReadPolicies, routes!(history))
        .with(Action::ReadPolicies, routes!(diff))
        .with(Action::ReadPolicies, routes!(generation))
}

/// What serves a scope, on every host.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/policy", tag = "tenant policies",
    params(OfScope),
    responses((status = 200, description = "The scope.", body = PolicyStatus), Failures))]
async fn status(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
) -> Result<Json<PolicyStatus>, Problem> {
    let scope: PolicyScope = scope.parse()?;
    Ok(Json(PolicyStatus::new(&scope, &services.policies.status(&caller, &scope).await?)))
}

/// Binds a scope to a policy: examines it, has the hosts load it, and swaps it in.
#[utoipa::path(put, path = "/api/v1/tenants/{tenant}/policy", tag = "tenant policies", request_body = BindOrder,
    params(OfScope),
    responses((status = 200, description = "The generation that serves now.", body = BoundPolicy),
        Failures, PolicyFailures))]
async fn bind(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
    Body(order): Body<BindOrder>,
) -> Result<Json<BoundPolicy>, Problem> {
    let bound = services.policies.bind(&caller, &scope.parse()?, order.try_into()?).await?;
    Ok(Json((&bound).into()))
}

/// A scope that has no binding of its own any more.
#[derive(serde::Serialize, ToSchema)]
struct Unbound {
    /// The scope.
    unbound: String,
}

/// Takes a scope's own binding away: it is served as tenants without one are.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}/policy", tag = "tenant policies",
    params(OfScope, Reason),
    responses((status = 200, description = "The scope.", body = Unbound), Failures))]
async fn unbind(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
    Parameters(why): Parameters<Reason>,
) -> Result<Json<Unbound>, Problem> {
    let scope: PolicyScope = scope.parse()?;
    services.policies.unbind(&caller, &scope, &why.reason).await?;
    Ok(Json(Unbound { unbound: scope.to_string() }))
}

/// Finds out what binding a policy would come to, and changes nothing.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/policy/check", tag = "tenant policies", request_body = BindOrder,
    params(OfScope),
    responses((status = 200, description = "What was found.", body = PolicyExamination), Failures, PolicyFailures))]
async fn check(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
    Body(order): Body<BindOrder>,
) -> Result<Json<PolicyExamination>, Problem> {
    let examined = services.policies.check(&caller, &scope.parse()?, &order.try_into()?).await?;
    Ok(Json((&examined).into()))
}

/// Makes an earlier generation current again, at once.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/policy/rollback", tag = "tenant policies",
    request_body = RollBackOrder,
    params(OfScope),
    responses((status = 200, description = "The generation that serves now.", body = PolicyGeneration),
        Failures, PolicyFailures))]
async fn roll_back(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
    Body(order): Body<RollBackOrder>,
) -> Result<Json<PolicyGeneration>, Problem> {
    let RollBackOrder { to, expected, keep_rollout, reason } = order;
    let order = RollBack { to, expected, keep_rollout, reason };
    let generation = services.policies.roll_back(&caller, &scope.parse()?, order).await?;
    Ok(Json((&generation).into()))
}

/// Revokes a generation: it can change no record and remove no container from now on, on any host.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/policy/revocation", tag = "tenant policies",
    request_body = RevokeOrder,
    params(OfScope),
    responses((status = 200, description = "What was revoked.", body = PolicyRevocation), Failures))]
async fn revoke(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
    Body(order): Body<RevokeOrder>,
) -> Result<Json<PolicyRevocation>, Problem> {
    let revocation = Revocation::Generation(GenerationId::numbered(&scope.parse()?, order.generation));
    Ok(Json((&services.policies.revoke(&caller, revocation, &order.reason).await?).into()))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HistoryQuery {
    /// Before this change: the `next` of the page before.
    before: Option<u64>,
    /// Rows, from 1 to 200; 50 if not given.
    limit: Option<u32>,
}

/// What happened to a scope, newest first.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/policy/history", tag = "tenant policies",
    params(OfScope, HistoryQuery),
    responses((status = 200, description = "A page.", body = Page<PolicyHistoryEntry>), Failures))]
async fn history(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
    Parameters(asked): Parameters<HistoryQuery>,
) -> Result<Json<Page<PolicyHistoryEntry>>, Problem> {
    let limit = page_length(asked.limit)?;
    let rows = services.policies.history(&caller, &scope.parse()?, asked.before, limit + 1).await?;
    Ok(Json(Page::of(&rows, limit, |last| last.id.to_string())))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Pair {
    /// The number of the one generation; the current one if not given.
    from: Option<u64>,
    /// The number of the other.
    to: u64,
}

/// How two generations of a scope differ.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/policy/diff", tag = "tenant policies",
    params(OfScope, Pair),
    responses((status = 200, description = "Both, and how what they may do differs.", body = PolicyDiff), Failures))]
async fn diff(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
    Parameters(pair): Parameters<Pair>,
) -> Result<Json<PolicyDiff>, Problem> {
    Ok(Json((&services.policies.diff(&caller, &scope.parse()?, pair.from, pair.to).await?).into()))
}

/// One generation of a scope, with its settings.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/policy/generations/{generation}", tag = "tenant policies",
    params(OfScope,
        ("generation" = u64, Path, description = "Its number.")),
    responses((status = 200, description = "The generation.", body = PolicyGeneration), Failures))]
async fn generation(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segments(scope, number): Segments,
) -> Result<Json<PolicyGeneration>, Problem> {
    let number = generation_number(&number)?;
    let generation = services.policies.show_generation(&caller, &scope.parse()?, number).await?;
    Ok(Json((&generation).into()))
}
