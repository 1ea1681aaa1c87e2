//! What a sweep costs on a real engine: many ended containers, removed by a sweep, by `docker container prune` and by
//! `docker rm`, in rotated order, on an engine of the benchmark's own.
//!
//! A sweep's time is that of all it does: census, walk, review by the policy, and for each container lease, record,
//! inspection, removal, compare-and-set, operation log and release. Discovery is timed beside it.
//! `RTMANAGER_BENCH_CONTAINERS` sets the number of containers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::query_parameters::ListContainersOptions;
use rtmanager::adapters::docker::Endpoint;
use rtmanager::app::App;
use rtmanager::config::{Environment, Loaded, Sources};
use rtmanager::model::{ContainerId, Labels};
use rtmanager::reconciler::{Options, Reconciler};
use rtmanager::sweeper::{Decision, Observer, SweepItem, SweepRequest};
use rtmanager_tests::dockerd::{Dockerd, labels};
use tokio::process::Command;

const CONTAINERS: usize = 500;
const ROUNDS: usize = 3;
const OWNER: &str = "bench";
/// The kernel counts a process's time in these.
const TICK: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By SQLite's synchronous level.
    Sweep(&'static str),
    Prune,
    Rm,
}

/// What takes turns in each round. A sweep with `full` follows the last round, once: making the containers is what takes
/// the benchmark's time.
const WAYS: [Way; 3] = [Way::Sweep("normal"), Way::Prune, Way::Rm];
const ONCE: Way = Way::Sweep("full");

impl Way {
    fn name(self) -> String {
        match self {
            Self::Sweep(level) => format!("sweep, synchronous = {level}"),
            Self::Prune => "docker container prune -f".to_owned(),
            Self::Rm => "docker rm ID…".to_owned(),
        }
    }
}

struct Measured {
    wall: Duration,
    /// Of this process; only a sweep's.
    cpu: Option<Duration>,
    discovery: Option<Duration>,
}

struct Bench {
    dockerd: Dockerd,
    host: String,
    containers: usize,
}

fn main() {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(bench());
}

async fn bench() {
    let given = std::env::var("RTMANAGER_BENCH_CONTAINERS").ok();
    let containers = given.map_or(CONTAINERS, |text| text.parse().expect("RTMANAGER_BENCH_CONTAINERS is a number"));
    let dockerd = Dockerd::start().await;
    let Endpoint::Unix(socket) = dockerd.endpoint() else { panic!("the engine has a unix socket") };
    let host = format!("unix://{}", socket.display());
    let bench = Bench { dockerd, host, containers };
    bench.introduce().await;
    // Caches of the engine and of the kernel are warm after a batch that does not count.
    bench.measure(WAYS[0], containers.min(50)).await;
    let mut rounds: Vec<[Measured; WAYS.len()]> = Vec::new();
    for round in 0..ROUNDS {
        let mut measured = [None, None, None];
        for turn in 0..WAYS.len() {
            let index = (turn + round) % WAYS.len();
            measured[index] = Some(bench.measure(WAYS[index], containers).await);
        }
        rounds.push(measured.map(|measured| measured.expect("each way had its turn")));
    }
    let once = bench.measure(ONCE, containers).await;
    bench.report(&rounds, &once);
}

impl Bench {
    async fn introduce(&self) {
        let info = self.dockerd.docker().info().await.unwrap();
        println!(
            "{} ended containers a batch, {ROUNDS} rounds in rotated order, on Docker Engine {} with {}, {} processors",
            self.containers,
            info.server_version.unwrap_or_default(),
            info.driver.unwrap_or_default(),
            std::thread::available_parallelism().unwrap(),
        );
    }

    /// Makes a batch and removes it again.
    async fn measure(&self, way: Way, containers: usize) -> Measured {
        let made = self.dockerd.exited_many((0..containers).map(label)).await;
        let measured = match way {
            Way::Sweep(level) => self.sweep(level, containers).await,
            Way::Prune => self.docker(&["container", "prune", "-f"], &[]).await,
            Way::Rm => self.docker(&["rm"], &made).await,
        };
        let all = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        let left = self.dockerd.docker().list_containers(Some(all)).await.unwrap();
        assert_eq!(left.len(), 0, "{} left containers", way.name());
        println!("  {:<28} {containers:>4} in {:>7.2} s", way.name(), measured.wall.as_secs_f64());
        measured
    }

