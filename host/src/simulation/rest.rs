//! What is left once nothing goes wrong any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::fault::Fault;
use super::history::{clean_up, recover, sweep};
use super::host::{Hosts, PARK_AFTER, RETENTION, SetupError};
use super::invariant::Invariant;
use super::orders;
use super::plan::{Leases, Plan, Source};
use super::site::Site;
use crate::model::{Author, LoggedOperation, Outcome, RunId, Status, TrackedRuntime};
use crate::ports::Clock as _;

/// Sweeps after which all that is due is settled.
const SWEEPS: u32 = PARK_AFTER + 2;
/// Longer than backoff, a lease, and the grace of a run that was given up.
const BETWEEN: Duration = Duration::from_secs(70);
/// A clock that was set forward has dated waits so far ahead, each time.
const AHEAD: Duration = Duration::from_secs(3_600);
/// The steps of the rest, which no plan names.
pub(super) const FIRST_STEP: u32 = 1_000_000;
/// So many times [`BETWEEN`], every run of a dead process has met its limits.
const PATIENCE: u32 = 12;

/// Stops all faults, sweeps until everything is settled, and checks what is left.
pub(super) async fn come_to_rest(hosts: &Hosts, plan: &Plan) -> Result<(), SetupError> {
    let site = &hosts.site;
    site.calm_down();
    site.note("world", format_args!("nothing goes wrong any more"));
    let jumps = plan.faults.iter().filter(|mishap| mishap.fault == Fault::JumpForward).count();
    orders::repair(site).await?;
    tokio::time::sleep(BETWEEN + AHEAD.saturating_mul(u32::try_from(jumps).unwrap_or(u32::MAX))).await;
    for pause in site.store.pauses().pauses().await.unwrap_or_default() {
        // An operator has looked at the clocks, and they are right.
        drop(site.store.pauses().resume(&pause.scope, site.clock.now()).await);
    }
    let mut step = FIRST_STEP;
    for _ in 0..SWEEPS {
        recover(hosts, plan.skew_ms.len(), step).await?;
        sweep(hosts, plan.skew_ms.len(), step.saturating_add(1)).await?;
        step = step.saturating_add(2);
        if is_settled(site, plan) {
            break;
        }
        tokio::time::sleep(BETWEEN).await;
    }
    check_settled(site, plan);
    again(hosts, plan, step).await?;
    check_baseline(site).await;
    Ok(())
}

fn is_settled(site: &Site, plan: &Plan) -> bool {
    site.store.open_runs().is_empty() && records(site).all(|tracked| is_visible(site, plan, &tracked))
}

fn records(site: &Site) -> impl Iterator<Item = TrackedRuntime> {
    site.games().iter().filter_map(|game| site.store.record(game))
}

/// Whether a record is not due, or somebody who asks is told why it stays. What failed and is to be tried again is
/// not settled yet.
fn is_visible(site: &Site, plan: &Plan, tracked: &TrackedRuntime) -> bool {
    let (record, cleanup) = (&tracked.record, &tracked.cleanup);
    let floor = site.clock.now().saturating_sub(RETENTION);
    let is_due = record.status == Status::Stopped && record.stopped_at.is_some_and(|stopped| stopped <= floor);
    let by_policy = cleanup.wait_until.is_some() && cleanup.wait_generation.is_some();
    // A host that dies right after it has put off a game whose hold is being lifted leaves the game put off.
    let dies = plan.faults.iter().any(|mishap| matches!(mishap.fault, Fault::CrashBefore | Fault::CrashAfter));
    let by_operator = dies && cleanup.wait_until.is_some() && cleanup.failed_attempts == 0;
    !is_due || cleanup.parked.is_some() || cleanup.hold.is_some() || by_policy || by_operator
}

fn check_settled(site: &Site, plan: &Plan) {
    // Nobody can act without a lease.
    let can_act = site.leases != Leases::ToNobody;
    for tracked in records(site).filter(|tracked| can_act && !is_visible(site, plan, tracked)) {
        let what =
            format!("{} is due, and neither removed, parked nor kept after {SWEEPS} sweeps", tracked.record.game_id);
        site.seen().witness.breach(Invariant::Settles, what);
    }
    for tracked in records(site).filter(|tracked| tracked.cleanup.failed_attempts > PARK_AFTER) {
        let (game, failed) = (&tracked.record.game_id, tracked.cleanup.failed_attempts);
        let what = format!("{game} has failed {failed} times, and {PARK_AFTER} are the limit");
        site.seen().witness.breach(Invariant::Bounded, what);
    }
    let open = site.store.open_runs();
    if let Some(run) = open.first() {
        let what = format!("a run on {} has no entry after all", run.intent.game_id);
        site.seen().witness.breach(Invariant::OneOutcome, what);
    }
    check_log(site);
}

/// Every run that began has one entry, no request has two, and recovery tells truly what became of a run.
fn check_log(site: &Site) {
    let mut entries: BTreeMap<RunId, Vec<_>> = BTreeMap::new();
    let mut requests = BTreeSet::new();
    let mut seen = site.seen();
    for LoggedOperation { entry, .. } in site.store.logged() {
        let is_first = entry.source_ref.is_empty() || requests.insert(entry.source_ref.clone());
        seen.witness.require(is_first, Invariant::OneOutcome, || format!("{} has two entries", entry.source_ref));
        let (recovered, succeeded) = (entry.author == Author::Recovery, entry.outcome == Outcome::Success);
        let has_changed = seen.witness.changed.contains_key(&entry.run_id);
        seen.witness.require(!recovered || succeeded == has_changed, Invariant::OneOutcome, || {
            let what = if has_changed { "changed its record" } else { "did not change its record" };
            format!("a run on {} {what}, and recovery says something else", entry.game_id)
        });
        entries.entry(entry.run_id.clone()).or_default().push(entry);
    }
    let begun = seen.witness.begun.clone();
    for (run, step) in &begun {
        let own = entries.get(run).map_or(0, Vec::len);
        seen.witness
            .require(own == 1, Invariant::OneOutcome, || format!("a run of step {step} began and has {own} entries"));
    }
}

/// One more cleanup of what was removed changes nothing.
async fn again(hosts: &Hosts, plan: &Plan, step: u32) -> Result<(), SetupError> {
    let site = &hosts.site;
    let is_removed = |game: &usize| {
        let record = site.game(*game).and_then(|game| site.store.record(game));
        record.is_some_and(|tracked| tracked.record.status == Status::Removed)
    };
    let Some(game) = (0..site.games().len()).find(is_removed) else { return Ok(()) };
    let look = || (site.game(game).and_then(|game| site.store.record(game)), site.engine.containers());
    let before = look();
    clean_up(hosts, plan.skew_ms.len(), step, game, Source::Cli).await?;
    if look() != before {
        site.seen().witness.breach(Invariant::Idempotent, format!("cleaning up g{game} once more changed something"));
    }
    Ok(())
}

async fn check_baseline(site: &Site) {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for _ in 0..PATIENCE {
        tokio::time::sleep(BETWEEN).await;
        if tasks() == 0 {
            break;
        }
    }
    let now = site.clock.now();
    let left = [
        ("leases are held", site.store.leases_held(now)),
        ("rows are claimed", site.store.claims_held(now)),
        ("runs are open", site.store.open_runs().len()),
        ("tasks go on", tasks()),
    ];
    for (what, count) in left.into_iter().filter(|(_, count)| *count > 0) {
        site.seen().witness.breach(Invariant::Baseline, format!("in the end {count} {what}"));
    }
}
