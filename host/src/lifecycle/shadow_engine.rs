//! An engine as a live run saw it. Removals are captured and not performed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::model::{Container, ContainerId, Removal};
use crate::ports::{ContainerEngine, EngineError, Listing};

/// Shows the containers that the live run looked at as they were then, and others as they are.
pub(super) struct ShadowEngine {
    live: Arc<dyn ContainerEngine>,
    shown: Mutex<BTreeMap<ContainerId, Option<Container>>>,
}

impl ShadowEngine {
    pub(super) fn new(live: Arc<dyn ContainerEngine>, shown: BTreeMap<ContainerId, Option<Container>>) -> Self {
        Self { live, shown: Mutex::new(shown) }
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
        let found = self.live.inspect(id).await?;
        self.shown().insert(id.clone(), found.clone());
        Ok(found)
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
