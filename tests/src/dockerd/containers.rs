//! Containers for tests, made of a tiny image of our own.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use bollard::errors::Error as BollardError;
use bollard::models::{
    ContainerCreateBody, ContainerStateStatusEnum, HostConfig, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{CreateImageOptions, RemoveContainerOptions};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rtmanager::model::{ContainerId, Labels};

use super::Dockerd;

/// The image that containers are made of: busybox and nothing else.
const FIXTURE_IMAGE: &str = "rtmanager-fixture:1";
/// Containers made at a time by [`Dockerd::exited_many`].
const MADE_AT_ONCE: usize = 8;

/// Labels from pairs.
pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Makes sure that the engine has the tests' image, and answers its reference.
pub async fn fixture_image(dockerd: &Dockerd) -> &'static str {
    if dockerd.docker().inspect_image(FIXTURE_IMAGE).await.is_err() {
        dockerd.import(FIXTURE_IMAGE, &Labels::new()).await;
    }
    FIXTURE_IMAGE
}

impl Dockerd {
    /// Makes an image that gives labels to its containers.
    pub async fn image_with_labels(&self, name: &str, labels: &Labels) -> String {
        let reference = format!("rtmanager-{name}:1");
        self.import(&reference, labels).await;
        reference
    }

    async fn import(&self, reference: &str, labels: &Labels) {
        let label = |(name, value): (&String, &String)| format!("LABEL {name}={value:?}");
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            // With its tag, which Podman does not take by itself.
            repo: Some(reference.to_owned()),
            changes: labels.iter().map(label).collect(),
            ..CreateImageOptions::default()
        };
        let body = bollard::body_full(busybox_tar().into());
        let steps = self.docker().create_image(Some(options), Some(body), None);
        steps.try_collect::<Vec<_>>().await.expect("the tests' image to be imported");
    }

    /// A container that was never started.
    pub async fn created(&self, labels: &Labels) -> ContainerId {
        self.make(FIXTURE_IMAGE, "true", labels, HostConfig::default()).await
    }

    /// A container that ran `true` and ended.
    pub async fn exited(&self, labels: &Labels) -> ContainerId {
        self.exited_of(FIXTURE_IMAGE, labels).await
    }

    /// The same, of another image.
    pub async fn exited_of(&self, image: &str, labels: &Labels) -> ContainerId {
        let id = self.make(image, "true", labels, HostConfig::default()).await;
        self.start_container(&id).await;
        self.wait_for(&id, ContainerStateStatusEnum::EXITED).await;
        id
    }

    /// Many ended containers at once, in the order of their labels.
    pub async fn exited_many(&self, labels: impl IntoIterator<Item = Labels>) -> Vec<ContainerId> {
        let made = stream::iter(labels).map(|labels| async move { self.exited(&labels).await });
        made.buffered(MADE_AT_ONCE).collect().await
    }

    /// A container that runs until it is removed by [`Dockerd::discard`].
    pub async fn running(&self, labels: &Labels) -> ContainerId {
        let id = self.make(FIXTURE_IMAGE, "sleep 600", labels, HostConfig::default()).await;
        self.start_container(&id).await;
        id
    }

    /// A container that is paused.
    pub async fn paused(&self, labels: &Labels) -> ContainerId {
        let id = self.running(labels).await;
        self.docker().pause_container(id.as_str()).await.unwrap();
        id
    }

    /// A container that fails and is started again, over and over, with longer and longer pauses between.
    pub async fn restarting(&self, labels: &Labels) -> ContainerId {
        let policy = RestartPolicy { name: Some(RestartPolicyNameEnum::ALWAYS), maximum_retry_count: None };
        let host = HostConfig { restart_policy: Some(policy), ..HostConfig::default() };
        let id = self.make(FIXTURE_IMAGE, "false", labels, host).await;
        self.start_container(&id).await;
        self.wait_for(&id, ContainerStateStatusEnum::RESTARTING).await;
        id
    }

    /// An ended container with an anonymous volume; answers the volume's name too.
    pub async fn exited_with_anonymous_volume(&self) -> (ContainerId, String) {
        let body = ContainerCreateBody {
            volumes: Some(vec!["/data".to_owned()]),
            ..body(FIXTURE_IMAGE, "true", &Labels::new(), HostConfig::default())
        };
        let id = self.create(body).await;
        self.start_container(&id).await;
        self.wait_for(&id, ContainerStateStatusEnum::EXITED).await;
        let mounts = self.docker().inspect_container(id.as_str(), None).await.unwrap().mounts.unwrap_or_default();
        let volume = mounts.into_iter().find_map(|mount| mount.name).expect("an anonymous volume");
        (id, volume)
    }

    async fn make(&self, image: &str, command: &str, labels: &Labels, host: HostConfig) -> ContainerId {
        self.create(body(image, command, labels, host)).await
    }

    async fn create(&self, body: ContainerCreateBody) -> ContainerId {
        let made = self.docker().create_container(None, body).await.expect("a container to be made");
        made.id.parse().expect("a full container id")
    }

    /// Starts a container, or starts it again.
    pub async fn start_container(&self, id: &ContainerId) {
        self.docker().start_container(id.as_str(), None).await.expect("a container to be started");
    }

    /// Waits until a container is in a state.
    pub async fn wait_for(&self, id: &ContainerId, wanted: ContainerStateStatusEnum) {
        for _ in 0..1_500 {
            match self.docker().inspect_container(id.as_str(), None).await {
                Ok(found) if found.state.as_ref().and_then(|state| state.status) == Some(wanted) => return,
                // Podman passes through states that the client library does not know.
                Ok(_) | Err(BollardError::JsonDataError { .. }) => {}
                Err(error) => panic!("container {id}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("container {id} was not {wanted} within 30 s");
    }

    /// Whether the engine still has a container.
    pub async fn has(&self, id: &ContainerId) -> bool {
        match self.docker().inspect_container(id.as_str(), None).await {
            Err(BollardError::DockerResponseServerError { status_code: 404, .. }) => false,
            Ok(_) | Err(BollardError::JsonDataError { .. }) => true,
            Err(error) => panic!("container {id}: {error}"),
        }
    }

    /// Removes a container whatever it does, behind the adapter's back.
    pub async fn discard(&self, id: &ContainerId) {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        self.docker().remove_container(id.as_str(), Some(options)).await.expect("a container to be discarded");
    }
}

fn body(image: &str, command: &str, labels: &Labels, host: HostConfig) -> ContainerCreateBody {
    let mut words = vec!["/bin/busybox".to_owned()];
    words.extend(command.split(' ').map(str::to_owned));
    ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(words),
        labels: Some(labels.clone().into_iter().collect::<HashMap<_, _>>()),
        host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..host }),
        ..ContainerCreateBody::default()
    }
}

fn busybox_tar() -> Vec<u8> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| std::path::Path::new(path).exists());
    let busybox = busybox.expect("a static busybox: install it (Debian: busybox-static)");
    let tar = Command::new("tar").args(["-c", "-h", "-P", "--transform", "s|.*|bin/busybox|", busybox]).output();
    let tar = tar.expect("tar");
    assert!(tar.status.success(), "tar: {}", String::from_utf8_lossy(&tar.stderr));
    tar.stdout
}
