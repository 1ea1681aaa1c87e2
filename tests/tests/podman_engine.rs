//! The Docker adapter against a real Podman: the same contract, and what Podman does in its own way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bollard::errors::Error as BollardError;
use bollard::query_parameters::{RemoveContainerOptions, StopContainerOptions};
use rtmanager::adapters::docker::DockerEngine;
use rtmanager::model::{
    Container, ContainerId, ContainerState, ErrorCode, Labels, LiveStatus, Outcome, Removal, Status,
};
use rtmanager::ports::{ContainerEngine, EngineError};
use rtmanager_tests::contracts::container_engine::Fixture;
use rtmanager_tests::mock_host::{MockHost, labels};
use rtmanager_tests::podman::Podman;

struct PodmanFixture {
    podman: Podman,
    engine: Arc<DockerEngine>,
}

impl PodmanFixture {
    async fn new() -> Self {
        let podman = Podman::shared().await;
        let engine = Arc::new(podman.engine());
        Self { podman, engine }
    }
}

#[async_trait]
impl Fixture for PodmanFixture {
    fn engine(&self) -> Arc<dyn ContainerEngine> {
        Arc::clone(&self.engine) as _
    }

    fn unique(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
    }

    async fn created(&self, labels: &Labels) -> ContainerId {
        self.podman.created(labels).await
    }

    async fn exited(&self, labels: &Labels) -> ContainerId {
        self.podman.exited(labels).await
    }

    async fn running(&self, labels: &Labels) -> ContainerId {
        self.podman.running(labels).await
    }

    async fn paused(&self, labels: &Labels) -> ContainerId {
        self.podman.paused(labels).await
    }

    async fn exited_of_labelled_image(&self, image_labels: &Labels, labels: &Labels) -> ContainerId {
        let image = self.podman.image_with_labels(&self.unique(), image_labels).await;
        self.podman.exited_of(&image, labels).await
    }

    async fn discard(&self, id: &ContainerId) {
        self.podman.discard(id).await;
    }
}

rtmanager_tests::container_engine_contract!(PodmanFixture::new().await);

/// The container as somebody saw it who looked before it was started.
async fn seen_as_ended(engine: &DockerEngine, id: &ContainerId) -> Container {
    Container { state: ContainerState::Exited, ..engine.inspect(id).await.unwrap().unwrap() }
}

/// The status that Podman itself answers to a removal without force.
async fn status_of_removal(podman: &Podman, id: &ContainerId) -> u16 {
    let options = RemoveContainerOptions { v: false, force: false, link: false };
    match podman.docker().remove_container(id.as_str(), Some(options)).await {
        Err(BollardError::DockerResponseServerError { status_code, .. }) => status_code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn started_or_paused_between_the_look_and_the_removal_is_refused_though_podman_calls_it_a_fault_of_its_own() {
    let podman = Podman::shared().await;
    let engine = podman.engine();
    let running = podman.running(&Labels::new()).await;
    let paused = podman.paused(&Labels::new()).await;
    for (id, state) in [(&running, ContainerState::Running), (&paused, ContainerState::Paused)] {
        // Docker says 409.
        assert_eq!(status_of_removal(&podman, id).await, 500);
        let answer = engine.remove_seen(&seen_as_ended(&engine, id).await).await;
        assert!(matches!(&answer, Err(EngineError::Refused(found)) if *found == state), "{answer:?}");
        assert_eq!(engine.inspect(id).await.unwrap().unwrap().state, state);
        podman.discard(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_removals_side_by_side_and_each_container_is_removed_by_one() {
    let podman = Podman::shared().await;
    let engine = Arc::new(podman.engine());
    let mut calls = Vec::new();
    for id in podman.exited_many((0..6).map(|_| Labels::new())).await {
        for _ in 0..3 {
            let (engine, id) = (engine.clone(), id.clone());
            calls.push((id.clone(), tokio::spawn(async move { engine.remove(&id).await })));
        }
    }
    let mut removed = Vec::new();
    for (id, call) in calls {
        if call.await.unwrap().unwrap() == Removal::Removed {
            removed.push(id);
        }
    }
    let count = removed.len();
    removed.dedup();
    assert_eq!((count, removed.len()), (6, 6));
}

#[tokio::test]
async fn a_container_that_was_stopped_is_removed() {
    let podman = Podman::shared().await;
    let engine = podman.engine();
    let id = podman.running(&Labels::new()).await;
    let at_once = StopContainerOptions { t: Some(0), ..StopContainerOptions::default() };
    podman.docker().stop_container(id.as_str(), Some(at_once)).await.unwrap();
    let found = engine.inspect(&id).await.unwrap().unwrap();
    assert_eq!((found.state, found.exit_code), (ContainerState::Exited, Some(137)));
    assert_eq!(engine.remove(&id).await.unwrap(), Removal::Removed);
    assert!(!podman.has(&id).await);
}

#[tokio::test]
async fn an_anonymous_volume_is_kept_by_default() {
    let podman = Podman::shared().await;
    let (id, volume) = podman.exited_with_anonymous_volume().await;
    assert_eq!(podman.engine().remove(&id).await.unwrap(), Removal::Removed);
    assert!(podman.docker().inspect_volume(&volume).await.is_ok());
}

#[tokio::test]
async fn a_container_named_like_anothers_id_is_left_alone() {
    let podman = Podman::shared().await;
    let victim = podman.exited(&Labels::new()).await;
    let alias: ContainerId = victim.as_str().chars().rev().collect::<String>().parse().unwrap();
    let options = bollard::query_parameters::RenameContainerOptions { name: alias.to_string() };
    podman.docker().rename_container(victim.as_str(), options).await.unwrap();
    let answer = podman.engine().remove(&alias).await;
    assert!(matches!(answer, Err(EngineError::Unavailable(_))), "{answer:?}");
    assert!(podman.has(&victim).await);
    podman.discard(&victim).await;
}

#[tokio::test]
async fn the_policy_cleans_up_what_has_ended_and_refuses_what_runs() {
    let podman = Podman::shared().await;
    let engine = podman.engine();
    let host = MockHost::builder().wrap(move |_, mut behind| {
        behind.engine = Arc::new(engine);
        behind
    });
    let host = host.build();
    let (ended, running) = (podman.exited(&labels("ended")).await, podman.running(&labels("running")).await);
    for (game, id) in [("ended", &ended), ("running", &running)] {
        host.register(game, LiveStatus::Stopped, Some(id)).await;
    }
    assert_eq!(host.cleanup("ended").await.outcome, Outcome::Success);
    assert!(!podman.has(&ended).await);
    assert_eq!(host.record("ended").await.unwrap().record.status, Status::Removed);
    let refused = host.cleanup("running").await;
    assert_eq!((refused.outcome, refused.error_code), (Outcome::Failure, Some(ErrorCode::CONFLICT)));
    assert!(podman.has(&running).await);
    podman.discard(&running).await;
}
