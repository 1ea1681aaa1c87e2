//! Several real servers on one PostgreSQL, one Redis and two Docker Engines, each behind a proxy that can spoil its
//! connections; and what is to be judged when all is over.
#![allow(missing_docs, clippy::indexing_slicing, reason = "test harness")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::query_parameters::EventsOptions;
use futures_util::StreamExt as _;
use rtmanager::adapters::docker::Endpoint;
use rtmanager::adapters::postgres::{PostgresOptions, PostgresStore};
use rtmanager::model::{ContainerId, Labels, Pause, PauseCause, PauseScope, Timestamp};
use rtmanager::ports::OperationFilter;
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio_util::task::AbortOnDropHandle;

use crate::dockerd::{Dockerd, labels};
use crate::fault_proxy::{Behind, FaultProxy, Faults};
use crate::history::{Game, History};
use crate::postgres::Postgres;
use crate::redis::RedisServer;

mod replica;

pub use replica::Replica;

/// The engines' names in the records.
pub const ENGINES: [&str; 2] = ["alpha", "beta"];
/// The database of the fleet.
const DATABASE: &str = "postgres";
/// Containers made at once on each engine.
const MADE_AT_ONCE: usize = 4;
const TICK: Duration = Duration::from_millis(100);

/// When engines destroyed containers.
pub type Destroyed = Arc<Mutex<BTreeMap<ContainerId, Timestamp>>>;

/// A game that the fleet has to deal with.
struct Given {
    engine: usize,
    container: ContainerId,
    is_live: bool,
}

pub struct Fleet {
    program: &'static str,
    pub postgres: Postgres,
    pub redis: RedisServer,
    pub engines: Vec<Dockerd>,
    pub to_postgres: FaultProxy,
    pub to_redis: FaultProxy,
    pub to_engines: Vec<FaultProxy>,
    directory: tempfile::TempDir,
    /// How the hosts look at the world, past every proxy.
    store: PostgresStore,
    games: BTreeMap<String, Given>,
    destroyed: Destroyed,
    /// Whether every event of the engines was listened to.
    hears_all: bool,
    listening: Vec<AbortOnDropHandle<()>>,
}

