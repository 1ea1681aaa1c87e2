//! Ports that follow a plan of faults and keep a journal, around any other adapter.

use std::fmt::Debug;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::faults::{Inject, refused};
use super::{Call, CallJournal, Failure, FaultPlan};
use crate::model::{
    Begun, Census, Container, ContainerId, EngineName, EntryId, Fault, Fence, GameId, Hold, Intent, LoggedOperation,
    OpenRun, OperationEntry, Pause, PauseCause, PauseScope, Registration, Removal, RunId, RuntimeRecord, TenantId,
    Timestamp, TrackedRuntime,
};
use crate::ports::{
    CasError, Claim, ContainerEngine, Disposition, DueCursor, DuePage, EngineError, Hints, LeaseStore, LeaseToken,
    Listing, OperationFilter, OperationLog, PauseStore, Randomness, RandomnessError, RecordFilter, RecordStore,
    RegisterError, StatusChange, StoreError,
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
        Arc::new(Faulty { inner, script: self.clone() })
    }

    /// This operation log, under the plan.
    pub fn operation_log(&self, inner: Arc<dyn OperationLog>) -> Arc<dyn OperationLog> {
        Arc::new(Faulty { inner, script: self.clone() })
    }

    /// These leases, under the plan.
    pub fn leases(&self, inner: Arc<dyn LeaseStore>) -> Arc<dyn LeaseStore> {
        Arc::new(Faulty { inner, script: self.clone() })
    }

    /// These pauses, under the plan.
    pub fn pauses(&self, inner: Arc<dyn PauseStore>) -> Arc<dyn PauseStore> {
        Arc::new(Faulty { inner, script: self.clone() })
    }

    /// This engine, under the plan.
    pub fn engine(&self, inner: Arc<dyn ContainerEngine>) -> Arc<dyn ContainerEngine> {
        Arc::new(Faulty { inner, script: self.clone() })
    }

    /// This randomness, under the plan. It has no other way to fail than to fail.
    pub fn randomness(&self, inner: Arc<dyn Randomness>) -> Arc<dyn Randomness> {
        Arc::new(Faulty { inner, script: self.clone() })
    }

    /// Makes one call as the plan has it. `refusal` is what the port says when it says no.
    async fn call<T: Debug, E: Inject + Debug>(
        &self,
        call: Call,
        arguments: String,
        refusal: impl FnOnce() -> Result<T, E> + Send,
        effect: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let place = self.journal.begin(call, arguments);
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

/// A port under a [`Script`].
pub struct Faulty<P: ?Sized> {
    inner: Arc<P>,
    script: Script,
}

/// For ports that have no way to say no.
fn unavailable<T, E: Inject>() -> Result<T, E> {
    Err(E::unavailable())
}

#[async_trait]
impl RecordStore for Faulty<dyn RecordStore> {
    async fn get(&self, game: &GameId) -> Result<Option<TrackedRuntime>, StoreError> {
        self.script.call(Call::RecordGet, format!("{game}"), || Ok(None), self.inner.get(game)).await
    }

    async fn begin_run(&self, intent: &Intent) -> Result<Option<Begun>, StoreError> {
        let arguments = format!("{}", intent.game_id);
        self.script.call(Call::RecordBeginRun, arguments, || Ok(None), self.inner.begin_run(intent)).await
    }

    async fn supersede_run(&self, run: &RunId) -> Result<Option<OpenRun>, StoreError> {
        let effect = self.inner.supersede_run(run);
        self.script.call(Call::RecordSupersedeRun, format!("{run}"), || Ok(None), effect).await
    }

    async fn overdue_runs(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, Fence)>,
        limit: u32,
    ) -> Result<Vec<OpenRun>, StoreError> {
        let arguments = format!("now {now} limit {limit}");
        let effect = self.inner.overdue_runs(now, after, limit);
        self.script.call(Call::RecordOverdueRuns, arguments, || Ok(vec![]), effect).await
    }

    async fn compare_and_set(&self, change: &StatusChange) -> Result<RuntimeRecord, CasError> {
        let StatusChange { game_id, expected_status, new_status, fence, .. } = change;
        let arguments = format!("{game_id} {expected_status}->{new_status} fence {}", fence.0);
        let refusal = || Err(CasError::Conflict);
        self.script.call(Call::RecordCompareAndSet, arguments, refusal, self.inner.compare_and_set(change)).await
    }

    async fn register(&self, registration: &Registration, at: Timestamp) -> Result<RuntimeRecord, RegisterError> {
        let arguments = format!("{} {:?}", registration.game_id, registration.status);
        let refusal = || Err(RegisterError::OtherTenant(TenantId::default()));
        self.script.call(Call::RecordRegister, arguments, refusal, self.inner.register(registration, at)).await
    }

    async fn register_if(
        &self,
        version: Option<u64>,
        registration: &Registration,
        at: Timestamp,
    ) -> Result<Option<RuntimeRecord>, RegisterError> {
        let arguments = format!("{} {:?} if version {version:?}", registration.game_id, registration.status);
        let refusal = || Err(RegisterError::OtherTenant(TenantId::default()));
        let effect = self.inner.register_if(version, registration, at);
        self.script.call(Call::RecordRegister, arguments, refusal, effect).await
    }

    async fn list(
        &self,
        filter: &RecordFilter,
        after: Option<&GameId>,
        limit: u32,
    ) -> Result<Vec<TrackedRuntime>, StoreError> {
        let arguments = format!("{filter:?} after {after:?} limit {limit}");
        self.script.call(Call::RecordList, arguments, || Ok(vec![]), self.inner.list(filter, after, limit)).await
    }

    async fn by_container(&self, container: &ContainerId) -> Result<Option<RuntimeRecord>, StoreError> {
        let effect = self.inner.by_container(container);
        self.script.call(Call::RecordByContainer, format!("{container}"), || Ok(None), effect).await
    }

    async fn due(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        after: Option<&DueCursor>,
        limit: u32,
    ) -> Result<DuePage, StoreError> {
        let arguments = format!("floor {floor} now {now} after {after:?} limit {limit}");
        let refusal = || Ok(DuePage { rows: vec![], next: None });
        self.script.call(Call::RecordDue, arguments, refusal, self.inner.due(engine, floor, now, after, limit)).await
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
        let arguments = format!("floor {floor} now {now} after {after:?} limit {limit}");
        let refusal = || Ok(DuePage { rows: vec![], next: None });
        let effect = self.inner.claim_due(engine, floor, now, after, limit, claim);
        self.script.call(Call::RecordClaimDue, arguments, refusal, effect).await
    }

    async fn release_claims(&self, walk: &str) -> Result<(), StoreError> {
        self.script.call(Call::RecordReleaseClaims, String::new(), unavailable, self.inner.release_claims(walk)).await
    }

    async fn end_abandoned_claims(&self, now: Timestamp) -> Result<Vec<EngineName>, StoreError> {
        let effect = self.inner.end_abandoned_claims(now);
        self.script.call(Call::RecordEndAbandonedClaims, format!("now {now}"), || Ok(vec![]), effect).await
    }

    async fn dispose(&self, game: &GameId, version: u64, disposition: &Disposition) -> Result<bool, StoreError> {
        let arguments = format!("{game} version {version} {disposition:?}");
        let effect = self.inner.dispose(game, version, disposition);
        self.script.call(Call::RecordDispose, arguments, || Ok(false), effect).await
    }

    async fn void_waits(&self, tenant: &TenantId, generation: &str) -> Result<u64, StoreError> {
        let arguments = format!("{tenant} {generation}");
        self.script.call(Call::RecordVoidWaits, arguments, || Ok(0), self.inner.void_waits(tenant, generation)).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        self.script.call(Call::RecordTenants, String::new(), || Ok(vec![]), self.inner.tenants()).await
    }

    async fn set_hold(&self, game: &GameId, hold: Option<&Hold>) -> Result<bool, StoreError> {
        let arguments = format!("{game} {hold:?}");
        self.script.call(Call::RecordSetHold, arguments, || Ok(false), self.inner.set_hold(game, hold)).await
    }

    async fn unpark(&self, game: &GameId) -> Result<bool, StoreError> {
        self.script.call(Call::RecordUnpark, format!("{game}"), || Ok(false), self.inner.unpark(game)).await
    }

    async fn census(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        window_start: Timestamp,
        walk: &str,
    ) -> Result<Census, StoreError> {
        let arguments = format!("{engine} floor {floor} now {now} since {window_start}");
        let effect = self.inner.census(engine, floor, now, window_start, walk);
        self.script.call(Call::RecordCensus, arguments, unavailable, effect).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.script.call(Call::RecordPing, String::new(), unavailable, self.inner.ping()).await
    }
}

