//! A Docker Engine that belongs to the tests: own data, own socket, no network, gone afterwards.
//!
//! Tests that only need an engine share one ([`Dockerd::shared`]): whoever comes first starts it, and it
//! is reaped when the last has ended, since each holds a lock that the kernel releases however a process
//! ends. Tests that harm the engine start one of their own ([`Dockerd::start`]).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "test harness: a failure here is a failed test"
)]

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bollard::Docker;
use rtmanager::adapters::docker::{DockerEngine, DockerOptions, Endpoint};

mod containers;

pub use containers::{fixture_image, labels};

/// Names the engine to test with (a unix socket, as in `DOCKER_HOST`) instead of one that the tests start.
/// Containers that tests leave behind stay there.
pub const DOCKER_HOST_VARIABLE: &str = "RTMANAGER_TEST_DOCKER_HOST";

const REAPER: &str = include_str!("dockerd/reaper.sh");

/// An engine under test.
#[derive(Debug)]
pub struct Dockerd {
    endpoint: Endpoint,
    docker: Docker,
    log: Option<PathBuf>,
    process: Option<Process>,
    _user: Option<File>,
}

/// A dockerd of one test's own.
#[derive(Debug)]
struct Process {
    dir: PathBuf,
    arguments: Vec<String>,
    dockerd: Child,
    reaper: Child,
}

impl Dockerd {
    /// The engine that all tests share. Use labels and names that no other test uses.
    #[expect(clippy::zombie_processes, reason = "engine and reaper outlive the process that started them")]
    pub async fn shared() -> Self {
        if let Ok(host) = std::env::var(DOCKER_HOST_VARIABLE) {
            let endpoint = Endpoint::parse(Some(&host), None, None).expect("a usable engine address");
            return Self::at(endpoint, None, None).ready().await;
        }
        let uid = std::fs::metadata("/proc/self").expect("/proc").uid();
        let base = std::env::temp_dir().join(format!("rtmanager-test-dockerd-{uid}"));
        let lock = |name: &str| File::create(base.with_extension(name)).expect("a lock file");
        let user = lock("users");
        user.lock_shared().expect("the users' lock");
        let starting = lock("start");
        starting.lock().expect("the start lock");
        let this = Self::at(Endpoint::Unix(base.join("socket")), None, Some(user));
        if !this.answers().await {
            launch(&base, &[]);
            reaper(&base, Some(&base.with_extension("users")));
        }
        let this = this.ready().await;
        fixture_image(&this).await;
        this
    }

    /// An engine of the test's own, to be harmed.
    pub async fn start() -> Self {
        Self::start_with(&[], |dir| Endpoint::Unix(dir.join("socket"))).await
    }

