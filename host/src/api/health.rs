//! Whether the process lives, whether it can do its work, and what it has measured.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use tokio::task::JoinSet;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Services;
use super::caller::CallerOf;
use super::problem::Problem;
use super::routes::Routes;
use crate::access::{Action, permit};

/// A check that takes longer has failed: whoever probes us will not wait either.
const CHECK_TIME: Duration = Duration::from_secs(2);

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Action::Observe, routes!(healthz))
        .with(Action::Observe, routes!(readyz))
        .with(Action::ReadPlatform, routes!(metrics))
}

/// That the process answers.
#[derive(Serialize, ToSchema)]
struct Health {
    /// Always `ok`.
    status: String,
}

/// Whether the process can do its work.
#[derive(Serialize, ToSchema)]
struct Readiness {
    /// Whether every check passed.
    ready: bool,
    /// The checks: the store, the leases and each engine. None are shown to tenants.
    checks: Vec<Check>,
}

/// One thing that is needed.
#[derive(Serialize, ToSchema)]
struct Check {
    /// `store`, `leases`, or `engine` and its name.
    name: String,
    /// Whether it answered in time.
    ok: bool,
    /// What it said, if it did not.
    detail: Option<String>,
}

/// Answers while the process lives.
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, description = "It lives.", body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

/// Asks the store and every engine.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "Ready.", body = Readiness),
              (status = 503, description = "Something that is needed does not answer.", body = Readiness)))]
async fn readyz(State(services): State<Arc<Services>>, Extension(caller): CallerOf) -> Response {
    let mut running = JoinSet::new();
    let records = services.ports.records.clone();
    running.spawn(check("store".to_owned(), async move { records.ping().await.map_err(|error| error.to_string()) }));
    let leases = services.ports.leases.clone();
    running.spawn(check("leases".to_owned(), async move { leases.ping().await.map_err(|error| error.to_string()) }));
    for (name, engine) in &services.ports.engines {
        let engine = engine.clone();
        let ping = async move { engine.ping().await.map_err(|error| error.to_string()) };
        running.spawn(check(format!("engine {name}"), ping));
    }
    let mut checks = running.join_all().await;
    checks.sort_by(|a, b| b.name.cmp(&a.name));
    let ready = checks.iter().all(|check| check.ok);
    checks.retain(|_| permit(&caller, &Action::ReadPlatform).is_ok());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, checks })).into_response()
}

async fn check(name: String, ping: impl Future<Output = Result<(), String>>) -> Check {
    let answer = tokio::time::timeout(CHECK_TIME, ping).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {CHECK_TIME:?}")));
    Check { name, ok: answer.is_ok(), detail: answer.err() }
}

/// What was measured, as Prometheus reads it; the pauses are counted now.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Metrics.", body = String, content_type = "text/plain")))]
async fn metrics(State(services): State<Arc<Services>>) -> Result<Response, Problem> {
    match services.pauses.pauses().await {
        Ok(pauses) => services.ports.metrics.paused(pauses.len() as u64),
        Err(error) => tracing::warn!(%error, "the pauses in force were not counted"),
    }
    let text = services.ports.metrics.render().map_err(|error| {
        tracing::error!(%error, "metrics");
        Problem::internal("the metrics cannot be written")
    })?;
    Ok(([(CONTENT_TYPE, crate::metrics::CONTENT_TYPE)], text).into_response())
}
