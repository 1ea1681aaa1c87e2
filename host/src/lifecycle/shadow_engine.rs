//! An engine as a live run saw it. Removals are captured and not performed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::model::{Container, ContainerId, Removal};
use crate::ports::{ContainerEngine, EngineError, Listing};

/// Shows the containers that a live run looked at as they were then. Of others it knows nothing, as they are now the live
/// run did not see them; unless it stands before an engine, whose containers it shows as they are.
pub struct ShadowEngine {
    live: Option<Arc<dyn ContainerEngine>>,
    shown: Mutex<BTreeMap<ContainerId, Option<Container>>>,
    was_asked_for_more: AtomicBool,
}

impl ShadowEngine {
    pub(super) fn new(shown: BTreeMap<ContainerId, Option<Container>>) -> Self {
        Self { live: None, shown: Mutex::new(shown), was_asked_for_more: AtomicBool::new(false) }
    }

    /// Shows the containers of `live`.
    pub fn before(live: Arc<dyn ContainerEngine>) -> Self {
        Self { live: Some(live), ..Self::new(BTreeMap::new()) }
    }

    /// Whether it was asked for a container that the live run did not look at.
    pub(super) fn was_asked_for_more(&self) -> bool {
        self.was_asked_for_more.load(Ordering::Relaxed)
    }

    fn shown(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Option<Container>>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ContainerEngine for ShadowEngine {
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        if let Some(known) = self.shown().get(id).cloned() {
            return Ok(known);
        }
        if let Some(live) = &self.live {
            return live.inspect(id).await;
        }
        self.was_asked_for_more.store(true, Ordering::Relaxed);
        Err(EngineError::Unavailable("the live run did not look at this container".into()))
    }

    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError> {
        let Some(found) = self.inspect(id).await? else { return Ok(Removal::AlreadyGone) };
        if found.state.is_live() {
            return Err(EngineError::Refused(found.state));
        }
        self.shown().insert(id.clone(), None);
        Ok(Removal::Removed)
    }

    /// No run lists containers.
    async fn list_labelled(&self, _labels: &[(String, String)]) -> Result<Listing, EngineError> {
        Err(EngineError::Unavailable("a shadow lists no containers".into()))
    }

    async fn ping(&self) -> Result<(), EngineError> {
        Ok(())
    }
}
