//! What requests carry: one path segment, query parameters, a JSON body. What is wrong is a problem.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Services;
use super::problem::Problem;
use crate::config::show_span;

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

/// A JSON body, bounded in size and time.
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Services>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, services: &Arc<Services>) -> Result<Self, Problem> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            let detail = "the body must be JSON: say Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        let limits = &services.config.http;
        let read = tokio::time::timeout(limits.body_time, Bytes::from_request(request, services)).await;
        let read = read.map_err(|_| {
            let detail = format!("the body took longer than {} (http.body_time)", show_span(limits.body_time));
            Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
        })?;
        let bytes = read.map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let detail = format!("the body is larger than {} bytes (http.max_body_bytes)", limits.max_body_bytes);
                return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail);
            }
            Problem::invalid_request("the body could not be read")
        })?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| Problem::invalid_request(error.to_string()))
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
