//! A proper policy beside tenants whose runs do harm as fast as they can: what is left of its throughput.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rtmanager::runtime::Limits;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fixtures::HOSTILE;
use crate::mock_host::{MockHost, TenantPolicy, container, request};

/// Who runs the hostile policy.
pub const HOSTILE_TENANT: &str = HOSTILE_TENANTS[0];
/// Likewise where several do.
const HOSTILE_TENANTS: [&str; 3] = ["tenant-h", "tenant-i", "tenant-j"];
/// What it does: computes, uses up the stack and the memory; floods the host with calls, lines, entries and handles, with
/// little and with much in each; ends at once; sleeps in a host call.
pub const ATTACKS: [&str; 17] = [
    "busy-loop",
    "deep-recursion",
    "memory-growth",
    "call-flood",
    "log-flood",
    "entry-flood",
    "lease-flood",
    "print-flood",
    "handle-flood",
    "giant-log",
    "giant-message",
    "giant-random",
    "giant-poll",
    "trap-before-lease",
    "panic",
    "exit",
    "sleep",
];
/// Tenants that do this beside one another: what is left for each is less, and as equal.
pub const SEVERAL: [&str; 3] = ["call-flood", "busy-loop", "panic"];

/// Runs that the proper tenant has under way at once,
const PROPER: u64 = 8;
/// and that each other one tries to have.
const HARMFUL: u64 = 40;

/// Cleanups by the proper tenant, alone and beside others.
#[derive(Debug, Clone, Copy, Default)]
pub struct Throughput {
    /// Alone.
    pub alone: Done,
    /// Beside the others.
    pub beside: Done,
    /// How many others.
    pub others: u32,
}

/// What was done in spans of the same length.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// Cleanups.
    pub cleanups: f64,
    /// What this process had of the processors meanwhile.
    pub processors: Duration,
}

impl Throughput {
    /// What it keeps of its fair share, which is an equal part of what it has alone: beside one other, half of it.
    pub fn kept(&self) -> f64 {
        f64::from(self.others + 1) * self.beside.cleanups / self.alone.cleanups
    }

    /// The same of what this process has of the processors: what else runs on the machine is not these tenants' doing.
    pub fn kept_of_processors(&self) -> f64 {
        self.kept() * self.alone.processors.as_secs_f64() / self.beside.processors.as_secs_f64()
    }
}

impl std::ops::AddAssign for Done {
    fn add_assign(&mut self, more: Self) {
        self.cleanups += more.cleanups;
        self.processors += more.processors;
    }
}

/// What the process has used of processors.
pub fn cpu_time() -> Duration {
    let used = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
    };
    std::fs::read_dir("/proc/self/task").expect("/proc").map(|task| used(task.expect("a task").path())).sum()
}

/// Counts cleanups beside attacks by a tenant each, alone and beside in turns, in so many rounds of twice this span.
pub async fn beside(attacks: &[&'static str], rounds: u32, span: Duration) -> Throughput {
    let mut total = Throughput { others: attacks.len() as u32, ..Throughput::default() };
    for round in 0..rounds {
        let alone_first = round % 2 == 0;
        if alone_first {
            total.alone += cleanups(&[], span).await;
        }
        total.beside += cleanups(attacks, span).await;
        if !alone_first {
            total.alone += cleanups(&[], span).await;
        }
    }
    total
}

/// A host on which one tenant's policy does `mode`; everybody else has the default policy.
pub async fn host_beside(mode: &'static str, limits: Limits, harmful_games: u64) -> MockHost {
    host_among(&[mode], limits, harmful_games).await
}

/// The same for several tenants, of which the nth has the nth so many harmful games.
async fn host_among(modes: &[&'static str], limits: Limits, harmful_games: u64) -> MockHost {
    let mut host = MockHost::builder().limits(limits.clone()).real_workers();
    for (tenant, mode) in HOSTILE_TENANTS.into_iter().zip(modes) {
        let (settings, limits) = (vec![("mode", *mode)], limits.clone());
        host = host.tenant(TenantPolicy { tenant, policy: HOSTILE, settings, limits });
    }
    let host = host.build();
    for n in 0..PROPER {
        host.stopped(&proper(n), &container(n)).await;
    }
    for (tenant, first) in HOSTILE_TENANTS.into_iter().zip((0..).step_by(harmful_games as usize)).take(modes.len()) {
        for n in first..first + harmful_games {
            host.stopped_of(tenant, &harmful(n), &container(1_000 + n)).await;
        }
    }
    host
}

/// The proper tenant's games.
pub fn proper(n: u64) -> String {
    format!("game-{}", n % PROPER)
}

/// The other one's games.
pub fn harmful(n: u64) -> String {
    format!("harm-{n}")
}

async fn cleanups(attacks: &[&'static str], span: Duration) -> Done {
    // Runs that hang outlast the span, and are waited for afterwards.
    let limits = Limits { guest_time: Duration::from_millis(200), run_time: span * 2, ..Limits::default() };
    let host = host_among(attacks, limits, HARMFUL).await;
    let stop = Arc::new(AtomicBool::new(false));
    let harm = repeat(&host, HARMFUL * attacks.len() as u64, harmful, &stop);
    // Until the attack is in full swing.
    tokio::time::sleep(span / 4).await;
    let (began, before) = (Instant::now(), cpu_time());
    let work = repeat(&host, PROPER, proper, &stop);
    tokio::time::sleep_until(began + span).await;
    stop.store(true, Ordering::Relaxed);
    let (took, processors) = (began.elapsed(), cpu_time().saturating_sub(before));
    let done: u64 = work.join_all().await.into_iter().sum();
    harm.join_all().await;
    assert!(host.no_lease_is_held(), "a lease was not given back");
    // The timer may have been late.
    let part = span.as_secs_f64() / took.as_secs_f64();
    Done { cleanups: done as f64 * part, processors: processors.mul_f64(part) }
}

/// Cleans up each game again and again until told to stop. Answers how often that ended in time.
fn repeat(host: &MockHost, games: u64, name: fn(u64) -> String, stop: &Arc<AtomicBool>) -> JoinSet<u64> {
    let mut tasks = JoinSet::new();
    for n in 0..games {
        let (lifecycle, game, stop) = (host.lifecycle.clone(), name(n), stop.clone());
        tasks.spawn(async move {
            let mut done = 0;
            loop {
                lifecycle.cleanup(request(&game, "cli")).await;
                if stop.load(Ordering::Relaxed) {
                    return done;
                }
                done += 1;
            }
        });
    }
    tasks
}

/// How long after its run time each of a crowd of runs ends that compute for ever.
pub async fn lateness(crowd: u64, run_time: Duration) -> Vec<Duration> {
    let limits = Limits { guest_time: Duration::from_secs(60), run_time, ..Limits::default() };
    let host = host_beside("busy-loop", limits, crowd).await;
    let mut runs = JoinSet::new();
    for n in 0..crowd {
        let lifecycle = host.lifecycle.clone();
        runs.spawn(async move {
            let began = Instant::now();
            let result = lifecycle.cleanup(request(&harmful(n), "cli")).await;
            assert_eq!(result.error_code.expect("a code").as_str(), "policy_run_timeout", "{:?}", result.message);
            began.elapsed().saturating_sub(run_time)
        });
    }
    runs.join_all().await
}
