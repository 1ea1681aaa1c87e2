//! What the platform, operators and the rest of the world do in a scenario.

use std::time::Duration;

use super::story::Deed;
use super::words::DeedKind;
use super::world::{World, own_labels};
use crate::model::{
    ContainerId, ContainerState, GameId, Hold, LiveStatus, Registration, RuntimeRecord, Status, TenantId,
};
use crate::ports::{Clock as _, LeaseToken};
use crate::session::LeaseOptions;

/// Another's removal takes so long.
const ELSEWHERE: Duration = Duration::from_secs(2);

/// Does it. False if the state of the game leaves nothing to do.
pub(super) async fn perform(world: &World, deed: &Deed) -> bool {
    let game = &deed.game;
    let record = world.store.record(game).map(|tracked| tracked.record);
    let own = record.as_ref().and_then(|record| record.container_id.clone());
    let container = own.or_else(|| world.containers.get(game).cloned());
    let on_container = |act: &dyn Fn(&ContainerId) -> bool| container.as_ref().is_some_and(act);
    match deed.kind {
        DeedKind::ContainerStarts => on_container(&|id| world.engine.start(id)),
        DeedKind::ContainerStops => on_container(&|id| world.engine.stop(id, 0)),
        DeedKind::ContainerVanishes => on_container(&|id| world.engine.vanish(id)),
        DeedKind::ContainerRemoving => container.is_some_and(|id| removing(world, id)),
        DeedKind::RecordDeleted => world.store.delete_directly(game),
        DeedKind::Held | DeedKind::Released => hold(world, game, deed.kind == DeedKind::Held).await,
        DeedKind::LeaseLost | DeedKind::LeaseTaken => lease(world, game, deed.kind).await,
        DeedKind::PolicyRevoked => {
            world.store.revoke_directly(&world.policy);
            true
        }
        DeedKind::Restarted | DeedKind::Stopped | DeedKind::Renewed => match record {
            Some(record) => registered(world, deed.kind, record).await,
            None => false,
        },
        DeedKind::RecordRewritten | DeedKind::RecordRemoved | DeedKind::StatusChanged | DeedKind::TenantChanged => {
            record.is_some_and(|record| written(world, deed, record))
        }
    }
}

fn removing(world: &World, id: ContainerId) -> bool {
    let found = world.engine.set_state(&id, ContainerState::Removing);
    let engine = world.engine.clone();
    tokio::spawn(async move {
        tokio::time::sleep(ELSEWHERE).await;
        engine.vanish(&id);
    });
    found
}

async fn hold(world: &World, game: &GameId, held: bool) -> bool {
    let hold = Hold { reason: "held".to_owned(), actor: "operator".to_owned(), until: None };
    world.store.records().set_hold(game, Some(&hold).filter(|_| held)).await.unwrap_or_default()
}

async fn lease(world: &World, game: &GameId, kind: DeedKind) -> bool {
    world.store.forget_lease(game);
    if kind == DeedKind::LeaseLost {
        return true;
    }
    let leases = world.store.leases(world.clock.clone());
    let ttl = LeaseOptions::default().ttl;
    leases.try_acquire(game, &LeaseToken::from_bytes([9; 32]), ttl).await.unwrap_or_default()
}

/// The platform does something, and says so.
async fn registered(world: &World, kind: DeedKind, record: RuntimeRecord) -> bool {
    let (status, container_id) = match kind {
        DeedKind::Restarted => (LiveStatus::Running, record.container_id.clone()),
        DeedKind::Stopped => (LiveStatus::Stopped, record.container_id.clone()),
        _ => (LiveStatus::Running, fresh(world, &record)),
    };
    let Some(id) = &container_id else { return false };
    if kind == DeedKind::Renewed {
        let image = record.image_ref.clone().unwrap_or_default();
        world.engine.create(id, &image, own_labels(&record.tenant, &record.game_id));
    }
    // Of a container that is gone the platform says the same.
    let _there = match status {
        LiveStatus::Running => world.engine.start(id),
        LiveStatus::Stopped => world.engine.stop(id, 0),
    };
    let registration = Registration {
        game_id: record.game_id,
        tenant: record.tenant,
        engine: record.engine,
        status,
        container_id,
        image_ref: record.image_ref,
        labels: None,
        started_at: (status == LiveStatus::Running).then(|| world.clock.now()),
        stopped_at: None,
    };
    world.store.records().register(&registration, world.clock.now()).await.is_ok()
}

/// An id that no container has had.
fn fresh(world: &World, record: &RuntimeRecord) -> Option<ContainerId> {
    let number = world.engine.containers().len().saturating_add(1_000);
    format!("{number:056x}{:08x}", record.version).parse().ok()
}

/// The platform writes the record, past everybody.
fn written(world: &World, deed: &Deed, record: RuntimeRecord) -> bool {
    let now = world.clock.now();
    let changed = match deed.kind {
        DeedKind::RecordRemoved => RuntimeRecord {
            status: Status::Removed,
            container_id: None,
            removed_at: Some(now),
            last_op_at: now,
            ..record
        },
        DeedKind::StatusChanged => {
            let status = Status::from_text(deed.status.as_deref().unwrap_or_default());
            RuntimeRecord { status, last_op_at: now, ..record }
        }
        DeedKind::TenantChanged => {
            let tenant: Option<TenantId> = deed.tenant.clone();
            RuntimeRecord { tenant: tenant.unwrap_or_default(), last_op_at: now, ..record }
        }
        _ => {
            let mut record = record;
            record.labels.insert("rewritten".to_owned(), format!("v{}", record.version));
            record
        }
    };
    world.store.write_directly(changed);
    true
}