#[async_trait]
impl OperationLog for Faulty<dyn OperationLog> {
    async fn append(&self, entry: &OperationEntry) -> Result<EntryId, StoreError> {
        let code = entry.error_code.as_ref().map_or("-", |code| code.as_str());
        let arguments = format!("{} {} {code} by {}", entry.game_id, entry.outcome.as_str(), entry.author.as_str());
        self.script.call(Call::LogAppend, arguments, unavailable, self.inner.append(entry)).await
    }

    async fn note_fault(&self, entry: EntryId, fault: &Fault) -> Result<(), StoreError> {
        let arguments = format!("{} {}", entry.0, fault.code);
        self.script.call(Call::LogNoteFault, arguments, unavailable, self.inner.note_fault(entry, fault)).await
    }

    async fn list(
        &self,
        filter: &OperationFilter,
        before: Option<EntryId>,
        limit: u32,
    ) -> Result<Vec<LoggedOperation>, StoreError> {
        let arguments = format!("{filter:?} before {before:?} limit {limit}");
        self.script.call(Call::LogList, arguments, || Ok(vec![]), self.inner.list(filter, before, limit)).await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let arguments = format!("before {before} limit {limit}");
        self.script.call(Call::LogPrune, arguments, || Ok(0), self.inner.prune(before, limit)).await
    }
}

