//! Policies in the store: pushed, listed, shown, vouched for, revoked.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::caller::CallerOf;
use super::input::{Body, Component, Document, Parameters, Segment, WASM, page_length, parsed};
use super::policy_orders::Why;
use super::problem::Problem;
use super::routes::Routes;
use super::{Failures, PolicyFailures, Services};
use crate::access::Action;
use crate::model::{PolicyPlace, Revocation};
use crate::policies::NewPolicy;
use crate::signing::Envelope;
use crate::views::{Page, Policy, PolicyDetail, PolicyRevocation};

/// What is whose is decided with the policy at hand: here, whether anybody of this role may.
pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Action::ReadPolicy(None), routes!(list))
        .with(Action::ManagePolicies, routes!(push))
        .with(Action::ReadPolicy(None), routes!(show))
        .with(Action::ReadPolicy(None), routes!(component))
        .with(Action::ManagePolicies, routes!(sign))
        .with(Action::ManagePolicies, routes!(revoke))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filters {
    /// Only of this name.
    name: Option<String>,
    /// After this place: the `next` of the page before.
    after: Option<String>,
    /// Rows, from 1 to 200; 50 if not given.
    limit: Option<u32>,
}

/// Lists the policies that the caller can see, by name and version.
#[utoipa::path(get, path = "/api/v1/policies", tag = "policies", params(Filters),
    responses((status = 200, description = "A page.", body = Page<Policy>), Failures))]
async fn list(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Parameters(asked): Parameters<Filters>,
) -> Result<Json<Page<Policy>>, Problem> {
    // A plus sign that was not escaped; no place has a space in it.
    let after = asked.after.map(|after| after.replace(' ', "+"));
    let (name, after) = (parsed(asked.name.as_deref())?, parsed::<PolicyPlace>(after.as_deref())?);
    let limit = page_length(asked.limit)?;
    let rows = services.policies.list(&caller, name, after.as_ref(), limit + 1).await?;
    Ok(Json(Page::of(&rows, limit, |last| last.place().to_string())))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Label {
    /// What to call it.
    name: String,
    /// Which version of that it is, such as 1.4.0. A version never changes.
    version: String,
    /// The tenant whose it is to be. If not given: the caller's, or the platform's, which every tenant may be bound to.
    owner: Option<String>,
}

/// Puts a component into the store, once it has been examined. Pushing the same again changes nothing.
#[utoipa::path(post, path = "/api/v1/policies", tag = "policies", params(Label),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "The component."),
    responses((status = 201, description = "The policy.", body = PolicyDetail),
        (status = 200, description = "The policy, which was there already.", body = PolicyDetail),
        Failures, PolicyFailures))]
async fn push(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Parameters(label): Parameters<Label>,
    Component(component): Component,
) -> Result<(StatusCode, Json<PolicyDetail>), Problem> {
    let owner = parsed(label.owner.as_deref())?.or_else(|| caller.role.tenant().cloned());
    let (name, version) = (label.name.parse()?, label.version.parse()?);
    let new = NewPolicy { name, version, owner, component, signatures: Vec::new() };
    let pushed = services.policies.push(&caller, new).await?;
    let status = if pushed.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json((&pushed.details).into())))
}

/// One policy, with what it asks for.
#[utoipa::path(get, path = "/api/v1/policies/{digest}", tag = "policies",
    params(("digest" = String, Path, description = "The SHA-256 of the component.")),
    responses((status = 200, description = "The policy.", body = PolicyDetail), Failures))]
async fn show(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(digest): Segment,
) -> Result<Json<PolicyDetail>, Problem> {
    Ok(Json((&services.policies.show(&caller, &digest.parse()?).await?).into()))
}

/// One policy's component.
#[utoipa::path(get, path = "/api/v1/policies/{digest}/component", tag = "policies",
    params(("digest" = String, Path, description = "The SHA-256 of the component.")),
    responses((status = 200, description = "The component.", body = Vec<u8>, content_type = "application/wasm"), Failures))]
async fn component(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(digest): Segment,
) -> Result<([(HeaderName, &'static str); 1], Vec<u8>), Problem> {
    let (component, _) = services.policies.fetch(&caller, &digest.parse()?).await?;
    Ok(([(CONTENT_TYPE, WASM)], component))
}

/// Adds what somebody signed of a component. Whether it counts is decided when the policy is bound.
#[utoipa::path(post, path = "/api/v1/policies/{digest}/signatures", tag = "policies",
    params(("digest" = String, Path, description = "The SHA-256 of the component.")),
    request_body(content = Object, description = "A DSSE envelope."),
    responses((status = 200, description = "The policy.", body = PolicyDetail), Failures))]
async fn sign(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(digest): Segment,
    Document(envelope): Document,
) -> Result<Json<PolicyDetail>, Problem> {
    let digest = digest.parse()?;
    let envelope = Envelope::parse(&envelope).map_err(|error| Problem::invalid_request(error.to_string()))?;
    services.policies.sign(&caller, &digest, &envelope).await?;
    Ok(Json((&services.policies.show(&caller, &digest).await?).into()))
}

/// Revokes a component, wherever it is bound: it can change no record and remove no container from now on.
#[utoipa::path(post, path = "/api/v1/policies/{digest}/revocation", tag = "policies", request_body = Why,
    params(("digest" = String, Path, description = "The SHA-256 of the component.")),
    responses((status = 200, description = "What was revoked.", body = PolicyRevocation), Failures))]
async fn revoke(
    State(services): State<Arc<Services>>,
    Extension(caller): CallerOf,
    Segment(digest): Segment,
    Body(why): Body<Why>,
) -> Result<Json<PolicyRevocation>, Problem> {
    let revocation = Revocation::Component(digest.parse()?);
    Ok(Json((&services.policies.revoke(&caller, revocation, &why.reason).await?).into()))
}
