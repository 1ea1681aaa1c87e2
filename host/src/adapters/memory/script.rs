//! Ports that follow a plan of faults and keep a journal, around any other adapter.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::faults::{Inject, refused};
use super::stage::{Answer, Stage, Subject};
use super::{Call, CallJournal, Failure, FaultPlan};
use crate::model::{
    Begun, Census, Container, ContainerId, EngineName, EntryId, Fault, Fence, GameId, GenerationId, Hold, Intent,
    LoggedOperation, OpenRun, OperationEntry, Pause, PauseCause, PauseScope, PolicyRef, Registration, Removal, RunId,
    RuntimeRecord, TenantId, Timestamp, TrackedRuntime,
};
use crate::ports::{
    CasError, Claim, ContainerEngine, Disposition, DueCursor, DuePage, EngineError, Hints, LeaseStore, LeaseToken,
    Listing, OperationFilter, OperationLog, PauseStore, Randomness, RandomnessError, RecordFilter, RecordStore,
    RegisterError, Standing, StatusChange, StoreError,
};

/// One plan and one journal for all ports of a test. Clones share them.
///
/// The clock is not among the ports: it cannot fail, and [`ManualClock`](super::ManualClock) makes it jump.
#[derive(Clone, Default)]
pub struct Script {
    plan: Arc<FaultPlan>,
    journal: Arc<CallJournal>,
}

impl Script {
    /// What shall go wrong.
    pub fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    /// What was called.
    pub fn journal(&self) -> &CallJournal {
        &self.journal
    }

    /// These records, under the plan.
    pub fn records(&self, inner: Arc<dyn RecordStore>) -> Arc<dyn RecordStore> {
        Arc::new(Staged::new(inner, self.clone()))
    }

    /// This operation log, under the plan.
    pub fn operation_log(&self, inner: Arc<dyn OperationLog>) -> Arc<dyn OperationLog> {
        Arc::new(Staged::new(inner, self.clone()))
    }

    /// These leases, under the plan.
    pub fn leases(&self, inner: Arc<dyn LeaseStore>) -> Arc<dyn LeaseStore> {
        Arc::new(Staged::new(inner, self.clone()))
    }

    /// These pauses, under the plan.
    pub fn pauses(&self, inner: Arc<dyn PauseStore>) -> Arc<dyn PauseStore> {
        Arc::new(Staged::new(inner, self.clone()))
    }

    /// This engine, under the plan.
    pub fn engine(&self, inner: Arc<dyn ContainerEngine>) -> Arc<dyn ContainerEngine> {
        Arc::new(Staged::new(inner, self.clone()))
    }

    /// This randomness, under the plan. It has no other way to fail than to fail.
    pub fn randomness(&self, inner: Arc<dyn Randomness>) -> Arc<dyn Randomness> {
        Arc::new(Staged::new(inner, self.clone()))
    }
}

impl Stage for Script {
    async fn call<T: Answer, E: Inject>(
        &self,
        call: Call,
        about: Subject<'_>,
        refusal: impl FnOnce() -> Result<T, E> + Send,
        effect: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let place = self.journal.begin(call, about.to_string());
        let (interference, failure) = self.plan.next(call, place);
        if let Some(interference) = interference {
            interference.await;
        }
        let answer = match failure {
            None => effect.await,
            Some(Failure::Unavailable) => Err(E::unavailable()),
            Some(Failure::Corrupt) => Err(E::corrupt()),
            Some(Failure::LoseRequest) => Err(E::unknown()),
            Some(Failure::LoseReply) => effect.await.and(Err(E::unknown())),
            Some(Failure::Hang) => pending().await,
            Some(Failure::HangAfterEffect) => {
                drop(effect.await);
                pending().await
            }
            Some(Failure::Refuse) => refusal(),
        };
        self.journal.end(place, &answer);
        answer
    }
}

/// A port on a [`Stage`].
pub struct Staged<P: ?Sized, S> {
    inner: Arc<P>,
    stage: S,
}

impl<P: ?Sized, S: Stage> Staged<P, S> {
    /// This port, on that stage.
    pub fn new(inner: Arc<P>, stage: S) -> Self {
        Self { inner, stage }
    }
}

