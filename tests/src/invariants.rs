//! What holds after every history of runs, whatever failed: a witness stands between the ports and the
//! memory adapters, compares each effect with the true state of the world, and notes every violation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rtmanager::lifecycle::OperationResult;
use rtmanager::model::{
    Begun, Container, ContainerId, Fence, GameId, Intent, Outcome, Removal, RuntimeRecord, Status, Timestamp,
    TrackedRuntime,
};
use rtmanager::ports::{
    CasError, Clock as _, ContainerEngine, EngineError, LeaseStore, LeaseToken, RecordStore, StatusChange, StoreError,
};

use crate::mock_host::{Backends, MockHost, World};
use crate::tapped::{EngineTap, LeaseTap, RecordTap, Tapped};

/// Sees every effect on a [`World`], and judges it. Clones share what was seen.
#[derive(Clone, Default)]
pub struct Witness(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    violations: Vec<String>,
    /// Containers that a run has read in a record that said stopped.
    stopped: BTreeSet<ContainerId>,
    holders: BTreeMap<GameId, Holder>,
    versions: BTreeMap<GameId, u64>,
    last_fence: Fence,
}

struct Holder {
    token: Option<LeaseToken>,
    until: Timestamp,
}

impl Witness {
    /// Stands before these backends.
    pub fn watch(&self, world: &World, behind: Backends) -> Backends {
        let Backends { records, operations, leases, engine } = behind;
        let (witness, world) = (self.clone(), world.clone());
        Backends {
            records: Arc::new(Tapped(Watched { inner: records, witness: witness.clone(), world: world.clone() })),
            operations,
            leases: Arc::new(Tapped(Watched { inner: leases, witness: witness.clone(), world: world.clone() })),
            engine: Arc::new(Tapped(Watched { inner: engine, witness, world })),
        }
    }

    /// What was violated so far, by these runs' results too. Empty is as it should be.
    pub fn violations(&self, host: &MockHost, results: &[OperationResult]) -> Vec<String> {
        let mut violations = self.seen().violations.clone();
        violations.extend(entries_that_are_wrong(host, results));
        violations
    }

    /// The same once all runs have ended and the time to live of every lease has passed.
    pub fn violations_at_rest(&self, host: &MockHost, results: &[OperationResult]) -> Vec<String> {
        let mut violations = self.violations(host, results);
        if !host.no_lease_is_held() {
            violations.push("6: a lease outlives its run and its time to live".to_owned());
        }
        violations
    }

    fn violated(&self, what: String) {
        self.seen().violations.push(what);
    }

