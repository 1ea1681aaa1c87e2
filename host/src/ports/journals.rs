//! Journals of runs.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{RunId, RunJournal, TenantId, Timestamp};

/// Which journals to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalFilter {
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
    /// Only of this game.
    pub game: Option<String>,
    /// Only of runs that started at or after this time.
    pub since: Option<Timestamp>,
}

/// A journal that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptJournal {
    /// Its run, by which journals are sorted: later runs have greater ids.
    pub run_id: RunId,
    /// The journal; none if a newer program wrote it, or if it is damaged.
    pub journal: Option<RunJournal>,
}

/// Journals of runs, for a time. Losing one loses nothing but the explanation of its run.
#[async_trait]
pub trait JournalStore: Send + Sync {
    /// Keeps the journal of a run. One that is there already stays.
    async fn add(&self, journal: &RunJournal) -> Result<(), StoreError>;

    /// The journal of a run, if it was kept.
    async fn get(&self, run: &RunId) -> Result<Option<KeptJournal>, StoreError>;

    /// Journals from the newest to the oldest run, before `before`.
    async fn list(
        &self,
        filter: &JournalFilter,
        before: Option<&RunId>,
        limit: u32,
    ) -> Result<Vec<KeptJournal>, StoreError>;

    /// Deletes up to `limit` journals of runs that started before `before`, the oldest first. Answers how many.
    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Deletes up to `limit` journals, the oldest, of tenants whose journals have more than `bytes` together, so that
    /// each keeps at most that, the newest. Those of runs of no known tenant count as one tenant's. Answers how many.
    async fn shrink(&self, bytes: u64, limit: u32) -> Result<u64, StoreError>;
}
