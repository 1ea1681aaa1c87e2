//! The server: REST, the sweeper, retention of the log; until a signal, and then the drain.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::discover::{discover, outdated};
use super::{Answer, Error};
use crate::api::{Server, Services};
use crate::app::App;
use crate::ports::Randomness;
use crate::sweeper::{Observer, SweepRequest};

/// The first sweep comes soon after the start, not a whole interval later: a host that restarts often must sweep
/// too. Not at once, since engines and platform may be starting as well.
const FIRST_SWEEP: Duration = Duration::from_secs(60);
/// Old entries are deleted at this pace, so many at once: short transactions, and never behind for long.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);
const PRUNED_AT_ONCE: u32 = 1_000;

pub(super) async fn serve(app: App) -> Result<Answer, Error> {
    let app = Arc::new(app);
    let services = Arc::new(Services {
        lifecycle: app.lifecycle.clone(),
        ports: app.ports.clone(),
        pauses: app.pauses.clone(),
        config: app.config.clone(),
    });
    let mut signals = Signals::listen().map_err(Error::Signals)?;
    let server = Server::bind(&app.config.http, app.ports.randomness.as_ref()).await?;
    tracing::info!(listen = %server.listen(), store = %app.config.store.path.display(), "serving");

    let shutdown = CancellationToken::new();
    let tasks = TaskTracker::new();
    if app.config.discovery.enabled {
        tasks.spawn(shutdown.clone().run_until_cancelled_owned(discover_for_ever(app.clone())));
    }
    tasks.spawn(shutdown.clone().run_until_cancelled_owned(sweep_for_ever(app.clone())));
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
    tracing::info!(requests_finished = answered, runs_finished = finished, "stopped");
    Ok(Answer { text: String::new(), status: u8::from(!(answered && finished)) })
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

/// What a pass has to say, it logs.
async fn discover_for_ever(app: Arc<App>) {
    loop {
        discover(&app, None).await;
        tokio::time::sleep(jittered(app.config.discovery.interval, app.ports.randomness.as_ref())).await;
    }
}

async fn sweep_for_ever(app: Arc<App>) {
    let mut pause = app.config.sweep_interval.min(FIRST_SWEEP);
    loop {
        tokio::time::sleep(jittered(pause, app.ports.randomness.as_ref())).await;
        pause = app.config.sweep_interval;
        let discovered = if app.config.discovery.enabled { discover(&app, None).await } else { Vec::new() };
        let request = SweepRequest { outdated: outdated(&discovered), ..SweepRequest::default() };
        let ignore: Observer = Arc::new(|_| {});
        match app.sweeper.sweep(&request, ignore).await {
            Ok(report) => {
                let removed: u64 = report.engines.values().map(|engine| engine.removed).sum();
                tracing::info!(removed, engines = report.engines.len(), "swept");
            }
            Err(error) => tracing::error!(%error, "not swept"),
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
        tokio::time::sleep(PRUNE_INTERVAL).await;
    }
}
