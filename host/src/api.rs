//! The REST caller: an internal interface for the platform's own services and operators.
//!
//! A request passes, from the outside in: the listener's limits ([`server`]), the request's id and span
//! ([`caller`]), a catcher of panics, the deadline, the guard (who calls; on TCP by name and token; how much they may ask), its route's action
//! ([`routes`]), its handler.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::IntoResponses;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

mod allowance;
mod audit;
mod caller;
mod description;
mod guard;
mod health;
mod held;
mod input;
mod operations;
mod orphans;
mod pauses;
mod policies;
mod policy_orders;
mod policy_problems;
mod policy_rollouts;
mod policy_rules;
mod problem;
mod routes;
mod runtimes;
mod server;
mod socket;
mod tenant_policies;
mod token_file;
mod tokens;

pub use policy_problems::Particulars;
pub use problem::Problem;
pub use server::{Error, Server};
pub use token_file::{Token, TokenError};

use crate::access::{Tokens, Trail};
use crate::app::Reconcilers;
use crate::config::{Config, show_span};
use crate::lifecycle::Lifecycle;
use crate::model::bounded_text;
use crate::orders::Orders;
use crate::policies::Policies;
use crate::ports::{JournalStore, PauseStore};
use crate::session::Ports;

/// What the handlers work with.
pub struct Services {
    /// Runs policies.
    pub lifecycle: Lifecycle,
    /// Stores, engines, clock, randomness, metrics.
    pub ports: Arc<Ports>,
    /// The pauses.
    pub pauses: Arc<dyn PauseStore>,
    /// What changes runtimes and pauses.
    pub orders: Orders,
    /// Who shows what.
    pub tokens: Tokens,
    /// What was done.
    pub trail: Trail,
    /// What people do with policies.
    pub policies: Policies,
    /// The journals of runs.
    pub journals: Arc<dyn JournalStore>,
    /// What looks at each engine, and knows what it found.
    pub reconcilers: Reconcilers,
    /// The limits, and the retention floor.
    pub config: Arc<Config>,
}

impl Server {
    /// Serves the interface until `shutdown`, and drains. Answers whether every request under way finished.
    pub async fn run(self, services: Arc<Services>, shutdown: CancellationToken) -> bool {
        let guard = guard::Guard::new(self.token.clone(), &services);
        let metrics = services.ports.metrics.clone();
        self.serve(router(services, guard), metrics, shutdown).await
    }
}

/// The interface's description.
pub fn openapi() -> OpenApi {
    described().into_openapi()
}

fn described() -> OpenApiRouter<Arc<Services>> {
    let mut info = utoipa::openapi::Info::new("rtmanager", env!("CARGO_PKG_VERSION"));
    info.description = Some("Removes the stopped containers of a platform's runtimes.".to_owned());
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("On TCP. http.token_file holds the server's own."));
    let components = ComponentsBuilder::new()
        .schema_from::<Problem>()
        .schema_from::<Particulars>()
        .security_scheme("token", SecurityScheme::Http(bearer.build()))
        .build();
    // On the unix socket the kernel says who calls.
    let security = [SecurityRequirement::new("token", [""; 0]), SecurityRequirement::default()];
    let openapi = OpenApiBuilder::new().info(info).components(Some(components)).security(Some(security)).build();
    [
        runtimes::routes(),
        operations::routes(),
        orphans::routes(),
        pauses::routes(),
        tokens::routes(),
        audit::routes(),
        policies::routes(),
        tenant_policies::routes(),
        policy_rollouts::routes(),
        policy_rules::routes(),
        health::routes(),
        description::routes(),
    ]
    .into_iter()
    .fold(OpenApiRouter::with_openapi(openapi), |described, routes| routes.merged_into(described))
}

fn router(services: Arc<Services>, guard: guard::Guard) -> Router {
    let (routes, _) = described().split_for_parts();
    routes
        .fallback(async || Problem::not_found("there is nothing under this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")
        })
        .layer(DefaultBodyLimit::max(services.config.http.max_body_bytes))
        .layer(from_fn_with_state(Arc::new(guard), guard::admit))
        .layer(from_fn_with_state(services.clone(), deadline))
        .layer(CatchPanicLayer::custom(Problem::of_panic))
        .layer(from_fn_with_state(services.clone(), caller::identify))
        .with_state(services)
}

/// Answers in time. What was begun goes on without its caller: a run under its lease, an order by itself.
async fn deadline(State(services): State<Arc<Services>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let (limit, where_to_look) = match policy_problems::examines(request.method(), path) {
        true => (services.config.http.request_time.max(EXAMINATION), "the policy's status and history"),
        false => (services.config.http.request_time, "the operation log for this request"),
    };
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let limit = show_span(limit);
            let detail = format!("no answer within {limit}; what was begun goes on: see {where_to_look}");
            Problem::unavailable(detail).into_response()
        }
    }
}

/// For a component's way here, its compilation, the safety scenarios, and the wait for the hosts, each of which has a
/// bound of its own below.
const EXAMINATION: Duration = Duration::from_secs(420);

/// An operator's reason, fit for tables and logs.
fn reason(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if (1..=1024).contains(&text.len()) {
        return Ok(bounded_text(text, 1024));
    }
    Err(Problem::invalid_request("reason must be 1 to 1024 bytes"))
}

/// How any of the internal routes can fail, beside the refusals that all have.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the derive, to describe the answers")]
enum Failures {
    /// The request itself is wrong.
    #[response(status = 400, content_type = "application/problem+json")]
    InvalidRequest(#[to_schema] Problem),
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

/// How examining a policy can fail, too.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the derive, to describe the answers")]
enum PolicyFailures {
    /// The policy does not pass: its form, its imports, its conduct, or who vouches for it.
    #[response(status = 422, content_type = "application/problem+json")]
    Refused(#[to_schema] Problem),
}
