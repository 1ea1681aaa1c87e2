//! Tokens: made, listed, replaced, revoked.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, HeaderName};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::caller::CallerOf;
use super::input::{Body, Segment, parsed};
use super::problem::Problem;
use super::routes::Routes;
use super::{Failures, Services};
use crate::access::{Action, NewToken, Rotation, TokenError};
use crate::model::Role;
use crate::views::{MadeToken, NamedToken, Page};

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Action::ManageTokens, routes!(list, create))
        .with(Action::ManageTokens, routes!(revoke))
        .with(Action::ManageTokens, routes!(rotate))
}

/// All tokens by name, those that are revoked or past their end too; never their secrets.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens",
    responses((status = 200, description = "All of them.", body = Page<NamedToken>), Failures))]
async fn list(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
) -> Result<Json<Page<NamedToken>>, Problem> {
    let tokens = services.tokens.list(&caller).await?;
    let now = services.tokens.now();
    Ok(Json(Page { items: tokens.iter().map(|token| NamedToken::new(token, now)).collect(), next: None }))
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TokenOrder {
    /// 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-'; never used before.
    name: String,
    /// `admin`, `operator`, `viewer` or `tenant`.
    role: String,
    /// The tenant, for the role `tenant` only.
    tenant: Option<String>,
    /// Until when, in RFC 3339; until it is revoked if not given.
    expires_at: Option<String>,
}

/// Makes a token. Its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = TokenOrder,
    responses((status = 200, description = "The token and its secret.", body = MadeToken), Failures))]
async fn create(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Body(order): Body<TokenOrder>,
) -> Result<([(HeaderName, &'static str); 1], Json<MadeToken>), Problem> {
    let role = Role::from_text(&order.role, parsed(order.tenant.as_deref())?);
    let new = NewToken {
        name: order.name.parse().map_err(|error: &str| Problem::invalid_request(error))?,
        role: role.ok_or_else(|| {
            Problem::invalid_request("role must be admin, operator or viewer, or tenant together with its tenant")
        })?,
        expires_at: parsed(order.expires_at.as_deref())?,
    };
    let (token, secret) = services.tokens.create(&caller, new).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(MadeToken::new(&token, &secret))))
}

/// How a token is to be replaced.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RotationOrder {
    /// How many seconds the old one goes on; 86,400 if not given.
    overlap_seconds: Option<u64>,
    /// Until when the new one is valid, in RFC 3339; for as long as the old one was if not given.
    expires_at: Option<String>,
}

const OVERLAP: Duration = Duration::from_secs(86_400);

/// Makes a token of the same role in the place of one, which ends after the overlap. The new one is called NAME.2, NAME.3
/// and so on; its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/tokens/{name}/rotation", tag = "tokens", request_body = RotationOrder,
    params(("name" = String, Path, description = "The old token's name.")),
    responses((status = 200, description = "The new token and its secret.", body = MadeToken), Failures))]
async fn rotate(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(name): Segment,
    Body(order): Body<RotationOrder>,
) -> Result<([(HeaderName, &'static str); 1], Json<MadeToken>), Problem> {
    let overlap = order.overlap_seconds.map_or(OVERLAP, Duration::from_secs);
    let rotation = Rotation { overlap, expires_at: parsed(order.expires_at.as_deref())? };
    let (token, secret) = services.tokens.rotate(&caller, &name, rotation).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(MadeToken::new(&token, &secret))))
}

/// Revokes a token: it opens nothing from the next request on. Doing it again is no error; its name stays taken.
#[utoipa::path(delete, path = "/api/v1/tokens/{name}", tag = "tokens",
    params(("name" = String, Path, description = "The token's name.")),
    responses((status = 200, description = "The token, revoked.", body = NamedToken), Failures))]
async fn revoke(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(name): Segment,
) -> Result<Json<NamedToken>, Problem> {
    services.tokens.revoke(&caller, &name).await?;
    let tokens = services.tokens.list(&caller).await?;
    let revoked =
        tokens.iter().find(|token| token.name == name).map(|token| NamedToken::new(token, services.tokens.now()));
    revoked.map(Json).ok_or_else(|| TokenError::NotFound(name).into())
}
