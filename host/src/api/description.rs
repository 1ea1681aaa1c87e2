//! The interface's own description.

use std::sync::LazyLock;

use axum::Json;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
use utoipa::openapi::{OpenApi, RefOr, Response};
use utoipa_axum::routes;

use super::routes::Routes;
use crate::access::Action;

static DESCRIPTION: LazyLock<OpenApi> = LazyLock::new(super::openapi);

pub(super) fn routes() -> Routes {
    Routes::default().with(Action::Observe, routes!(describe))
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "health",
    responses((status = 200, description = "OpenAPI.", body = Object)))]
async fn describe() -> Json<&'static OpenApi> {
    Json(&DESCRIPTION)
}

/// How every request can be refused, whatever its route: none can be described without.
const REFUSALS: [(&str, &str); 3] = [
    ("401", "On TCP, the token is missing, wrong, revoked or past its end."),
    ("403", "The caller's role does not allow this."),
    (
        "429",
        "The tenant, its token or its address asks too often, or too much at once; Retry-After says when to come again.",
    ),
];

/// Completes what a route says of itself: who may, and how it refuses.
pub(super) fn complete(operation: &mut Operation, roles: &str) {
    let said = operation.description.take().unwrap_or_default();
    operation.description = Some(format!("{said}\n\nNeeds the role {roles}.").trim_start().to_owned());
    for (status, meaning) in REFUSALS {
        operation.responses.responses.insert(status.to_owned(), refusal(meaning));
    }
}

fn refusal(meaning: &str) -> RefOr<Response> {
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(meaning).content("application/problem+json", problem).build().into()
}
