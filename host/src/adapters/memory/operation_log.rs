//! The operation log in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::model::{EntryId, Fault, LoggedOperation, OperationEntry, Outcome, Timestamp};
use crate::ports::{OperationFilter, OperationLog, StoreError};

/// The operation log of a [`MemoryStore`].
pub struct MemoryOperationLog {
    store: MemoryStore,
}

impl MemoryOperationLog {
    pub(super) fn new(store: MemoryStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl OperationLog for MemoryOperationLog {
    async fn append(&self, entry: &OperationEntry) -> Result<EntryId, StoreError> {
        let mut state = self.store.lock();
        state.runs.remove(&entry.run_id);
        if let Some(id) = state.entry_of_run.get(&entry.run_id) {
            return Ok(*id);
        }
        state.last_entry = state.last_entry.saturating_add(1);
        let id = EntryId(state.last_entry);
        state.entry_of_run.insert(entry.run_id.clone(), id);
        state.log.insert(id, LoggedOperation { id, entry: entry.clone() });
        Ok(id)
    }

    async fn note_fault(&self, entry: EntryId, fault: &Fault) -> Result<(), StoreError> {
        if let Some(logged) = self.store.lock().log.get_mut(&entry) {
            logged.entry.fault.get_or_insert_with(|| fault.clone());
        }
        Ok(())
    }

    async fn list(
        &self,
        filter: &OperationFilter,
        before: Option<EntryId>,
        limit: u32,
    ) -> Result<Vec<LoggedOperation>, StoreError> {
        let state = self.store.lock();
        let newest_first = state.log.values().rev().filter(|logged| before.is_none_or(|before| logged.id < before));
        Ok(newest_first.filter(|logged| passes(filter, &logged.entry)).take(limit as usize).cloned().collect())
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut state = self.store.lock();
        let mut old: Vec<_> = state.log.values().filter(|logged| logged.entry.finished_at < before).collect();
        old.sort_by_key(|logged| (logged.entry.finished_at, logged.id));
        let ids: Vec<_> = old.iter().take(limit as usize).map(|logged| logged.id).collect();
        for id in &ids {
            if let Some(logged) = state.log.remove(id) {
                state.entry_of_run.remove(&logged.entry.run_id);
            }
        }
        Ok(ids.len() as u64)
    }
}

fn passes(filter: &OperationFilter, entry: &OperationEntry) -> bool {
    let outcome = if entry.fault.is_some() { Outcome::Failure } else { entry.outcome };
    let has_code = |code: &String| {
        let codes = [entry.error_code.as_ref(), entry.fault.as_ref().map(|fault| &fault.code)];
        codes.into_iter().flatten().any(|known| known.as_str() == code)
    };
    filter.game.as_ref().is_none_or(|game| *game == entry.game_id)
        && filter.tenant.as_ref().is_none_or(|tenant| Some(tenant) == entry.tenant.as_ref())
        && filter.outcome.is_none_or(|wanted| wanted == outcome)
        && filter.error_code.as_ref().is_none_or(has_code)
        && filter.op_source.as_ref().is_none_or(|source| *source == entry.op_source)
        && filter.since.is_none_or(|since| since <= entry.finished_at)
        && filter.until.is_none_or(|until| entry.finished_at < until)
}
