//! What it costs to have policies that change: from the commit of a swap to the first run on it on every host, runs while
//! swapping against runs while not, from the upload to the service, the load of code that is kept, and the memory of
//! tenants with one policy and with one each.
//!
//! Absolute times drift on a shared machine, so what is compared takes turns; read the ratios. In the environment, for
//! a quick run: `RTMANAGER_BENCH_SWAPS` (200) and `RTMANAGER_BENCH_TENANTS` (200).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rtmanager::access::Caller;
use rtmanager::adapters::system_clock::SystemRandomness;
use rtmanager::compiler::{CodeCache, CodeCacheOptions, Compiler, CompilerOptions, PolicyLoader};
use rtmanager::model::PolicyScope;
use rtmanager::policies::{Bind, NewPolicy, PolicyId};
use rtmanager::runtime::{DEFAULT_POLICY, Policy, Sandbox, SandboxOptions};
use rtmanager_tests::bombs::many_sections;
use rtmanager_tests::hosts::{Hosts, Replica, SCOPE};
use rtmanager_tests::projects::Folder;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rtmanager-cli");
/// Runs of each phase.
const RUNS: usize = 1_000;
const PHASES: usize = 4;

fn main() {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(bench());
}

async fn bench() {
    let hosts = Hosts::open(PROGRAM).await;
    convergence(&hosts, number("RTMANAGER_BENCH_SWAPS", 200)).await;
    while_swapping(&hosts).await;
    admission(&hosts).await;
    let python = python();
    in_python(&hosts, &python).await;
    hosts.close().await;
    cached_load("the default policy", DEFAULT_POLICY, 50).await;
    cached_load("the policy in Python", &python, 10).await;
    tenants(number("RTMANAGER_BENCH_TENANTS", 200));
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn quantile(spans: &mut [Duration], share: f64) -> Duration {
    spans.sort_unstable();
    spans[((spans.len() - 1) as f64 * share) as usize]
}

/// From the answer of the compare-and-set until both hosts would begin a run on the new generation.
async fn convergence(hosts: &Hosts, swaps: usize) {
    let tenant = SCOPE.parse().unwrap();
    let mut spans = Vec::new();
    for _ in 0..swaps {
        let to = hosts.swap().await;
        let began = Instant::now();
        for host in [Replica::One, Replica::Two] {
            while hosts.app(host).lifecycle.serving(&tenant).unwrap()[0].number() != Some(to) {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
        spans.push(began.elapsed());
    }
    let [half, most] = [0.5, 0.99].map(|share| quantile(&mut spans, share));
    println!("commit to the new generation on both hosts, {swaps} swaps on PostgreSQL: p50 {half:.1?}, p99 {most:.1?}");
}

/// What swaps cost the runs of the tenant whose policy is swapped, at a rate that a fleet may have and at one that none has;
/// and what as many of a tenant that runs nothing cost them: the processors' and the database's share, one machine's here.
async fn while_swapping(hosts: &Hosts) {
    let (own, other): (PolicyScope, PolicyScope) = (SCOPE.parse().unwrap(), "tenant-still".parse().unwrap());
    hosts.bind_also(&other).await;
    let others_swaps = Arc::new(AtomicU64::new(0));
    let swaps = |what, scope, count, a_second| Swaps { what, scope, count, every: Duration::from_secs(1) / a_second };
    let mut still = Vec::new();
    let mut beside = [
        (swaps("a swap a second", &own, &hosts.swaps, 1), Vec::new()),
        (swaps("50 a second", &own, &hosts.swaps, 50), Vec::new()),
        (swaps("50 a second of another tenant", &other, &others_swaps, 50), Vec::new()),
    ];
    for _ in 0..PHASES {
        runs(hosts, &mut still).await;
        for (swaps, spans) in &mut beside {
            beside_swaps(hosts, swaps, spans).await;
        }
    }
    for share in [0.5, 0.99] {
        let still = quantile(&mut still, share);
        println!(
            "cleanups, {} each, p{:.0}: {still:.2?} without swaps (aim at p99: 1.1 x)",
            RUNS * PHASES,
            share * 100.0
        );
        for (swaps, spans) in &mut beside {
            let span = quantile(spans, share);
            println!("  with {}: {span:.2?}, {:.2} x", swaps.what, span.as_secs_f64() / still.as_secs_f64());
        }
    }
}

/// Swaps of a scope at some rate; `count` is how many there were of it.
struct Swaps<'a> {
    what: &'static str,
    scope: &'a PolicyScope,
    count: &'a Arc<AtomicU64>,
    every: Duration,
}

async fn beside_swaps(hosts: &Hosts, swaps: &Swaps<'_>, spans: &mut Vec<Duration>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (hosts_too, stopped, scope, count) = (hosts.clone(), stop.clone(), swaps.scope.clone(), swaps.count.clone());
    let mut ticks = tokio::time::interval(swaps.every);
    let swapping = tokio::spawn(async move {
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stopped.load(Ordering::Relaxed) {
            ticks.tick().await;
            hosts_too.swap_of(&scope, &count).await;
        }
    });
    runs(hosts, spans).await;
    stop.store(true, Ordering::Relaxed);
    swapping.await.unwrap();
}

async fn runs(hosts: &Hosts, spans: &mut Vec<Duration>) {
    for number in 0..RUNS {
        let game = format!("bench-{}", number % 8);
        hosts.stopped(&game, hosts.next(), Duration::ZERO).await;
        let began = Instant::now();
        let result = hosts.app(Replica::One).lifecycle.cleanup(rtmanager_tests::mock_host::request(&game, "cli")).await;
        spans.push(began.elapsed());
        assert!(result.error_code.is_none(), "{result:?}");
    }
}

/// Everything that a new version of the default policy goes through, and until both hosts serve it.
async fn admission(hosts: &Hosts) {
    let caller = Caller::admin("bench");
    let mut lives = Vec::new();
    for number in 1..=5 {
        lives.push(upload(hosts, &caller, "upload", number, many_sections(DEFAULT_POLICY, 100 + number)).await);
    }
    lives.sort_unstable();
    let (whole, uploaded, histories) = lives[lives.len() / 2];
    println!(
        "upload to live on two hosts, the default policy, median of {}: {whole:.2?} (upload {uploaded:.2?}), {histories} safety scenarios (aim 2 s)",
        lives.len()
    );
}

/// From the upload until both hosts serve it; of that the upload; and the safety scenarios.
async fn upload(
    hosts: &Hosts,
    caller: &Caller,
    name: &str,
    number: usize,
    component: Vec<u8>,
) -> (Duration, Duration, u64) {
    let new = NewPolicy {
        name: name.parse().unwrap(),
        version: format!("1.{number}.0").parse().unwrap(),
        owner: None,
        component,
        signatures: Vec::new(),
    };
    let policies = &hosts.app(Replica::One).policies;
    let began = Instant::now();
    let pushed = policies.push(caller, new).await.unwrap();
    let uploaded = began.elapsed();
    let bind = Bind {
        policy: PolicyId::Digest(pushed.details.artifact.digest.clone()),
        settings: Default::default(),
        limits: Default::default(),
        grants: None,
        reason: "a benchmark".to_owned(),
        expected: None,
        accept_authority: true,
        patience: Duration::from_secs(300),
        leave_behind: false,
    };
    let bound = policies.bind(caller, &"bench-tenant".parse().unwrap(), bind).await.unwrap();
    (began.elapsed(), uploaded, bound.scenarios.histories)
}

/// The project that `policy new` writes, built.
fn python() -> Vec<u8> {
    let folder = Folder::new(PROGRAM, &std::env::temp_dir());
    folder.run("", "rtmanager policy new keep --lang python");
    folder.run("keep", "make");
    std::fs::read(folder.path().join("keep/keep.wasm")).unwrap()
}

/// The same for a policy of 18 MB, which brings an interpreter along.
async fn in_python(hosts: &Hosts, component: &[u8]) {
    let caller = Caller::admin("bench");
    let (whole, uploaded, histories) = upload(hosts, &caller, "python", 0, component.to_vec()).await;
    println!(
        "upload to live on two hosts, the policy in Python: {whole:.1?} (upload {uploaded:.1?}), {histories} safety scenarios"
    );
}

async fn cached_load(what: &str, component: &[u8], times: usize) {
    let directory = tempfile::tempdir().unwrap();
    let options = CodeCacheOptions {
        directory: directory.path().join("code"),
        key_file: directory.path().join("code.key"),
        bytes: 1 << 30,
    };
    let loader = || {
        let sandbox = Sandbox::new(SandboxOptions { concurrent_runs: 4, ..SandboxOptions::default() }).unwrap();
        let cache = CodeCache::open(&options, Arc::new(SystemRandomness)).unwrap();
        PolicyLoader::new(
            sandbox,
            Compiler::new(CompilerOptions { program: PROGRAM.into(), ..Default::default() }),
            Some(cache),
        )
    };
    let began = Instant::now();
    let digest = loader().load(component).await.unwrap().digest().clone();
    let compiled = began.elapsed();
    let mut spans = Vec::new();
    for _ in 0..times {
        let loader = loader();
        let began = Instant::now();
        loader.compiled(&digest).await.unwrap();
        spans.push(began.elapsed());
    }
    let half = quantile(&mut spans, 0.5);
    println!("load of {what}: compiled {compiled:.1?}, from the cache {half:.2?} (aim 5 ms)");
}

/// What each tenant's policy adds to the memory of a host.
fn tenants(count: usize) {
    let sandbox = Sandbox::new(SandboxOptions { concurrent_runs: 4, ..SandboxOptions::default() }).unwrap();
    let first = sandbox.load(DEFAULT_POLICY).unwrap();
    let before = resident();
    let shared: Vec<Policy> = (0..count * 100).map(|_| first.clone()).collect();
    let each = (resident() - before) as f64 / shared.len() as f64;
    let before = resident();
    let distinct: Vec<Policy> =
        (0..count).map(|number| sandbox.load(&many_sections(DEFAULT_POLICY, number)).unwrap()).collect();
    let own = (resident() - before) as f64 / distinct.len() as f64;
    let fit = |bytes: f64| (1_u64 << 30) as f64 / bytes.max(1.0);
    println!(
        "tenants in a GiB: {:.0} with a policy of their own ({:.0} KiB each), {:.0} with one policy ({each:.0} bytes each)",
        fit(own),
        own / 1024.0,
        fit(each)
    );
}

/// Resident memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
