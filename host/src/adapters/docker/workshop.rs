//! Makes what the demo shows: containers of a tiny image of its own. Nothing else makes or stops containers; that is
//! the platform's business.

use std::collections::HashMap;
use std::time::Duration;

use bollard::body_full;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, RemoveContainerOptions, RemoveImageOptions, StopContainerOptions,
};
use futures_util::TryStreamExt as _;

use super::client::{CallError, Client};
use super::tiny_image::{self, Architecture};
use super::{ConnectError, DockerOptions};
use crate::model::{ContainerId, Labels};

/// Rounds of clearing: an engine that still makes the last container shows it a moment later.
const CLEARINGS: u32 = 5;
const CLEARING_PAUSE: Duration = Duration::from_millis(200);

/// Why something was not made, stopped or cleared away.
#[derive(Debug, thiserror::Error)]
pub enum WorkshopError {
    /// There is no program for the engine's processor.
    #[error("the engine runs on {0:?}; the demo's program is written for amd64 and arm64")]
    Architecture(String),
    /// The engine failed.
    #[error("the engine did not {what}")]
    Engine {
        /// What it was asked for.
        what: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Containers appear faster than they are cleared away.
    #[error("{0} containers are still there")]
    Left(usize),
}

/// A place to make containers at, all with labels of the maker's own.
#[derive(Debug)]
pub struct Workshop {
    client: Client,
    image: String,
    owner: (String, String),
}

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineVersion {
    /// Its release.
    pub release: String,
    /// Its processor, by the engine's name for it.
    pub architecture: String,
}

impl EngineVersion {
    /// Whether there is a program for containers on its processor.
    pub fn is_served(&self) -> bool {
        Architecture::from_engine(&self.architecture).is_some()
    }
}

fn failed(what: impl Into<String>) -> impl FnOnce(CallError) -> WorkshopError {
    let what = what.into();
    move |error| WorkshopError::Engine { what, source: Box::new(error) }
}

impl Workshop {
    /// Makes things of image `image`, each with the label `owner`, by which they are cleared away.
    pub fn connect(options: &DockerOptions, image: String, owner: (String, String)) -> Result<Self, ConnectError> {
        Ok(Self { client: Client::connect(&options.endpoint, options.request_timeout)?, image, owner })
    }

    /// The image that containers are made of.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// What the engine says of itself.
    pub async fn engine_version(&self) -> Result<EngineVersion, WorkshopError> {
        let docker = self.client.docker();
        let answer = self.client.call(|| docker.version()).await.map_err(failed("tell its version"))?;
        let (release, architecture) = (answer.version.unwrap_or_default(), answer.arch.unwrap_or_default());
        Ok(EngineVersion { release, architecture })
    }

    /// Makes the image out of nothing.
    pub async fn make_image(&self, version: &EngineVersion) -> Result<(), WorkshopError> {
        let name = &version.architecture;
        let architecture =
            Architecture::from_engine(name).ok_or_else(|| WorkshopError::Architecture(name.to_owned()))?;
        let root = tiny_image::root_file_system(architecture);
        let options =
            CreateImageOptions { from_src: Some("-".to_owned()), repo: Some(self.image.clone()), ..Default::default() };
        let docker = self.client.docker();
        let import = || docker.create_image(Some(options.clone()), Some(body_full(root.clone().into())), None);
        self.client.call(|| import().try_collect::<Vec<_>>()).await.map_err(failed("import the image"))?;
        Ok(())
    }

    /// Makes a container, not started.
    pub async fn create(&self, name: &str, mut labels: Labels) -> Result<ContainerId, WorkshopError> {
        let (label, value) = self.owner.clone();
        labels.insert(label, value);
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            cmd: Some(vec![tiny_image::PROGRAM.to_owned()]),
            labels: Some(labels.into_iter().collect::<HashMap<_, _>>()),
            host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        let docker = self.client.docker();
        let made = self.client.call(|| docker.create_container(Some(options.clone()), body.clone())).await;
        let id = made.map_err(failed(format!("make container {name}")))?.id;
        id.parse()
            .map_err(|error| WorkshopError::Engine { what: "name a container".to_owned(), source: Box::new(error) })
    }

    /// Starts a container.
    pub async fn start(&self, id: &ContainerId) -> Result<(), WorkshopError> {
        let docker = self.client.docker();
        let started = self.client.call(|| docker.start_container(id.as_str(), None)).await;
        started.map_err(failed(format!("start container {id}")))
    }

    /// Ends a container at once, and answers when it has.
    pub async fn stop(&self, id: &ContainerId) -> Result<(), WorkshopError> {
        let docker = self.client.docker();
        let options = StopContainerOptions { t: Some(0), ..StopContainerOptions::default() };
        let stopped = self.client.call(|| docker.stop_container(id.as_str(), Some(options.clone()))).await;
        stopped.map_err(failed(format!("stop container {id}")))
    }

    /// Removes one of our own containers, whatever it does.
    pub async fn discard(&self, id: &ContainerId) -> Result<(), WorkshopError> {
        let docker = self.client.docker();
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        match self.client.call(|| docker.remove_container(id.as_str(), Some(options.clone()))).await {
            Ok(()) | Err(CallError::Absent) => Ok(()),
            Err(error) => Err(failed(format!("remove container {id}"))(error)),
        }
    }

    /// Removes every container with the owner's label, and the image.
    pub async fn clear(&self) -> Result<(), WorkshopError> {
        for _ in 0..CLEARINGS {
            let ours = self.ours().await?;
            if ours.is_empty() {
                return self.discard_image().await;
            }
            for id in &ours {
                self.discard(id).await?;
            }
            tokio::time::sleep(CLEARING_PAUSE).await;
        }
        let left = self.ours().await?.len();
        self.discard_image().await?;
        if left == 0 { Ok(()) } else { Err(WorkshopError::Left(left)) }
    }

    async fn ours(&self) -> Result<Vec<ContainerId>, WorkshopError> {
        let wanted = std::slice::from_ref(&self.owner);
        let listed = self.client.list(wanted).await.map_err(failed("list its containers"))?;
        // An engine that ignores the filter must not lead to containers of others.
        let ours = listed.into_iter().filter(|(_, labels)| labels.get(&self.owner.0) == Some(&self.owner.1));
        Ok(ours.map(|(id, _)| id).collect())
    }

    async fn discard_image(&self) -> Result<(), WorkshopError> {
        let docker = self.client.docker();
        let options = RemoveImageOptions { force: true, ..RemoveImageOptions::default() };
        match self.client.call(|| docker.remove_image(&self.image, Some(options.clone()), None)).await {
            Ok(_) | Err(CallError::Absent) => Ok(()),
            Err(error) => Err(failed("remove the image")(error)),
        }
    }
}
