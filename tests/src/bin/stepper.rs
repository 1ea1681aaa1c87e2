//! One change of what serves a tenant, or one host that follows such a change, in a process that dies where it is told to.
//!
//! `stepper --dies before:7 --compiler PROGRAM bind keep@1.0.0` is killed before its seventh call of the stores of
//! policies, and writes the call's name; told no moment, or one that never comes, it ends by itself.
//! `stepper --forbids rename keep FILE` puts compiled code into the cache, and dies at that system call.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rtmanager::access::Caller;
use rtmanager::adapters::system_clock::SystemRandomness;
use rtmanager::app::{App, Stores};
use rtmanager::compiler::CodeCache;
use rtmanager::config::{Config, Environment, Loaded, Sources};
use rtmanager::model::{GenerationId, PolicyDigest, PolicyScope, Revocation, RolloutMode, Timestamp};
use rtmanager::policies::{Bind, Policies, PolicyId, RollBack, RolloutOrder};
use rtmanager::ports::{GenerationStore, ScopeState, StoreError, SwapKind};
use rtmanager::runtime::CompileEngine;
use rtmanager_tests::bound::{signed, tenant_a};
use rtmanager_tests::desk::{bind, policies};
use rtmanager_tests::steps::{ALIVE, Moment, Steps};
use rustix::process::{Resource, Rlimit, setrlimit};

#[path = "stepper/forbidden.rs"]
mod forbidden;

use forbidden::Forbidden;

