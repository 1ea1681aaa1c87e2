//! `galaxy:rtmanager/docker`

use wasmtime::component::Resource;

use super::leases::Lease;
use super::told::shortened;
use super::wit::docker::{Container, ContainerState, Host, Removal};
use super::{ImportError, RunState};
use crate::model::{self, BoundaryAnswer, BoundaryCall};
use crate::session::Crossing;

impl Host for RunState {
    async fn inspect(&mut self, container_id: String) -> Result<Container, ImportError> {
        let call = self.enter(container_id.len())?;
        self.begin(Crossing::Inspect, || shortened(&container_id)).await;
        self.session.asked(|| BoundaryCall::Inspect { container_id: container_id.clone() });
        let container = self.session.inspect(&container_id).await;
        self.end(Crossing::Inspect, &container).await;
        let container = self.session.told(container, |_, seen| BoundaryAnswer::Container(Box::new(seen.into())));
        self.leave(call);
        Ok(container?.into())
    }

    async fn remove(&mut self, lease: Resource<Lease>, container_id: String) -> Result<Removal, ImportError> {
        let call = self.enter(container_id.len())?;
        self.handles.get(&lease).map_err(wasmtime::Error::from)?;
        self.begin(Crossing::Remove, || shortened(&container_id)).await;
        self.session.asked(|| BoundaryCall::Remove { container_id: container_id.clone() });
        let removal = self.session.remove(&container_id).await;
        self.end(Crossing::Remove, &removal).await;
        let removal = self.session.told(removal, |_, removal| BoundaryAnswer::Removal(*removal));
        self.leave(call);
        Ok(match removal? {
            model::Removal::Removed => Removal::Removed,
            model::Removal::AlreadyGone => Removal::AlreadyGone,
        })
    }
}

impl From<model::Container> for Container {
    fn from(container: model::Container) -> Self {
        Self {
            id: container.id.to_string(),
            state: container.state.into(),
            exit_code: container.exit_code,
            started_at: container.started_at.map(model::Timestamp::as_micros),
            finished_at: container.finished_at.map(model::Timestamp::as_micros),
            image: container.image,
            labels: container.labels.into_iter().collect(),
        }
    }
}

impl From<model::ContainerState> for ContainerState {
    fn from(state: model::ContainerState) -> Self {
        match state {
            model::ContainerState::Created => Self::Created,
            model::ContainerState::Running => Self::Running,
            model::ContainerState::Paused => Self::Paused,
            model::ContainerState::Restarting => Self::Restarting,
            model::ContainerState::Removing => Self::Removing,
            model::ContainerState::Exited => Self::Exited,
            model::ContainerState::Dead => Self::Dead,
            model::ContainerState::Other(text) => Self::Other(text),
        }
    }
}
