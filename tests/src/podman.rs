//! A Podman service that belongs to the tests: own data, own socket, no network, gone afterwards.
//!
//! It speaks Docker's API, so that containers are made on it as on the tests' Docker Engine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test harness: a failure here is a failed test"
)]

use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rtmanager::adapters::docker::{DockerEngine, Endpoint};

use crate::dockerd::{Dockerd, fixture_image};

const REAPER: &str = include_str!("podman/reaper.sh");

/// Limits that need no privilege to set, locks that nothing outside the directory shares, and events without systemd.
const CONFIGURATION: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
lock_type = "file"
cgroup_manager = "cgroupfs"
events_logger = "file"
"#;

/// The service under test, with the ways to make containers that a [`Dockerd`] has.
#[derive(Debug)]
pub struct Podman(Dockerd);

/// The process behind it, and what ends it.
struct Service {
    socket: PathBuf,
    _podman: Child,
    /// Its standard input closes with this process, however that ends.
    _reaper: Child,
}

impl Podman {
    /// The service that the tests of one process share. Use labels and names that no other test uses.
    pub async fn shared() -> Self {
        static SERVICE: OnceLock<Service> = OnceLock::new();
        static IMAGE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let service = SERVICE.get_or_init(Service::start);
        let this = Self(Dockerd::attached(Endpoint::Unix(service.socket.clone())).await);
        let _one_at_a_time = IMAGE.lock().await;
        fixture_image(&this).await;
        this
    }

    /// The adapter under test, connected to this service. It is patient: Podman starts several processes for most
    /// requests, even to tell its version.
    pub fn engine(&self) -> DockerEngine {
        let mut options = self.options();
        options.request_timeout = Duration::from_secs(60);
        options.removal.deadline = Duration::from_secs(30);
        DockerEngine::connect(&options).expect("a client")
    }
}

impl Deref for Podman {
    type Target = Dockerd;

    fn deref(&self) -> &Dockerd {
        &self.0
    }
}

impl Service {
    fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("rtmanager-podman-{}", std::process::id()));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).expect("a directory for podman");
        std::fs::write(dir.join("containers.conf"), CONFIGURATION).unwrap();
        let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
        let socket = dir.join("socket");
        let podman = podman(&dir)
            .args(["system", "service", "--time", "0", &format!("unix://{}", socket.display())])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("podman cannot be started ({error}); install it (Debian: podman), run as root")
            });
        let reaper = reaper(&dir, podman.id());
        Self { socket, _podman: podman, _reaper: reaper }
    }
}

/// The command with everything of its own below a directory.
fn podman(dir: &Path) -> Command {
    let mut command = Command::new("podman");
    command.env("CONTAINERS_CONF", dir.join("containers.conf")).process_group(0);
    for (name, below) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
        command.arg(name).arg(dir.join(below));
    }
    // The one driver that works on any file system.
    command.args(["--storage-driver", "vfs"]);
    command
}

fn reaper(dir: &Path, service: u32) -> Child {
    let remove_all = podman(dir);
    Command::new("sh")
        .args(["-c", REAPER, "reaper"])
        .arg(dir)
        .arg(service.to_string())
        .arg(remove_all.get_program())
        .args(remove_all.get_args())
        .env("CONTAINERS_CONF", dir.join("containers.conf"))
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh")
}