#[derive(Debug, clap::Parser)]
struct Arguments {
    /// A setting, as rtmanager has it.
    #[arg(long = "set")]
    settings: Vec<String>,
    #[arg(long)]
    dies: Option<Moment>,
    /// Stops there, until it is told to go on.
    #[arg(long)]
    stops: Option<Moment>,
    /// For how long to wait for hosts; without it, none is waited for.
    #[arg(long)]
    patience_ms: Option<u64>,
    /// The program that compiles policies.
    #[arg(long, default_value = "/nowhere")]
    compiler: PathBuf,
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    Bind {
        policy: PolicyId,
    },
    RollBack,
    RollOut {
        policy: PolicyId,
    },
    Promote,
    EndRollout,
    Revoke {
        generation: GenerationId,
    },
    Unbind,
    /// A host that starts, follows a swap to this generation, and stops.
    Host {
        number: u64,
    },
    /// A host that lives, says so in a line, loads this generation once it is staged, follows the swap to it, and stops.
    Follow {
        number: u64,
    },
    /// Keeps the compiled code of a component.
    Keep {
        component: PathBuf,
        #[arg(long)]
        forbids: Option<Forbidden>,
        /// Whether that holds before the cache is opened, which makes its key.
        #[arg(long)]
        from_the_start: bool,
        /// Dies at the byte after these in a file.
        #[arg(long)]
        file_bytes: Option<u64>,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Arguments = clap::Parser::parse();
    let pairs = arguments.settings.iter().map(|pair| pair.split_once('=').context("KEY=VALUE"));
    let flags = pairs.map(|pair| pair.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let flags = flags.collect::<anyhow::Result<_>>()?;
    let mut config = Loaded::from_sources(&Sources { environment: Environment::default(), file: None, flags })?.config;
    config.admission.compiler.program = arguments.compiler;
    if let Order::Keep { component, forbids, from_the_start, file_bytes } = arguments.order {
        return keep(&config, &std::fs::read(component)?, forbids, from_the_start, file_bytes);
    }
    let stores = Stores::open(config).await?;
    let uncounted = stores.generations.clone();
    let stores = Steps::stopping(arguments.dies, arguments.stops).count(stores);
    let patience = arguments.patience_ms.map(Duration::from_millis);
    match arguments.order {
        Order::Follow { number } => follow(stores, &*uncounted, number).await,
        Order::Host { number } => serve(stores, &*uncounted, number).await,
        order => carry_out(policies(&stores)?, order, patience).await,
    }
}

async fn carry_out(policies: Policies, order: Order, patience: Option<Duration>) -> anyhow::Result<()> {
    let (caller, scope) = (Caller::admin("tester"), tenant_a());
    match order {
        Order::Bind { policy } => {
            let (leave_behind, patience) = (patience.is_none(), patience.unwrap_or_default());
            drop(policies.bind(&caller, &scope, Bind { patience, leave_behind, ..bind(policy) }).await?);
        }
        Order::RollBack => {
            let order = RollBack { to: None, expected: None, keep_rollout: false, reason: "a test".to_owned() };
            drop(policies.roll_back(&caller, &scope, order).await?);
        }
        Order::RollOut { policy } => {
            let order = RolloutOrder {
                bind: bind(policy),
                mode: RolloutMode::Shadow,
                clean_runs: None,
                promote_after: None,
                stop_on_divergence: false,
            };
            drop(policies.start_rollout(&caller, &scope, order).await?);
        }
        Order::Promote => drop(policies.promote(&caller, &scope, "a test").await?),
        Order::EndRollout => drop(policies.end_rollout(&caller, &scope, "a test").await?),
        Order::Revoke { generation } => {
            drop(policies.revoke(&caller, Revocation::Generation(generation), "a test").await?);
        }
        Order::Unbind => policies.unbind(&caller, &scope, "a test").await?,
        Order::Host { .. } | Order::Follow { .. } | Order::Keep { .. } => anyhow::bail!("no change of a scope"),
    }
    Ok(())
}

/// Reads, loads, reports; then the same for the generation that becomes current meanwhile; and takes back what it said.
async fn serve(stores: Stores, uncounted: &dyn GenerationStore, number: u64) -> anyhow::Result<()> {
    let scope: PolicyScope = tenant_a();
    let now: Timestamp = stores.clock.now();
    let app = App::assemble(stores, BTreeMap::new()).await?;
    app.watcher.speak();
    app.watcher.refresh().await?;
    let current = uncounted.state(&scope).await?.and_then(|state| state.current).map(|current| current.number);
    if current != Some(number) {
        uncounted.swap(&scope, current, number, SwapKind::Bind, None, &signed(now)).await?;
    }
    app.watcher.refresh().await?;
    app.watcher.retire().await;
    Ok(())
}

/// In steps of its own, so that it is the same call at each number: what it waits for it sees past them.
async fn follow(stores: Stores, uncounted: &dyn GenerationStore, number: u64) -> anyhow::Result<()> {
    let app = App::assemble(stores, BTreeMap::new()).await?;
    app.watcher.speak();
    look(&app).await?;
    println!("{ALIVE}");
    let number = Some(number);
    let is_staged = |state: &ScopeState| {
        let known = [&state.current, &state.staged, &state.newest].map(|it| it.as_ref().map(|it| it.number));
        known.contains(&number)
    };
    until(uncounted, is_staged).await?;
    look(&app).await?;
    until(uncounted, |state| state.current.as_ref().map(|current| current.number) == number).await?;
    look(&app).await?;
    app.watcher.retire().await;
    Ok(())
}

/// One that was stopped for longer than it waits for the store looks again, as the watch does.
async fn look(app: &App) -> Result<(), StoreError> {
    match app.watcher.refresh().await {
        Err(StoreError::Unavailable(_)) => app.watcher.refresh().await,
        looked => looked,
    }
}

async fn until(generations: &dyn GenerationStore, is_so: impl Fn(&ScopeState) -> bool) -> anyhow::Result<()> {
    for _ in 0..6_000 {
        if generations.state(&tenant_a()).await?.is_some_and(|state| is_so(&state)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("nothing happens to the scope within a minute")
}

fn keep(
    config: &Config,
    component: &[u8],
    forbids: Option<Forbidden>,
    from_the_start: bool,
    file_bytes: Option<u64>,
) -> anyhow::Result<()> {
    let engine = CompileEngine::new()?;
    let code = engine.compile(component)?;
    let options = config.admission.code_cache.as_ref().context("a cache")?;
    if let Some(bytes) = file_bytes {
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
        setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), maximum: Some(bytes) })?;
    }
    let early = forbids.filter(|_| from_the_start);
    early.map_or(Ok(()), Forbidden::kills)?;
    let cache = CodeCache::open(options, Arc::new(SystemRandomness))?;
    forbids.filter(|_| !from_the_start).map_or(Ok(()), Forbidden::kills)?;
    cache.put(&PolicyDigest::of(component), engine.fingerprint(), &code);
    Ok(())
}
