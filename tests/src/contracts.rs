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
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rtmanager::adapters::memory::{ManualClock, MemoryStore};
use rtmanager::adapters::postgres::{PostgresOptions, PostgresStore};
use rtmanager::adapters::redis::{RedisEndpoint, RedisOptions};
use rtmanager::adapters::sqlite::{SqliteOptions, SqliteStore};
use rtmanager::adapters::system_clock::SystemClock;
use rtmanager::model::Timestamp;
use rtmanager::ports::{
    AccessStore, AuditLog, Clock, GenerationStore, JournalStore, LeaseStore, OperationLog, PauseStore, PolicyStore,
    RecordStore,
};

use crate::postgres::Postgres;
use crate::redis::{Cluster, RedisServer, leases_with, options};

pub mod access_store;
pub mod audit_log;
pub mod container_engine;
pub mod fixture;
pub mod generation_scopes;
pub mod generation_store;
pub mod journal_store;
pub mod lease_clock;
pub mod lease_store;
pub mod operation_log;
pub mod pause_store;
pub mod policy_store;
pub mod record_revocations;
pub mod record_runs;
pub mod record_store;
pub mod record_walks;

/// The stores of one adapter, empty.
pub struct Stores {
    pub records: Arc<dyn RecordStore>,
    pub log: Arc<dyn OperationLog>,
    pub leases: Arc<dyn LeaseStore>,
    pub pauses: Arc<dyn PauseStore>,
    pub policies: Arc<dyn PolicyStore>,
    pub generations: Arc<dyn GenerationStore>,
    pub access: Arc<dyn AccessStore>,
    pub audit: Arc<dyn AuditLog>,
    pub journals: Arc<dyn JournalStore>,
    /// By which leases end.
    pub time: LeaseTime,
    /// What must live as long as the stores.
    pub backend: Box<dyn Any + Send + Sync>,
}

/// By which time leases end, and so how a test outlives one.
pub enum LeaseTime {
    /// A clock that the test sets. Such a store is held to the suite `lease_clock` too.
    Settable(Arc<ManualClock>),
    /// Real time, by the backend's own clock; the other one is the adapter's.
    Real(Arc<dyn Clock>),
}

impl Stores {
    /// The time of the adapter's clock.
    pub fn now(&self) -> Timestamp {
        match &self.time {
            LeaseTime::Settable(clock) => clock.now(),
            LeaseTime::Real(clock) => clock.now(),
        }
    }

    /// A time to live that a test can wait for.
    pub fn short_ttl(&self) -> Duration {
        match &self.time {
            LeaseTime::Settable(_) => Duration::from_secs(60),
            LeaseTime::Real(_) => Duration::from_millis(200),
        }
    }

    /// Lets so much lease time pass: at once where the clock can be set.
    pub async fn pass(&self, span: Duration) {
        match &self.time {
            LeaseTime::Settable(clock) => clock.advance(span),
            // Backends count in milliseconds, and their clock need not be the one that the sleep goes by.
            LeaseTime::Real(_) => tokio::time::sleep(span + Duration::from_millis(20)).await,
        }
    }

    /// The clock that the test sets, where there is one.
    pub fn settable_clock(&self) -> &ManualClock {
        match &self.time {
            LeaseTime::Settable(clock) => clock,
            LeaseTime::Real(_) => panic!("the suite needs a store whose leases end by a clock that can be set"),
        }
    }
}

/// Empty stores in memory.
pub async fn memory() -> Stores {
    let (store, clock) = (MemoryStore::default(), Arc::new(ManualClock::default()));
    Stores {
        records: store.records(),
        log: store.operation_log(),
        leases: store.leases(clock.clone()),
        pauses: store.pauses(),
        policies: store.policies(),
        generations: store.generations(),
        access: store.access(),
        audit: store.audit(),
        journals: store.journals(),
        time: LeaseTime::Settable(clock),
        backend: Box::new(()),
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
        policies: store.policies(),
        generations: store.generations(),
        access: store.access(),
        audit: store.audit(),
        journals: store.journals(),
        time: LeaseTime::Settable(clock),
        backend: Box::new(directory),
    }
}

/// Empty leases in a Redis that the suite's tests share.
pub async fn redis() -> Stores {
    static SERVER: LazyLock<RedisServer> = LazyLock::new(|| RedisServer::start(&[]));
    redis_leases(&SERVER.endpoint())
}

/// Empty leases in a Redis Cluster that the suite's tests share.
pub async fn redis_cluster() -> Stores {
    static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);
    redis_leases(&CLUSTER.endpoint())
}

/// Leases under a prefix that no other test has.
fn redis_leases(endpoint: &RedisEndpoint) -> Stores {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("test-{}:", MADE.fetch_add(1, Ordering::Relaxed));
    let leases = leases_with(endpoint, &RedisOptions { prefix, ..options() });
    leases_only(Arc::new(leases), Arc::new(SystemClock), ())
}

/// Empty stores in a new PostgreSQL database.
pub async fn postgres() -> Stores {
    let database = Postgres::shared().database().await;
    let store = PostgresStore::connect(&database.url(), PostgresOptions::default()).await.unwrap();
    Stores {
        records: store.records(),
        log: store.operation_log(),
        leases: store.leases(),
        pauses: store.pauses(),
        policies: store.policies(),
        generations: store.generations(),
        access: store.access(),
        audit: store.audit(),
        journals: store.journals(),
        time: LeaseTime::Real(Arc::new(SystemClock)),
        backend: Box::new(database),
    }
}

/// For a backend of leases only, which end by real time: the other stores are in memory.
pub fn leases_only(leases: Arc<dyn LeaseStore>, clock: Arc<dyn Clock>, backend: impl Any + Send + Sync) -> Stores {
    let store = MemoryStore::default();
    Stores {
        records: store.records(),
        log: store.operation_log(),
        leases,
        pauses: store.pauses(),
        policies: store.policies(),
        generations: store.generations(),
        access: store.access(),
        audit: store.audit(),
        journals: store.journals(),
        time: LeaseTime::Real(clock),
        backend: Box::new(backend),
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
