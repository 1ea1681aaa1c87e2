//! Adapters that change or watch a few methods of a port, and pass on the rest.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rtmanager::model::{
    Begun, Census, Container, ContainerId, EngineName, EntryId, Fault, Fence, GameId, GenerationId, Hold, Intent,
    LoggedOperation, OpenRun, OperationEntry, PolicyRef, Registration, Removal, RunId, RuntimeRecord, TenantId,
    Timestamp, TrackedRuntime,
};
use rtmanager::ports::{
    CasError, Claim, ContainerEngine, Disposition, DueCursor, DuePage, EngineError, LeaseStore, LeaseToken, Listing,
    OperationFilter, OperationLog, RecordFilter, RecordStore, RegisterError, Standing, StatusChange, StoreError,
};

mod generations;

pub use generations::GenerationTap;

/// What a run does with records; by default as the adapter behind does it.
#[async_trait]
pub trait RecordTap: Send + Sync {
    /// The adapter behind.
    fn inner(&self) -> &Arc<dyn RecordStore>;

    /// See [`RecordStore::get`].
    async fn get(&self, game: &GameId) -> Result<Option<TrackedRuntime>, StoreError> {
        self.inner().get(game).await
    }

    /// See [`RecordStore::get_for_effect`]; what it reads is what `get` answers.
    async fn get_for_effect(
        &self,
        game: &GameId,
        policy: &PolicyRef,
    ) -> Result<Option<(TrackedRuntime, Standing)>, StoreError> {
        let Some((_, standing)) = self.inner().get_for_effect(game, policy).await? else { return Ok(None) };
        Ok(self.get(game).await?.map(|tracked| (tracked, standing)))
    }

    /// See [`RecordStore::begin_run`].
    async fn begin_run(&self, intent: &Intent) -> Result<Option<Begun>, StoreError> {
        self.inner().begin_run(intent).await
    }

    /// See [`RecordStore::supersede_run`].
    async fn supersede_run(&self, run: &RunId) -> Result<Option<OpenRun>, StoreError> {
        self.inner().supersede_run(run).await
    }

    /// See [`RecordStore::overdue_runs`].
    async fn overdue_runs(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, Fence)>,
        limit: u32,
    ) -> Result<Vec<OpenRun>, StoreError> {
        self.inner().overdue_runs(now, after, limit).await
    }

    /// See [`RecordStore::dispose`].
    async fn dispose(&self, game: &GameId, version: u64, disposition: &Disposition) -> Result<bool, StoreError> {
        self.inner().dispose(game, version, disposition).await
    }

    /// See [`RecordStore::claim_due`].
    async fn claim_due(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        after: Option<&DueCursor>,
        limit: u32,
        claim: &Claim,
    ) -> Result<DuePage, StoreError> {
        self.inner().claim_due(engine, floor, now, after, limit, claim).await
    }

    /// See [`RecordStore::compare_and_set`].
    async fn compare_and_set(&self, change: &StatusChange) -> Result<RuntimeRecord, CasError> {
        self.inner().compare_and_set(change).await
    }
}

/// What a run does with leases; by default as the adapter behind does it.
#[async_trait]
pub trait LeaseTap: Send + Sync {
    /// The adapter behind.
    fn inner(&self) -> &Arc<dyn LeaseStore>;

    /// See [`LeaseStore::try_acquire`].
    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        self.inner().try_acquire(game, token, ttl).await
    }

    /// See [`LeaseStore::renew`].
    async fn renew(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        self.inner().renew(game, token, ttl).await
    }

    /// See [`LeaseStore::release`].
    async fn release(&self, game: &GameId, token: &LeaseToken) -> Result<(), StoreError> {
        self.inner().release(game, token).await
    }
}

/// What a run does with an engine; by default as the adapter behind does it.
#[async_trait]
pub trait EngineTap: Send + Sync {
    /// The adapter behind.
    fn inner(&self) -> &Arc<dyn ContainerEngine>;

    /// See [`ContainerEngine::inspect`].
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        self.inner().inspect(id).await
    }

    /// See [`ContainerEngine::remove`].
    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError> {
        self.inner().remove(id).await
    }
}

/// What a run does with the operation log; by default as the adapter behind does it.
#[async_trait]
pub trait LogTap: Send + Sync {
    /// The adapter behind.
    fn inner(&self) -> &Arc<dyn OperationLog>;

    /// See [`OperationLog::append`].
    async fn append(&self, entry: &OperationEntry) -> Result<EntryId, StoreError> {
        self.inner().append(entry).await
    }
}

/// Makes a port of a tap.
pub struct Tapped<T>(pub T);

#[async_trait]
impl<T: RecordTap> RecordStore for Tapped<T> {
    async fn get(&self, game: &GameId) -> Result<Option<TrackedRuntime>, StoreError> {
        self.0.get(game).await
    }

    async fn get_for_effect(
        &self,
        game: &GameId,
        policy: &PolicyRef,
    ) -> Result<Option<(TrackedRuntime, Standing)>, StoreError> {
        self.0.get_for_effect(game, policy).await
    }