#[async_trait]
impl LeaseStore for Faulty<dyn LeaseStore> {
    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let arguments = format!("{game} {ttl:?}");
        let effect = self.inner.try_acquire(game, token, ttl);
        self.script.call(Call::LeaseTryAcquire, arguments, || Ok(false), effect).await
    }

    async fn renew(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let arguments = format!("{game} {ttl:?}");
        self.script.call(Call::LeaseRenew, arguments, || Ok(false), self.inner.renew(game, token, ttl)).await
    }

    async fn release(&self, game: &GameId, token: &LeaseToken) -> Result<(), StoreError> {
        self.script.call(Call::LeaseRelease, format!("{game}"), unavailable, self.inner.release(game, token)).await
    }

    async fn held_until(&self, game: &GameId) -> Result<Option<Timestamp>, StoreError> {
        self.script.call(Call::LeaseHeldUntil, format!("{game}"), || Ok(None), self.inner.held_until(game)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.script.call(Call::LeasePing, String::new(), unavailable, self.inner.ping()).await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<(), StoreError> {
        let effect = self.inner.prune(before, limit);
        self.script.call(Call::LeasePrune, format!("before {before}"), unavailable, effect).await
    }
}

#[async_trait]
impl PauseStore for Faulty<dyn PauseStore> {
    async fn pause(&self, pause: &Pause) -> Result<bool, StoreError> {
        let arguments = format!("{} {:?}", pause.scope, pause.cause);
        self.script.call(Call::PauseSet, arguments, || Ok(false), self.inner.pause(pause)).await
    }

    async fn resume(&self, scope: &PauseScope, at: Timestamp) -> Result<Option<Pause>, StoreError> {
        self.script.call(Call::PauseResume, format!("{scope}"), || Ok(None), self.inner.resume(scope, at)).await
    }

    async fn resume_if(
        &self,
        scope: &PauseScope,
        cause: PauseCause,
        at: Timestamp,
    ) -> Result<Option<Pause>, StoreError> {
        let resume = self.inner.resume_if(scope, cause, at);
        self.script.call(Call::PauseResume, format!("{scope} if {cause:?}"), || Ok(None), resume).await
    }

    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        self.script.call(Call::PauseList, String::new(), unavailable, self.inner.pauses()).await
    }
}

#[async_trait]
impl ContainerEngine for Faulty<dyn ContainerEngine> {
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        self.script.call(Call::EngineInspect, format!("{id}"), unavailable, self.inner.inspect(id)).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError> {
        self.script.call(Call::EngineRemove, format!("{id}"), || Err(refused()), self.inner.remove(id)).await
    }

    async fn list_labelled(&self, labels: &[(String, String)]) -> Result<Listing, EngineError> {
        let effect = self.inner.list_labelled(labels);
        self.script.call(Call::EngineListLabelled, format!("{labels:?}"), unavailable, effect).await
    }

    /// Not under the plan: hints may be lost in any case, and a stream of them cannot be written into the journal.
    async fn watch(&self, labels: &[(String, String)]) -> Result<Option<Hints>, EngineError> {
        self.inner.watch(labels).await
    }

    async fn ping(&self) -> Result<(), EngineError> {
        self.script.call(Call::EnginePing, String::new(), unavailable, self.inner.ping()).await
    }

    fn capacity(&self) -> usize {
        self.inner.capacity()
    }
}

impl Randomness for Faulty<dyn Randomness> {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomnessError> {
        let place = self.script.journal.begin(Call::RandomnessFill, format!("{} bytes", buffer.len()));
        let (_, failure) = self.script.plan.next(Call::RandomnessFill, place);
        let answer = match failure {
            None => self.inner.fill(buffer),
            Some(failure) => Err(RandomnessError(format!("injected by the fault plan: {failure:?}"))),
        };
        self.script.journal.end(place, &answer);
        answer
    }
}
