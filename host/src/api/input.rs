//! What requests carry: one path segment, query parameters, a JSON body. What is wrong is a problem.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Services;
use super::problem::Problem;
use crate::config::show_span;
use crate::signing::Envelope;

/// The one parameter of a path, percent-decoded once.
pub(super) struct Segment(pub String);

impl FromRequestParts<Arc<Services>> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Arc<Services>) -> Result<Self, Problem> {
        let segment = Path::<String>::from_request_parts(parts, services).await;
        segment.map(|Path(text)| Self(text)).map_err(|error| Problem::invalid_request(error.body_text()))
    }
}

/// The query's parameters; unknown ones are refused, so that no filter is silently ignored.
pub(super) struct Parameters<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Services>> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Arc<Services>) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, services).await;
        query.map(|Query(value)| Self(value)).map_err(|error| Problem::invalid_request(error.body_text()))
    }
}

/// The two parameters of a path, each percent-decoded once.
pub(super) struct Segments(pub String, pub String);

impl FromRequestParts<Arc<Services>> for Segments {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Arc<Services>) -> Result<Self, Problem> {
        let segments = Path::<(String, String)>::from_request_parts(parts, services).await;
        let segments = segments.map_err(|error| Problem::invalid_request(error.body_text()));
        segments.map(|Path((first, second))| Self(first, second))
    }
}

/// A JSON body, bounded in size and time.
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Services>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, services: &Arc<Services>) -> Result<Self, Problem> {
        let limits = &services.config.http;
        let bytes = JSON.read(request, services, limits.max_body_bytes, "http.max_body_bytes").await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| Problem::invalid_request(error.to_string()))
    }
}

/// A DSSE envelope, unread, which may be longer than other bodies.
pub(super) struct Document(pub Bytes);

impl FromRequest<Arc<Services>> for Document {
    type Rejection = Problem;

    async fn from_request(request: Request, services: &Arc<Services>) -> Result<Self, Problem> {
        JSON.read(request, services, Envelope::LONGEST, "the longest envelope").await.map(Self)
    }
}

/// A component's bytes, which are many.
pub(super) struct Component(pub Vec<u8>);

impl FromRequest<Arc<Services>> for Component {
    type Rejection = Problem;

    async fn from_request(request: Request, services: &Arc<Services>) -> Result<Self, Problem> {
        let largest = usize::try_from(services.policies.largest_component()).unwrap_or(usize::MAX);
        COMPONENT.read(request, services, largest, "admission.component_bytes").await.map(|bytes| Self(bytes.into()))
    }
}

/// The media type of components.
pub(super) const WASM: &str = "application/wasm";

/// What kind of body is expected.
struct Kind {
    media_type: &'static str,
    name: &'static str,
    /// Beside `http.body_time`, which is made for bodies of some kilobytes.
    extra_time: Duration,
}

const JSON: Kind = Kind { media_type: "application/json", name: "JSON", extra_time: Duration::ZERO };
const COMPONENT: Kind = Kind { media_type: WASM, name: "a component", extra_time: Duration::from_secs(50) };

impl Kind {
    async fn read(
        &self,
        mut request: Request,
        services: &Arc<Services>,
        most: usize,
        limit: &str,
    ) -> Result<Bytes, Problem> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case(self.media_type) {
            let detail = format!("the body must be {}: say Content-Type: {}", self.name, self.media_type);
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        let time = services.config.http.body_time.saturating_add(self.extra_time);
        DefaultBodyLimit::max(most).apply(&mut request);
        let read = tokio::time::timeout(time, Bytes::from_request(request, services)).await;
        let read = read.map_err(|_| {
            let detail = format!("the body took longer than {} (http.body_time)", show_span(time));
            Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
        })?;
        read.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = format!("the body is larger than {most} bytes ({limit})");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
            }
            _ => Problem::invalid_request("the body could not be read"),
        })
    }
}

/// Rows a page has if nobody says, and at most.
const PAGE: (u32, u32) = (50, 200);

/// The length of a page.
pub(super) fn page_length(asked: Option<u32>) -> Result<u32, Problem> {
    let (default, most) = PAGE;
    match asked.unwrap_or(default) {
        length if (1..=most).contains(&length) => Ok(length),
        length => Err(Problem::invalid_request(format!("limit is {length}, and must be from 1 to {most}"))),
    }
}

/// Reads an optional parameter.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: Option<&str>) -> Result<Option<T>, Problem> {
    text.map(str::parse).transpose().map_err(|error: T::Err| Problem::invalid_request(error.to_string()))
}
