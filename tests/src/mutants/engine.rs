//! Bugs around the engine.

use std::sync::Arc;

use async_trait::async_trait;
use rtmanager::adapters::memory::MemoryEngine;
use rtmanager::model::{Container, ContainerId, Removal};
use rtmanager::ports::{ContainerEngine, EngineError};

use crate::tapped::EngineTap;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "`ALL` says what each is")]
pub enum Engine {
    Kills,
    TellsOnly,
    FindsNothing,
    TakesUnknownForDone,
    TakesFailureForAbsence,
    IgnoresLabels,
    MistakesContainer,
}

pub(super) struct Bad {
    pub(super) inner: Arc<dyn ContainerEngine>,
    pub(super) world: MemoryEngine,
    pub(super) how: Engine,
}

#[async_trait]
impl EngineTap for Bad {
    fn inner(&self) -> &Arc<dyn ContainerEngine> {
        &self.inner
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        let answer = self.inner.inspect(id).await;
        match (self.how, answer) {
            (Engine::FindsNothing, Ok(_)) => Ok(None),
            (Engine::TakesFailureForAbsence, Err(_)) => Ok(None),
            (Engine::IgnoresLabels, Ok(found)) => {
                Ok(found.map(|found| Container { labels: Default::default(), ..found }))
            }
            (_, answer) => answer,
        }
    }

    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError> {
        if self.how == Engine::TellsOnly {
            return Ok(Removal::Removed);
        }
        let any = self.world.containers().into_iter().next_back().filter(|_| self.how == Engine::MistakesContainer);
        let id = any.as_ref().unwrap_or(id);
        match (self.how, self.inner.remove(id).await) {
            (Engine::Kills, Err(EngineError::Refused(_))) => {
                self.world.vanish(id);
                Ok(Removal::Removed)
            }
            (Engine::TakesUnknownForDone, Err(EngineError::Unknown(_))) => Ok(Removal::Removed),
            (_, answer) => answer,
        }
    }
}
