//! Records and containers as a policy sees them.

use serde::{Deserialize, Serialize};

use crate::model::{
    Container, ContainerId, ContainerState, EngineName, GameId, Labels, RuntimeRecord, Status, TenantId, Timestamp,
};

/// A record, as `records.get` answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as in RuntimeRecord")]
pub struct SeenRecord {
    pub game_id: GameId,
    pub tenant: TenantId,
    pub engine: EngineName,
    pub status: String,
    pub container_id: Option<ContainerId>,
    pub image_ref: Option<String>,
    pub labels: Labels,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    pub removed_at: Option<Timestamp>,
    pub last_op_at: Timestamp,
    pub version: u64,
}

/// A container, as `docker.inspect` answers it: without its name, and without whatever else an engine knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as in Container")]
pub struct SeenContainer {
    pub id: ContainerId,
    pub state: String,
    pub exit_code: Option<i64>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub image: String,
    pub labels: Labels,
}

impl From<&RuntimeRecord> for SeenRecord {
    fn from(record: &RuntimeRecord) -> Self {
        let RuntimeRecord { status, .. } = record;
        Self {
            game_id: record.game_id.clone(),
            tenant: record.tenant.clone(),
            engine: record.engine.clone(),
            status: status.to_string(),
            container_id: record.container_id.clone(),
            image_ref: record.image_ref.clone(),
            labels: record.labels.clone(),
            created_at: record.created_at,
            started_at: record.started_at,
            stopped_at: record.stopped_at,
            removed_at: record.removed_at,
            last_op_at: record.last_op_at,
            version: record.version,
        }
    }
}

impl From<&SeenRecord> for RuntimeRecord {
    fn from(seen: &SeenRecord) -> Self {
        Self {
            game_id: seen.game_id.clone(),
            tenant: seen.tenant.clone(),
            engine: seen.engine.clone(),
            status: Status::from_text(&seen.status),
            container_id: seen.container_id.clone(),
            image_ref: seen.image_ref.clone(),
            labels: seen.labels.clone(),
            created_at: seen.created_at,
            started_at: seen.started_at,
            stopped_at: seen.stopped_at,
            removed_at: seen.removed_at,
            last_op_at: seen.last_op_at,
            version: seen.version,
        }
    }
}

impl From<&Container> for SeenContainer {
    fn from(container: &Container) -> Self {
        Self {
            id: container.id.clone(),
            state: container.state.to_string(),
            exit_code: container.exit_code,
            started_at: container.started_at,
            finished_at: container.finished_at,
            image: container.image.clone(),
            labels: container.labels.clone(),
        }
    }
}

impl From<&SeenContainer> for Container {
    fn from(seen: &SeenContainer) -> Self {
        Self {
            id: seen.id.clone(),
            name: String::new(),
            state: ContainerState::from_text(&seen.state),
            exit_code: seen.exit_code,
            created_at: None,
            started_at: seen.started_at,
            finished_at: seen.finished_at,
            image: seen.image.clone(),
            labels: seen.labels.clone(),
        }
    }
}
