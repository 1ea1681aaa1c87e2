//! A proper policy beside a tenant whose runs do harm as fast as they can: what is left of its throughput.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rtmanager::runtime::Limits;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fixtures::HOSTILE;
use crate::mock_host::{MockHost, TenantPolicy, container, request};

/// Who runs the hostile policy.
pub const HOSTILE_TENANT: &str = "tenant-h";
/// What it does: computes, sleeps in a host call, grows its memory, floods the host with calls.
pub const ATTACKS: [&str; 4] = ["busy-loop", "sleep", "memory-growth", "call-flood"];

/// Runs that the proper tenant has under way at once,
const PROPER: u64 = 8;
/// and that the other one tries to have.
const HARMFUL: u64 = 40;

/// Cleanups in one span of time each: by the proper tenant alone, and beside the other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Throughput {
    /// Alone.
    pub alone: u64,
    /// Beside the other.
    pub beside: u64,
}

impl Throughput {
    /// What it keeps of its fair share, which is half of what it has alone.
    pub fn kept(&self) -> f64 {
        2.0 * self.beside as f64 / self.alone as f64
    }
}

/// Counts cleanups beside an attack, alone and beside in turns, in so many rounds of twice this span.
pub async fn beside(attack: &'static str, rounds: u32, span: Duration) -> Throughput {
    let mut total = Throughput::default();
    for round in 0..rounds {
        let alone_first = round % 2 == 0;
        if alone_first {
            total.alone += cleanups(None, span).await;
        }
        total.beside += cleanups(Some(attack), span).await;
        if !alone_first {
            total.alone += cleanups(None, span).await;
        }
    }
    total
}

/// A host on which one tenant's policy does `mode`; everybody else has the default policy.
pub async fn host_beside(mode: &'static str, limits: Limits, harmful_games: u64) -> MockHost {
    let tenant = TenantPolicy {
        tenant: HOSTILE_TENANT,
        policy: HOSTILE,
        settings: vec![("mode", mode)],
        limits: limits.clone(),
    };
    let host = MockHost::builder().limits(limits).real_workers().tenant(tenant).build();
    for n in 0..PROPER {
        host.stopped(&proper(n), &container(n)).await;
    }
    for n in 0..harmful_games {
        host.stopped_of(HOSTILE_TENANT, &harmful(n), &container(1_000 + n)).await;
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

async fn cleanups(attack: Option<&'static str>, span: Duration) -> u64 {
    // Runs that hang outlast the span, and are waited for afterwards.
    let limits = Limits { guest_time: Duration::from_millis(200), run_time: span * 2, ..Limits::default() };
    let host = host_beside(attack.unwrap_or("busy-loop"), limits, HARMFUL).await;
    let stop = Arc::new(AtomicBool::new(false));
    let harm = if attack.is_some() { repeat(&host, HARMFUL, harmful, &stop) } else { JoinSet::new() };
    // Until the attack is in full swing.
    tokio::time::sleep(span / 4).await;
    let began = Instant::now();
    let work = repeat(&host, PROPER, proper, &stop);
    tokio::time::sleep_until(began + span).await;
    stop.store(true, Ordering::Relaxed);
    let took = began.elapsed();
    let done: u64 = work.join_all().await.into_iter().sum();
    harm.join_all().await;
    assert!(host.no_lease_is_held(), "a lease was not given back");
    // The timer may have been late.
    (done as f64 * span.as_secs_f64() / took.as_secs_f64()) as u64
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
