//! Runtimes: look, register, clean up, hold, unpark, explain.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::caller::{CallerOf, RequestId};
use super::input::{Body, Parameters, Segment, page_length, parsed};
use super::problem::Problem;
use super::routes::Routes;
use super::{Failures, Services};
use crate::access::{Action, Caller};
use crate::explain::{Explanation, Stores};
use crate::model::{
    EngineName, GameId, Labels, LiveStatus, OpSource, Outcome, Registration, Status, TenantId, Timestamp, bounded_text,
};
use crate::ports::RecordFilter;
use crate::views::{CleanupResult, Page, Runtime};

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Action::ReadRuntimes, routes!(list))
        .with(Action::ReadRuntimes, routes!(get))
        .with(Action::ReadRuntimes, routes!(explain))
        .with(Action::ChangeRuntimes, routes!(register))
        .with(Action::ChangeRuntimes, routes!(cleanup))
        .with(Action::ChangeRuntimes, routes!(hold, unhold))
        .with(Action::ChangeRuntimes, routes!(unpark))
}

/// Removes the container of a stopped runtime, by the word of its tenant's policy. Repeating it is harmless.
#[utoipa::path(delete, path = "/api/v1/internal/runtimes/{game_id}/container", tag = "runtimes",
    params(("game_id" = String, Path, description = "The game, percent-encoded.")),
    responses((status = 200, description = "Removed, now or before.", body = CleanupResult), Failures))]
async fn cleanup(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Extension(RequestId(request_id)): Extension<RequestId>,
    Segment(game_id): Segment,
) -> Result<Json<CleanupResult>, Problem> {
    let (orders, source) = (&services.orders, OpSource::AdminRest);
    let result = orders.clean_up(&services.lifecycle, &caller, game_id, source, request_id).await?;
    match result.outcome {
        Outcome::Success => Ok(Json((&result).into())),
        Outcome::Failure => Err(Problem::of_failure(&result)),
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filters {
    /// Only this tenant's.
    tenant: Option<String>,
    /// Only on this engine.
    engine: Option<String>,
    /// Only in this status.
    status: Option<String>,
    /// After this game: the `next` of the page before.
    after: Option<String>,
    /// Rows, from 1 to 200; 50 if not given.
    limit: Option<u32>,
}

/// Lists runtimes by game id.
#[utoipa::path(get, path = "/api/v1/internal/runtimes", tag = "runtimes", params(Filters),
    responses((status = 200, description = "A page.", body = Page<Runtime>), Failures))]
async fn list(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Parameters(asked): Parameters<Filters>,
) -> Result<Json<Page<Runtime>>, Problem> {
    let asked_tenant = parsed(asked.tenant.as_deref())?;
    let filter = RecordFilter {
        tenant: None,
        engine: parsed(asked.engine.as_deref())?,
        status: asked.status.as_deref().map(Status::from_text),
    };
    let after: Option<GameId> = parsed(asked.after.as_deref())?;
    let limit = page_length(asked.limit)?;
    let Some(tenant) = caller.sight(asked_tenant) else { return Ok(Json(Page::empty())) };
    let filter = RecordFilter { tenant, ..filter };
    let rows = services.ports.records.list(&filter, after.as_ref(), limit + 1).await?;
    Ok(Json(Page::of(&rows, limit, |last| last.record.game_id.to_string())))
}

/// One runtime, with what rtmanager keeps beside it.
#[utoipa::path(get, path = "/api/v1/internal/runtimes/{game_id}", tag = "runtimes",
    params(("game_id" = String, Path, description = "The game, percent-encoded.")),
    responses((status = 200, description = "The runtime.", body = Runtime), Failures))]
async fn get(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(game): Segment,
) -> Result<Json<Runtime>, Problem> {
    current(&services, &caller, &game.parse()?).await
}

/// What a platform says of a runtime.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RuntimeRegistration {
    /// Whose game it is; `default` if not given. A game never changes its tenant.
    tenant: Option<String>,
    /// The engine that runs it; may be left out if there is only one.
    engine: Option<String>,
    /// Where it is in its life.
    status: RegisteredStatus,
    /// The full id of its container.
    container_id: Option<String>,
    /// The image it was started from.
    image_ref: Option<String>,
    /// Labels of the record, all of them. Those of the same container stay if this is not given, which may be what
    /// protects it from its policy.
    labels: Option<Labels>,
    /// When it started, in RFC 3339.
    started_at: Option<String>,
    /// When it stopped; now, if it is stopped and this is not given.
    stopped_at: Option<String>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum RegisteredStatus {
    Running,
    Stopped,
}

/// Registers or refreshes a runtime. What is not given stays, as long as the container is the same: image, labels,
/// and when it started and stopped. A new container for a removed game starts a new incarnation.
#[utoipa::path(put, path = "/api/v1/internal/runtimes/{game_id}", tag = "runtimes",
    params(("game_id" = String, Path, description = "The game, percent-encoded.")),
    request_body = RuntimeRegistration,
    responses((status = 200, description = "The runtime as registered.", body = Runtime), Failures))]
async fn register(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(game): Segment,
    Body(given): Body<RuntimeRegistration>,
) -> Result<Json<Runtime>, Problem> {
    let registration = registration(&services, game.parse()?, given)?;
    let record = services.orders.register(&caller, registration).await?;
    Ok(Json(Runtime::from(&record)))
}

