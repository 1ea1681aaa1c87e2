//! The server: REST, the sweeper, the reconcilers, retention of the log; until a signal, and then the drain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::reconcile::{Extent, outdated, reconcile};
use super::{Answer, Error};
use crate::api::{Server, Services};
use crate::app::App;
use crate::model::EngineName;
use crate::ports::Randomness;
use crate::reconciler::Reconciler;
use crate::sweeper::{Observer, SweepRequest};

/// The first sweep comes soon after the start, not a whole interval later: a host that restarts often must sweep
/// too. Not at once, since engines and platform may be starting as well.
const FIRST_SWEEP: Duration = Duration::from_secs(60);
/// Old entries are deleted at this pace, so many at once: short transactions, and never behind for long.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);
const PRUNED_AT_ONCE: u32 = 1_000;
/// A store that does not answer keeps no process from ending.
const LEAVING_TIME: Duration = Duration::from_secs(2);

/// Serves until a signal, and drains.
pub async fn serve(app: App) -> Result<Answer, Error> {
    let app = Arc::new(app);
    let services = Arc::new(Services::from(&*app));
    app.watcher.speak();
    app.read_policies().await;
    let mut signals = Signals::listen().map_err(Error::Signals)?;
    let server = Server::bind(&app.config.http, app.ports.randomness.as_ref()).await?;
    tracing::info!(listen = %server.listen(), store = %app.config.store, "serving");

    let shutdown = CancellationToken::new();
    let tasks = TaskTracker::new();
    let early = Early::of(app.ports.engines.keys());
    tasks.spawn(shutdown.clone().run_until_cancelled_owned(app.watcher.clone().run_for_ever()));
    // Each engine by itself, so that none waits for another.
    for (engine, reconciler) in &app.reconcilers {
        let reconciling = reconcile_for_ever(app.clone(), reconciler.clone());
        tasks.spawn(shutdown.clone().run_until_cancelled_owned(reconciling));
        let sweeping = sweep_for_ever(app.clone(), engine.clone(), early.clone());
        tasks.spawn(shutdown.clone().run_until_cancelled_owned(sweeping));
    }
    tasks.spawn(shutdown.clone().run_until_cancelled_owned(take_over_for_ever(app.clone(), early.clone())));
    tasks.spawn(shutdown.clone().run_until_cancelled_owned(recover_for_ever(app.clone(), early)));
    tasks.spawn(shutdown.clone().run_until_cancelled_owned(prune_for_ever(app.clone())));
    tasks.close();
    let served = server.run(services, shutdown.clone());
    tokio::pin!(served);
    let answered = tokio::select! {
        answered = &mut served => answered,
        name = signals.next() => {
            tracing::info!(signal = name, "draining; a second signal ends this at once");
            shutdown.cancel();
            tokio::select! {
                answered = &mut served => answered,
                name = signals.next() => {
                    tracing::warn!(signal = name, "not drained");
                    return Ok(Answer { text: String::new(), status: 1 });
                }
            }
        }
    };
    // Dropping a sweep lets its runs go on, each under its lease; these are waited for.
    tasks.wait().await;
    let finished = app.lifecycle.drain(app.config.http.drain_time).await;
    app.journals.flush(LEAVING_TIME).await;
    retire(&app).await;
    tracing::info!(requests_finished = answered, runs_finished = finished, "stopped");
    Ok(Answer { text: String::new(), status: u8::from(!(answered && finished)) })
}

/// Adds up what the last runs have shown, and takes back what this host says that it serves.
async fn retire(app: &App) {
    let leaving = async {
        let _found_later = app.watcher.refresh().await;
        app.watcher.retire().await;
    };
    let _late = tokio::time::timeout(LEAVING_TIME, leaving).await;
}

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

async fn reconcile_for_ever(app: Arc<App>, reconciler: Arc<Reconciler>) {
    reconciler.run_for_ever(|| jittered(app.config.discovery.interval, app.ports.randomness.as_ref())).await;
}

