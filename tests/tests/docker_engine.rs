//! The Docker adapter against a real Docker Engine.
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
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rtmanager::adapters::docker::{ConnectError, DockerEngine, DockerOptions, Endpoint};
use rtmanager::model::{ContainerId, ContainerState, Labels, Removal};
use rtmanager::ports::{ContainerEngine, EngineError};
use rtmanager_tests::contracts::container_engine::Fixture;
use rtmanager_tests::dockerd::{Dockerd, labels};

struct DockerFixture {
    dockerd: Dockerd,
    engine: Arc<DockerEngine>,
}

impl DockerFixture {
    async fn new() -> Self {
        let dockerd = Dockerd::shared().await;
        let engine = Arc::new(dockerd.engine());
        Self { dockerd, engine }
    }
}

#[async_trait]
impl Fixture for DockerFixture {
    fn engine(&self) -> Arc<dyn ContainerEngine> {
        Arc::clone(&self.engine) as _
    }

    fn unique(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        format!("test-{}-{now}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
    }

    async fn created(&self, labels: &Labels) -> ContainerId {
        self.dockerd.created(labels).await
    }

    async fn exited(&self, labels: &Labels) -> ContainerId {
        self.dockerd.exited(labels).await
    }

    async fn running(&self, labels: &Labels) -> ContainerId {
        self.dockerd.running(labels).await
    }

    async fn paused(&self, labels: &Labels) -> ContainerId {
        self.dockerd.paused(labels).await
    }

    async fn exited_of_labelled_image(&self, image_labels: &Labels, labels: &Labels) -> ContainerId {
        let image = self.dockerd.image_with_labels(&self.unique(), image_labels).await;
        self.dockerd.exited_of(&image, labels).await
    }

    async fn discard(&self, id: &ContainerId) {
        self.dockerd.discard(id).await;
    }
}

rtmanager_tests::container_engine_contract!(DockerFixture::new().await);

#[tokio::test]
async fn refuses_a_container_that_keeps_restarting() {
    let dockerd = Dockerd::shared().await;
    let id = dockerd.restarting(&Labels::new()).await;
    let answer = dockerd.engine().remove(&id).await;
    let survived = dockerd.has(&id).await;
    dockerd.discard(&id).await;
    assert!(matches!(&answer, Err(EngineError::Refused(state)) if state.is_live()), "{answer:?}");
    assert!(survived);
}

#[tokio::test]
async fn an_anonymous_volume_is_kept_by_default() {
    let dockerd = Dockerd::shared().await;
    let (id, volume) = dockerd.exited_with_anonymous_volume().await;
    assert_eq!(dockerd.engine().remove(&id).await.unwrap(), Removal::Removed);
    assert!(dockerd.docker().inspect_volume(&volume).await.is_ok());
    let options = bollard::query_parameters::RemoveVolumeOptions::default();
    dockerd.docker().remove_volume(&volume, Some(options)).await.unwrap();
}

#[tokio::test]
async fn an_anonymous_volume_goes_too_if_configured() {
    let dockerd = Dockerd::shared().await;
    let (id, volume) = dockerd.exited_with_anonymous_volume().await;
    let mut options = dockerd.options();
    options.removal.anonymous_volumes = true;
    let engine = DockerEngine::connect(&options).unwrap();
    assert_eq!(engine.remove(&id).await.unwrap(), Removal::Removed);
    assert!(dockerd.docker().inspect_volume(&volume).await.is_err());
}

#[tokio::test]
async fn a_container_named_like_anothers_id_is_left_alone() {
    let dockerd = Dockerd::shared().await;
    let victim = dockerd.exited(&Labels::new()).await;
    // A name of 64 hexadecimal digits is a legal one. The engine finds the container by it.
    let alias: ContainerId = victim.as_str().chars().rev().collect::<String>().parse().unwrap();
    let options = bollard::query_parameters::RenameContainerOptions { name: alias.to_string() };
    dockerd.docker().rename_container(victim.as_str(), options).await.unwrap();
    let answer = dockerd.engine().remove(&alias).await;
    assert!(matches!(answer, Err(EngineError::Unavailable(_))), "{answer:?}");
    assert!(dockerd.has(&victim).await);
    dockerd.discard(&victim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removals_outlive_an_engine_that_is_killed_and_restarted() {
    let mut dockerd = Dockerd::start().await;
    let ids = dockerd.exited_many((0..24).map(|_| Labels::new())).await;
    let mut options = dockerd.options();
    options.removal.deadline = Duration::from_secs(4);
    let engine = Arc::new(DockerEngine::connect(&options).unwrap());
    let removals: Vec<_> = ids
        .iter()
        .cloned()
        .map(|id| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { engine.remove(&id).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(60)).await;
    dockerd.kill();
    let pending = removals.iter().filter(|removal| !removal.is_finished()).count();
    assert!(pending > 0, "the engine was killed too late: every removal had ended");
    dockerd.restart().await;
    for (id, removal) in ids.iter().zip(removals) {
        match removal.await.unwrap() {
            Ok(_) => assert!(!dockerd.has(id).await, "said to be gone, and is not"),
            Err(EngineError::Unavailable(_) | EngineError::Unknown(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
        // Whatever was said, trying again ends it.
        engine.remove(id).await.unwrap();
        assert_eq!(engine.inspect(id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_engine_that_hangs_is_unavailable_within_the_time_limit() {
    let dockerd = Dockerd::start().await;
    let id = dockerd.exited(&Labels::new()).await;
    let mut options = dockerd.options();
    options.request_timeout = Duration::from_millis(500);
    let engine = DockerEngine::connect(&options).unwrap();
    engine.ping().await.unwrap();
    dockerd.freeze();
    let began = Instant::now();
    let removal = engine.remove(&id).await;
    let took = began.elapsed();
    dockerd.thaw();
    assert!(matches!(removal, Err(EngineError::Unavailable(_))), "{removal:?}");
    assert!(took < Duration::from_secs(10), "took {took:?}");
    assert_eq!(engine.remove(&id).await.unwrap(), Removal::Removed);
}

#[tokio::test]
async fn nothing_listens() {
    let dir = tempfile::tempdir().unwrap();
    let engine = DockerEngine::connect(&DockerOptions::new(Endpoint::Unix(dir.path().join("none")))).unwrap();
    assert!(matches!(engine.ping().await, Err(EngineError::Unavailable(_))));
}

#[tokio::test]
async fn what_a_policy_may_hear_names_neither_endpoint_nor_backend() {
    let dir = tempfile::tempdir().unwrap();
    let engine = DockerEngine::connect(&DockerOptions::new(Endpoint::Unix(dir.path().join("none")))).unwrap();
    let error = engine.inspect(&"a".repeat(64).parse().unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "the container engine is unavailable");
}

#[tokio::test]
async fn reaches_an_engine_over_tls_verified_both_ways() {
    let certificates = Certificates::new();
    let address = free_address();
    let dockerd =
        Dockerd::start_with(&certificates.dockerd_arguments(&address), |_| certificates.endpoint(&address)).await;
    let id = dockerd.exited(&labels(&[("test", "tls")])).await;
    let engine = dockerd.engine();
    assert_eq!(engine.inspect(&id).await.unwrap().unwrap().state, ContainerState::Exited);
    assert_eq!(engine.remove(&id).await.unwrap(), Removal::Removed);

    let strangers = Certificates::new();
    let strangers_endpoint = strangers.endpoint(&address);
    let stranger = DockerEngine::connect(&DockerOptions::new(strangers_endpoint)).unwrap();
    assert!(matches!(stranger.ping().await, Err(EngineError::Unavailable(_))), "an unknown authority was trusted");
    let plain = DockerEngine::connect(&DockerOptions::new(Endpoint::Tcp(address))).unwrap();
    assert!(matches!(plain.ping().await, Err(EngineError::Unavailable(_))), "the engine answered without TLS");
}

#[tokio::test]
async fn a_missing_certificate_is_named_before_anything_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::Tls { address: "127.0.0.1:2376".to_owned(), certificates: dir.path().to_owned() };
    let error = DockerEngine::connect(&DockerOptions::new(endpoint)).unwrap_err();
    assert!(matches!(&error, ConnectError::Certificate { path, .. } if path.ends_with("ca.pem")), "{error}");
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// An authority of its own, with a certificate for the engine and one for its client.
struct Certificates {
    dir: tempfile::TempDir,
}

impl Certificates {
    fn new() -> Self {
        use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, pem: String| std::fs::write(dir.path().join(name), pem).unwrap();
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        write("ca.pem", authority.pem());
        for (cert, key) in [("server-cert.pem", "server-key.pem"), ("cert.pem", "key.pem")] {
            let pair = KeyPair::generate().unwrap();
            let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
            write(cert, params.signed_by(&pair, &authority).unwrap().pem());
            write(key, pair.serialize_pem());
        }
        Self { dir }
    }

    fn endpoint(&self, address: &str) -> Endpoint {
        Endpoint::Tls { address: address.to_owned(), certificates: self.dir.path().to_owned() }
    }

    fn dockerd_arguments(&self, address: &str) -> Vec<String> {
        let file = |name: &str| self.dir.path().join(name).to_string_lossy().into_owned();
        let (ca, cert, key) = (file("ca.pem"), file("server-cert.pem"), file("server-key.pem"));
        let address = format!("tcp://{address}");
        ["-H", &address, "--tlsverify", "--tlscacert", &ca, "--tlscert", &cert, "--tlskey", &key]
            .map(str::to_owned)
            .to_vec()
    }
}
