//! Why something was not done to a policy, as callers see it.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::access::Failure as _;
use crate::policies::{Error, Unsafe};
use crate::ports::{AddPolicyError, SwapError};
use crate::views::PolicyAuthority;

/// What programs, or people, can use of a problem beside its detail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Particulars {
    /// Of `authority_not_accepted`: what the new generation may do and the current one may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<PolicyAuthority>,
    /// Of `policy_unsafe`: the smallest history found in which the policy breaks the protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Of `not_ready`: the hosts that are not, and what keeps each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Vec<String>>,
}

/// About what an examination takes.
const EXAMINATION: Duration = Duration::from_secs(1);

/// Whether a request has a component examined, which may take minutes.
pub(super) fn examines(method: &Method, path: &str) -> bool {
    let is_upload = path == "/api/v1/policies";
    let is_binding = path.starts_with("/api/v1/tenants/")
        && ["/policy", "/policy/check", "/policy/rollout"].iter().any(|end| path.ends_with(end));
    matches!(*method, Method::POST | Method::PUT) && (is_upload || is_binding)
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(denied) => denied.into(),
            Error::Unrecorded(error) => error.into(),
            Error::Store(error) | Error::Add(AddPolicyError::Store(error)) | Error::Swap(SwapError::Store(error)) => {
                error.into()
            }
            Error::Busy(_) => Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", error.to_string()).after(EXAMINATION),
            refused => Self {
                more: particulars(&refused).map(Box::new),
                ..Self::new(status(refused.code()), refused.code(), said(&refused))
            },
        }
    }
}

/// The history of an unsafe policy stands by itself.
fn said(error: &Error) -> String {
    match error {
        Error::Unsafe(Unsafe::Policy { what, .. }) => format!("the policy is not safe: {what}"),
        error => error.to_string(),
    }
}

/// Of the component: 422. Of the state it meets: 409.
fn status(code: &str) -> StatusCode {
    match code {
        "not_found" => StatusCode::NOT_FOUND,
        "policy_refused" | "policy_unsafe" | "signature_required" => StatusCode::UNPROCESSABLE_ENTITY,
        "conflict" | "version_too_low" | "authority_not_accepted" | "not_ready" => StatusCode::CONFLICT,
        "service_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn particulars(error: &Error) -> Option<Particulars> {
    let none = Particulars::default();
    match error {
        Error::Authority(change) => Some(Particulars { authority: Some((&**change).into()), ..none }),
        Error::Unsafe(Unsafe::Policy { scenario, .. }) => {
            Some(Particulars { scenario: Some(scenario.clone()), ..none })
        }
        Error::NotReady { waiting, .. } => Some(Particulars { waiting: Some(waiting.clone()), ..none }),
        _ => None,
    }
}
