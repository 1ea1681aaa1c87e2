//! Where the demo plays: on a Docker Engine that answers, else on the engine in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::adapters::docker::{ConnectError, DockerEngine, EngineVersion, Workshop, WorkshopError};
use crate::adapters::memory::MemoryEngine;
use crate::adapters::system_clock::{SystemClock, SystemRandomness};
use crate::app::{Engines, docker_options};
use crate::config::Config;
use crate::model::{ContainerId, EngineName, InvalidId, Labels};
use crate::ownership::Ownership;
use crate::ports::{ContainerEngine, Randomness as _, RandomnessError};

/// The image's name where nothing is built.
const MEMORY_IMAGE: &str = "rtmanager-demo";

/// The stage cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// No client can be made for the engine.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The engine did not do what the demo needs.
    #[error(transparent)]
    Workshop(#[from] WorkshopError),
    /// The system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// An id that is none.
    #[error(transparent)]
    Id(#[from] InvalidId),
}

/// An engine, and hands that make containers on it.
pub(super) struct Stage {
    pub(super) name: EngineName,
    pub(super) engine: Arc<dyn ContainerEngine>,
    /// The engine in a few words.
    pub(super) description: String,
    hands: Hands,
}

enum Hands {
    Docker(Box<Workshop>, EngineVersion),
    Memory(MemoryEngine, Ownership),
}

impl Stage {
    /// The configured engine if it answers, else one in memory.
    pub(super) async fn choose(config: &Config) -> Result<Self, StageError> {
        let ownership = &config.session.ownership;
        let mut reason = "No Docker Engine is configured".to_owned();
        if let Some((name, engine)) = config.engines.first_key_value() {
            let (options, address) = (docker_options(engine), engine.endpoint.to_string());
            let owner = (ownership.labels.owner.clone(), ownership.owner.clone());
            let workshop = Workshop::connect(&options, ownership.owner.clone(), owner)?;
            match workshop.engine_version().await {
                Ok(version) if version.is_served() => {
                    let description = format!("Docker Engine {} at {address}", version.release);
                    let engine = Arc::new(DockerEngine::connect(&options)?);
                    let hands = Hands::Docker(Box::new(workshop), version);
                    return Ok(Self { name: name.clone(), engine, description, hands });
                }
                Ok(version) => reason = WorkshopError::Architecture(version.architecture).to_string(),
                Err(_) => reason = format!("No Docker Engine answers at {address}"),
            }
        }
        eprintln!("{reason}; this plays on an engine in memory instead.");
        let engine = MemoryEngine::new(Arc::new(SystemClock));
        let hands = Hands::Memory(engine.clone(), ownership.clone());
        let description = "an engine in memory".to_owned();
        Ok(Self { name: "memory".parse()?, engine: Arc::new(engine), description, hands })
    }

    pub(super) fn engines(&self) -> Engines {
        BTreeMap::from([(self.name.clone(), self.engine.clone())])
    }

    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.hands, Hands::Memory(..))
    }

    pub(super) fn image(&self) -> &str {
        match &self.hands {
            Hands::Docker(workshop, _) => workshop.image(),
            Hands::Memory(..) => MEMORY_IMAGE,
        }
    }

    pub(super) async fn make_image(&self) -> Result<(), StageError> {
        match &self.hands {
            Hands::Docker(workshop, version) => Ok(workshop.make_image(version).await?),
            Hands::Memory(..) => Ok(()),
        }
    }

    /// Makes a container with these labels and the owner's.
    pub(super) async fn create(&self, name: &str, mut labels: Labels) -> Result<ContainerId, StageError> {
        match &self.hands {
            Hands::Docker(workshop, _) => Ok(workshop.create(name, labels).await?),
            Hands::Memory(engine, ownership) => {
                let mut bytes = [0; 32];
                SystemRandomness.fill(&mut bytes)?;
                let id = hex::encode(bytes).parse()?;
                labels.insert(ownership.labels.owner.clone(), ownership.owner.clone());
                engine.create(&id, MEMORY_IMAGE, labels);
                Ok(id)
            }
        }
    }

    pub(super) async fn start(&self, id: &ContainerId) -> Result<(), StageError> {
        match &self.hands {
            Hands::Docker(workshop, _) => Ok(workshop.start(id).await?),
            Hands::Memory(engine, _) => {
                engine.start(id);
                Ok(())
            }
        }
    }

    pub(super) async fn stop(&self, id: &ContainerId) -> Result<(), StageError> {
        match &self.hands {
            Hands::Docker(workshop, _) => Ok(workshop.stop(id).await?),
            Hands::Memory(engine, _) => {
                engine.stop(id, 137);
                Ok(())
            }
        }
    }

    /// Removes a container behind rtmanager's back.
    pub(super) async fn discard(&self, id: &ContainerId) -> Result<(), StageError> {
        match &self.hands {
            Hands::Docker(workshop, _) => Ok(workshop.discard(id).await?),
            Hands::Memory(engine, _) => {
                engine.vanish(id);
                Ok(())
            }
        }
    }

    /// Takes everything away that was made here, even what nobody remembers.
    pub(super) async fn clear(&self) -> Result<(), StageError> {
        match &self.hands {
            Hands::Docker(workshop, _) => Ok(workshop.clear().await?),
            Hands::Memory(..) => Ok(()),
        }
    }
}
