//! Stores in memory for runs beside live ones.

use std::sync::Arc;

use crate::adapters::memory::{ManualClock, MemoryStore};
use crate::lifecycle::{Scene, Scratch, ScratchStores};

/// Stores of its own for each run that stands beside a live one.
pub fn scratch_stores() -> ScratchStores {
    Arc::new(|scene: &Scene| {
        let store = MemoryStore::default();
        if let Some(tracked) = &scene.record {
            store.put(tracked.clone());
        }
        let clock = Arc::new(ManualClock::at(scene.at));
        Scratch {
            records: store.records(),
            operations: store.operation_log(),
            leases: store.leases(clock.clone()),
            clock,
        }
    })
}