    /// An engine of the test's own with more arguments, reached at another endpoint as well.
    pub async fn start_with(arguments: &[String], endpoint: impl Fn(&Path) -> Endpoint) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("rtmanager-dockerd-{}-{number}", std::process::id()));
        let dockerd = launch(&dir, arguments);
        let reaper = reaper(&dir, None);
        let endpoint = endpoint(&dir);
        let process = Process { dir, arguments: arguments.to_vec(), dockerd, reaper };
        let this = Self::at(endpoint, Some(process), None).ready().await;
        fixture_image(&this).await;
        this
    }

    /// An engine that somebody else started, and ends.
    pub async fn attached(endpoint: Endpoint) -> Self {
        Self::at(endpoint, None, None).ready().await
    }

    fn at(endpoint: Endpoint, process: Option<Process>, user: Option<File>) -> Self {
        let socket = match (&process, &endpoint) {
            (Some(process), _) => process.dir.join("socket"),
            (None, Endpoint::Unix(socket)) => socket.clone(),
            (None, other) => panic!("tests reach the engine by a unix socket, not {other:?}"),
        };
        let docker = client(&socket);
        let log = socket.parent().map(|dir| dir.join("log"));
        Self { endpoint, docker, log, process, _user: user }
    }

    /// Where the engine listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Options with limits short enough for tests.
    pub fn options(&self) -> DockerOptions {
        let mut options = DockerOptions::new(self.endpoint.clone());
        options.request_timeout = Duration::from_secs(5);
        options.removal.deadline = Duration::from_secs(5);
        options
    }

    /// The adapter under test, connected to this engine.
    pub fn engine(&self) -> DockerEngine {
        DockerEngine::connect(&self.options()).expect("a client")
    }

    /// The client library itself, to prepare and to look behind the adapter's back.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Kills the engine as a crash would.
    pub fn kill(&mut self) {
        let process = self.process.as_mut().expect("an engine of the test's own");
        process.dockerd.kill().unwrap();
        process.dockerd.wait().unwrap();
    }

    /// Starts the killed engine anew on the same data.
    pub async fn restart(&mut self) {
        let process = self.process.as_mut().expect("an engine of the test's own");
        // The killed dockerd left its pid file and that of its containerd, which ended with it. Where nobody
        // reaps orphans that one is a zombie, and the new dockerd would wait for it.
        for file in ["dockerd.pid", "exec/containerd/containerd.pid"] {
            std::fs::remove_file(process.dir.join(file)).ok();
        }
        process.dockerd = launch(&process.dir, &process.arguments);
        self.wait_until_ready().await;
    }

    /// Stops the engine's process, so that it accepts connections and answers nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
        let process = self.process.as_ref().expect("an engine of the test's own");
        // The signal stops its threads one after another.
        crate::processes::wait_until_stopped(process.dockerd.id());
    }

    /// Lets a frozen engine go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let process = self.process.as_ref().expect("an engine of the test's own");
        let pid = process.dockerd.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    async fn ready(self) -> Self {
        self.wait_until_ready().await;
        self
    }

    async fn wait_until_ready(&self) {
        for _ in 0..300 {
            if self.answers().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = self.log.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let last: Vec<_> = log.lines().rev().take(20).collect();
        let log = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        panic!("the test's engine at {:?} did not answer within 30 s; its log:\n{log}", self.endpoint);
    }

    async fn answers(&self) -> bool {
        let ping = tokio::time::timeout(Duration::from_secs(2), self.docker.ping());
        matches!(ping.await, Ok(Ok(_)))
    }
}

/// A client of the tests' own, so that they do not prove the adapter's transport by itself.
fn client(socket: &Path) -> Docker {
    use hyper_util::client::legacy::Client;
    let client = Client::builder(hyper_util::rt::TokioExecutor::new()).build(hyperlocal::UnixConnector);
    let address = format!("unix://{}", hex::encode(socket.to_string_lossy().as_bytes()));
    let transport = move |request: bollard::BollardRequest| {
        let answer = client.request(request);
        async move { answer.await.map_err(bollard::errors::Error::from) }
    };
    Docker::connect_with_custom_transport(transport, Some(address), 120, bollard::API_DEFAULT_VERSION).unwrap()
}

impl Drop for Process {
    fn drop(&mut self) {
        // The reaper works once its input is closed, which happens without us if this process is killed.
        drop(self.reaper.stdin.take());
        let ended = self.reaper.wait().and_then(|_| self.dockerd.wait());
        if let Err(error) = ended {
            eprintln!("the test's dockerd was not reaped: {error}");
        }
    }
}

fn launch(dir: &Path, arguments: &[String]) -> Child {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).expect("a directory for dockerd");
    let log = File::options().create(true).append(true).open(dir.join("log")).unwrap();
    let at = |name: &str| dir.join(name).to_string_lossy().into_owned();
    Command::new("dockerd")
        .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("dockerd.pid")])
        .args(["-H", &format!("unix://{}", at("socket")), "--shutdown-timeout", "1"])
        .args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"])
        .args(arguments)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| {
            panic!("dockerd cannot be started ({error}); install it (Debian: docker.io), run as root")
        })
}

fn reaper(dir: &Path, lock: Option<&Path>) -> Child {
    let stdin = if lock.is_some() { Stdio::null() } else { Stdio::piped() };
    Command::new("sh")
        .args(["-c", REAPER, "reaper"])
        .arg(dir)
        .args(lock)
        .process_group(0)
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh")
}
