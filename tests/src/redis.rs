//! Redis servers that belong to the tests: own data, which they never save, on loopback and sockets of their own,
//! gone afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test harness: a failure here is a failed test"
)]

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rtmanager::adapters::redis::{RedisEndpoint, RedisLeases, RedisOptions};
use rtmanager::adapters::system_clock::SystemClock;

mod sites;

pub use sites::{Cluster, Sentinels, Tls};

const REAPER: &str = include_str!("redis/reaper.sh");

/// A directory for servers, and the process that ends them and removes it.
#[derive(Debug)]
struct Yard {
    dir: PathBuf,
    reaper: Child,
}

/// A server under test. It has a unix socket, and a port if others have to find it.
#[derive(Debug)]
pub struct RedisServer {
    yard: Arc<Yard>,
    name: String,
    port: u16,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Yard {
    fn new() -> Arc<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("rtmanager-redis-{}-{number}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory for Redis");
        let mut reaper = Command::new("sh");
        reaper.args(["-c", REAPER, "reaper"]).arg(&dir).process_group(0).stdin(Stdio::piped());
        let reaper = reaper.spawn().expect("sh");
        Arc::new(Self { dir, reaper })
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        drop(self.reaper.stdin.take());
        self.reaper.wait().ok();
    }
}

impl RedisServer {
    /// A server with more arguments, such as `["--requirepass", "secret"]`.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(Yard::new(), "redis", 0, arguments)
    }

    fn start_in(yard: Arc<Yard>, name: &str, port: u16, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut this = Self { yard, name: name.to_owned(), port, arguments, process: None };
        this.launch();
        this.wait_until(&["PING"], "PONG");
        this
    }

    fn launch(&mut self) {
        let (port, path) = (self.port.to_string(), |suffix: &str| self.path(suffix).to_string_lossy().into_owned());
        let launched = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port, "--unixsocket", &path("sock")])
            .args(["--dir", &self.yard.dir.to_string_lossy(), "--save", "", "--appendonly", "no"])
            .args(["--pidfile", &path("pid"), "--logfile", &path("log"), "--dbfilename", &format!("{}.rdb", self.name)])
            .args(&self.arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .spawn();
        let launched = launched.unwrap_or_else(|error| {
            panic!("redis-server cannot be started ({error}); install it (Debian: redis-server)")
        });
        self.process = Some(launched);
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.yard.dir.join(format!("{}.{suffix}", self.name))
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.path("sock")
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a file of the server's directory is called.
    pub fn file(&self, name: &str) -> PathBuf {
        self.yard.dir.join(name)
    }

    /// The server by its socket.
    pub fn endpoint(&self) -> RedisEndpoint {
        endpoint(&format!("redis+unix://{}", self.socket().display()))
    }

    /// The adapter under test, with time-outs short enough for tests.
    pub fn leases(&self) -> RedisLeases {
        leases(&self.endpoint())
    }

    /// What the server answers, as its own command-line tool shows it.
    pub fn ask(&self, command: &[&str]) -> String {
        let socket = self.socket();
        let asked = Command::new("redis-cli").arg("-s").arg(socket).arg("--no-auth-warning").args(command).output();
        let asked = asked.expect("redis-cli to be installed (Debian: redis-tools)");
        String::from_utf8_lossy(&asked.stdout).trim().to_owned()
    }

    /// Waits until a command is answered with a text that has `wanted` in it.
    pub fn wait_until(&self, command: &[&str], wanted: &str) {
        let mut answer = String::new();
        for _ in 0..1_500 {
            answer = self.ask(command);
            if answer.contains(wanted) || (wanted == "PONG" && answer.contains("NOAUTH")) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        panic!("{command:?} was answered {answer:?} for 30 s, not {wanted:?}; the log of {}:\n{log}", self.name);
    }

    /// Ends the server as a crash would.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("a server that runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Starts the killed server anew, empty, at the same place.
    pub fn start_again(&mut self) {
        self.launch();
        self.wait_until(&["PING"], "PONG");
    }

    /// The same, without waiting until it serves.
    pub fn start_again_with(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self.launch();
    }

    /// Stops the server's process, so that it accepts connections and answers nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.process.as_ref().expect("a server that runs").id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

/// A URL that is known to be right.
pub fn endpoint(url: &str) -> RedisEndpoint {
    url.parse().expect("a usable URL")
}

/// Time-outs short enough for tests, and long enough for a server on a busy machine to answer.
pub fn options() -> RedisOptions {
    let (connect_timeout, response_timeout) = (Duration::from_secs(2), Duration::from_secs(2));
    RedisOptions { connect_timeout, response_timeout, ..RedisOptions::default() }
}

/// The adapter on an endpoint.
pub fn leases(endpoint: &RedisEndpoint) -> RedisLeases {
    leases_with(endpoint, &options())
}

/// The adapter on an endpoint, with options.
pub fn leases_with(endpoint: &RedisEndpoint, options: &RedisOptions) -> RedisLeases {
    RedisLeases::connect(endpoint, options, Arc::new(SystemClock)).expect("settings that fit together")
}

/// A port that is free now, and not among those that systems hand out for connections, so that it is free again when
/// its server is started again.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(101);
    let ports = std::iter::repeat_with(|| first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000 + 20_000);
    let mut ports = ports.take(10_000).filter_map(|port| u16::try_from(port).ok());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
