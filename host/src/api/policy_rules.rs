//! What an admin says of a scope: its ceiling, and whose signatures it trusts.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use utoipa_axum::routes;

use super::caller::CallerOf;
use super::input::{Body, Segment, Segments};
use super::policy_orders::KeyOrder;
use super::problem::Problem;
use super::routes::Routes;
use super::{Failures, Services};
use crate::access::{Action, Caller};
use crate::model::{Ceiling, PolicyScope};
use crate::signing::PublicKey;
use crate::views::{Page, PolicyCeiling, PolicyRules, PolicySigner};

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Action::ReadPolicies, routes!(ceiling))
        .with(Action::SetCeiling, routes!(set_ceiling, clear_ceiling))
        .with(Action::ReadPolicies, routes!(keys))
        .with(Action::ManageKeys, routes!(trust))
        .with(Action::ManageKeys, routes!(distrust))
}

/// What holds in a scope.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/policy/ceiling", tag = "tenant policies",
    params(("tenant" = String, Path, description = "The tenant; `*` for those without a ceiling of their own.")),
    responses((status = 200, description = "Its ceiling, and its keys.", body = PolicyRules), Failures))]
async fn ceiling(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
) -> Result<Json<PolicyRules>, Problem> {
    rules(&services, &caller, &scope.parse()?).await
}

/// Sets a scope's own ceiling. What is bound there stays bound.
#[utoipa::path(put, path = "/api/v1/tenants/{tenant}/policy/ceiling", tag = "tenant policies",
    request_body = PolicyCeiling,
    params(("tenant" = String, Path, description = "The tenant; `*` for those without a ceiling of their own.")),
    responses((status = 200, description = "What holds now.", body = PolicyRules), Failures))]
async fn set_ceiling(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
    Body(ceiling): Body<PolicyCeiling>,
) -> Result<Json<PolicyRules>, Problem> {
    let scope = scope.parse()?;
    let ceiling = Ceiling::try_from(&ceiling).map_err(|error| Problem::invalid_request(error.to_string()))?;
    services.policies.set_ceiling(&caller, &scope, Some(ceiling)).await?;
    rules(&services, &caller, &scope).await
}

/// Takes a scope's own ceiling away: everybody's holds there.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}/policy/ceiling", tag = "tenant policies",
    params(("tenant" = String, Path, description = "The tenant; `*` for those without a ceiling of their own.")),
    responses((status = 200, description = "What holds now.", body = PolicyRules), Failures))]
async fn clear_ceiling(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
) -> Result<Json<PolicyRules>, Problem> {
    let scope = scope.parse()?;
    services.policies.set_ceiling(&caller, &scope, None).await?;
    rules(&services, &caller, &scope).await
}

/// The keys that a scope trusts, or has trusted, beside everybody's.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/policy/keys", tag = "tenant policies",
    params(("tenant" = String, Path, description = "The tenant; `*` for keys that are trusted in every scope.")),
    responses((status = 200, description = "All of them.", body = Page<PolicySigner>), Failures))]
async fn keys(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
) -> Result<Json<Page<PolicySigner>>, Problem> {
    let rules = services.policies.rules(&caller, &scope.parse()?).await?;
    Ok(Json(Page { items: rules.keys.iter().map(PolicySigner::from).collect(), next: None }))
}

/// Trusts a key in a scope.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/policy/keys", tag = "tenant policies", request_body = KeyOrder,
    params(("tenant" = String, Path, description = "The tenant; `*` for every scope.")),
    responses((status = 200, description = "The key.", body = PolicySigner), Failures))]
async fn trust(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(scope): Segment,
    Body(order): Body<KeyOrder>,
) -> Result<Json<PolicySigner>, Problem> {
    let key = PublicKey::from_pem(order.public_key.as_bytes());
    let key = key.map_err(|error| Problem::invalid_request(error.to_string()))?;
    Ok(Json((&services.policies.add_key(&caller, &scope.parse()?, &key).await?).into()))
}

/// Trusts a key in a scope no more, for good. What is bound stays bound.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}/policy/keys/{key}", tag = "tenant policies",
    params(("tenant" = String, Path, description = "The tenant; `*` for keys that are trusted in every scope."),
        ("key" = String, Path, description = "The key's id.")),
    responses((status = 200, description = "All keys of the scope.", body = Page<PolicySigner>), Failures))]
async fn distrust(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segments(scope, key): Segments,
) -> Result<Json<Page<PolicySigner>>, Problem> {
    let scope = scope.parse()?;
    services.policies.revoke_key(&caller, &scope, &key).await?;
    let rules = services.policies.rules(&caller, &scope).await?;
    Ok(Json(Page { items: rules.keys.iter().map(PolicySigner::from).collect(), next: None }))
}

async fn rules(services: &Services, caller: &Caller, scope: &PolicyScope) -> Result<Json<PolicyRules>, Problem> {
    Ok(Json((&services.policies.rules(caller, scope).await?).into()))
}
