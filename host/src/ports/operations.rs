//! The operation log.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{EntryId, Fault, LoggedOperation, OperationEntry, Outcome, TenantId, Timestamp};

/// Which operations to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperationFilter {
    /// Only of this game.
    pub game: Option<String>,
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
    /// Only with this outcome. An entry with a fault beside it counts as a failure.
    pub outcome: Option<Outcome>,
    /// Only with this code, as the entry's or as its fault's.
    pub error_code: Option<String>,
    /// Only from this source.
    pub op_source: Option<String>,
    /// Only finished at or after this time.
    pub since: Option<Timestamp>,
    /// Only finished before this time.
    pub until: Option<Timestamp>,
}

/// The operation log: one entry a run.
#[async_trait]
pub trait OperationLog: Send + Sync {
    /// Appends an entry and answers its id; in the same transaction, the run's intent goes. A run that has an entry
    /// keeps it: appending again answers the first entry's id and changes nothing.
    async fn append(&self, entry: &OperationEntry) -> Result<EntryId, StoreError>;

    /// Notes a fault beside an entry; the account itself stays. The first fault stands. An entry that is not
    /// there (any more) is no error.
    async fn note_fault(&self, entry: EntryId, fault: &Fault) -> Result<(), StoreError>;

    /// Entries from the newest to the oldest, before `before`.
    async fn list(
        &self,
        filter: &OperationFilter,
        before: Option<EntryId>,
        limit: u32,
    ) -> Result<Vec<LoggedOperation>, StoreError>;

    /// Deletes up to `limit` entries that finished before `before`, the oldest first. Answers how many. Ids are
    /// never used again.
    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