/// At intervals, and earlier when another host has left a sweep of the engine half done.
async fn sweep_for_ever(app: Arc<App>, engine: EngineName, early: Early) {
    let mut pause = app.config.sweep_interval.min(FIRST_SWEEP);
    loop {
        tokio::select! {
            () = tokio::time::sleep(jittered(pause, app.ports.randomness.as_ref())) => {}
            () = early.called(&engine) => {}
        }
        pause = app.config.sweep_interval;
        let reconciled = reconcile(&app, Some(&engine), Extent::Slice).await;
        let outdated = outdated(&reconciled);
        let request = SweepRequest { engine: Some(engine.clone()), outdated, ..SweepRequest::default() };
        let ignore: Observer = Arc::new(|_| {});
        match app.sweeper.sweep(&request, ignore).await {
            Ok(report) => {
                let removed: u64 = report.engines.values().map(|swept| swept.removed).sum();
                tracing::info!(%engine, removed, "swept");
            }
            Err(error) => tracing::error!(%engine, %error, "not swept"),
        }
    }
}

/// From nine to eleven tenths of the interval, so that several hosts do not sweep in step.
fn jittered(interval: Duration, randomness: &dyn Randomness) -> Duration {
    let mut bytes = [0; 2];
    match randomness.fill(&mut bytes) {
        Ok(()) => interval.mul_f64(0.9 + 0.2 * f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX)),
        Err(error) => {
            tracing::warn!(%error, "no jitter");
            interval
        }
    }
}

/// Closes what dead hosts have left open, and has the engines swept on which a game is free again.
async fn recover_for_ever(app: Arc<App>, early: Early) {
    loop {
        if let Err(error) = app.recovery.run().await {
            tracing::warn!(%error, "runs past their lease were not looked for");
        }
        early.sweep(app.recovery.take_freed());
        tokio::time::sleep(pace(&app)).await;
    }
}

/// Has the engines swept whose walks another host has left half done. By itself, since recovery may wait for an engine.
async fn take_over_for_ever(app: Arc<App>, early: Early) {
    loop {
        match app.ports.records.end_abandoned_claims(app.ports.clock.now()).await {
            Ok(engines) => early.sweep(engines),
            Err(error) => tracing::warn!(%error, "sweeps left half done were not looked for"),
        }
        tokio::time::sleep(pace(&app)).await;
    }
}

/// How often the dead are looked for, each time by a read of one index: after a lease's end, or a claim's, which comes
/// earlier, by a tenth of a lease at most.
fn pace(app: &App) -> Duration {
    app.config.session.lease.ttl / 10
}

/// Wakes the sweeps of engines before their time.
#[derive(Clone)]
struct Early(Arc<BTreeMap<EngineName, Notify>>);

impl Early {
    fn of<'e>(engines: impl Iterator<Item = &'e EngineName>) -> Self {
        Self(Arc::new(engines.map(|engine| (engine.clone(), Notify::new())).collect()))
    }

    fn sweep(&self, engines: impl IntoIterator<Item = EngineName>) {
        engines.into_iter().filter_map(|engine| self.0.get(&engine)).for_each(Notify::notify_one);
    }

    /// Until the engine is to be swept before its time.
    async fn called(&self, engine: &EngineName) {
        match self.0.get(engine) {
            Some(called) => called.notified().await,
            None => std::future::pending().await,
        }
    }
}

async fn prune_for_ever(app: Arc<App>) {
    loop {
        match app.sweeper.prune_log(app.config.log_retention, PRUNED_AT_ONCE).await {
            Ok(pruned) if pruned >= u64::from(PRUNED_AT_ONCE) => {
                tokio::task::yield_now().await;
                continue;
            }
            Ok(0) => {}
            Ok(pruned) => tracing::info!(pruned, "old entries of the operation log deleted"),
            Err(error) => tracing::warn!(%error, "old entries of the operation log stay for now"),
        }
        prune_journals(&app).await;
        tokio::time::sleep(PRUNE_INTERVAL).await;
    }
}

/// By the same clock as the operation log, or not at all.
async fn prune_journals(app: &App) {
    let pruned = match app.sweeper.trusts_clock().await {
        Ok(true) => app.journals.prune(app.ports.clock.now()).await,
        Ok(false) => Ok(0),
        Err(error) => Err(error),
    };
    match pruned {
        Ok(0) => {}
        Ok(pruned) => tracing::info!(pruned, "old journals of runs deleted"),
        Err(error) => tracing::warn!(%error, "old journals of runs stay for now"),
    }
}
