//! The world as a history finds it.

use std::time::Duration;

use super::deeds::{end_removal_of, labels};
use super::host::{RETENTION, SetupError};
use super::plan::{Contained, Game, Plan, Recorded};
use super::site::{Site, container, engine_name, tenant};
use super::versions::publish;
use crate::model::{Container, ContainerId, ContainerState, GameId, Hold, RuntimeRecord, Status, Timestamp};
use crate::ports::Clock as _;

const IMAGE: &str = "registry.example/game:1";

/// Puts records, containers and a policy there.
pub(super) async fn set(site: &Site, plan: &Plan) -> Result<(), SetupError> {
    publish(site).await?;
    for (index, game) in plan.games.iter().enumerate() {
        let (Some(id), Some(container_id)) = (site.game(index).cloned(), container(index, 0)) else { continue };
        if let Some(found) = described(site, index, game, &container_id) {
            site.engine.put(found);
        }
        if game.container == Contained::Removing {
            end_removal_of(site, container_id.clone());
        }
        if let Some(record) = recorded(site, index, game, id.clone(), container_id) {
            site.store.write_directly(record);
        }
        if game.held {
            let hold = Hold { reason: "case 6".to_owned(), actor: "operator".to_owned(), until: None };
            // A game without a record cannot be held.
            drop(site.store.records().set_hold(&id, Some(&hold)).await);
        }
    }
    Ok(())
}

fn recorded(
    site: &Site,
    index: usize,
    game: &Game,
    game_id: GameId,
    container_id: ContainerId,
) -> Option<RuntimeRecord> {
    let status = match game.record {
        Recorded::Absent => return None,
        Recorded::Running => Status::Running,
        Recorded::Stopped => Status::Stopped,
        Recorded::Removed => Status::Removed,
        Recorded::Other => Status::Other("provisioning".to_owned()),
    };
    let long_ago = stopped_at(site, index);
    Some(RuntimeRecord {
        game_id,
        tenant: tenant(index),
        engine: engine_name().ok()?,
        container_id: Some(container_id).filter(|_| game.container != Contained::None),
        image_ref: Some(IMAGE.to_owned()),
        labels: Default::default(),
        created_at: long_ago,
        started_at: Some(long_ago),
        stopped_at: Some(long_ago).filter(|_| matches!(status, Status::Stopped | Status::Removed)),
        removed_at: Some(long_ago).filter(|_| status == Status::Removed),
        last_op_at: long_ago,
        version: 1,
        status,
    })
}

fn described(site: &Site, index: usize, game: &Game, id: &ContainerId) -> Option<Container> {
    let state = match game.container {
        Contained::None | Contained::Missing => return None,
        Contained::Created => ContainerState::Created,
        Contained::Exited => ContainerState::Exited,
        Contained::Running => ContainerState::Running,
        Contained::Paused => ContainerState::Paused,
        Contained::Dead => ContainerState::Dead,
        Contained::Removing => ContainerState::Removing,
        Contained::Other => ContainerState::Other("bewildered".to_owned()),
    };
    let mut labels = labels(site, index);
    if game.foreign {
        labels.values_mut().for_each(|value| value.push_str("-of-another"));
    }
    let long_ago = Some(stopped_at(site, index));
    Some(Container {
        id: id.clone(),
        name: String::new(),
        state,
        exit_code: Some(0),
        created_at: long_ago,
        started_at: long_ago,
        finished_at: long_ago,
        image: IMAGE.to_owned(),
        labels,
    })
}

/// Past the retention floor, each game a little longer than the next.
fn stopped_at(site: &Site, index: usize) -> Timestamp {
    let order = Duration::from_secs(index as u64);
    site.clock.now().saturating_sub(RETENTION * 12).saturating_add(order)
}