/// For ports that have no way to say no.
fn unavailable<T, E: Inject>() -> Result<T, E> {
    Err(E::unavailable())
}

#[async_trait]
impl<S: Stage> RecordStore for Staged<dyn RecordStore, S> {
    async fn get(&self, game: &GameId) -> Result<Option<TrackedRuntime>, StoreError> {
        self.stage.call(Call::RecordGet, Subject::Game(game), || Ok(None), self.inner.get(game)).await
    }

    async fn get_for_effect(
        &self,
        game: &GameId,
        policy: &PolicyRef,
    ) -> Result<Option<(TrackedRuntime, Standing)>, StoreError> {
        let effect = self.inner.get_for_effect(game, policy);
        self.stage.call(Call::RecordGetForEffect, Subject::Game(game), || Ok(None), effect).await
    }

    async fn begin_run(&self, intent: &Intent) -> Result<Option<Begun>, StoreError> {
        self.stage.call(Call::RecordBeginRun, Subject::Intent(intent), || Ok(None), self.inner.begin_run(intent)).await
    }

    async fn supersede_run(&self, run: &RunId) -> Result<Option<OpenRun>, StoreError> {
        let effect = self.inner.supersede_run(run);
        self.stage.call(Call::RecordSupersedeRun, Subject::Run(run), || Ok(None), effect).await
    }

