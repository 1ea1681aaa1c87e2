//! `galaxy:rtmanager/op-log`

use super::wit::op_log::{Entry, Host};
use super::wit::types::Outcome;
use super::{ImportError, RunState};
use crate::model;

impl Host for RunState {
    async fn append(&mut self, entry: Entry) -> Result<u64, ImportError> {
        let texts = [&entry.error_code, &entry.message, &entry.container_id, &entry.image_ref];
        let call = self.enter(texts.into_iter().flatten().map(String::len).sum())?;
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
