//! Which request it is, and from where: the outermost layer of every request. Who calls is the guard's to find out.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tracing::Instrument as _;

use super::Services;
use super::allowance::Network;
use super::problem::Problem;
use crate::ports::Randomness;
use crate::telemetry::TraceContext;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: &str = "traceparent";

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// A process on this machine, by its user: the kernel's word.
    Unix {
        /// The user's id.
        uid: u32,
    },
    /// Somebody who has to show a token.
    Tcp {
        /// From where.
        network: Network,
    },
}

/// Names a request in logs, answers and the operation log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestId(pub String);

/// Names the request, opens its span, and writes the id into problems and the answer's header.
pub(super) async fn identify(State(services): State<Arc<Services>>, mut request: Request, next: Next) -> Response {
    let Some(request_id) = given(request.headers()).or_else(|| made(&*services.ports.randomness)) else {
        return Problem::unavailable("the system gave no randomness for a request id").into_response();
    };
    let span = span(&request, &request_id);
    request.extensions_mut().insert(RequestId(request_id.clone()));
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.render(&request_id, &mut response);
    }
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn span(request: &Request, request_id: &str) -> tracing::Span {
    let trace = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(TraceContext::parse);
    // A span of the highest level, so that a filter of `warn` leaves the warnings their request.
    tracing::error_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        request_id,
        actor = tracing::field::Empty,
        trace_id = trace.as_ref().map(TraceContext::trace_id),
        span_id = trace.as_ref().map(TraceContext::span_id),
    )
}

/// The caller's own id, if it can stand in a log and a table as it is.
fn given(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let well_formed = (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    well_formed.then(|| id.to_owned())
}

fn made(randomness: &dyn Randomness) -> Option<String> {
    let mut bytes = [0; 15];
    match randomness.fill(&mut bytes) {
        Ok(()) => Some(format!("req-{}", URL_SAFE_NO_PAD.encode(bytes))),
        Err(error) => {
            tracing::error!(%error, "a request was refused");
            None
        }
    }
}

/// The caller, in a handler's arguments.
pub(super) type CallerOf = Extension<crate::access::Caller>;
