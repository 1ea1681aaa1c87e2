//! An engine with due games, the server that sweeps them, and its store on a small disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rtmanager::adapters::docker::Endpoint;
use rtmanager::adapters::sqlite::{SqliteOptions, SqliteStore};
use rtmanager::adapters::system_clock::SystemClock;
use rtmanager::model::{ContainerId, LiveStatus, Registration};
use rtmanager::ports::{Clock as _, OperationFilter};
use rtmanager_tests::dockerd::{Dockerd, labels};
use rtmanager_tests::fault_proxy::{Behind, FaultProxy, Faults};
use rtmanager_tests::fleet::{Destroyed, listen};
use rtmanager_tests::history::{Game, History};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tokio_util::task::AbortOnDropHandle;

use super::disk::Disk;

/// Room for the tables and for what a sweep writes ahead.
const DISK_BYTES: u64 = 24 << 20;
/// Each call of the engine takes so long, so that a sweep takes a while.
const ENGINE_DELAY: Duration = Duration::from_millis(60);
const OWNER: &str = "full-disk";

pub struct Site {
    server: Option<Child>,
    dockerd: Dockerd,
    to_engine: FaultProxy,
    games: BTreeMap<String, (ContainerId, bool)>,
    destroyed: Destroyed,
    _listening: AbortOnDropHandle<()>,
    /// For what is not on the disk.
    directory: tempfile::TempDir,
    /// Past the server.
    store: SqliteStore,
    pub disk: Disk,
}

impl Site {
    /// So many games that have to go, and one, `live`, whose container runs though its record says stopped.
    pub async fn with_due_games(count: u64) -> Self {
        let dockerd = Dockerd::start().await;
        let destroyed = Destroyed::default();
        let listening = AbortOnDropHandle::new(tokio::spawn(listen(dockerd.docker().clone(), destroyed.clone())));
        let Endpoint::Unix(socket) = dockerd.endpoint() else { panic!("the tests' engine has a unix socket") };
        let to_engine = FaultProxy::before(Behind::Unix(socket.clone())).await;
        to_engine.set(Faults { delay: ENGINE_DELAY, ..Faults::default() });
        let disk = Disk::mounted(DISK_BYTES);
        let store = SqliteStore::open(&disk.path().join("rtmanager.db"), SqliteOptions::default()).await.unwrap();
        let mut games = BTreeMap::new();
        for n in 0..count {
            let game = format!("game-{n:03}");
            let container = dockerd.created(&own(&game)).await;
            games.insert(game, (container, false));
        }
        games.insert("live".to_owned(), (dockerd.running(&own("live")).await, true));
        for (game, (container, _)) in &games {
            store.records().register(&stopped(game, container), SystemClock.now()).await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let _listening = listening;
        Self { server: None, dockerd, to_engine, games, destroyed, _listening, directory, store, disk }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let settings = [
            format!("store.path={}", self.disk.path().join("rtmanager.db").display()),
            format!("http.listen=unix:{}", self.path("api.sock").display()),
            format!("http.token_file={}", self.path("api.token").display()),
            format!("engines.local.host=tcp://{}", self.to_engine.address()),
            format!("discovery.owner={OWNER}"),
            "discovery.enabled=false".to_owned(),
            "container_retention_days=0".to_owned(),
            "cleanup_interval=1s".to_owned(),
            "lease.ttl=2s".to_owned(),
            "lease.margin=200ms".to_owned(),
            "sweep.concurrency=3".to_owned(),
            "sweep.breaker_share=1".to_owned(),
            "sweep.backoff_base=1s".to_owned(),
            "sweep.backoff_cap=2s".to_owned(),
            "sweep.park_after=1000".to_owned(),
        ];
        // It ends with this process, even if this one is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_rtmanager-cli")]);
        command.args(settings.iter().flat_map(|setting| ["--set", setting])).args(arguments);
        command.env_clear().current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    pub fn serve(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        self.server = Some(self.command(&["serve"]).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Whether the server has ended: a zombie, since nobody has waited for it.
    pub fn has_ended(&self) -> bool {
        let id = self.server.as_ref().unwrap().id();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('Z') || rest.is_empty())
    }

    /// What the server answers: whether that is a success, and the text.
    pub fn asked(&self, method: &str, path: &str) -> (bool, String) {
        let output = self.command(&["api", method, path]).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn raw(&self) -> SqliteConnection {
        let file = self.disk.path().join("rtmanager.db");
        SqliteConnection::connect(&format!("sqlite://{}?mode=ro", file.display())).await.unwrap()
    }

    /// What there is to be judged.
    pub async fn history(&self) -> History {
        let mut raw = self.raw().await;
        let mut games = BTreeMap::new();
        for (name, (container, is_live)) in &self.games {
            // The record first: a container that is there after its record says removed is what must not be.
            let runtime = self.store.records().get(&name.parse().unwrap()).await.unwrap().unwrap();
            let query = sqlx::query("SELECT last_run_id FROM runtime_records WHERE game_id = ?1").bind(name);
            let last_run = query.fetch_one(&mut raw).await.unwrap().get(0);
            let is_there = self.dockerd.has(container).await;
            games.insert(
                name.clone(),
                Game { container: container.clone(), is_live: *is_live, is_there, runtime, last_run },
            );
        }
        let logged = self.store.operation_log().list(&OperationFilter::default(), None, 1_000_000).await.unwrap();
        let mut count = async |table: &'static str| {
            let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            let count: i64 = sqlx::query_scalar(query).fetch_one(&mut raw).await.unwrap();
            usize::try_from(count).unwrap()
        };
        let (open_runs, leases) = (count("run_intents").await, count("leases").await);
        let destroyed = self.destroyed.lock().unwrap().clone();
        let entries = logged.into_iter().rev().map(|logged| logged.entry).collect();
        History { games, entries, destroyed, open_runs, leases, overlap: None }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // One that has ended needs no end.
            let _ended = server.kill();
            let _reaped = server.wait();
        }
    }
}

fn own(game: &str) -> rtmanager::model::Labels {
    labels(&[("rtmanager.owner", OWNER), ("rtmanager.tenant", "acme"), ("rtmanager.game", game)])
}

fn stopped(game: &str, container: &ContainerId) -> Registration {
    let days = Duration::from_secs(90 * 86_400);
    Registration {
        game_id: game.parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        engine: "local".parse().unwrap(),
        status: LiveStatus::Stopped,
        container_id: Some(container.clone()),
        image_ref: None,
        labels: None,
        started_at: None,
        stopped_at: Some(SystemClock.now().saturating_sub(days)),
    }
}
