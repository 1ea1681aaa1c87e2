//! Errors as callers see them: RFC 9457 problems with a stable code.

use std::any::Any;
use std::error::Error as _;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::policy_problems::Particulars;
use crate::access::{PruneError, TokenError, Unrecorded};
use crate::lifecycle::OperationResult;
use crate::model::{ErrorChain, ErrorCode, InvalidId};
use crate::orders;
use crate::ports::{RegisterError, StoreError};

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the code says which problem it is.
    pub r#type: &'static str,
    /// The status in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// A stable code to act on.
    #[schema(value_type = String)]
    pub code: Box<str>,
    /// For people.
    #[schema(value_type = String)]
    pub detail: Box<str>,
    /// The request, as in the logs and the operation log.
    #[schema(value_type = String)]
    pub request_id: Box<str>,
    /// The run, if there was one.
    pub run_id: Option<String>,
    /// In how many seconds to ask again, as the header Retry-After says, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub retry_after: Option<NonZeroU32>,
    /// What programs can use of it.
    #[serde(flatten)]
    #[schema(value_type = Particulars)]
    pub more: Option<Box<Particulars>>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: code.into(),
            detail: detail.into().into(),
            request_id: Box::default(),
            run_id: None,
            retry_after: None,
            more: None,
        }
    }

    /// The same, with when to come again.
    pub(super) fn after(mut self, wait: Duration) -> Self {
        // Rounded up: who comes a moment early is refused again.
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
        self.retry_after = Some(NonZeroU32::MIN.saturating_add(seconds));
        self
    }

    pub(super) fn invalid_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", detail)
    }

    pub(super) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    /// What became of a cleanup that failed. A policy's faults, and codes of its own, are 500.
    pub(super) fn of_failure(result: &OperationResult) -> Self {
        let code = result.error_code.as_ref().unwrap_or(&ErrorCode::INTERNAL_ERROR);
        let status = match code {
            code if *code == ErrorCode::INVALID_REQUEST => StatusCode::BAD_REQUEST,
            code if *code == ErrorCode::NOT_FOUND => StatusCode::NOT_FOUND,
            code if *code == ErrorCode::CONFLICT => StatusCode::CONFLICT,
            code if *code == ErrorCode::SERVICE_UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let detail = result.message.clone().unwrap_or_else(|| "the cleanup failed".to_owned());
        Self { run_id: Some(result.run_id.to_string()), ..Self::new(status, code.as_str(), detail) }
    }

    /// For a panic in a handler: a fault of ours, which the caller can only report.
    pub(super) fn of_panic(panic: Box<dyn Any + Send>) -> Response {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        tracing::error!(panic = said, "a request panicked");
        Self::internal("something broke; the log has more under this request id").into_response()
    }

    /// The answer's body, once the request's id is known.
    pub(super) fn render(mut self, request_id: &str, response: &mut Response) {
        self.request_id = request_id.into();
        match serde_json::to_vec(&self) {
            Ok(body) => *response.body_mut() = body.into(),
            Err(error) => tracing::error!(%error, "a problem cannot be written as JSON"),
        }
    }
}

/// The body is written further out, by whoever knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.get().into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let source = error.source().map(ToString::to_string);
        tracing::error!(%error, source, "the store failed a request");
        match error {
            StoreError::Unavailable(_) => Self::unavailable("the store did not answer; try again"),
            StoreError::Unknown(_) => {
                Self::unavailable("the store's answer was lost, so this may have happened; look before trying again")
            }
            StoreError::Corrupt(_) => Self::internal("the store holds something that it must not; the log has more"),
        }
    }
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Store(error) => error.into(),
            refused => Self::conflict(refused.to_string()),
        }
    }
}

impl From<Unrecorded> for Problem {
    fn from(error: Unrecorded) -> Self {
        tracing::error!(error = %ErrorChain(&error), "an action was refused");
        Self::unavailable(error.to_string())
    }
}

impl From<orders::Error> for Problem {
    fn from(error: orders::Error) -> Self {
        match error {
            orders::Error::Denied(denied) => denied.into(),
            orders::Error::Unrecorded(error) => error.into(),
            orders::Error::NoRecord(_) => Self::not_found(error.to_string()),
            orders::Error::Register(error) => error.into(),
            orders::Error::Store(error) => error.into(),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Denied(denied) => denied.into(),
            TokenError::Unrecorded(error) => error.into(),
            TokenError::NameTaken(_) | TokenError::Ended(_) => Self::conflict(error.to_string()),
            TokenError::NotFound(_) => Self::not_found(error.to_string()),
            TokenError::Expired | TokenError::Name(_) => Self::invalid_request(error.to_string()),
            TokenError::Randomness(_) => Self::unavailable(error.to_string()),
            TokenError::Store(error) => error.into(),
        }
    }
}

impl From<PruneError> for Problem {
    fn from(error: PruneError) -> Self {
        match error {
            PruneError::Denied(denied) => denied.into(),
            PruneError::Unrecorded(error) => error.into(),
            PruneError::Broken(_) => Self::conflict(error.to_string()),
            PruneError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidId> for Problem {
    fn from(error: InvalidId) -> Self {
        Self::invalid_request(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Outcome, RunId};

    #[test]
    fn failures_have_the_status_of_their_code_and_faults_are_500() {
        let status = |code: &str| {
            let result = OperationResult {
                run_id: RunId::from_bytes([7; 16]),
                outcome: Outcome::Failure,
                error_code: ErrorCode::parse(code),
                message: Some("why".to_owned()),
                record: None,
                entry: None,
                removed_container: None,
            };
            let problem = Problem::of_failure(&result);
            assert_eq!((&*problem.code, &*problem.detail), (code, "why"));
            problem.status
        };
        let all: Vec<_> = ErrorCode::KNOWN.iter().map(|code| (*code, status(code))).collect();
        let expected = [("invalid_request", 400), ("not_found", 404), ("conflict", 409), ("service_unavailable", 503)];
        for (code, got) in all {
            let want = expected.iter().find(|(name, _)| *name == code).map_or(500, |(_, status)| *status);
            assert_eq!(got, want, "{code}");
        }
        assert_eq!(status("acme_says_no"), 500);
    }
}
