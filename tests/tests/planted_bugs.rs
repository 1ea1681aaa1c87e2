//! The witness of the invariants can tell: each bug planted behind the ports is seen, for what it is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rtmanager::adapters::memory::Call;
use rtmanager::lifecycle::OperationResult;
use rtmanager::model::{
    ContainerId, EntryId, Fault, GameId, LiveStatus, LoggedOperation, OperationEntry, Outcome, Removal, RuntimeRecord,
    Status, Timestamp, TrackedRuntime,
};
use rtmanager::ports::{
    CasError, Clock as _, ContainerEngine, EngineError, LeaseStore, LeaseToken, OperationFilter, OperationLog,
    RecordStore, StatusChange, StoreError,
};
use rtmanager_tests::invariants::Witness;
use rtmanager_tests::mock_host::{Backends, ENGINE, GAME, MockHost, World, container};
use rtmanager_tests::tapped::{EngineTap, LeaseTap, RecordTap, Tapped};

/// A host with a stopped runtime, a bug behind its ports, and the witness before the bug.
async fn planted(bug: impl FnOnce(&World, Backends) -> Backends + Send + 'static) -> (MockHost, Witness) {
    let witness = Witness::default();
    let watch = witness.clone();
    let host = MockHost::builder().wrap(bug).wrap(move |world, behind| watch.watch(world, behind)).build();
    host.stopped(GAME, &container(1)).await;
    (host, witness)
}

/// Two runs, and all leases run out.
async fn two_runs(host: &MockHost) -> Vec<OperationResult> {
    let results = vec![host.cleanup(GAME).await, host.cleanup(GAME).await];
    host.advance(Duration::from_secs(61));
    results
}

fn assert_seen(violations: &[String], what: &str) {
    assert!(violations.iter().any(|violation| violation.contains(what)), "{what:?} is not among {violations:?}");
}

#[tokio::test]
async fn without_a_bug_nothing_is_seen() {
    let (host, witness) = planted(|_, behind| behind).await;
    let results = two_runs(&host).await;
    assert_eq!(witness.violations_at_rest(&host, &results), [""; 0]);
}

/// Writes without comparing.
struct BlindWrites(Arc<dyn RecordStore>, World);

#[async_trait]
impl RecordTap for BlindWrites {
    fn inner(&self) -> &Arc<dyn RecordStore> {
        &self.0
    }

    async fn compare_and_set(&self, change: &StatusChange) -> Result<RuntimeRecord, CasError> {
        let Some(tracked) = self.0.get(&change.game_id).await? else { return Err(CasError::NotFound) };
        let (status, removed_at) = (change.new_status.clone(), Some(change.at));
        self.1.store.write_directly(RuntimeRecord { status, removed_at, container_id: None, ..tracked.record });
        Ok(self.0.get(&change.game_id).await?.unwrap().record)
    }
}

#[tokio::test]
async fn a_store_that_does_not_compare_is_seen() {
    let (host, witness) = planted(|world, behind| {
        let world = world.clone();
        Backends { records: Arc::new(Tapped(BlindWrites(behind.records, world))), ..behind }
    })
    .await;
    host.engine.create(&container(2), "image", Default::default());
    let anew = host.registration(GAME, LiveStatus::Running, Some(&container(2)));
    let (records, at) = (host.store.records(), host.clock.now());
    host.script.plan().meanwhile(Call::RecordCompareAndSet, 1, async move {
        records.register(&anew, at).await.unwrap();
    });
    let results = two_runs(&host).await;
    let violations = witness.violations_at_rest(&host, &results);
    assert_seen(&violations, "3: expected (Some(Stopped)");
    assert_seen(&violations, "3: removed in the record, but the container is there");
}

/// Answers what it answered first.
struct StaleReads(Arc<dyn RecordStore>, Mutex<Option<TrackedRuntime>>);

#[async_trait]
impl RecordTap for StaleReads {
    fn inner(&self) -> &Arc<dyn RecordStore> {
        &self.0
    }

    async fn get(&self, game: &GameId) -> Result<Option<TrackedRuntime>, StoreError> {
        let fresh = self.0.get(game).await?;
        let mut first = self.1.lock().unwrap();
        if first.is_none() {
            *first = fresh;
        }
        Ok(first.clone())
    }
}

#[tokio::test]
async fn a_store_that_reads_stale_is_seen() {
    let (host, witness) = planted(|_, behind| {
        let stale = StaleReads(behind.records, Mutex::default());
        Backends { records: Arc::new(Tapped(stale)), ..behind }
    })
    .await;
    let results = two_runs(&host).await;
    assert_seen(&witness.violations_at_rest(&host, &results), "3: read Some");
}

/// Grants every lease.
struct LeasesForAll(Arc<dyn LeaseStore>);

#[async_trait]
impl LeaseTap for LeasesForAll {
    fn inner(&self) -> &Arc<dyn LeaseStore> {
        &self.0
    }

    async fn try_acquire(&self, _: &GameId, _: &LeaseToken, _: Duration) -> Result<bool, StoreError> {
        Ok(true)
    }
}

