//! One request at a time: API version, time limit, and what kind of failure it was.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bollard::errors::Error as BollardError;
use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptions, RemoveContainerOptions};
use bollard::{BollardRequest, Docker};
use futures_util::Stream;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::describe::{self, Described, Malformed};
use super::raw::{Raw, escaped};
use super::{ConnectError, Endpoint, transport};
use crate::model::{ContainerId, Labels};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The API versions 1.x that this adapter speaks: from the first that every answer used here has, to
/// the newest that the client library knows.
const OLDEST_API: u32 = 25;
const NEWEST_API: u32 = 53;
/// So often a reading is tried that the engine answers with a fault of its own.
const READ_TRIES: u32 = 3;
/// No version negotiated yet.
const UNKNOWN_API: u32 = 0;

/// Why a request brought no answer that can be used, by what is known of its effect.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The engine said no such thing exists.
    #[error("the engine knows no such object")]
    Absent,
    /// The engine answered with a failure.
    #[error("the engine answered with status {status}")]
    Answered {
        /// HTTP status.
        status: u16,
        #[source]
        source: BollardError,
    },
    /// The request was not sent, so it has no effect.
    #[error("the engine could not be asked")]
    NotSent(#[source] Source),
    /// The request may have been sent; its answer did not come, or could not be read.
    #[error("the engine's answer was lost")]
    Lost(#[source] Source),
}

#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct TimedOut(Duration);

/// The engine and this adapter have no API version in common.
#[derive(Debug, thiserror::Error)]
#[error(
    "the engine speaks API {oldest} to {newest}; this version of rtmanager speaks 1.{OLDEST_API} to 1.{NEWEST_API}"
)]
struct UnsupportedApi {
    oldest: String,
    newest: String,
}

/// A client of one engine.
#[derive(Debug)]
pub(super) struct Client {
    docker: Docker,
    raw: Raw,
    timeout: Duration,
    /// The minor version in use, read by every request on its way out.
    api: Arc<AtomicU32>,
}

impl Client {
    pub(super) fn connect(endpoint: &Endpoint, timeout: Duration) -> Result<Self, ConnectError> {
        let api = Arc::new(AtomicU32::new(UNKNOWN_API));
        let requested = Arc::clone(&api);
        // The library leaves the version out of the path, which means "the engine's newest": its answers
        // could change their meaning with an upgrade of the engine.
        let (docker, raw) = transport::open(endpoint, timeout, NEWEST_API)?;
        let docker =
            docker.with_request_modifier(move |request| with_version(request, requested.load(Ordering::Relaxed)));
        Ok(Self { docker, raw, timeout, api })
    }

    /// The client library, for requests to be made by [`Client::call`].
    pub(super) fn docker(&self) -> &Docker {
        &self.docker
    }

    pub(super) async fn ping(&self) -> Result<(), CallError> {
        self.call(|| self.docker.ping()).await.map(|_| ())
    }

