//! The server on two engines, one of which takes connections and answers nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rtmanager::adapters::docker::Endpoint;
use rtmanager_tests::dockerd::{Dockerd, labels};

const OWNER: &str = "serve-beside-hung";
const LOOKS: u32 = 600;
const TICK: Duration = Duration::from_millis(50);

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended needs no end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn an_engine_that_hangs_keeps_no_other_from_being_discovered_and_swept() {
    let dockerd = Dockerd::shared().await;
    let Endpoint::Unix(socket) = dockerd.endpoint() else { panic!("the tests' engine has a unix socket") };
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    // The kernel takes connections up to its backlog; nobody ever reads them.
    let _hung = UnixListener::bind(at("hung.sock")).unwrap();
    let settings = [
        format!("store.path={}", at("rtmanager.db")),
        format!("http.listen=unix:{}", at("api.sock")),
        format!("engines.local.host=unix://{}", socket.display()),
        format!("engines.hung.host=unix://{}", at("hung.sock")),
        // Longer than the test waits for anything.
        "engines.hung.request_timeout=10m".to_owned(),
        format!("discovery.owner={OWNER}"),
        "discovery.interval=1s".to_owned(),
        "container_retention_days=0".to_owned(),
        "cleanup_interval=1s".to_owned(),
    ];
    let log = std::fs::File::create(at("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmanager-cli"));
    command.env_clear().env("HOME", directory.path()).current_dir(directory.path());
    command.args(settings.iter().flat_map(|setting| ["--set", setting])).arg("serve");
    let server = Server(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());

    // Twice, so that neither the first pass nor a later one waits.
    for game in ["game-1", "game-2"] {
        let own = [("rtmanager.owner", OWNER), ("rtmanager.tenant", "acme"), ("rtmanager.game", game)];
        let id = dockerd.exited(&labels(&own)).await;
        let mut looks = 0;
        while dockerd.has(&id).await {
            looks += 1;
            let log = || std::fs::read_to_string(at("log")).unwrap();
            assert!(looks < LOOKS, "{game} was not cleaned up within {:?}:\n{}", TICK * LOOKS, log());
            tokio::time::sleep(TICK).await;
        }
    }
    drop(server);
}