#[tokio::test]
async fn a_lease_that_two_runs_hold_is_seen() {
    let (host, witness) = planted(|_, behind| {
        let leases = Arc::new(Tapped(LeasesForAll(behind.leases)));
        Backends { leases, ..behind }
    })
    .await;
    let another = LeaseToken::from_bytes([9; 32]);
    let ttl = Duration::from_secs(60);
    host.ports.leases.try_acquire(&GAME.parse().unwrap(), &another, ttl).await.unwrap();
    let results = two_runs(&host).await;
    assert_eq!(results[0].outcome, Outcome::Success, "the record's compare-and-set keeps even this safe");
    assert_seen(&witness.violations_at_rest(&host, &results), "6: a lease was granted that another run holds");
}

/// Takes no lease back, and lets none end.
struct LeasesForEver(Arc<dyn LeaseStore>);

#[async_trait]
impl LeaseTap for LeasesForEver {
    fn inner(&self) -> &Arc<dyn LeaseStore> {
        &self.0
    }

    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        self.0.try_acquire(game, token, ttl * 1_000).await
    }

    async fn release(&self, _: &GameId, _: &LeaseToken) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_lease_that_outlives_its_run_is_seen() {
    let bug =
        |_: &World, behind: Backends| Backends { leases: Arc::new(Tapped(LeasesForEver(behind.leases))), ..behind };
    let (host, witness) = planted(bug).await;
    let results = two_runs(&host).await;
    assert_seen(&witness.violations_at_rest(&host, &results), "6: a lease outlives its run");
}

/// Removes whatever it is told to.
struct Force(Arc<dyn ContainerEngine>, World);

#[async_trait]
impl EngineTap for Force {
    fn inner(&self) -> &Arc<dyn ContainerEngine> {
        &self.0
    }

    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError> {
        self.1.engine.vanish(id);
        Ok(Removal::Removed)
    }
}

async fn with_force() -> (MockHost, Witness) {
    planted(|world, behind| {
        let world = world.clone();
        Backends { engine: Arc::new(Tapped(Force(behind.engine, world))), ..behind }
    })
    .await
}

#[tokio::test]
async fn an_engine_that_removes_a_running_container_is_seen() {
    let (host, witness) = with_force().await;
    let engine = host.engine.clone();
    host.script.plan().meanwhile(Call::EngineRemove, 1, async move {
        engine.start(&container(1));
    });
    let results = two_runs(&host).await;
    assert_seen(&witness.violations_at_rest(&host, &results), "2: removed a running container");
}

#[tokio::test]
async fn a_removal_without_a_record_that_says_stopped_is_seen() {
    let (host, witness) = planted(|_, behind| behind).await;
    host.engine.create(&container(3), "image", Default::default());
    host.ports.engines[&ENGINE.parse().unwrap()].remove(&container(3)).await.unwrap();
    assert_seen(&witness.violations(&host, &[]), "1: removed a container that no run read as stopped");
}

/// Says that it removed, and does not.
struct Lies(Arc<dyn ContainerEngine>);

#[async_trait]
impl EngineTap for Lies {
    fn inner(&self) -> &Arc<dyn ContainerEngine> {
        &self.0
    }

    async fn remove(&self, _: &ContainerId) -> Result<Removal, EngineError> {
        Ok(Removal::Removed)
    }
}

#[tokio::test]
async fn an_engine_that_lies_is_seen() {
    let bug = |_: &World, behind: Backends| Backends { engine: Arc::new(Tapped(Lies(behind.engine))), ..behind };
    let (host, witness) = planted(bug).await;
    let results = two_runs(&host).await;
    let violations = witness.violations_at_rest(&host, &results);
    assert_seen(&violations, "3: removed, says the engine; it is there");
    assert_seen(&violations, "3: removed in the record, but the container is there");
}

/// A log that stores nothing, or something else.
struct BadLog {
    inner: Arc<dyn OperationLog>,
    forgets: bool,
}

#[async_trait]
impl OperationLog for BadLog {
    async fn append(&self, entry: &OperationEntry) -> Result<EntryId, StoreError> {
        if self.forgets {
            return Ok(EntryId(1));
        }
        self.inner.append(&OperationEntry { outcome: Outcome::Failure, ..entry.clone() }).await
    }

    async fn note_fault(&self, entry: EntryId, fault: &Fault) -> Result<(), StoreError> {
        self.inner.note_fault(entry, fault).await
    }

    async fn list(
        &self,
        filter: &OperationFilter,
        before: Option<EntryId>,
        limit: u32,
    ) -> Result<Vec<LoggedOperation>, StoreError> {
        self.inner.list(filter, before, limit).await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.inner.prune(before, limit).await
    }
}

#[tokio::test]
async fn a_log_that_forgets_or_twists_an_entry_is_seen() {
    for (forgets, what) in [(true, "4: 2 runs have no entry, and 0 losses were reported"), (false, "4: the entry says")]
    {
        let (host, witness) = planted(move |_, behind| {
            let operations = Arc::new(BadLog { inner: behind.operations, forgets });
            Backends { operations, ..behind }
        })
        .await;
        let results = two_runs(&host).await;
        assert_seen(&witness.violations_at_rest(&host, &results), what);
        assert_eq!(host.record(GAME).await.unwrap().record.status, Status::Removed);
    }
}
