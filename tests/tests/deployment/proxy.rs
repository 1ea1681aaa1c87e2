//! HAProxy with the configuration of `host/deploy`, before an engine.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use hyperlocal::{UnixConnector, Uri};
use rtmanager::adapters::docker::Endpoint;
use rtmanager_tests::dockerd::Dockerd;

use super::{HURRY, until};

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/deploy/docker-proxy.cfg");

pub struct Proxy {
    process: Child,
    directory: tempfile::TempDir,
}

impl Proxy {
    pub async fn before(dockerd: &Dockerd) -> Self {
        let Endpoint::Unix(socket) = dockerd.endpoint() else { panic!("the tests' engine has a unix socket") };
        let directory = tempfile::tempdir().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let bind = format!("unix@{}", directory.path().join("proxy.sock").display());
        // It ends with this process, even if this one is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "haproxy", "-db", "-f", CONFIGURATION]);
        command.env("DOCKER_SOCKET", socket).env("DOCKER_PROXY_BIND", bind).stdin(Stdio::null());
        let process = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let this = Self { process, directory };
        let answers = async || this.socket().exists() && this.status("GET", "/_ping").await == 200;
        until("haproxy answers (Debian: haproxy)", answers, async || this.log()).await;
        this
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("proxy.sock")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    pub async fn status(&self, method: &str, path: &str) -> u16 {
        let client: Client<UnixConnector, String> = Client::builder(TokioExecutor::new()).build(UnixConnector);
        let uri: hyper::Uri = Uri::new(self.socket(), path).into();
        let request = Request::builder().method(method).uri(uri).header("host", "docker").body(String::new());
        client.request(request.unwrap()).await.map_or(0, |answer| answer.status().as_u16())
    }

    /// A command on the engine behind the proxy.
    pub fn rtmanager(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmanager-cli"));
        command.env_clear().current_dir(self.directory.path()).env("HOME", self.directory.path());
        command.envs(HURRY.iter().map(|pair| pair.split_once('=').unwrap()));
        command.env("RTMANAGER_STORE__PATH", self.directory.path().join("rtmanager.db"));
        command.env("RTMANAGER_ENGINES__LOCAL__HOST", format!("unix://{}", self.socket().display()));
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // One that has ended needs no end.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}