    async fn overdue_runs(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, Fence)>,
        limit: u32,
    ) -> Result<Vec<OpenRun>, StoreError> {
        let arguments = || format!("now {now} limit {limit}");
        let effect = self.inner.overdue_runs(now, after, limit);
        self.stage.call(Call::RecordOverdueRuns, Subject::Told(&arguments), || Ok(vec![]), effect).await
    }

    async fn compare_and_set(&self, change: &StatusChange) -> Result<RuntimeRecord, CasError> {
        let refusal = || Err(CasError::Conflict);
        self.stage
            .call(Call::RecordCompareAndSet, Subject::Change(change), refusal, self.inner.compare_and_set(change))
            .await
    }

    async fn register(&self, registration: &Registration, at: Timestamp) -> Result<RuntimeRecord, RegisterError> {
        let arguments = || format!("{} {:?}", registration.game_id, registration.status);
        let refusal = || Err(RegisterError::OtherTenant(TenantId::default()));
        self.stage
            .call(Call::RecordRegister, Subject::Told(&arguments), refusal, self.inner.register(registration, at))
            .await
    }

    async fn register_if(
        &self,
        version: Option<u64>,
        registration: &Registration,
        at: Timestamp,
    ) -> Result<Option<RuntimeRecord>, RegisterError> {
        let arguments = || format!("{} {:?} if version {version:?}", registration.game_id, registration.status);
        let refusal = || Err(RegisterError::OtherTenant(TenantId::default()));
        let effect = self.inner.register_if(version, registration, at);
        self.stage.call(Call::RecordRegister, Subject::Told(&arguments), refusal, effect).await
    }

    async fn list(
        &self,
        filter: &RecordFilter,
        after: Option<&GameId>,
        limit: u32,
    ) -> Result<Vec<TrackedRuntime>, StoreError> {
        let arguments = || format!("{filter:?} after {after:?} limit {limit}");
        self.stage
            .call(Call::RecordList, Subject::Told(&arguments), || Ok(vec![]), self.inner.list(filter, after, limit))
            .await
    }

    async fn by_container(&self, container: &ContainerId) -> Result<Option<RuntimeRecord>, StoreError> {
        let effect = self.inner.by_container(container);
        self.stage.call(Call::RecordByContainer, Subject::Told(&|| format!("{container}")), || Ok(None), effect).await
    }

    async fn due(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        after: Option<&DueCursor>,
        limit: u32,
    ) -> Result<DuePage, StoreError> {
        let arguments = || format!("floor {floor} now {now} after {after:?} limit {limit}");
        let refusal = || Ok(DuePage { rows: vec![], next: None });
        self.stage
            .call(Call::RecordDue, Subject::Told(&arguments), refusal, self.inner.due(engine, floor, now, after, limit))
            .await
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
        let arguments = || format!("floor {floor} now {now} after {after:?} limit {limit}");
        let refusal = || Ok(DuePage { rows: vec![], next: None });
        let effect = self.inner.claim_due(engine, floor, now, after, limit, claim);
        self.stage.call(Call::RecordClaimDue, Subject::Told(&arguments), refusal, effect).await
    }

    async fn release_claims(&self, walk: &str) -> Result<(), StoreError> {
        self.stage.call(Call::RecordReleaseClaims, Subject::All, unavailable, self.inner.release_claims(walk)).await
    }

    async fn end_abandoned_claims(&self, now: Timestamp) -> Result<Vec<EngineName>, StoreError> {
        let effect = self.inner.end_abandoned_claims(now);
        self.stage
            .call(Call::RecordEndAbandonedClaims, Subject::Told(&|| format!("now {now}")), || Ok(vec![]), effect)
            .await
    }

    async fn dispose(&self, game: &GameId, version: u64, disposition: &Disposition) -> Result<bool, StoreError> {
        let arguments = || format!("{game} version {version} {disposition:?}");
        let effect = self.inner.dispose(game, version, disposition);
        self.stage.call(Call::RecordDispose, Subject::Told(&arguments), || Ok(false), effect).await
    }

    async fn void_waits(&self, tenant: &TenantId, serving: &[GenerationId]) -> Result<u64, StoreError> {
        let named: Vec<_> = serving.iter().map(GenerationId::as_str).collect();
        let arguments = || format!("{tenant} {}", named.join(" "));
        let effect = self.inner.void_waits(tenant, serving);
        self.stage.call(Call::RecordVoidWaits, Subject::Told(&arguments), || Ok(0), effect).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        self.stage.call(Call::RecordTenants, Subject::All, || Ok(vec![]), self.inner.tenants()).await
    }

    async fn set_hold(&self, game: &GameId, hold: Option<&Hold>) -> Result<bool, StoreError> {
        let arguments = || format!("{game} {hold:?}");
        self.stage
            .call(Call::RecordSetHold, Subject::Told(&arguments), || Ok(false), self.inner.set_hold(game, hold))
            .await
    }

    async fn unpark(&self, game: &GameId) -> Result<bool, StoreError> {
        self.stage
            .call(Call::RecordUnpark, Subject::Told(&|| format!("{game}")), || Ok(false), self.inner.unpark(game))
            .await
    }

    async fn census(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        window_start: Timestamp,
        walk: &str,
    ) -> Result<Census, StoreError> {
        let arguments = || format!("{engine} floor {floor} now {now} since {window_start}");
        let effect = self.inner.census(engine, floor, now, window_start, walk);
        self.stage.call(Call::RecordCensus, Subject::Told(&arguments), unavailable, effect).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.stage.call(Call::RecordPing, Subject::All, unavailable, self.inner.ping()).await
    }
}

#[async_trait]
impl<S: Stage> OperationLog for Staged<dyn OperationLog, S> {
    async fn append(&self, entry: &OperationEntry) -> Result<EntryId, StoreError> {
        self.stage.call(Call::LogAppend, Subject::Entry(entry), unavailable, self.inner.append(entry)).await
    }

    async fn note_fault(&self, entry: EntryId, fault: &Fault) -> Result<(), StoreError> {
        self.stage
            .call(Call::LogNoteFault, Subject::Fault(entry, fault), unavailable, self.inner.note_fault(entry, fault))
            .await
    }

    async fn list(
        &self,
        filter: &OperationFilter,
        before: Option<EntryId>,
        limit: u32,
    ) -> Result<Vec<LoggedOperation>, StoreError> {
        let arguments = || format!("{filter:?} before {before:?} limit {limit}");
        self.stage
            .call(Call::LogList, Subject::Told(&arguments), || Ok(vec![]), self.inner.list(filter, before, limit))
            .await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let arguments = || format!("before {before} limit {limit}");
        self.stage.call(Call::LogPrune, Subject::Told(&arguments), || Ok(0), self.inner.prune(before, limit)).await
    }
}

