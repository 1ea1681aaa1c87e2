//! The contracts of the ports, as suites that run against every adapter: one clause, one test.
//!
//! A suite's clauses are private functions named in its `clauses!` list, from which a macro makes a test
//! for each clause and adapter. One that is not listed is dead code, which the lints refuse.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::any::Any;
use std::sync::Arc;

use rtmanager::adapters::memory::{ManualClock, MemoryStore};
use rtmanager::adapters::sqlite::{SqliteOptions, SqliteStore};
use rtmanager::ports::{LeaseStore, OperationLog, PauseStore, RecordStore};

pub mod container_engine;
pub mod fixture;
pub mod lease_store;
pub mod operation_log;
pub mod pause_store;
pub mod record_store;
pub mod record_walks;

/// The four stores of one adapter, empty.
pub struct Stores {
    pub records: Arc<dyn RecordStore>,
    pub log: Arc<dyn OperationLog>,
    pub leases: Arc<dyn LeaseStore>,
    pub pauses: Arc<dyn PauseStore>,
    /// The clock by which leases end.
    pub clock: Arc<ManualClock>,
    /// What must live as long as the stores.
    _backend: Box<dyn Any + Send + Sync>,
}

/// Empty stores in memory.
pub async fn memory() -> Stores {
    let (store, clock) = (MemoryStore::default(), Arc::new(ManualClock::default()));
    Stores {
        records: store.records(),
        log: store.operation_log(),
        leases: store.leases(clock.clone()),
        pauses: store.pauses(),
        clock,
        _backend: Box::new(()),
    }
}

/// Empty stores in a new SQLite file.
pub async fn sqlite() -> Stores {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("rtmanager.db"), SqliteOptions::default()).await.unwrap();
    let clock = Arc::new(ManualClock::default());
    Stores {
        records: store.records(),
        log: store.operation_log(),
        leases: store.leases(clock.clone()),
        pauses: store.pauses(),
        clock,
        _backend: Box::new(directory),
    }
}

/// Makes public wrappers of a suite's clauses, and a macro `$tests!(adapter)` that makes a test of each.
macro_rules! clauses {
    ($dollar:tt $suite:ident, $tests:ident: $($clause:ident,)*) => {
        /// The clauses, for the tests that are made of them.
        pub mod clause {
            $(pub async fn $clause(stores: $crate::contracts::Stores) {
                super::$clause(&stores).await;
            })*
        }

        /// A test of each clause, on the stores that the named function of `contracts` makes.
        #[macro_export]
        macro_rules! $tests {
            ($dollar adapter:ident) => {
                $(#[tokio::test]
                async fn $clause() {
                    $crate::contracts::$suite::clause::$clause($crate::contracts::$dollar adapter().await).await;
                })*
            };
        }
    };
}
use clauses;
