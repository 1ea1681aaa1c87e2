//! What a cleanup asks of others, and what it costs this process: with PostgreSQL, Redis and Docker, and with SQLite.
//!
//! All that a sweep does is divided by the number of its cleanups: pages, claims, counts and pauses too. Round trips are
//! counted in a sweep of their own, since counting takes time of the processor.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtmanager::adapters::docker::Endpoint;
use rtmanager::adapters::memory::MemoryEngine;
use rtmanager::adapters::system_clock::SystemClock;
use rtmanager::app::App;
use rtmanager::config::{Config, Environment, Loaded, Sources};
use rtmanager::model::{ContainerId, Labels, LiveStatus, Registration};
use rtmanager::ports::ContainerEngine;
use rtmanager::sweeper::{Observer, SweepRequest};
use rtmanager_tests::dockerd::{Dockerd, labels};
use rtmanager_tests::fault_proxy::Behind;
use rtmanager_tests::mock_host::{ENGINE, IMAGE, container};
use rtmanager_tests::postgres::Postgres;
use rtmanager_tests::redis::RedisServer;

use super::counted::Counted;
use super::figures::{cpu_time, median};

const ROUNDS: usize = 5;
/// Connections are made and statements prepared in a sweep that does not count.
const WARM_UP: usize = 50;

pub(crate) async fn measure(cleanups: usize) {
    let (postgres, redis) = (Postgres::start(), RedisServer::start(&[]));
    count(&postgres, &redis, cleanups).await;
    postgres.say("TRUNCATE runtime_records, runtime_removals, operation_log").await;
    compare(&postgres, &redis, cleanups).await;
}

/// Round trips, as they are seen on the way to each backend.
async fn count(postgres: &Postgres, redis: &RedisServer, cleanups: usize) {
    let dockerd = Dockerd::start().await;
    let Endpoint::Unix(socket) = dockerd.endpoint().clone() else { panic!("the engine has a unix socket") };
    let to_postgres = Counted::before(Behind::Tcp(([127, 0, 0, 1], postgres.port()).into())).await;
    let to_docker = Counted::before(Behind::Unix(socket)).await;
    let settings = [
        ("store.url", format!("postgres://postgres@{}/postgres", to_postgres.address())),
        ("lease.url", format!("redis+unix://{}", redis.socket().display())),
        ("engines.local.host", format!("tcp://{}", to_docker.address())),
    ];
    let app = App::open(config(&settings)).await.unwrap();
    bystanders(&app).await;
    let mut first = 0;
    let counts = || [to_postgres.trips(), leases(redis), to_docker.trips(), to_postgres.probes()];
    let mut seen = [0; 4];
    for games in [WARM_UP, cleanups] {
        for game in first..first + games {
            let id = dockerd.created(&own(game)).await;
            app.ports.records.register(&stopped(game, id), app.ports.clock.now()).await.unwrap();
        }
        first += games;
        let before = counts();
        sweep(&app, games).await;
        let after = counts();
        seen = std::array::from_fn(|index| after[index] - before[index]);
    }
    let each = seen.map(|trips| trips as f64 / cleanups as f64);
    println!("\nround trips of a cleanup in the good case, of a sweep of {cleanups}, all that it does included");
    for (who, trips) in ["records and log: PostgreSQL", "leases: Redis", "engine: Docker"].iter().zip(each) {
        println!("{who:<40} {trips:>8.2}");
    }
    println!("{:<40} {:>8.2}", "together", each[..3].iter().sum::<f64>());
    println!("{:<40} {:>8.2}", "probes that nobody waits for: PostgreSQL", each[3]);
}

/// Commands that were sent, those of scripts left out.
fn leases(redis: &RedisServer) -> u64 {
    let told = redis.ask(&["INFO", "commandstats"]);
    let calls = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok();
    let sent =
        |line: &&str| ["cmdstat_set:", "cmdstat_eval:", "cmdstat_pttl:"].iter().any(|name| line.starts_with(name));
    told.lines().filter(sent).filter_map(calls).sum()
}

/// The stores, by name, with a container engine in memory, and the games that each has had.
struct Site {
    name: &'static str,
    app: App,
    engine: Arc<MemoryEngine>,
    games: usize,
    cpu: Vec<f64>,
    wall: Vec<f64>,
}

