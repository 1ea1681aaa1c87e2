//! Bugs around the operation log.

use std::future::pending;
use std::sync::Arc;

use async_trait::async_trait;
use rtmanager::model::{Author, EntryId, GenerationId, OperationEntry, Outcome, PolicyDigest, PolicyScope, RunId};
use rtmanager::ports::{OperationLog, StoreError};

use crate::tapped::LogTap;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "`ALL` says what each is")]
pub enum Log {
    Forgets,
    Twists,
    Doubles,
    MistakesRun,
    MistakesTenant,
    MistakesPolicy,
    MistakesGeneration,
    RecoversAll,
    RecoversNone,
    LeavesTask,
}

pub(super) struct Bad {
    pub(super) inner: Arc<dyn OperationLog>,
    pub(super) how: Log,
}

#[async_trait]
impl LogTap for Bad {
    fn inner(&self) -> &Arc<dyn OperationLog> {
        &self.inner
    }

    async fn append(&self, entry: &OperationEntry) -> Result<EntryId, StoreError> {
        let mut entry = entry.clone();
        let by_recovery = entry.author == Author::Recovery;
        match self.how {
            Log::Forgets => return Ok(EntryId(1_000)),
            Log::Twists => entry.outcome = opposite(entry.outcome),
            Log::Doubles => {
                let again = OperationEntry { run_id: RunId::from_bytes([7; 16]), ..entry.clone() };
                self.inner.append(&again).await?;
            }
            Log::MistakesRun => entry.run_id = RunId::from_bytes([7; 16]),
            Log::MistakesTenant => entry.tenant = Some("tenant-z".parse().expect("a tenant")),
            Log::MistakesPolicy => entry.policy.digest = PolicyDigest::of(b"another"),
            Log::MistakesGeneration => entry.policy.generation = GenerationId::numbered(&PolicyScope::Default, 9),
            Log::RecoversAll if by_recovery => entry.outcome = Outcome::Success,
            Log::RecoversNone if by_recovery => entry.outcome = Outcome::Failure,
            Log::RecoversAll | Log::RecoversNone => {}
            Log::LeavesTask => drop(tokio::spawn(pending::<()>())),
        }
        self.inner.append(&entry).await
    }
}

fn opposite(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Success => Outcome::Failure,
        Outcome::Failure => Outcome::Success,
    }
}
