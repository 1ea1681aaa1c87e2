//! `galaxy:rtmanager/records`

use wasmtime::component::Resource;

use super::leases::Lease;
use super::wit::records::{Host, RuntimeRecord, Status};
use super::{ImportError, RunState};
use crate::model::{self, BoundaryAnswer, BoundaryCall};
use crate::session::Crossing;

impl Host for RunState {
    async fn get(&mut self) -> Result<RuntimeRecord, ImportError> {
        let call = self.enter(0)?;
        self.begin(Crossing::GetRecord, String::new).await;
        self.session.asked(|| BoundaryCall::RecordsGet);
        let record = self.session.record().await.map(RuntimeRecord::from);
        self.end(Crossing::GetRecord, &record).await;
        let record = self.session.told(record, |session, _| session.read_record_as_seen());
        self.leave(call);
        Ok(record?)
    }

    async fn update_status(
        &mut self,
        lease: Resource<Lease>,
        expected_status: Status,
        expected_container_id: Option<String>,
        new_status: Status,
    ) -> Result<(), ImportError> {
        let texts = expected_status.text_len() + new_status.text_len();
        let call = self.enter(texts + expected_container_id.as_ref().map_or(0, String::len))?;
        self.handles.get(&lease).map_err(wasmtime::Error::from)?;
        let (expected_status, new_status): (model::Status, model::Status) = (expected_status.into(), new_status.into());
        let expected_container = expected_container_id.as_deref();
        self.begin(Crossing::UpdateStatus, || format!("{expected_status} -> {new_status}")).await;
        self.session.asked(|| BoundaryCall::UpdateStatus {
            expected_status: expected_status.to_string(),
            expected_container_id: expected_container_id.clone(),
            new_status: new_status.to_string(),
        });
        let updated = self.session.update_status(&expected_status, expected_container, &new_status).await;
        self.end(Crossing::UpdateStatus, &updated).await;
        let updated = self.session.told(updated, |_, ()| BoundaryAnswer::Done);
        self.leave(call);
        Ok(updated?)
    }
}

impl Status {
    fn text_len(&self) -> usize {
        if let Self::Other(text) = self { text.len() } else { 0 }
    }
}

impl From<Status> for model::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Running => Self::Running,
            Status::Stopped => Self::Stopped,
            Status::Removed => Self::Removed,
            Status::Other(text) => Self::Other(text),
        }
    }
}

impl From<&model::RuntimeRecord> for RuntimeRecord {
    fn from(record: &model::RuntimeRecord) -> Self {
        Self {
            game_id: record.game_id.to_string(),
            tenant: record.tenant.to_string(),
            engine: record.engine.to_string(),
            status: match &record.status {
                model::Status::Running => Status::Running,
                model::Status::Stopped => Status::Stopped,
                model::Status::Removed => Status::Removed,
                model::Status::Other(text) => Status::Other(text.clone()),
            },
            container_id: record.container_id.as_ref().map(ToString::to_string),
            image_ref: record.image_ref.clone(),
            labels: record.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            created_at: record.created_at.as_micros(),
            started_at: record.started_at.map(model::Timestamp::as_micros),
            stopped_at: record.stopped_at.map(model::Timestamp::as_micros),
            removed_at: record.removed_at.map(model::Timestamp::as_micros),
            last_op_at: record.last_op_at.as_micros(),
            version: record.version,
        }
    }
}
