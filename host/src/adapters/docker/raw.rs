//! Answers read by ourselves. The client library takes the states of containers for a closed set, and Podman has
//! more: one container in such a state would spoil a whole listing.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use bollard::errors::Error as BollardError;
use bollard::{BollardRequest, body_full};
use futures_util::future::BoxFuture;
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response};
use serde::de::DeserializeOwned;

/// Sends a request and answers its response.
pub(super) type Send =
    dyn Fn(BollardRequest) -> BoxFuture<'static, Result<Response<Incoming>, BollardError>> + std::marker::Send + Sync;

/// Makes requests over the same connections as the client library.
#[derive(Clone)]
pub(super) struct Raw {
    /// Scheme and authority.
    address: String,
    send: Arc<Send>,
}

impl Raw {
    pub(super) fn new(address: String, send: Arc<Send>) -> Self {
        Self { address, send }
    }

    /// Gets what is at `path`, as the JSON that it is. `prepare` has the last word on the request.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        prepare: impl FnOnce(BollardRequest) -> BollardRequest,
    ) -> Result<T, BollardError> {
        let request = Request::get(format!("{}{path}", self.address)).body(body_full(Default::default()))?;
        let answer = (self.send)(prepare(request)).await?;
        let (status, body) = (answer.status(), whole(answer.into_body()).await?);
        if status.is_success() {
            return Ok(serde_json::from_slice(&body)?);
        }
        let message = String::from_utf8_lossy(&body).into_owned();
        Err(BollardError::DockerResponseServerError { status_code: status.as_u16(), message })
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn whole(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// A query's value, with everything escaped that could need it.
pub(super) fn escaped(value: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    value.bytes().map(escape).collect()
}
