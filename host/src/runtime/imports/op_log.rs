//! `galaxy:rtmanager/op-log`

use super::told::account;
use super::wit::op_log::{Entry, Host};
use super::wit::types::Outcome;
use super::{ImportError, RunState};
use crate::model::{self, BoundaryAnswer, BoundaryCall, WrittenEntry};
use crate::session::Crossing;

impl Host for RunState {
    async fn append(&mut self, entry: Entry) -> Result<u64, ImportError> {
        let texts = [&entry.error_code, &entry.message, &entry.container_id, &entry.image_ref];
        let call = self.enter(texts.into_iter().flatten().map(String::len).sum())?;
        let about = || account(entry.outcome.into(), entry.error_code.as_deref(), entry.message.as_deref());
        self.begin(Crossing::Append, about).await;
        self.session.asked(|| BoundaryCall::Append(written(&entry)));
        let appended = self
            .session
            .append(
                entry.outcome.into(),
                entry.error_code.as_deref(),
                entry.message.as_deref(),
                entry.container_id.as_deref(),
                entry.image_ref.as_deref(),
            )
            .await;
        self.end(Crossing::Append, &appended).await;
        let appended = self.session.told(appended, |_, id| BoundaryAnswer::Entry(*id));
        self.leave(call);
        Ok(appended?.0)
    }
}

impl From<Outcome> for model::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::Failure => Self::Failure,
        }
    }
}

fn written(entry: &Entry) -> WrittenEntry {
    WrittenEntry {
        outcome: entry.outcome.into(),
        error_code: entry.error_code.clone(),
        message: entry.message.clone(),
        container_id: entry.container_id.clone(),
        image_ref: entry.image_ref.clone(),
    }
}
