//! The trail in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::model::{AuditEntry, AuditEvent};
use crate::ports::{AuditLog, StoreError};

/// The trail of a [`MemoryStore`].
pub struct MemoryAudit {
    store: MemoryStore,
}

impl MemoryAudit {
    pub(super) fn new(store: MemoryStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl AuditLog for MemoryAudit {
    async fn append(&self, event: &AuditEvent) -> Result<AuditEntry, StoreError> {
        let trail = &mut self.store.lock().audit;
        let entry = AuditEntry::after(trail.last(), event.clone());
        trail.push(entry.clone());
        Ok(entry)
    }

    async fn read(&self, from: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let state = self.store.lock();
        Ok(state.audit.iter().filter(|entry| entry.sequence >= from).take(limit as usize).cloned().collect())
    }

    async fn last(&self) -> Result<Option<AuditEntry>, StoreError> {
        Ok(self.store.lock().audit.last().cloned())
    }

    async fn remove_through(&self, sequence: u64) -> Result<u64, StoreError> {
        let trail = &mut self.store.lock().audit;
        let (last, before) = (trail.last().map_or(0, |last| last.sequence), trail.len());
        trail.retain(|entry| entry.sequence > sequence || entry.sequence == last);
        Ok((before - trail.len()) as u64)
    }
}
