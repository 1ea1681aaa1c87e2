//! Tokens and a trail on a store in memory, whose trail can be made to fail.

use std::sync::Arc;
use std::sync::Mutex;

use async_trait::async_trait;
use rtmanager::access::{Caller, Tokens, Trail};
use rtmanager::adapters::memory::{ManualClock, MemoryStore};
use rtmanager::adapters::system_clock::SystemRandomness;
use rtmanager::model::{AuditEntry, AuditEvent, Timestamp};
use rtmanager::ports::{AuditLog, StoreError};

pub const NOW: u64 = 1_769_860_800_000_000;

/// How many appends are taken before the rest fail.
pub struct Flaky {
    log: Arc<dyn AuditLog>,
    left: Mutex<Option<u32>>,
}

impl Flaky {
    pub fn fail_after(&self, appends: u32) {
        *self.left.lock().unwrap() = Some(appends);
    }
}

#[async_trait]
impl AuditLog for Flaky {
    async fn append(&self, event: &AuditEvent) -> Result<AuditEntry, StoreError> {
        if let Some(left) = &mut *self.left.lock().unwrap() {
            *left = left.checked_sub(1).ok_or_else(|| StoreError::Unavailable("the disk is full".into()))?;
        }
        self.log.append(event).await
    }

    async fn read(&self, from: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.log.read(from, limit).await
    }

    async fn last(&self) -> Result<Option<AuditEntry>, StoreError> {
        self.log.last().await
    }

    async fn remove_through(&self, sequence: u64) -> Result<u64, StoreError> {
        self.log.remove_through(sequence).await
    }
}

pub struct Site {
    pub store: MemoryStore,
    pub clock: Arc<ManualClock>,
    pub log: Arc<Flaky>,
    pub trail: Trail,
    pub tokens: Tokens,
}

impl Site {
    pub fn open() -> Self {
        let store = MemoryStore::default();
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(NOW)));
        let log = Arc::new(Flaky { log: store.audit(), left: Mutex::default() });
        let trail = Trail::new(log.clone(), clock.clone());
        let tokens = Tokens::new(store.access(), trail.clone(), clock.clone(), Arc::new(SystemRandomness));
        Self { store, clock, log, trail, tokens }
    }

    /// Action, subject and detail of every entry.
    pub async fn said(&self) -> Vec<(String, String, serde_json::Value)> {
        let entries = self.trail.read(1, 1_000).await.unwrap();
        let said = |entry: AuditEntry| {
            let AuditEvent { action, subject, detail, .. } = entry.event;
            (action, subject, serde_json::from_str(&detail).unwrap())
        };
        entries.into_iter().map(said).collect()
    }
}

pub fn admin() -> Caller {
    Caller::admin("cli:uid=7")
}