/// Time of this process, with an engine that costs nothing.
async fn compare(postgres: &Postgres, redis: &RedisServer, cleanups: usize) {
    let directory = tempfile::tempdir().unwrap();
    let file = |directory: &Path| directory.join("rtmanager.db").display().to_string();
    let sqlite = [("store.path", file(directory.path()))];
    let shared =
        [("store.url", postgres.url("postgres")), ("lease.url", format!("redis+unix://{}", redis.socket().display()))];
    let mut sites = [Site::new("SQLite", &sqlite).await, Site::new("PostgreSQL and Redis", &shared).await];
    for site in &mut sites {
        site.sweep(WARM_UP).await;
        site.cpu.clear();
        site.wall.clear();
    }
    for round in 0..ROUNDS {
        for turn in [round, round + 1] {
            sites[turn % 2].sweep(cleanups).await;
        }
    }
    println!("\nthis process's share of a cleanup, an engine in memory, {ROUNDS} rounds of {cleanups} in turns");
    println!("{:<40} {:>8} {:>8} {:>8}", "", "CPU µs", "wall µs", "ratio");
    let base = median(&sites[0].cpu);
    for site in &sites {
        let (cpu, wall) = (median(&site.cpu), median(&site.wall));
        println!("{:<40} {cpu:>8.0} {wall:>8.0} {:>8.2}", site.name, cpu / base);
    }
}

impl Site {
    async fn new(name: &'static str, settings: &[(&str, String)]) -> Self {
        let engine = Arc::new(MemoryEngine::new(Arc::new(SystemClock)));
        let port: Arc<dyn ContainerEngine> = engine.clone();
        let engines = BTreeMap::from([(ENGINE.parse().unwrap(), port)]);
        let app = App::open_with(config(settings), engines).await.unwrap();
        bystanders(&app).await;
        Self { name, app, engine, games: 0, cpu: Vec::new(), wall: Vec::new() }
    }

    async fn sweep(&mut self, games: usize) {
        for game in self.games..self.games + games {
            let id = container(game as u64);
            self.engine.create(&id, IMAGE, own(game));
            let (records, now) = (&self.app.ports.records, self.app.ports.clock.now());
            records.register(&stopped(game, id), now).await.unwrap();
        }
        self.games += games;
        let (cpu, wall) = sweep(&self.app, games).await;
        let each = |span: Duration| span.as_secs_f64() * 1e6 / games as f64;
        self.cpu.push(each(cpu));
        self.wall.push(each(wall));
    }
}

/// Everything as configured by default, but for retention, and a breaker that lets everything go.
fn config(settings: &[(&str, String)]) -> Config {
    let always = [("container_retention_days", "0"), ("sweep.breaker_share", "1.0"), ("admission.code_cache", "")];
    let always = always.map(|(key, value)| (key, value.to_owned()));
    let flags = settings.iter().chain(&always).map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let sources = Sources { environment: Environment::default(), file: None, flags };
    Loaded::from_sources(&sources).unwrap().config
}

async fn sweep(app: &App, cleanups: usize) -> (Duration, Duration) {
    let ignore: Observer = Arc::new(|_| {});
    let (cpu, began) = (cpu_time("self"), Instant::now());
    let report = app.sweeper.sweep(&SweepRequest::default(), ignore).await.unwrap();
    let (cpu, wall) = (cpu_time("self") - cpu, began.elapsed());
    let removed: u64 = report.engines.values().map(|engine| engine.removed).sum();
    assert_eq!(removed, cleanups as u64, "{report:?}");
    (cpu, wall)
}

fn own(game: usize) -> Labels {
    labels(&[("rtmanager.owner", "rtmanager"), ("rtmanager.tenant", "acme"), ("rtmanager.game", &name(game))])
}

fn name(game: usize) -> String {
    format!("game-{game}")
}

/// Games that run, so that the breaker's limit, which is of all records, is beyond what is due.
async fn bystanders(app: &App) {
    for number in 0..WARM_UP {
        let game_id = format!("bystander-{number}").parse().unwrap();
        let id = container(u64::MAX - number as u64);
        let running = Registration { game_id, status: LiveStatus::Running, ..stopped(0, id) };
        app.ports.records.register(&running, app.ports.clock.now()).await.unwrap();
    }
}

fn stopped(game: usize, container: ContainerId) -> Registration {
    Registration {
        game_id: name(game).parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        engine: "local".parse().unwrap(),
        status: LiveStatus::Stopped,
        container_id: Some(container),
        image_ref: Some(IMAGE.to_owned()),
        labels: None,
        started_at: None,
        stopped_at: None,
    }
}
