//! Pauses of the sweeper: everywhere, of one engine, of one tenant.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::caller::CallerOf;
use super::input::{Body, Segment};
use super::problem::Problem;
use super::routes::Routes;
use super::{Failures, Services};
use crate::access::{Action, Caller};
use crate::model::PauseScope;
use crate::views::{Page, PausedScope};

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Action::ReadPlatform, routes!(list))
        .with(Action::Pause, routes!(pause_all, resume_all))
        .with(Action::Pause, routes!(pause_engine, resume_engine))
        .with(Action::Pause, routes!(pause_tenant, resume_tenant))
}

/// Why to pause.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PauseOrder {
    /// 1 to 1,024 bytes.
    reason: String,
}

/// The pauses in force.
#[utoipa::path(get, path = "/api/v1/internal/pauses", tag = "pauses",
    responses((status = 200, description = "All of them.", body = Page<PausedScope>), Failures))]
async fn list(State(services): State<Arc<Services>>) -> Result<Json<Page<PausedScope>>, Problem> {
    let pauses = services.pauses.pauses().await?;
    Ok(Json(Page { items: pauses.iter().map(PausedScope::from).collect(), next: None }))
}

/// Pauses all sweeps. A pause in force stays as it is.
#[utoipa::path(put, path = "/api/v1/internal/pauses/global", tag = "pauses", request_body = PauseOrder,
    responses((status = 200, description = "The pause in force.", body = PausedScope), Failures))]
async fn pause_all(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Body(order): Body<PauseOrder>,
) -> Result<Json<PausedScope>, Problem> {
    pause(&services, caller, PauseScope::Global, order).await
}

/// Pauses the sweep of one engine.
#[utoipa::path(put, path = "/api/v1/internal/pauses/engines/{engine}", tag = "pauses", request_body = PauseOrder,
    params(("engine" = String, Path, description = "The engine's name.")),
    responses((status = 200, description = "The pause in force.", body = PausedScope), Failures))]
async fn pause_engine(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(engine): Segment,
    Body(order): Body<PauseOrder>,
) -> Result<Json<PausedScope>, Problem> {
    pause(&services, caller, PauseScope::Engine(engine.parse()?), order).await
}

/// Pauses the sweep for one tenant.
#[utoipa::path(put, path = "/api/v1/internal/pauses/tenants/{tenant}", tag = "pauses", request_body = PauseOrder,
    params(("tenant" = String, Path, description = "The tenant.")),
    responses((status = 200, description = "The pause in force.", body = PausedScope), Failures))]
async fn pause_tenant(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(tenant): Segment,
    Body(order): Body<PauseOrder>,
) -> Result<Json<PausedScope>, Problem> {
    pause(&services, caller, PauseScope::Tenant(tenant.parse()?), order).await
}

/// Lifts the pause of all sweeps. Pauses of engines and tenants stay.
#[utoipa::path(delete, path = "/api/v1/internal/pauses/global", tag = "pauses",
    responses((status = 200, description = "The pause that was lifted; null if there was none.", body = Option<PausedScope>), Failures))]
async fn resume_all(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
) -> Result<Json<Option<PausedScope>>, Problem> {
    resume(&services, caller, PauseScope::Global).await
}

/// Lifts the pause of one engine. If the breaker set it, this allows the removals that it held back.
#[utoipa::path(delete, path = "/api/v1/internal/pauses/engines/{engine}", tag = "pauses",
    params(("engine" = String, Path, description = "The engine's name.")),
    responses((status = 200, description = "The pause that was lifted; null if there was none.", body = Option<PausedScope>), Failures))]
async fn resume_engine(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(engine): Segment,
) -> Result<Json<Option<PausedScope>>, Problem> {
    resume(&services, caller, PauseScope::Engine(engine.parse()?)).await
}

/// Lifts the pause of one tenant.
#[utoipa::path(delete, path = "/api/v1/internal/pauses/tenants/{tenant}", tag = "pauses",
    params(("tenant" = String, Path, description = "The tenant.")),
    responses((status = 200, description = "The pause that was lifted; null if there was none.", body = Option<PausedScope>), Failures))]
async fn resume_tenant(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(tenant): Segment,
) -> Result<Json<Option<PausedScope>>, Problem> {
    resume(&services, caller, PauseScope::Tenant(tenant.parse()?)).await
}

async fn pause(
    services: &Services,
    caller: Caller,
    scope: PauseScope,
    order: PauseOrder,
) -> Result<Json<PausedScope>, Problem> {
    let reason = super::reason(&order.reason)?;
    let (pause, is_new) = services.orders.pause(&caller, scope, reason).await?;
    tracing::info!(scope = %pause.scope, actor = pause.actor, reason = pause.reason, is_new, "paused");
    let in_force = services.pauses.pauses().await?.into_iter().find(|other| other.scope == pause.scope);
    Ok(Json(PausedScope::from(in_force.as_ref().unwrap_or(&pause))))
}

async fn resume(services: &Services, caller: Caller, scope: PauseScope) -> Result<Json<Option<PausedScope>>, Problem> {
    let lifted = services.orders.resume(&caller, &scope).await?;
    tracing::info!(%scope, actor = caller.actor, was_paused = lifted.is_some(), "resumed");
    Ok(Json(lifted.as_ref().map(PausedScope::from)))
}
