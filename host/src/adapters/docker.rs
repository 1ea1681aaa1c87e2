//! Container engines that speak the Docker Engine API: Docker, and Podman's service.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::EventMessage;
use futures_util::{StreamExt as _, stream};

use crate::model::{Container, ContainerId, ErrorChain, Labels, Removal, bounded_text};
use crate::ports::{ContainerEngine, EngineError, Hints, Listing, PassedOver};

mod client;
mod describe;
mod endpoint;
mod images;
mod raw;
mod removal;
mod tiny_image;
mod transport;
mod workshop;

use client::{CallError, Client};
pub use endpoint::{Endpoint, InvalidEndpoint};
use images::ImageLabels;
pub use workshop::{EngineVersion, Workshop, WorkshopError};

/// Containers described at a time while listing: enough to hide the latency, few enough to leave the engine to others.
const DESCRIBED_AT_ONCE: usize = 16;
/// Events that hint at a container's record, as Docker and as Podman name them. Others, such as those of health checks,
/// may come by the second.
const HINTING: [&str; 6] = ["create", "start", "die", "died", "destroy", "remove"];
/// Longest reason why a container cannot be described.
const REASON_BYTES: usize = 512;

/// Where an engine is and how long to wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerOptions {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Longest wait for the whole answer to one request.
    pub request_timeout: Duration,
    /// How a removal is followed.
    pub removal: RemovalOptions,
}

/// How a removal is made and followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalOptions {
    /// First pause between two looks at a container that is being removed; each later one is twice
    /// as long, up to sixteen times the first.
    pub poll: Duration,
    /// Longest time to follow a removal after the engine's answer, or after it was lost.
    pub deadline: Duration,
    /// Whether the container's anonymous volumes go with it.
    pub anonymous_volumes: bool,
}

impl Default for RemovalOptions {
    fn default() -> Self {
        Self { poll: Duration::from_millis(20), deadline: Duration::from_secs(8), anonymous_volumes: false }
    }
}

impl DockerOptions {
    /// The defaults for an engine: together, a removal's waits stay below a run's limit for one import.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, request_timeout: Duration::from_secs(10), removal: RemovalOptions::default() }
    }
}

/// Why no client could be made for an engine. The engine itself is not asked yet.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A file of the certificate directory cannot be read, or holds no PEM of its kind.
    #[error("the engine's certificate file {path:?} cannot be used")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The certificates do not fit together, or are of a kind that is not supported.
    #[error("the engine's certificates cannot be used")]
    Tls(#[source] rustls::Error),
    /// The client library refused the endpoint.
    #[error("no client can be made for the engine's endpoint")]
    Client(#[source] bollard::errors::Error),
}

/// A Docker Engine.
#[derive(Debug)]
pub struct DockerEngine {
    client: Client,
    images: ImageLabels,
    removal: RemovalOptions,
}

impl DockerEngine {
    /// Makes the client. The engine is first asked, and its API version negotiated, by the first call.
    pub fn connect(options: &DockerOptions) -> Result<Self, ConnectError> {
        let client = Client::connect(&options.endpoint, options.request_timeout)?;
        Ok(Self { client, images: ImageLabels::default(), removal: options.removal.clone() })
    }

    /// What is to be said of a container that the engine lists by `wanted`; none if it is gone.
    async fn described(
        &self,
        id: &ContainerId,
        wanted: &[(String, String)],
    ) -> Result<Option<Result<Container, PassedOver>>, CallError> {
        let Some(mut found) = self.client.inspect(id).await? else { return Ok(None) };
        if !carries(&found.container.labels, wanted) {
            return Ok(None);
        }
        let Some(image) = self.images.of(&self.client, &found.image_id).await? else {
            let reason = "its image is gone, so whose word its labels are cannot be told".to_owned();
            return Ok(Some(Err(PassedOver { id: id.clone(), reason })));
        };
        found.container.labels.retain(|name, value| image.get(name) != Some(value));
        let own = carries(&found.container.labels, wanted);
        Ok(Some(if own { Ok(found.container) } else { Err(PassedOver::by_image(id.clone())) }))
    }
}

/// Whom the event is about, if it changes what a record should say.
fn hint(event: EventMessage) -> Option<ContainerId> {
    HINTING.contains(&event.action?.as_str()).then_some(event.actor?.id?)?.parse().ok()
}

/// For people: the error with what caused it.
fn undescribed(id: ContainerId, error: &CallError) -> PassedOver {
    let reason = format!("it cannot be described: {}", ErrorChain(error));
    PassedOver { id, reason: bounded_text(&reason, REASON_BYTES) }
}

fn carries(labels: &Labels, wanted: &[(String, String)]) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}

fn unavailable(error: CallError) -> EngineError {
    EngineError::Unavailable(Box::new(error))
}

#[async_trait]
impl ContainerEngine for DockerEngine {
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        let found = self.client.inspect(id).await.map_err(unavailable)?;
        Ok(found.map(|found| found.container))
    }

    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError> {
        removal::remove(&self.client, id, &self.removal).await
    }

    async fn remove_seen(&self, seen: &Container) -> Result<Removal, EngineError> {
        removal::remove_from(&self.client, &seen.id, &self.removal, seen.state.clone()).await
    }

    async fn list_labelled(&self, labels: &[(String, String)]) -> Result<Listing, EngineError> {
        let listed = self.client.list(labels).await.map_err(unavailable)?;
        // An engine that ignores the filter must not lead to containers of others.
        let candidates = listed.into_iter().filter(|(_, found)| carries(found, labels));
        let mut described = stream::iter(candidates)
            .map(|(id, _)| async move { (self.described(&id, labels).await, id) })
            .buffered(DESCRIBED_AT_ONCE);
        let (mut listing, mut failed) = (Listing::default(), false);
        while let Some((found, id)) = described.next().await {
            match found {
                Ok(Some(Ok(container))) => listing.containers.push(container),
                Ok(Some(Err(passed_over))) => listing.passed_over.push(passed_over),
                Ok(None) => {}
                Err(error) => {
                    failed = true;
                    listing.passed_over.push(undescribed(id, &error));
                }
            }
        }
        if failed {
            self.ping().await?;
        }
        Ok(listing)
    }

    async fn watch(&self, labels: &[(String, String)]) -> Result<Option<Hints>, EngineError> {
        let events = self.client.events(labels).await.map_err(unavailable)?;
        // One that cannot be read may have been the last that could be.
        let readable = events.take_while(|event| std::future::ready(event.is_ok()));
        Ok(Some(readable.filter_map(|event| std::future::ready(event.ok().and_then(hint))).boxed()))
    }

    async fn ping(&self) -> Result<(), EngineError> {
        self.client.ping().await.map_err(unavailable)
    }
}
