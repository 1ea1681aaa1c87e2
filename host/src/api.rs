//! The REST caller: an internal interface for the platform's own services and operators.
//!
//! A request passes, from the outside in: the listener's limits ([`server`]), the request's id and span
//! ([`caller`]), the guard (name and token on TCP), a catcher of panics, the deadline, its handler.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::IntoResponses;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

mod caller;
mod guard;
mod health;
mod input;
mod operations;
mod orphans;
mod pauses;
mod problem;
mod runtimes;
mod server;
mod socket;

pub use guard::{Token, TokenError};
pub use problem::Problem;
pub use server::{Error, Server};

use crate::app::Reconcilers;
use crate::config::{Config, show_span};
use crate::lifecycle::Lifecycle;
use crate::model::bounded_text;
use crate::ports::PauseStore;
use crate::session::Ports;

/// What the handlers work with.
pub struct Services {
    /// Runs policies.
    pub lifecycle: Lifecycle,
    /// Stores, engines, clock, randomness, metrics.
    pub ports: Arc<Ports>,
    /// The pauses.
    pub pauses: Arc<dyn PauseStore>,
    /// What looks at each engine, and knows what it found.
    pub reconcilers: Reconcilers,
    /// The limits, and the retention floor.
    pub config: Arc<Config>,
}

impl Server {
    /// Serves the interface until `shutdown`, and drains. Answers whether every request under way finished.
    pub async fn run(self, services: Arc<Services>, shutdown: CancellationToken) -> bool {
        let guard =
            guard::Guard { token: self.token.clone(), allowed_hosts: services.config.http.allowed_hosts.clone() };
        self.serve(router(services, guard), shutdown).await
    }
}

/// The interface's description.
pub fn openapi() -> OpenApi {
    described().into_openapi()
}

fn described() -> OpenApiRouter<Arc<Services>> {
    let mut info = utoipa::openapi::Info::new("rtmanager", env!("CARGO_PKG_VERSION"));
    info.description = Some("Removes the stopped containers of a platform's runtimes.".to_owned());
    let bearer =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("On TCP: http.token_file holds it."));
    let components = ComponentsBuilder::new().security_scheme("token", SecurityScheme::Http(bearer.build())).build();
    // On the unix socket the kernel says who calls.
    let security = [SecurityRequirement::new("token", [""; 0]), SecurityRequirement::default()];
    let openapi = OpenApiBuilder::new().info(info).components(Some(components)).security(Some(security)).build();
    OpenApiRouter::with_openapi(openapi)
        .merge(runtimes::routes())
        .merge(operations::routes())
        .merge(orphans::routes())
        .merge(pauses::routes())
        .merge(health::routes())
}

fn router(services: Arc<Services>, guard: guard::Guard) -> Router {
    let (routes, openapi) = described().split_for_parts();
    let openapi = Arc::new(openapi);
    let describe = axum::routing::get(move || std::future::ready(Json(openapi)));
    routes
        .route("/api/v1/openapi.json", describe)
        .fallback(async || Problem::not_found("there is nothing under this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")
        })
        .layer(DefaultBodyLimit::max(services.config.http.max_body_bytes))
        .layer(from_fn_with_state(services.clone(), deadline))
        .layer(CatchPanicLayer::custom(Problem::of_panic))
        .layer(from_fn_with_state(Arc::new(guard), guard::admit))
        .layer(from_fn_with_state(services.clone(), caller::identify))
        .with_state(services)
}

/// Answers in time. What a run has begun under its lease goes on without its caller.
async fn deadline(State(services): State<Arc<Services>>, request: Request, next: Next) -> Response {
    let request_time = services.config.http.request_time;
    match tokio::time::timeout(request_time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let limit = show_span(request_time);
            let detail =
                format!("no answer within {limit}; what was begun goes on: see the operation log for this request");
            Problem::unavailable(detail).into_response()
        }
    }
}

/// An operator's reason, fit for tables and logs.
fn reason(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if (1..=1024).contains(&text.len()) {
        return Ok(bounded_text(text, 1024));
    }
    Err(Problem::invalid_request("reason must be 1 to 1024 bytes"))
}

/// How any of the internal routes can fail.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the derive, to describe the answers")]
enum Failures {
    /// The request itself is wrong.
    #[response(status = 400, content_type = "application/problem+json")]
    InvalidRequest(#[to_schema] Problem),
    /// On TCP, the token is missing or wrong.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(#[to_schema] Problem),
    /// There is no such thing.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(#[to_schema] Problem),
    /// The state found forbids it, or another operation is under way.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(#[to_schema] Problem),
    /// Something that is needed failed; a later try may succeed.
    #[response(status = 503, content_type = "application/problem+json")]
    ServiceUnavailable(#[to_schema] Problem),
    /// A fault of the host or of the tenant's policy.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(#[to_schema] Problem),
}
