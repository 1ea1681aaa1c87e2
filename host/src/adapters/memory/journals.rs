//! Journals of runs in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryStore;
use crate::model::{RunId, RunJournal, TenantId, Timestamp};
use crate::ports::{JournalFilter, JournalStore, KeptJournal, StoreError};

/// The journals of a [`MemoryStore`].
pub struct MemoryJournals {
    store: MemoryStore,
}

/// A journal and its length as JSON.
pub(super) struct Kept {
    journal: RunJournal,
    bytes: u64,
}

impl MemoryJournals {
    pub(super) fn new(store: MemoryStore) -> Self {
        Self { store }
    }
}

fn shown((run_id, kept): (&RunId, &Kept)) -> KeptJournal {
    KeptJournal { run_id: run_id.clone(), journal: Some(kept.journal.clone()) }
}

#[async_trait]
impl JournalStore for MemoryJournals {
    async fn add(&self, journal: &RunJournal) -> Result<(), StoreError> {
        let json = journal.to_json().map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let kept = Kept { journal: journal.clone(), bytes: json.len() as u64 };
        self.store.lock().journals.entry(journal.run_id.clone()).or_insert(kept);
        Ok(())
    }

    async fn get(&self, run: &RunId) -> Result<Option<KeptJournal>, StoreError> {
        Ok(self.store.lock().journals.get_key_value(run).map(shown))
    }

    async fn list(
        &self,
        filter: &JournalFilter,
        before: Option<&RunId>,
        limit: u32,
    ) -> Result<Vec<KeptJournal>, StoreError> {
        let state = self.store.lock();
        let newest_first = state.journals.iter().rev().filter(|(run, _)| before.is_none_or(|before| *run < before));
        Ok(newest_first.filter(|(_, kept)| passes(filter, &kept.journal)).take(limit as usize).map(shown).collect())
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let journals = &mut self.store.lock().journals;
        let mut old: Vec<_> = journals.values().map(|kept| &kept.journal).filter(|it| it.started_at < before).collect();
        old.sort_by_key(|journal| (journal.started_at, &journal.run_id));
        let old: Vec<_> = old.into_iter().take(limit as usize).map(|journal| journal.run_id.clone()).collect();
        Ok(forget(journals, &old))
    }

    async fn shrink(&self, bytes: u64, limit: u32) -> Result<u64, StoreError> {
        let journals = &mut self.store.lock().journals;
        let mut sums: BTreeMap<Option<TenantId>, u64> = BTreeMap::new();
        let mut excess = Vec::new();
        for (run, kept) in journals.iter().rev() {
            let sum = sums.entry(kept.journal.tenant.clone()).or_default();
            *sum = sum.saturating_add(kept.bytes);
            if *sum > bytes {
                excess.push(run.clone());
            }
        }
        let oldest: Vec<_> = excess.into_iter().rev().take(limit as usize).collect();
        Ok(forget(journals, &oldest))
    }
}

fn forget(journals: &mut BTreeMap<RunId, Kept>, runs: &[RunId]) -> u64 {
    runs.iter().filter(|run| journals.remove(*run).is_some()).count() as u64
}

fn passes(filter: &JournalFilter, journal: &RunJournal) -> bool {
    filter.tenant.as_ref().is_none_or(|tenant| Some(tenant) == journal.tenant.as_ref())
        && filter.game.as_ref().is_none_or(|game| *game == journal.request.game_id)
        && filter.since.is_none_or(|since| since <= journal.started_at)
}
