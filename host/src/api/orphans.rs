//! Containers without a record, and records without a container.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::routes;

use super::problem::Problem;
use super::routes::Routes;
use super::{Failures, Services};
use crate::access::Action;
use crate::views::{Page, Reconciliation};

pub(super) fn routes() -> Routes {
    Routes::default().with(Action::ReadPlatform, routes!(list))
}

/// What the last pass of this process over each engine found, with its time. Looks at nothing anew.
#[utoipa::path(get, path = "/api/v1/internal/orphans", tag = "orphans",
    responses((status = 200, description = "Every engine.", body = Page<Reconciliation>), Failures))]
async fn list(State(services): State<Arc<Services>>) -> Result<Json<Page<Reconciliation>>, Problem> {
    let found = services.reconcilers.iter().map(|(name, reconciler)| Reconciliation::of(name, &reconciler.standing()));
    Ok(Json(Page { items: found.collect(), next: None }))
}
