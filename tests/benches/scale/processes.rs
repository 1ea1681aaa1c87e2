//! Two real processes beside one, on one PostgreSQL, one Redis and two Docker Engines that answer each call 20 ms late.
//! Each process has one run at a time on each engine, so that one alone is bound by the delay.

use std::time::{Duration, Instant};

use rtmanager_tests::fleet::{Fleet, Replica};

use super::figures::{at, cpu_time, median, verdict};

/// On the way to the engine and on the way back.
const DELAY: Duration = Duration::from_millis(10);
const AIM: f64 = 1.8;
const SETTINGS: [&str; 2] = ["--set", "sweep.concurrency=1"];
const PATIENCE: Duration = Duration::from_secs(120);
/// Longer than the hosts' interval, so that all sweep as soon as they may.
const FROZEN: Duration = Duration::from_millis(1_500);
const POLL: Duration = Duration::from_millis(20);

/// The time for all cleanups, and of the hosts' processors for one.
#[derive(Debug, Clone, Copy)]
struct Measured {
    seconds: f64,
    cpu_micros: f64,
}

pub(crate) async fn measure(cleanups: usize, rounds: usize) {
    let mut fleet = Fleet::start(env!("CARGO_BIN_EXE_replica")).await;
    let mut measured: [Vec<Measured>; 2] = Default::default();
    for round in 0..rounds {
        for turn in [round, round + 1] {
            let index = turn % 2;
            measured[index].push(clean_up(&mut fleet, index + 1, cleanups.div_ceil(2)).await);
        }
    }
    println!("\n{cleanups} cleanups by one process and by two, engines 20 ms slower a call, {rounds} rounds in turns");
    println!("{:<20} {:>10} {:>18}  all rounds", "", "fastest s", "CPU µs a cleanup");
    // What else the machine does only ever adds time, so the fastest rounds tell the most.
    let ratio = report("one process", &measured[0]) / report("two processes", &measured[1]);
    println!("two are {ratio:.2} × one; aim: at least {AIM}: {}", verdict(ratio >= AIM));
}

/// Answers the seconds of the fastest round.
fn report(name: &str, rounds: &[Measured]) -> f64 {
    let seconds: Vec<f64> = rounds.iter().map(|round| round.seconds).collect();
    let cpu: Vec<f64> = rounds.iter().map(|round| round.cpu_micros).collect();
    let all: Vec<String> = seconds.iter().map(|seconds| format!("{seconds:.2}")).collect();
    let fastest = at(0.0, &seconds);
    println!("{name:<20} {fastest:>10.2} {:>18.0}  {}", median(&cpu), all.join(", "));
    fastest
}

/// Everything is made ready under a pause. The hosts are frozen until it is lifted, so that they begin together.
async fn clean_up(fleet: &mut Fleet, hosts: usize, due_on_each: usize) -> Measured {
    fleet.forget().await;
    fleet.slow_engines(Duration::ZERO);
    fleet.populate(due_on_each).await;
    say(fleet, "INSERT INTO pauses VALUES ('global', '', 'operator', 0, 'the benchmark prepares', 'bench', now())")
        .await;
    let hosts: Vec<Replica> = (0..hosts).map(|number| fleet.replica(number, &SETTINGS)).collect();
    for host in &hosts {
        serves(host).await;
    }
    hosts.iter().for_each(Replica::freeze);
    tokio::time::sleep(FROZEN).await;
    fleet.slow_engines(DELAY);
    say(fleet, "TRUNCATE pauses").await;
    let (cpu, began) = (cpu(&hosts), Instant::now());
    hosts.iter().for_each(Replica::thaw);
    while fleet.left().await > 0 {
        assert!(began.elapsed() < PATIENCE, "not all is cleaned up\n{}", fleet.logs());
        tokio::time::sleep(POLL).await;
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), self::cpu(&hosts) - cpu);
    Measured { seconds, cpu_micros: cpu.as_secs_f64() * 1e6 / (2 * due_on_each) as f64 }
}

fn cpu(hosts: &[Replica]) -> Duration {
    hosts.iter().map(|host| cpu_time(&host.id().to_string())).sum()
}

async fn say(fleet: &Fleet, statement: &'static str) {
    sqlx::query(statement).execute(&mut fleet.database().await).await.unwrap();
}

async fn serves(host: &Replica) {
    let deadline = Instant::now() + PATIENCE;
    while tokio::net::UnixStream::connect(host.socket()).await.is_err() {
        assert!(Instant::now() < deadline, "a host does not start");
        tokio::time::sleep(POLL).await;
    }
}