    pub(super) async fn inspect(&self, id: &ContainerId) -> Result<Option<Described>, CallError> {
        match self.get(&format!("/containers/{id}/json")).await {
            Ok(answer) => describe::container(id, answer).map(Some).map_err(unreadable),
            Err(CallError::Absent) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for the removal. Never by force, which would kill; never of a link.
    pub(super) async fn delete(&self, id: &ContainerId, anonymous_volumes: bool) -> Result<(), CallError> {
        let options = RemoveContainerOptions { v: anonymous_volumes, force: false, link: false };
        self.call(|| self.docker.remove_container(id.as_str(), Some(options.clone()))).await
    }

    /// Containers in any state with their labels, as far as the engine honours the filter.
    pub(super) async fn list(&self, labels: &[(String, String)]) -> Result<Vec<(ContainerId, Labels)>, CallError> {
        let wanted: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let filters = escaped(&serde_json::json!({ "label": wanted }).to_string());
        let answer: Vec<describe::Listed> = self.get(&format!("/containers/json?all=true&filters={filters}")).await?;
        answer.into_iter().map(describe::listed).collect::<Result<_, _>>().map_err(unreadable)
    }

    /// What happens to containers from now on. The engine has just answered; the stream itself is opened when it is
    /// first polled, and is bounded by no time limit.
    pub(super) async fn events(
        &self,
        labels: &[(String, String)],
    ) -> Result<impl Stream<Item = Result<EventMessage, BollardError>> + Send + 'static + use<>, CallError> {
        self.ping().await?;
        let mut filters = HashMap::from([("type".to_owned(), vec!["container".to_owned()])]);
        if !labels.is_empty() {
            let wanted = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            filters.insert("label".to_owned(), wanted);
        }
        let docker = self.docker.clone();
        let options = EventsOptions { filters: Some(filters), ..EventsOptions::default() };
        Ok(docker.events(Some(options)))
    }

    /// The labels that an image gives to its containers; none if the image is gone.
    pub(super) async fn image_labels(&self, image_id: &str) -> Result<Option<Labels>, CallError> {
        match self.call(|| self.docker.inspect_image(image_id)).await {
            Ok(image) => {
                Ok(Some(image.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect()))
            }
            Err(CallError::Absent) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads. Podman answers 500 to whoever looks at a container, or lists it, while it goes: looking again tells.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let prepare = |request| with_version(request, self.api.load(Ordering::Relaxed));
        for _ in 1..READ_TRIES {
            match self.call(|| self.raw.get(path, prepare)).await {
                Err(CallError::Answered { status: 500, .. }) => {}
                answer => return answer,
            }
        }
        self.call(|| self.raw.get(path, prepare)).await
    }

    /// Makes a request in a version that the engine speaks, within the time limit.
    ///
    /// Status 400 can mean that the engine was replaced by one that does not speak the version any more
    /// (it then did nothing), so it is asked again if negotiating anew gives another one.
    pub(super) async fn call<T, F>(&self, request: impl Fn() -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, BollardError>>,
    {
        let deadline = Instant::now() + self.timeout;
        let api = match self.api.load(Ordering::Relaxed) {
            UNKNOWN_API => self.negotiate(deadline).await?,
            known => known,
        };
        match self.once(request(), deadline).await {
            Err(CallError::Answered { status: 400, source }) => match self.negotiate(deadline).await {
                Ok(now) if now != api => self.once(request(), deadline).await,
                _ => Err(CallError::Answered { status: 400, source }),
            },
            answer => answer,
        }
    }

    async fn once<T>(
        &self,
        request: impl Future<Output = Result<T, BollardError>>,
        deadline: Instant,
    ) -> Result<T, CallError> {
        let answer = match timeout_at(deadline, request).await {
            Ok(answer) => answer.map_err(classify),
            Err(_) => Err(CallError::Lost(Box::new(TimedOut(self.timeout)))),
        };
        if matches!(answer, Err(CallError::NotSent(_) | CallError::Lost(_))) {
            // Whoever answers next may be another version of the engine.
            self.api.store(UNKNOWN_API, Ordering::Relaxed);
        }
        answer
    }

    /// Agrees on a version. By `/version`, since only that tells the oldest version spoken as well.
    async fn negotiate(&self, deadline: Instant) -> Result<u32, CallError> {
        let answer = self.once(self.docker.version(), deadline).await;
        let version = answer.map_err(|error| CallError::NotSent(Box::new(error)))?;
        let newest = version.api_version.unwrap_or_default();
        let oldest = version.min_api_version.unwrap_or_else(|| newest.clone());
        let api = common_version(&oldest, &newest)
            .ok_or_else(|| CallError::NotSent(Box::new(UnsupportedApi { oldest, newest })))?;
        self.api.store(api, Ordering::Relaxed);
        Ok(api)
    }
}

fn with_version(mut request: BollardRequest, api: u32) -> BollardRequest {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if api == UNKNOWN_API || path == "/version" || path.starts_with("/v1.") {
        return request;
    }
    let versioned = format!("/v1.{api}{path}").parse().ok();
    let mut parts = request.uri().clone().into_parts();
    if let Some(path) = versioned {
        parts.path_and_query = Some(path);
    }
    if let Ok(uri) = hyper::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// The newest version within both ranges.
fn common_version(oldest: &str, newest: &str) -> Option<u32> {
    let minor = |version: &str| version.strip_prefix("1.")?.parse::<u32>().ok();
    let (oldest, newest) = (minor(oldest)?.max(OLDEST_API), minor(newest)?.min(NEWEST_API));
    (oldest <= newest).then_some(newest)
}

fn classify(error: BollardError) -> CallError {
    match error {
        BollardError::DockerResponseServerError { status_code: 404, .. } => CallError::Absent,
        BollardError::DockerResponseServerError { status_code, .. } => {
            CallError::Answered { status: status_code, source: error }
        }
        BollardError::HyperLegacyError { ref err } if err.is_connect() => CallError::NotSent(Box::new(error)),
        other => CallError::Lost(Box::new(other)),
    }
}

fn unreadable(error: Malformed) -> CallError {
    CallError::Lost(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_taken() {
        assert_eq!(common_version("1.12", "1.41"), Some(41));
        assert_eq!(common_version("1.44", "1.99"), Some(NEWEST_API));
        assert_eq!(common_version("1.25", "1.25"), Some(OLDEST_API));
    }

    #[test]
    fn no_common_version_is_none() {
        for (oldest, newest) in [("1.12", "1.24"), ("1.54", "1.60"), ("2.0", "2.1"), ("", ""), ("1.x", "1.41")] {
            assert_eq!(common_version(oldest, newest), None, "{oldest} to {newest}");
        }
    }
}
