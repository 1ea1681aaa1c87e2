//! Container engines.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::model::{Container, ContainerId, ContainerState, Removal};

/// Why an engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The container is live, or in another state in which it cannot be removed.
    #[error("the engine refused: the container is {0}")]
    Refused(ContainerState),
    /// Did not answer or failed; nothing is known to have changed.
    #[error("the container engine is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request was sent, and neither its answer nor looking again told what became of it.
    #[error("what became of the container is unknown")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The containers that carry the labels asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Those that carry them by themselves.
    pub containers: Vec<Container>,
    /// Those that the engine lists, and of which it does not say, or denies, that the labels are their own.
    pub passed_over: Vec<PassedOver>,
}

/// A container that is listed and not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Which.
    pub id: ContainerId,
    /// Why, for people.
    pub reason: String,
}

impl PassedOver {
    /// An image gives it a label that has to be its own.
    pub fn by_image(id: ContainerId) -> Self {
        Self { id, reason: "its image sets the labels that it is listed by, so they do not count".to_owned() }
    }
}

/// A container engine. Never kills, never acts on a name or a prefix.
#[async_trait]
pub trait ContainerEngine: Send + Sync {
    /// The container, or none if it does not exist.
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError>;

    /// Removes a container that is not live, and answers only when it is gone. One that is gone
    /// already, or that somebody else is removing, is no error.
    ///
    /// `Refused` if it is live. After a lost answer it looks again, and answers `Unknown` only if that fails.
    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError>;

    /// The same for a container that the caller has just inspected, which spares a second look before it.
    async fn remove_seen(&self, seen: &Container) -> Result<Removal, EngineError> {
        self.remove(&seen.id).await
    }

    /// All containers, in any state, that carry each of `labels` (name and value) set on the container
    /// itself: a label that its image sets to the same value does not count, and is not among the
    /// labels answered either. One container that cannot be described does not keep the others from being listed;
    /// an engine that does not answer any more is an error.
    async fn list_labelled(&self, labels: &[(String, String)]) -> Result<Listing, EngineError>;

    /// Follows the engine: a hint for each container that is made, started, ended or removed and that carries each of
    /// `labels`, be they its own or its image's. None if the engine tells nothing.
    ///
    /// Hints only say where looking may be worth it: they may be lost, doubled, late or about others, and what
    /// happens while the stream is being opened may be missed. The stream ends when the engine goes away, and may
    /// not notice that.
    async fn watch(&self, _labels: &[(String, String)]) -> Result<Option<Hints>, EngineError> {
        Ok(None)
    }

    /// Proves that the engine answers.
    async fn ping(&self) -> Result<(), EngineError>;

    /// How many calls it takes at the same time just now; further ones may wait. Zero while it takes none.
    fn capacity(&self) -> usize {
        usize::MAX
    }
}

/// Containers that something may have happened to.
pub type Hints = BoxStream<'static, ContainerId>;
