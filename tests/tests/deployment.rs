//! The examples under `host/deploy`, on a real engine: the image's layout, the proxy before a Docker socket, and that
//! all of them name settings which there are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "test code"
)]

use std::time::Duration;

use bollard::models::{ContainerCreateBody, HealthConfig, HealthStatusEnum, HostConfig};
use rtmanager::adapters::docker::Endpoint;
use rtmanager_tests::dockerd::{Dockerd, labels};
use tokio::time::{Instant, sleep};

#[path = "deployment/files.rs"]
mod files;
#[path = "deployment/image.rs"]
mod image;
#[path = "deployment/proxy.rs"]
mod proxy;

const TICK: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(60);
/// For the retention, the pace, and an owner that no other test has.
const HURRY: [&str; 4] = [
    "RTMANAGER_CONTAINER_RETENTION_DAYS=0",
    "RTMANAGER_CLEANUP_INTERVAL=1s",
    "RTMANAGER_DISCOVERY__INTERVAL=1s",
    "RTMANAGER_DISCOVERY__OWNER=deployment",
];

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool, told: impl AsyncFn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        if Instant::now() > deadline {
            panic!("not within {PATIENCE:?}: {what}\n{}", told().await);
        }
        sleep(TICK).await;
    }
}

#[tokio::test]
async fn the_images_layout_serves_without_root_is_healthy_and_sweeps() {
    let dockerd = Dockerd::start().await;
    let image = image::Image::from_the_containerfile();
    image.import_to(&dockerd).await;
    let Endpoint::Unix(socket) = dockerd.endpoint() else { panic!("the tests' engine has a unix socket") };
    let game = labels(&[("rtmanager.owner", "deployment"), ("rtmanager.tenant", "acme"), ("rtmanager.game", "g")]);
    let due = dockerd.exited(&game).await;

    // As compose.yaml has it.
    let group = std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(socket).unwrap());
    let host = HostConfig {
        binds: Some(vec![format!("{}:/var/run/docker.sock", socket.display())]),
        network_mode: Some("none".to_owned()),
        group_add: Some(vec![group.to_string()]),
        readonly_rootfs: Some(true),
        tmpfs: Some([("/var/lib/rtmanager".to_owned(), "uid=65532,gid=65532,mode=0700".to_owned())].into()),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        ..HostConfig::default()
    };
    let body = ContainerCreateBody {
        image: Some(image::NAME.to_owned()),
        env: Some(HURRY.map(str::to_owned).into()),
        // The image's own check, more often.
        healthcheck: Some(HealthConfig { interval: Some(1_000_000_000), ..HealthConfig::default() }),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    };
    let made = dockerd.docker().create_container(None, body).await.unwrap();
    let id = made.id.parse().unwrap();
    dockerd.start_container(&id).await;

    let told = async || image::logs(&dockerd, &id).await;
    let is_healthy = async || {
        let state = dockerd.docker().inspect_container(id.as_str(), None).await.unwrap().state.unwrap();
        state.health.and_then(|health| health.status) == Some(HealthStatusEnum::HEALTHY)
    };
    until("the container is healthy", is_healthy, told).await;
    until("the due container is gone", async || !dockerd.has(&due).await, told).await;
    assert!(dockerd.has(&id).await, "it leaves itself alone");
    let pid = dockerd.docker().inspect_container(id.as_str(), None).await.unwrap().state.unwrap().pid.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Uid:\t65532\t65532\t65532\t65532"), "{status}");
    dockerd.discard(&id).await;
}

#[tokio::test]
async fn the_proxy_lets_a_sweep_through() {
    let dockerd = Dockerd::start().await;
    let proxy = proxy::Proxy::before(&dockerd).await;
    let game = labels(&[("rtmanager.owner", "deployment"), ("rtmanager.tenant", "acme"), ("rtmanager.game", "g")]);
    let due = dockerd.exited(&game).await;
    let mut command = proxy.rtmanager();
    let output = command.arg("sweep").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}\n{}", proxy.log());
    assert!(!dockerd.has(&due).await, "{output:?}");
    assert_eq!(proxy.rtmanager().args(["--json", "reconcile"]).output().unwrap().status.code(), Some(0));
    // Hints, too.
    assert_eq!(proxy.status("GET", "/v1.41/events?until=1").await, 200);
}

#[tokio::test]
async fn the_proxy_refuses_everything_else() {
    let dockerd = Dockerd::start().await;
    let proxy = proxy::Proxy::before(&dockerd).await;
    let live = dockerd.running(&labels(&[])).await;
    assert_eq!(proxy.status("GET", &format!("/v1.41/containers/{live}/json")).await, 200);
    for (method, path) in [
        ("DELETE", format!("/v1.41/containers/{live}?force=true")),
        ("DELETE", format!("/v1.41/containers/{live}?v=true&force=1")),
        ("DELETE", format!("/v1.41/containers/{live}?force=false&force=true")),
        ("DELETE", format!("/v1.41/containers/{live}?v=true&%66orce=true")),
        ("DELETE", format!("/v1.41/containers/{live}/../{live}?force=true")),
        ("DELETE", "/v1.41/images/rtmanager-fixture:1".to_owned()),
        ("DELETE", "/v1.41/volumes/v".to_owned()),
        ("POST", "/v1.41/containers/create".to_owned()),
        ("POST", format!("/v1.41/containers/{live}/kill")),
        ("POST", format!("/v1.41/containers/{live}/exec")),
        ("PUT", format!("/v1.41/containers/{live}/archive?path=/")),
        ("GET", format!("/v1.41/containers/{live}/archive?path=/")),
        ("GET", format!("/v1.41/containers/{live}/logs?stdout=true")),
        ("GET", "/v1.41/secrets".to_owned()),
        ("GET", "/v1.41/images/json/../../secrets".to_owned()),
    ] {
        assert_eq!(proxy.status(method, &path).await, 403, "{method} {path}");
    }
    let removal = format!("/v1.41/containers/{live}?force=false&v=false&link=false");
    assert_eq!(proxy.status("DELETE", &removal).await, 409, "the engine's own answer: it runs");
    assert!(dockerd.has(&live).await);
}
