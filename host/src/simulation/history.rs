//! Plays one plan from its beginning to its rest.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::host::{Hosts, SetupError};
use super::invariant::Breach;
use super::plan::{Act, Deed, Plan, Source, Step};
use super::site::{Seen, Site};
use super::sometimes::Sometimes;
use super::versions::Versions;
use super::{Hooks, deeds, orders, rest, results, setting};
use crate::lifecycle::Request;
use crate::metrics::Metrics;
use crate::model::OpSource;
use crate::runtime::Limits;
use crate::sweeper::{Observer, SweepRequest};

/// A history that was played.
pub(super) struct History {
    pub(super) breaches: Vec<Breach>,
    pub(super) seen: Seen,
}

/// What every history of a simulation has in common.
#[derive(Clone)]
pub(super) struct Stock {
    pub(super) versions: Arc<Versions>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: Limits,
    pub(super) hooks: Hooks,
}

/// Why a history could not be played.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// tokio gave no runtime.
    #[error("no runtime for a history: {0}")]
    Runtime(#[from] std::io::Error),
    /// Its hosts could not be set up.
    #[error("the hosts of a history could not be set up")]
    Setup(#[from] SetupError),
}

/// Plays a plan in virtual time. The same plan gives the same history.
pub(super) fn play(stock: &Stock, plan: &Plan) -> Result<History, PlayError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let (limits, versions) = (stock.limits.clone(), stock.versions.clone());
        let site = Arc::new(Site::new(plan, Instant::now(), limits, versions).map_err(SetupError::from)?);
        setting::set(&site, plan).await?;
        let hooks = stock.hooks.clone();
        // One more replica, whose clock is right, is there for the rest.
        let ahead_ms: Vec<i64> = plan.skew_ms.iter().copied().chain([0]).collect();
        let hosts = Arc::new(Hosts::new(site.clone(), hooks, stock.metrics.clone(), &ahead_ms));
        act_out(&hosts, plan).await?;
        // What is broken already needs no more.
        if site.seen().witness.is_whole() {
            rest::come_to_rest(&hosts, plan).await?;
        }
        site.take_failure().map_or(Ok(()), Err)?;
        let mut seen = std::mem::take(&mut *site.seen());
        let breaches = seen.witness.take_breaches();
        Ok(History { breaches, seen })
    })
}

/// Lets each step happen at its time, and waits for all.
async fn act_out(hosts: &Arc<Hosts>, plan: &Plan) -> Result<(), SetupError> {
    let (mut steps, start) = (JoinSet::new(), Instant::now());
    for step in plan.steps.clone() {
        let hosts = hosts.clone();
        steps.spawn(async move {
            tokio::time::sleep_until(start + Duration::from_millis(step.at_ms)).await;
            happen(&hosts, &step).await
        });
    }
    while let Some(step) = steps.join_next().await {
        // A step that panicked is a run that did: its host reports it.
        step.unwrap_or(Ok(()))?;
    }
    Ok(())
}

async fn happen(hosts: &Arc<Hosts>, step: &Step) -> Result<(), SetupError> {
    match step.act {
        Act::Cleanup { replica, game, source } => {
            let _under_way = hosts.site.run_begins();
            clean_up(hosts, replica, step.id, game, source).await
        }
        Act::Sweep { replica } => sweep(hosts, replica, step.id).await,
        Act::Recover { replica } => recover(hosts, replica, step.id).await,
        Act::Swap { replica } => orders::perform(&hosts.site, Some(replica), Deed::Swap).await.map(drop),
        Act::Deed { game, deed } => deeds::perform(&hosts.site, game, deed).await,
    }
}

/// One cleanup, to its result or to the death of its replica.
pub(super) async fn clean_up(
    hosts: &Hosts,
    replica: usize,
    step: u32,
    game: usize,
    source: Source,
) -> Result<(), SetupError> {
    let Some(game_id) = hosts.site.game(game).cloned() else { return Ok(()) };
    let Some((lifecycle, life)) = hosts.for_run(replica, step, game).await? else { return Ok(()) };
    let source = match source {
        Source::Rest => OpSource::AdminRest.as_str(),
        Source::Cli => OpSource::Cli.as_str(),
        Source::Unknown => "carrier_pigeon",
    };
    let request = Request {
        game_id: game_id.to_string(),
        op_source: source.to_owned(),
        source_ref: format!("step-{step}"),
        actor: None,
    };
    let began = hosts.site.elapsed();
    tokio::select! {
        biased;
        () = life.ended() => {}
        result = lifecycle.cleanup(request) => results::check(&hosts.site, step, game, &result, began),
    }
    Ok(())
}

/// One sweep, to its end or to the death of its replica.
pub(super) async fn sweep(hosts: &Hosts, replica: usize, step: u32) -> Result<(), SetupError> {
    let Some(duties) = hosts.duties(replica).await? else { return Ok(()) };
    let swept = async {
        let sweeper = duties.sweeper.lock().await;
        duties.part.enter(step);
        hosts.site.seen().witness.begins(step, &duties.process);
        let site = hosts.site.clone();
        let observer: Observer = Arc::new(move |item| {
            site.note("sweep", format_args!("{} {:?}: {}", item.game_id, item.decision, item.reason));
            if item.decision == crate::sweeper::Decision::Parked {
                site.seen().witness.reach(Sometimes::Parked);
            }
        });
        // What failed is in the timeline, and the next sweep's to do.
        drop(sweeper.sweep(&SweepRequest::default(), observer).await);
        results::check_sweep(&hosts.site, step);
    };
    tokio::select! {
        biased;
        () = duties.life.ended() => {}
        () = swept => {}
    }
    Ok(())
}

/// One pass over runs that were left behind.
pub(super) async fn recover(hosts: &Hosts, replica: usize, step: u32) -> Result<(), SetupError> {
    let Some(duties) = hosts.duties(replica).await? else { return Ok(()) };
    let recovered = async {
        let _alone = duties.sweeper.lock().await;
        duties.part.enter(step);
        if let Ok(report) = duties.recovery.run().await {
            let mut seen = hosts.site.seen();
            (0..report.completed).for_each(|_| seen.witness.reach(Sometimes::RecoveredDone));
            (0..report.abandoned).for_each(|_| seen.witness.reach(Sometimes::RecoveredUndone));
        }
    };
    tokio::select! {
        biased;
        () = duties.life.ended() => {}
        () = recovered => {}
    }
    Ok(())
}