    async fn docker(&self, arguments: &[&str], ids: &[ContainerId]) -> Measured {
        let mut command = Command::new("docker");
        command.args(["-H", &self.host]).args(arguments).args(ids.iter().map(ContainerId::as_str));
        let began = Instant::now();
        let output = command.output().await.expect("the docker command; install it (Debian: docker.io)");
        let wall = began.elapsed();
        assert!(output.status.success(), "{output:?}");
        Measured { wall, cpu: None, discovery: None }
    }

    async fn sweep(&self, level: &str, containers: usize) -> Measured {
        let directory = tempfile::tempdir().unwrap();
        let app = self.app(directory.path(), level).await;
        let discovery = discover(&app, containers).await;
        let failed: Observer = Arc::new(|item: &SweepItem| assert_eq!(item.decision, Decision::Removed, "{item:?}"));
        let (cpu, began) = (cpu_time(), Instant::now());
        let report = app.sweeper.sweep(&SweepRequest::default(), failed).await.unwrap();
        let (wall, cpu) = (began.elapsed(), cpu_time() - cpu);
        let removed: u64 = report.engines.values().map(|engine| engine.removed).sum();
        assert_eq!(removed, containers as u64, "{report:?}");
        Measured { wall, cpu: Some(cpu), discovery: Some(discovery) }
    }

    /// Everything as configured by default, but for retention, and a breaker that lets everything go.
    async fn app(&self, directory: &Path, level: &str) -> App {
        let settings = [
            ("store.path", directory.join("rtmanager.db").display().to_string()),
            ("store.synchronous", level.to_owned()),
            ("engines.local.host", self.host.clone()),
            ("container_retention_days", "0".to_owned()),
            ("sweep.breaker_share", "1.0".to_owned()),
            ("discovery.owner", OWNER.to_owned()),
        ];
        let flags = settings.map(|(key, value)| (key.to_owned(), value)).into();
        let sources = Sources { environment: Environment::default(), file: None, flags };
        App::open(Loaded::from_sources(&sources).unwrap().config).await.unwrap()
    }

    fn report(&self, rounds: &[[Measured; WAYS.len()]], once: &Measured) {
        let each = |span: Duration| span.as_secs_f64() * 1e3 / self.containers as f64;
        let of = |index: usize| rounds.iter().map(move |round| round[index].wall);
        println!(
            "\n{:<28} {:>14} {:>22} {:>18}",
            "median of rounds", "ms a container", "slowest and fastest", "sweep's ratio to it"
        );
        for (index, way) in WAYS.iter().enumerate() {
            let times: Vec<f64> = of(index).map(each).collect();
            // A round's variants follow each other closely, so the ratio is taken within the round.
            let ratio = median(rounds.iter().map(|round| each(round[0].wall) / each(round[index].wall)));
            let (least, most) =
                (times.iter().copied().fold(f64::MAX, f64::min), times.iter().copied().fold(0.0, f64::max));
            let range = format!("{most:.2} {least:.2}");
            println!("{:<28} {:>14.2} {range:>22} {ratio:>18.2}", way.name(), median(times.iter().copied()));
        }
        println!("{:<28} {:>14.2}   (one batch, after the rounds)", ONCE.name(), each(once.wall));
        let micros = |span: Option<Duration>| each(span.unwrap_or_default()) * 1e3;
        println!(
            "\nthis process, a container: {:.0} µs of processor in the sweep; discovery before it takes {:.2} ms",
            median(rounds.iter().map(|round| micros(round[0].cpu))),
            median(rounds.iter().map(|round| micros(round[0].discovery) / 1e3)),
        );
        println!("aims: sweep to prune at most 0.7, sweep to docker rm at most 1.2");
    }
}

fn label(index: usize) -> Labels {
    let game = format!("game-{index}");
    labels(&[("rtmanager.owner", OWNER), ("rtmanager.tenant", "tenant"), ("rtmanager.game", &game)])
}

async fn discover(app: &App, containers: usize) -> Duration {
    let (name, engine) = app.ports.engines.first_key_value().unwrap();
    let options = Options::new(app.config.session.ownership.clone());
    let (records, clock) = (app.ports.records.clone(), app.ports.clock.clone());
    let reconciler = Reconciler::new(engine.clone(), name.clone(), records, clock, options);
    let began = Instant::now();
    let report = reconciler.run().await.unwrap();
    let took = began.elapsed();
    assert_eq!(report.registered.len(), containers, "{report:?}");
    took
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What this process, without its children, has used of a processor.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The fields after the name, which may hold spaces; user and system time are the 14th and 15th of all.
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<u32>().unwrap();
    TICK * (ticks(11) + ticks(12))
}