#[async_trait]
impl<S: Stage> LeaseStore for Staged<dyn LeaseStore, S> {
    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let effect = self.inner.try_acquire(game, token, ttl);
        self.stage.call(Call::LeaseTryAcquire, Subject::Lease(game, token), || Ok(false), effect).await
    }

    async fn renew(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        self.stage
            .call(Call::LeaseRenew, Subject::Lease(game, token), || Ok(false), self.inner.renew(game, token, ttl))
            .await
    }

    async fn release(&self, game: &GameId, token: &LeaseToken) -> Result<(), StoreError> {
        self.stage
            .call(Call::LeaseRelease, Subject::Lease(game, token), unavailable, self.inner.release(game, token))
            .await
    }

    async fn held_until(&self, game: &GameId) -> Result<Option<Timestamp>, StoreError> {
        self.stage.call(Call::LeaseHeldUntil, Subject::Game(game), || Ok(None), self.inner.held_until(game)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.stage.call(Call::LeasePing, Subject::All, unavailable, self.inner.ping()).await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<(), StoreError> {
        let effect = self.inner.prune(before, limit);
        self.stage.call(Call::LeasePrune, Subject::Told(&|| format!("before {before}")), unavailable, effect).await
    }
}

#[async_trait]
impl<S: Stage> PauseStore for Staged<dyn PauseStore, S> {
    async fn pause(&self, pause: &Pause) -> Result<bool, StoreError> {
        let arguments = || format!("{} {:?}", pause.scope, pause.cause);
        self.stage.call(Call::PauseSet, Subject::Told(&arguments), || Ok(false), self.inner.pause(pause)).await
    }

    async fn resume(&self, scope: &PauseScope, at: Timestamp) -> Result<Option<Pause>, StoreError> {
        self.stage
            .call(Call::PauseResume, Subject::Told(&|| format!("{scope}")), || Ok(None), self.inner.resume(scope, at))
            .await
    }

    async fn resume_if(
        &self,
        scope: &PauseScope,
        cause: PauseCause,
        at: Timestamp,
    ) -> Result<Option<Pause>, StoreError> {
        let resume = self.inner.resume_if(scope, cause, at);
        self.stage
            .call(Call::PauseResume, Subject::Told(&|| format!("{scope} if {cause:?}")), || Ok(None), resume)
            .await
    }

    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        self.stage.call(Call::PauseList, Subject::All, unavailable, self.inner.pauses()).await
    }
}

#[async_trait]
impl<S: Stage> ContainerEngine for Staged<dyn ContainerEngine, S> {
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        self.stage.call(Call::EngineInspect, Subject::Container(id), unavailable, self.inner.inspect(id)).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError> {
        self.stage.call(Call::EngineRemove, Subject::Container(id), || Err(refused()), self.inner.remove(id)).await
    }

    async fn list_labelled(&self, labels: &[(String, String)]) -> Result<Listing, EngineError> {
        let effect = self.inner.list_labelled(labels);
        self.stage.call(Call::EngineListLabelled, Subject::Told(&|| format!("{labels:?}")), unavailable, effect).await
    }

    /// Not under the plan: hints may be lost in any case, and a stream of them cannot be written into the journal.
    async fn watch(&self, labels: &[(String, String)]) -> Result<Option<Hints>, EngineError> {
        self.inner.watch(labels).await
    }

    async fn ping(&self) -> Result<(), EngineError> {
        self.stage.call(Call::EnginePing, Subject::All, unavailable, self.inner.ping()).await
    }

    fn capacity(&self) -> usize {
        self.inner.capacity()
    }
}

impl Randomness for Staged<dyn Randomness, Script> {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomnessError> {
        let place = self.stage.journal.begin(Call::RandomnessFill, format!("{} bytes", buffer.len()));
        let (_, failure) = self.stage.plan.next(Call::RandomnessFill, place);
        let answer = match failure {
            None => self.inner.fill(buffer),
            Some(failure) => Err(RandomnessError(format!("injected by the fault plan: {failure:?}"))),
        };
        self.stage.journal.end(place, &answer);
        answer
    }
}