    fn require(&self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.violated(otherwise());
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 4: every run has one entry that bears out its result, or the loss was reported.
fn entries_that_are_wrong(host: &MockHost, results: &[OperationResult]) -> Vec<String> {
    let entries = host.entries();
    let mut wrong = Vec::new();
    let mut without = 0;
    for result in results {
        let own: Vec<_> = entries.iter().filter(|logged| logged.entry.run_id == result.run_id).collect();
        let [logged] = own.as_slice() else {
            without += u64::from(own.is_empty());
            wrong.extend((own.len() > 1).then(|| format!("4: {} entries for one run", own.len())));
            continue;
        };
        let fault = logged.entry.fault.as_ref();
        let outcome = if fault.is_some() { Outcome::Failure } else { logged.entry.outcome };
        let code = fault.map(|fault| &fault.code).or(logged.entry.error_code.as_ref());
        if (outcome, code) != (result.outcome, result.error_code.as_ref()) {
            wrong.push(format!("4: the entry says {outcome:?} {code:?}, the caller was told {result:?}"));
        }
    }
    let lost = entries_lost(host);
    if without > lost {
        wrong.push(format!("4: {without} runs have no entry, and {lost} losses were reported"));
    }
    wrong
}

fn entries_lost(host: &MockHost) -> u64 {
    let metrics = host.metrics.render().expect("metrics");
    let value = metrics.lines().find_map(|line| line.strip_prefix("rtmanager_operation_entries_lost_total "));
    value.map_or(0, |value| value.parse().expect("a count"))
}

struct Watched<P: ?Sized> {
    inner: Arc<P>,
    witness: Witness,
    world: World,
}

impl<P: ?Sized> Watched<P> {
    async fn true_record(&self, game: &GameId) -> Option<TrackedRuntime> {
        self.world.store.records().get(game).await.expect("the memory store answers")
    }

    async fn true_container(&self, id: &ContainerId) -> Option<Container> {
        self.world.engine.inspect(id).await.expect("the memory engine answers")
    }

    fn note_version(&self, record: &RuntimeRecord) {
        let mut seen = self.witness.seen();
        let last = seen.versions.insert(record.game_id.clone(), record.version).unwrap_or_default();
        drop(seen);
        self.witness.require(last <= record.version, || format!("3: version {last} became {}", record.version));
    }
}

impl Watched<dyn RecordStore> {
    async fn witness_read(&self, game: &GameId, answer: Option<&TrackedRuntime>) {
        let truth = self.true_record(game).await;
        self.witness.require(answer == truth.as_ref(), || format!("3: read {answer:?} where the record is {truth:?}"));
        if let Some(TrackedRuntime { record, .. }) = answer {
            self.note_version(record);
            let stopped = record.container_id.clone().filter(|_| record.status == Status::Stopped);
            self.witness.seen().stopped.extend(stopped);
        }
    }
}

#[async_trait]
impl RecordTap for Watched<dyn RecordStore> {
    fn inner(&self) -> &Arc<dyn RecordStore> {
        &self.inner
    }

    async fn get(&self, game: &GameId) -> Result<Option<TrackedRuntime>, StoreError> {
        let answer = self.inner.get(game).await?;
        self.witness_read(game, answer.as_ref()).await;
        Ok(answer)
    }

    async fn begin_run(&self, intent: &Intent) -> Result<Option<Begun>, StoreError> {
        let answer = self.inner.begin_run(intent).await?;
        let Some(Begun { fence, runtime }) = &answer else { return Ok(answer) };
        let last = std::mem::replace(&mut self.witness.seen().last_fence, *fence);
        self.witness.require(last < *fence, || "6: a fence did not grow".to_owned());
        self.witness_read(&intent.game_id, Some(runtime)).await;
        Ok(answer)
    }

    async fn compare_and_set(&self, change: &StatusChange) -> Result<RuntimeRecord, CasError> {
        let before = self.true_record(&change.game_id).await.map(|tracked| tracked.record);
        let answer = self.inner.compare_and_set(change).await;
        let after = self.true_record(&change.game_id).await.map(|tracked| tracked.record);
        if answer.is_err() {
            self.witness.require(before == after, || format!("3: a refused change had an effect: {after:?}"));
            return answer;
        }
        let expected = (Some(&change.expected_status), change.expected_container.as_ref());
        let found = (before.as_ref().map(|r| &r.status), before.as_ref().and_then(|r| r.container_id.as_ref()));
        self.witness.require(found == expected, || format!("3: expected {expected:?}, overwrote {found:?}"));
        let grew = before.as_ref().map(|r| r.version) < after.as_ref().map(|r| r.version);
        self.witness.require(grew, || "3: a change did not grow the version".to_owned());
        let to_removed = (&change.expected_status, &change.new_status) == (&Status::Stopped, &Status::Removed);
        self.witness.require(to_removed, || format!("3: {} became {}", change.expected_status, change.new_status));
        if let Some(container) = before.and_then(|record| record.container_id) {
            let absent = self.true_container(&container).await.is_none();
            self.witness.require(absent, || "3: removed in the record, but the container is there".to_owned());
        }
        answer
    }
}

#[async_trait]
impl EngineTap for Watched<dyn ContainerEngine> {
    fn inner(&self) -> &Arc<dyn ContainerEngine> {
        &self.inner
    }

    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError> {
        let before = self.true_container(id).await;
        let answer = self.inner.remove(id).await;
        let gone = self.true_container(id).await.is_none();
        self.witness.require(answer.is_err() || gone, || "3: removed, says the engine; it is there".to_owned());
        if let Some(before) = before.filter(|_| gone) {
            let read_stopped = self.witness.seen().stopped.contains(id);
            self.witness.require(read_stopped, || "1: removed a container that no run read as stopped".to_owned());
            self.witness.require(!before.state.is_live(), || format!("2: removed a {} container", before.state));
        }
        answer
    }
}

#[async_trait]
impl LeaseTap for Watched<dyn LeaseStore> {
    fn inner(&self) -> &Arc<dyn LeaseStore> {
        &self.inner
    }

    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        if !self.inner.try_acquire(game, token, ttl).await? {
            return Ok(false);
        }
        let now = self.world.clock.now();
        let holder = Holder { token: Some(token.clone()), until: now.saturating_add(ttl) };
        let earlier = self.witness.seen().holders.insert(game.clone(), holder);
        if let Some(earlier) = earlier {
            let free = earlier.token.is_none() || earlier.until <= now;
            self.witness.require(free, || "6: a lease was granted that another run holds".to_owned());
        }
        Ok(true)
    }

    async fn renew(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let renewed = self.inner.renew(game, token, ttl).await?;
        let now = self.world.clock.now();
        let mut seen = self.witness.seen();
        let own = seen.holders.get_mut(game).filter(|holder| holder.token.as_ref() == Some(token));
        let live = own.filter(|holder| now < holder.until).map(|holder| holder.until = now.saturating_add(ttl));
        drop(seen);
        self.witness.require(!renewed || live.is_some(), || "6: a lost lease was renewed".to_owned());
        Ok(renewed)
    }

    async fn release(&self, game: &GameId, token: &LeaseToken) -> Result<(), StoreError> {
        self.inner.release(game, token).await?;
        let mut seen = self.witness.seen();
        let own = seen.holders.get_mut(game).filter(|holder| holder.token.as_ref() == Some(token));
        if let Some(holder) = own {
            holder.token = None;
        }
        Ok(())
    }
}