impl Fleet {
    /// Backends without hosts, and tables without records.
    ///
    /// `program` is the binary `replica`, which only a test of this package knows.
    pub async fn start(program: &'static str) -> Self {
        let (postgres, redis) = (Postgres::start(), RedisServer::start(&[]));
        let engines = vec![Dockerd::start().await, Dockerd::start().await];
        let store = PostgresStore::connect(&postgres.url(DATABASE), PostgresOptions::default()).await.unwrap();
        let to_postgres = FaultProxy::before(Behind::Tcp(([127, 0, 0, 1], postgres.port()).into())).await;
        let to_redis = FaultProxy::before(Behind::Unix(redis.socket())).await;
        let (destroyed, mut to_engines, mut listening) = (Destroyed::default(), Vec::new(), Vec::new());
        for engine in &engines {
            let Endpoint::Unix(socket) = engine.endpoint() else { panic!("the tests' engine has a unix socket") };
            to_engines.push(FaultProxy::before(Behind::Unix(socket.clone())).await);
            listening.push(AbortOnDropHandle::new(tokio::spawn(listen(engine.docker().clone(), destroyed.clone()))));
        }
        let (directory, games) = (tempfile::tempdir().unwrap(), BTreeMap::new());
        Self {
            program,
            postgres,
            redis,
            engines,
            to_postgres,
            to_redis,
            to_engines,
            directory,
            store,
            games,
            destroyed,
            hears_all: true,
            listening,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes so many games on each engine whose containers have never started, and one whose container runs though
    /// its record says stopped.
    pub async fn populate(&mut self, due: usize) {
        for (engine, dockerd) in self.engines.iter().enumerate() {
            let first = self.games.len();
            let name = |n: usize| format!("{}-{:04}", ENGINES[engine], first + n);
            let making = futures_util::stream::iter(0..due).map(|n| async move {
                let game = name(n);
                let container = dockerd.created(&own(&game)).await;
                (game, Given { engine, container, is_live: false })
            });
            let made: Vec<_> = making.buffer_unordered(MADE_AT_ONCE).collect().await;
            let live = format!("{}-live-{first}", ENGINES[engine]);
            let container = dockerd.running(&own(&live)).await;
            self.games.extend(made);
            self.games.insert(live, Given { engine, container, is_live: true });
        }
        let mut database = self.database().await;
        for (game, given) in &self.games {
            let query = sqlx::query(
                "INSERT INTO runtime_records (game_id, tenant, engine, status, current_container_id, stopped_at)
                 VALUES ($1, 'acme', $2, 'stopped', $3, now() - interval '90 days') ON CONFLICT DO NOTHING",
            );
            let query = query.bind(game).bind(ENGINES[given.engine]).bind(given.container.as_str());
            query.execute(&mut database).await.unwrap();
        }
    }

    /// Forgets everything, once all hosts have ended: the next history begins.
    pub async fn forget(&mut self) {
        let tables =
            "runtime_records, runtime_removals, run_intents, operation_log, leases, pauses, breaker_allowances";
        let query = sqlx::AssertSqlSafe(format!("TRUNCATE {tables}"));
        sqlx::query(query).execute(&mut self.database().await).await.unwrap();
        self.redis.ask(&["FLUSHALL"]);
        for given in std::mem::take(&mut self.games).into_values() {
            if self.engines[given.engine].has(&given.container).await {
                self.engines[given.engine].discard(&given.container).await;
            }
        }
        self.destroyed.lock().unwrap().clear();
    }

    /// Waits until runs are under way on each engine.
    pub async fn busy_on_each(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        let mut database = self.database().await;
        let query = "SELECT count(DISTINCT engine) FROM run_intents";
        while sqlx::query_scalar::<_, i64>(query).fetch_one(&mut database).await.unwrap() < 2 {
            assert!(tokio::time::Instant::now() < deadline, "not busy within 20 s\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for the event of each removal, if every event was listened to. Says how many are missing.
    pub async fn hear_of_all(&self) -> Result<(), String> {
        let due: Vec<_> = self.games.values().filter(|given| !given.is_live).collect();
        let mut missing = 0;
        for _ in 0..50 {
            let destroyed = self.destroyed.lock().unwrap().clone();
            missing = due.iter().filter(|given| !destroyed.contains_key(&given.container)).count();
            if missing == 0 || !self.hears_all {
                return Ok(());
            }
            tokio::time::sleep(TICK).await;
        }
        Err(format!("{missing} removals were not heard of"))
    }

    /// As a host of the next version changes the tables: in a way that this one can live with.
    pub async fn upgrade_tables(&self) {
        let newer = "ALTER TABLE runtime_records ADD COLUMN of_the_future text NOT NULL DEFAULT 'new';
            INSERT INTO rtmanager_migrations (version, description, success, checksum, execution_time)
            VALUES (9000, 'of the future', TRUE, '\\x00', 0)";
        sqlx::raw_sql(newer).execute(&mut self.database().await).await.unwrap();
    }

    /// Waits until a run is under way.
    pub async fn busy(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while self.open_runs().await == 0 {
            assert!(tokio::time::Instant::now() < deadline, "no run is under way within 20 s\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// An engine that was started again: it has ended the containers that ran, so nothing is to be said of them.
    pub fn started_again(&mut self, engine: usize) {
        self.games.retain(|_, given| given.engine != engine || !given.is_live);
        self.hears_all = false;
        let listening = listen(self.engines[engine].docker().clone(), self.destroyed.clone());
        self.listening.push(AbortOnDropHandle::new(tokio::spawn(listening)));
    }

    /// Every engine answers each call so much later.
    pub fn slow_engines(&self, delay: Duration) {
        for proxy in &self.to_engines {
            proxy.set(Faults { delay, ..Faults::default() });
        }
    }

    /// As an operator pauses everything.
    pub async fn pause_sweeps(&self) {
        let (cause, reason, actor) = (PauseCause::Operator, "a test".to_owned(), "a test".to_owned());
        let pause = Pause { scope: PauseScope::Global, cause, reason, actor, at: Timestamp::from_micros(1) };
        assert!(self.store.pauses().pause(&pause).await.unwrap());
    }

    /// As an operator resumes.
    pub async fn resume_sweeps(&self) {
        let at = Timestamp::from_micros(1);
        assert!(self.store.pauses().resume(&PauseScope::Global, at).await.unwrap().is_some());
    }

    /// A connection as a platform's, past proxies and hosts.
    pub async fn database(&self) -> PgConnection {
        PgConnection::connect(&self.postgres.url(DATABASE)).await.unwrap()
    }

    /// Games that have to go, by name.
    pub fn due(&self) -> Vec<String> {
        self.games.iter().filter(|(_, given)| !given.is_live).map(|(name, _)| name.clone()).collect()
    }

    /// Games that have to go, and have not gone yet.
    pub async fn left(&self) -> i64 {
        let query = sqlx::query_scalar(
            "SELECT count(*) FROM runtime_records
             WHERE status <> 'removed' AND cleanup_parked_at IS NULL AND game_id NOT LIKE '%-live-%'",
        );
        query.fetch_one(&mut self.database().await).await.unwrap()
    }

    pub async fn open_runs(&self) -> usize {
        let query = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM run_intents");
        usize::try_from(query.fetch_one(&mut self.database().await).await.unwrap()).unwrap()
    }

    fn leases(&self) -> usize {
        self.redis.ask(&["--raw", "KEYS", "*"]).lines().filter(|line| !line.trim().is_empty()).count()
    }

    /// Waits until nothing is left to do and every trace of doing it has gone. Says what is left if that takes long.
    pub async fn settle(&self, patience: Duration) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let left = (self.left().await, self.open_runs().await, self.leases());
            if left == (0, 0, 0) {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(format!("after {patience:?}: {left:?} games, open runs and leases are left"));
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// What there is to be judged.
    pub async fn history(&self) -> History {
        let mut games = BTreeMap::new();
        let mut database = self.database().await;
        for (name, given) in &self.games {
            let runtime = self.store.records().get(&name.parse().unwrap()).await.unwrap().unwrap();
            let query = sqlx::query("SELECT last_run_id FROM runtime_records WHERE game_id = $1").bind(name);
            let last_run = query.fetch_one(&mut database).await.unwrap().get(0);
            let is_there = self.engines[given.engine].has(&given.container).await;
            let (container, is_live) = (given.container.clone(), given.is_live);
            games.insert(name.clone(), Game { container, is_live, is_there, runtime, last_run });
        }
        let logged = self.store.operation_log().list(&OperationFilter::default(), None, 1_000_000).await.unwrap();
        let mut destroyed = self.destroyed.lock().unwrap().clone();
        // An event about a game that was forgotten may come late.
        destroyed.retain(|container, _| self.games.values().any(|given| given.container == *container));
        History {
            games,
            entries: logged.into_iter().rev().map(|logged| logged.entry).collect(),
            destroyed,
            open_runs: self.open_runs().await,
            leases: self.leases(),
            overlap: None,
        }
    }

    /// The end of each host's log, for a test that fails.
    pub fn logs(&self) -> String {
        let mut told = String::new();
        for entry in std::fs::read_dir(self.directory.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "log") {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let lines: Vec<_> = text.lines().rev().take(30).collect();
                told += &format!("== {}\n", path.display());
                told.extend(lines.into_iter().rev().map(|line| format!("{line}\n")));
            }
        }
        told
    }

    /// A host of the fleet, started. What `arguments` set wins over the fleet's settings.
    pub fn replica(&self, number: usize, arguments: &[&str]) -> Replica {
        let log = File::options().create(true).append(true).open(self.path(&format!("{number}.log"))).unwrap();
        // It ends with this process, even if this one is killed.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", self.program])
            .args(self.settings(number).iter().flat_map(|setting| ["--set", setting]))
            .args(arguments);
        command.env_clear().current_dir(self.directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Replica::start(command, self.path(&format!("{number}.sock")))
    }

    fn settings(&self, number: usize) -> Vec<String> {
        let mut settings: Vec<String> = [
            "discovery.enabled=false",
            "container_retention_days=0",
            "cleanup_interval=1s",
            "lease.ttl=2s",
            "lease.margin=200ms",
            "sweep.concurrency=3",
            "sweep.breaker_share=1",
            "sweep.backoff_base=1s",
            "sweep.backoff_cap=2s",
            "sweep.park_after=1000",
            "admission.code_cache=",
        ]
        .map(str::to_owned)
        .into();
        settings.push(format!("store.url=postgres://postgres@{}/{DATABASE}", self.to_postgres.address()));
        settings.push(format!("lease.url=redis://{}", self.to_redis.address()));
        settings.push(format!("http.listen=unix:{}", self.path(&format!("{number}.sock")).display()));
        settings.push(format!("http.token_file={}", self.path(&format!("{number}.token")).display()));
        for (name, proxy) in ENGINES.iter().zip(&self.to_engines) {
            settings.push(format!("engines.{name}.host=tcp://{}", proxy.address()));
            settings.push(format!("engines.{name}.request_timeout=3s"));
        }
        settings
    }
}

fn own(game: &str) -> Labels {
    labels(&[("rtmanager.owner", "rtmanager"), ("rtmanager.tenant", "acme"), ("rtmanager.game", game)])
}

/// Until the engine ends; what happens while nobody listens is not known.
pub async fn listen(docker: bollard::Docker, destroyed: Destroyed) {
    let filters = [("event".to_owned(), vec!["destroy".to_owned()])].into();
    let mut events = docker.events(Some(EventsOptions { filters: Some(filters), ..EventsOptions::default() }));
    while let Some(Ok(event)) = events.next().await {
        let id = event.actor.and_then(|actor| actor.id).and_then(|id| id.parse().ok());
        let at = event.time_nano.and_then(|nanos| u64::try_from(nanos / 1_000).ok());
        if let (Some(id), Some(at)) = (id, at) {
            destroyed.lock().unwrap().insert(id, Timestamp::from_micros(at));
        }
    }
}

fn spawn(command: &mut Command) -> Child {
    command.spawn().expect("the replica starts")
}