fn registration(services: &Services, game_id: GameId, given: RuntimeRegistration) -> Result<Registration, Problem> {
    Ok(Registration {
        game_id,
        tenant: parsed::<TenantId>(given.tenant.as_deref())?.unwrap_or_default(),
        engine: engine(services, given.engine.as_deref())?,
        status: match given.status {
            RegisteredStatus::Running => LiveStatus::Running,
            RegisteredStatus::Stopped => LiveStatus::Stopped,
        },
        container_id: parsed(given.container_id.as_deref())?,
        image_ref: given.image_ref,
        labels: given.labels,
        started_at: parsed(given.started_at.as_deref())?,
        stopped_at: parsed(given.stopped_at.as_deref())?,
    })
}

fn engine(services: &Services, given: Option<&str>) -> Result<EngineName, Problem> {
    let given: Option<EngineName> = parsed(given)?;
    let mut configured = services.ports.engines.keys();
    match (given, configured.next(), configured.next()) {
        (Some(engine), ..) if services.ports.engines.contains_key(&engine) => Ok(engine),
        (Some(engine), ..) => Err(Problem::invalid_request(format!("engine {engine} is not configured here"))),
        (None, Some(only), None) => Ok(only.clone()),
        (None, ..) => Err(Problem::invalid_request("engine is needed, since there is not exactly one")),
    }
}

/// An operator's order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HoldOrder {
    /// Why; 1 to 1,024 bytes.
    reason: String,
    /// Until when, in RFC 3339; until it is lifted if not given.
    until: Option<String>,
}

/// Keeps a game from any cleanup, until a time or until it is lifted.
#[utoipa::path(put, path = "/api/v1/internal/runtimes/{game_id}/hold", tag = "runtimes",
    params(("game_id" = String, Path, description = "The game, percent-encoded.")),
    request_body = HoldOrder,
    responses((status = 200, description = "The runtime, held.", body = Runtime), Failures))]
async fn hold(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(game): Segment,
    Body(order): Body<HoldOrder>,
) -> Result<Json<Runtime>, Problem> {
    let game: GameId = game.parse()?;
    let until: Option<Timestamp> = parsed(order.until.as_deref())?;
    let reason = super::reason(&order.reason)?;
    if until.is_some_and(|until| until <= services.ports.clock.now()) {
        return Err(Problem::invalid_request("until is in the past"));
    }
    services.orders.hold(&caller, &game, reason, until).await?;
    tracing::info!(game_id = %game, actor = caller.actor, "hold set");
    current(&services, &caller, &game).await
}

/// Lifts a hold. Lifting none is no error.
#[utoipa::path(delete, path = "/api/v1/internal/runtimes/{game_id}/hold", tag = "runtimes",
    params(("game_id" = String, Path, description = "The game, percent-encoded.")),
    responses((status = 200, description = "The runtime, not held.", body = Runtime), Failures))]
async fn unhold(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(game): Segment,
) -> Result<Json<Runtime>, Problem> {
    let game: GameId = game.parse()?;
    services.orders.unhold(&caller, &game).await?;
    tracing::info!(game_id = %game, actor = caller.actor, "hold lifted");
    current(&services, &caller, &game).await
}

/// Brings a parked game back into the sweep. Unparking one that is not parked is no error.
#[utoipa::path(delete, path = "/api/v1/internal/runtimes/{game_id}/parking", tag = "runtimes",
    params(("game_id" = String, Path, description = "The game, percent-encoded.")),
    responses((status = 200, description = "The runtime, not parked.", body = Runtime), Failures))]
async fn unpark(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(game): Segment,
) -> Result<Json<Runtime>, Problem> {
    let game: GameId = game.parse()?;
    let was_parked = services.orders.unpark(&caller, &game).await?;
    tracing::info!(game_id = %game, actor = caller.actor, was_parked, "unparked");
    current(&services, &caller, &game).await
}

/// Why a runtime is kept, when it is due, and what blocks it.
#[utoipa::path(get, path = "/api/v1/internal/runtimes/{game_id}/explain", tag = "runtimes",
    params(("game_id" = String, Path, description = "The game, percent-encoded.")),
    responses((status = 200, description = "The explanation.", body = Explanation), Failures))]
async fn explain(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(game): Segment,
) -> Result<Json<Explanation>, Problem> {
    let game: GameId = game.parse()?;
    let stores = Stores {
        records: &*services.ports.records,
        operations: &*services.ports.operations,
        leases: &*services.ports.leases,
        pauses: &*services.pauses,
        journals: &*services.journals,
    };
    let has_engine = |engine: &EngineName| services.ports.engines.contains_key(engine);
    let floor = |tenant: &TenantId| services.config.sweep.retention.max(services.lifecycle.retention(tenant));
    let explanation = stores.explain(&game, has_engine, floor, services.ports.clock.now()).await?;
    let own = |tenant: Option<&str>| caller.role.tenant().is_none_or(|own| Some(own.as_str()) == tenant);
    let mut explanation = explanation.filter(|explanation| own(Some(&explanation.runtime.tenant)));
    if let Some(explanation) = &mut explanation {
        // What was logged of the game before it had this record is no business of the tenant's.
        explanation.last_operation.take_if(|last| !own(last.tenant.as_deref()));
    }
    explanation.map(Json).ok_or_else(|| no_record(&game))
}

/// A game of another tenant's is answered as one that nobody has.
async fn current(services: &Services, caller: &Caller, game: &GameId) -> Result<Json<Runtime>, Problem> {
    let tracked = services.ports.records.get(game).await?.filter(|tracked| caller.sees(&tracked.record.tenant));
    tracked.map(|tracked| Json(Runtime::from(&tracked))).ok_or_else(|| no_record(game))
}

fn no_record(game: &GameId) -> Problem {
    Problem::not_found(format!("game {:?} has no record", bounded_text(game.as_str(), 80)))
}
