//! What the platform, operators and the rest of the world do.

use std::sync::Arc;
use std::time::Duration;

use super::host::SetupError;
use super::orders;
use super::plan::Deed;
use super::site::{Site, container, engine_name, tenant};
use crate::model::{
    ContainerState, GameId, Hold, Labels, LiveStatus, Registration, RuntimeRecord, Status, TrackedRuntime,
};
use crate::ownership::Ownership;
use crate::ports::{Clock as _, LeaseToken};

/// Another's removal takes so long.
const ELSEWHERE: Duration = Duration::from_secs(2);
const IMAGE: &str = "registry.example/game:1";

/// Does it, as far as the game's state allows it.
pub(super) async fn perform(site: &Arc<Site>, index: usize, deed: Deed) -> Result<(), SetupError> {
    if deed.is_of_policy() {
        return orders::perform(site, None, deed).await.map(drop);
    }
    let Some(game) = site.game(index) else { return Ok(()) };
    let found = site.store.record(game);
    let record = found.as_ref().map(|tracked| &tracked.record);
    let done = match deed {
        Deed::Start => start(site, index, record).await,
        Deed::Stop => stop(site, index, record).await,
        Deed::Renew => renew(site, index, found.as_ref()).await,
        Deed::Vanish => record.and_then(|record| record.container_id.as_ref()).is_some_and(|id| site.engine.vanish(id)),
        Deed::RemoveElsewhere => remove_elsewhere(site, record),
        Deed::Rewrite => rewrite(site, record),
        Deed::Delete => site.store.delete_directly(game),
        Deed::Hold => hold(site, game, true).await,
        Deed::Unhold => hold(site, game, false).await,
        Deed::ForgetLease | Deed::TakeLease => lease(site, game, deed).await,
        Deed::Swap | Deed::RollBack | Deed::RevokeGeneration | Deed::RevokeComponent => false,
    };
    if done {
        site.note("world", format_args!("{} {game}", deed.as_str()));
    }
    Ok(())
}

fn is_there(site: &Site, record: &RuntimeRecord) -> bool {
    let found = record.container_id.as_ref().and_then(|id| site.engine.container(id));
    found.is_some_and(|found| found.state != ContainerState::Removing)
}

async fn start(site: &Site, index: usize, record: Option<&RuntimeRecord>) -> bool {
    let Some(record) = record.filter(|record| record.status == Status::Stopped && is_there(site, record)) else {
        return false;
    };
    record.container_id.as_ref().is_some_and(|id| site.engine.start(id))
        && register(site, index, LiveStatus::Running, record.container_id.clone()).await
}

async fn stop(site: &Site, index: usize, record: Option<&RuntimeRecord>) -> bool {
    let Some(record) = record.filter(|record| record.status == Status::Running && is_there(site, record)) else {
        return false;
    };
    record.container_id.as_ref().is_some_and(|id| site.engine.stop(id, 0))
        && register(site, index, LiveStatus::Stopped, record.container_id.clone()).await
}

/// Each version of a record has at most one container of its own. A game whose record was deleted stays without, since
/// its fences would begin anew.
async fn renew(site: &Site, index: usize, found: Option<&TrackedRuntime>) -> bool {
    let Some(version) = found.map(|tracked| tracked.record.version) else { return false };
    let Some(fresh) = container(index, version % 255 + 1).filter(|id| site.engine.container(id).is_none()) else {
        return false;
    };
    site.engine.create(&fresh, IMAGE, labels(site, index));
    site.engine.start(&fresh);
    register(site, index, LiveStatus::Running, Some(fresh)).await
}

async fn register(
    site: &Site,
    index: usize,
    status: LiveStatus,
    container_id: Option<crate::model::ContainerId>,
) -> bool {
    let (Some(game_id), Ok(engine)) = (site.game(index).cloned(), engine_name()) else { return false };
    let (tenant, image_ref) = (tenant(index), Some(IMAGE.to_owned()));
    let (labels, started_at, stopped_at) = Default::default();
    let registration =
        Registration { game_id, tenant, engine, status, container_id, image_ref, labels, started_at, stopped_at };
    site.store.records().register(&registration, site.clock.now()).await.is_ok()
}

fn remove_elsewhere(site: &Site, record: Option<&RuntimeRecord>) -> bool {
    let Some(record) = record.filter(|record| is_there(site, record)) else { return false };
    let Some(id) = record.container_id.clone() else { return false };
    if site.engine.container(&id).is_some_and(|found| found.state.is_live()) {
        return false;
    }
    end_removal_of(site, id)
}

/// Somebody else removes a container: it is gone in a moment.
pub(super) fn end_removal_of(site: &Site, id: crate::model::ContainerId) -> bool {
    let removing = site.engine.set_state(&id, ContainerState::Removing);
    let engine = site.engine.clone();
    tokio::spawn(async move {
        tokio::time::sleep(ELSEWHERE).await;
        engine.vanish(&id);
    });
    removing
}

/// Something that concerns no cleanup, and grows the version all the same.
fn rewrite(site: &Site, record: Option<&RuntimeRecord>) -> bool {
    let Some(record) = record else { return false };
    let labels = Labels::from([("note".to_owned(), format!("v{}", record.version))]);
    site.store.write_directly(RuntimeRecord { labels, ..record.clone() });
    true
}

async fn hold(site: &Site, game: &GameId, held: bool) -> bool {
    let hold = Hold { reason: "case 7".to_owned(), actor: "operator".to_owned(), until: None };
    site.store.records().set_hold(game, Some(&hold).filter(|_| held)).await.unwrap_or_default()
}

async fn lease(site: &Site, game: &GameId, deed: Deed) -> bool {
    site.store.forget_lease(game);
    if deed == Deed::ForgetLease {
        return true;
    }
    let leases = site.store.leases(site.clock.clone());
    leases.try_acquire(game, &LeaseToken::from_bytes([9; 32]), site.lease.ttl).await.unwrap_or_default()
}

/// The labels of a game's own container.
pub(super) fn labels(site: &Site, index: usize) -> Labels {
    let Ownership { owner, labels } = Ownership::default();
    let game = site.game(index).map(ToString::to_string).unwrap_or_default();
    Labels::from([(labels.owner, owner), (labels.tenant, tenant(index).to_string()), (labels.game, game)])
}