    async fn begin_run(&self, intent: &Intent) -> Result<Option<Begun>, StoreError> {
        self.0.begin_run(intent).await
    }

    async fn supersede_run(&self, run: &RunId) -> Result<Option<OpenRun>, StoreError> {
        self.0.supersede_run(run).await
    }

    async fn overdue_runs(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, Fence)>,
        limit: u32,
    ) -> Result<Vec<OpenRun>, StoreError> {
        self.0.overdue_runs(now, after, limit).await
    }

    async fn compare_and_set(&self, change: &StatusChange) -> Result<RuntimeRecord, CasError> {
        self.0.compare_and_set(change).await
    }

    async fn register(&self, registration: &Registration, at: Timestamp) -> Result<RuntimeRecord, RegisterError> {
        self.0.inner().register(registration, at).await
    }

    async fn register_if(
        &self,
        version: Option<u64>,
        registration: &Registration,
        at: Timestamp,
    ) -> Result<Option<RuntimeRecord>, RegisterError> {
        self.0.inner().register_if(version, registration, at).await
    }

    async fn list(
        &self,
        filter: &RecordFilter,
        after: Option<&GameId>,
        limit: u32,
    ) -> Result<Vec<TrackedRuntime>, StoreError> {
        self.0.inner().list(filter, after, limit).await
    }

    async fn by_container(&self, container: &ContainerId) -> Result<Option<RuntimeRecord>, StoreError> {
        self.0.inner().by_container(container).await
    }

    async fn due(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        after: Option<&DueCursor>,
        limit: u32,
    ) -> Result<DuePage, StoreError> {
        self.0.inner().due(engine, floor, now, after, limit).await
    }

    async fn claim_due(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        after: Option<&DueCursor>,
        limit: u32,
        claim: &Claim,
    ) -> Result<DuePage, StoreError> {
        self.0.claim_due(engine, floor, now, after, limit, claim).await
    }

    async fn release_claims(&self, walk: &str) -> Result<(), StoreError> {
        self.0.inner().release_claims(walk).await
    }

    async fn end_abandoned_claims(&self, now: Timestamp) -> Result<Vec<EngineName>, StoreError> {
        self.0.inner().end_abandoned_claims(now).await
    }

    async fn dispose(&self, game: &GameId, version: u64, disposition: &Disposition) -> Result<bool, StoreError> {
        self.0.dispose(game, version, disposition).await
    }

    async fn void_waits(&self, tenant: &TenantId, serving: &[GenerationId]) -> Result<u64, StoreError> {
        self.0.inner().void_waits(tenant, serving).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        self.0.inner().tenants().await
    }

    async fn set_hold(&self, game: &GameId, hold: Option<&Hold>) -> Result<bool, StoreError> {
        self.0.inner().set_hold(game, hold).await
    }

    async fn unpark(&self, game: &GameId) -> Result<bool, StoreError> {
        self.0.inner().unpark(game).await
    }

    async fn census(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        window_start: Timestamp,
        walk: &str,
    ) -> Result<Census, StoreError> {
        self.0.inner().census(engine, floor, now, window_start, walk).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.0.inner().ping().await
    }
}

#[async_trait]
impl<T: LeaseTap> LeaseStore for Tapped<T> {
    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        self.0.try_acquire(game, token, ttl).await
    }

    async fn renew(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        self.0.renew(game, token, ttl).await
    }

    async fn release(&self, game: &GameId, token: &LeaseToken) -> Result<(), StoreError> {
        self.0.release(game, token).await
    }

    async fn held_until(&self, game: &GameId) -> Result<Option<Timestamp>, StoreError> {
        self.0.inner().held_until(game).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.0.inner().ping().await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<(), StoreError> {
        self.0.inner().prune(before, limit).await
    }
}

#[async_trait]
impl<T: LogTap> OperationLog for Tapped<T> {
    async fn append(&self, entry: &OperationEntry) -> Result<EntryId, StoreError> {
        self.0.append(entry).await
    }

    async fn note_fault(&self, entry: EntryId, fault: &Fault) -> Result<(), StoreError> {
        self.0.inner().note_fault(entry, fault).await
    }

    async fn list(
        &self,
        filter: &OperationFilter,
        before: Option<EntryId>,
        limit: u32,
    ) -> Result<Vec<LoggedOperation>, StoreError> {
        self.0.inner().list(filter, before, limit).await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.0.inner().prune(before, limit).await
    }
}

#[async_trait]
impl<T: EngineTap> ContainerEngine for Tapped<T> {
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        self.0.inspect(id).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError> {
        self.0.remove(id).await
    }

    async fn list_labelled(&self, labels: &[(String, String)]) -> Result<Listing, EngineError> {
        self.0.inner().list_labelled(labels).await
    }

    async fn ping(&self) -> Result<(), EngineError> {
        self.0.inner().ping().await
    }

    fn capacity(&self) -> usize {
        self.0.inner().capacity()
    }
}
