//! Bugs around the records.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rtmanager::adapters::memory::MemoryStore;
use rtmanager::model::{
    Begun, EngineName, Fence, GameId, GenerationId, Intent, OpenRun, PolicyDigest, PolicyRef, PolicyScope, RunId,
    RuntimeRecord, Timestamp, TrackedRuntime,
};
use rtmanager::ports::{
    CasError, Claim, ContainerEngine, Disposition, DueCursor, DuePage, RecordStore, Standing, StatusChange, StoreError,
};

use crate::tapped::RecordTap;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "`ALL` says what each is")]
pub enum Records {
    ComparesNothing,
    IgnoresConflict,
    IgnoresFence,
    IgnoresHold,
    TellsOnly,
    ReadsStale,
    HidesHold,
    RepeatsFence,
    ForgetsIntent,
    ForgetsCommit,
    GivesUpNothing,
    HidesOverdue,
    ForgetsDisposition,
    OffersNothing,
    ChangesOnRead,
    RemovesFirst,
    MistakesPolicy,
    MistakesGame,
    GreatestFence,
    ExpectsAnything,
    IgnoresRevocation,
    OverlooksRevocation,
    ChangesAsAnother,
    MistakesGeneration,
    ParksNothing,
}

pub(super) struct Bad {
    inner: Arc<dyn RecordStore>,
    engine: Arc<dyn ContainerEngine>,
    store: MemoryStore,
    how: Records,
    first: Mutex<BTreeMap<GameId, Option<TrackedRuntime>>>,
}

impl Bad {
    pub(super) fn new(
        inner: Arc<dyn RecordStore>,
        engine: Arc<dyn ContainerEngine>,
        store: MemoryStore,
        how: Records,
    ) -> Self {
        Self { inner, engine, store, how, first: Mutex::default() }
    }

    fn is(&self, how: Records) -> bool {
        self.how == how
    }

    /// Changes the record whatever it says.
    fn force(&self, change: &StatusChange) -> Result<RuntimeRecord, CasError> {
        let found = self.store.record(&change.game_id).ok_or(CasError::NotFound)?.record;
        let (status, removed_at) = (change.new_status.clone(), Some(change.at));
        self.store.write_directly(RuntimeRecord { status, removed_at, container_id: None, ..found });
        Ok(self.store.record(&change.game_id).ok_or(CasError::NotFound)?.record)
    }
}

#[async_trait]
impl RecordTap for Bad {
    fn inner(&self) -> &Arc<dyn RecordStore> {
        &self.inner
    }

    async fn get(&self, game: &GameId) -> Result<Option<TrackedRuntime>, StoreError> {
        let mut found = self.inner.get(game).await?;
        match (self.how, &mut found) {
            (Records::ReadsStale, _) => {
                return Ok(self.first.lock().expect("reads").entry(game.clone()).or_insert(found).clone());
            }
            (Records::HidesHold, Some(tracked)) => tracked.cleanup.hold = None,
            (Records::ChangesOnRead, Some(tracked)) => self.store.write_directly(tracked.record.clone()),
            (Records::RemovesFirst, Some(tracked)) => {
                if let Some(id) = &tracked.record.container_id {
                    drop(self.engine.remove(id).await);
                }
            }
            _ => {}
        }
        Ok(found)
    }

    async fn get_for_effect(
        &self,
        game: &GameId,
        policy: &PolicyRef,
    ) -> Result<Option<(TrackedRuntime, Standing)>, StoreError> {
        let found = self.inner.get_for_effect(game, policy).await?;
        match self.how {
            Records::OverlooksRevocation => Ok(found.map(|(tracked, _)| (tracked, Standing::Good))),
            // They read something else than there is.
            Records::ReadsStale | Records::HidesHold | Records::ChangesOnRead | Records::RemovesFirst => {
                let Some((_, standing)) = found else { return Ok(None) };
                Ok(self.get(game).await?.map(|tracked| (tracked, standing)))
            }
            // Both are as of one moment.
            _ => Ok(found),
        }
    }

    async fn begin_run(&self, intent: &Intent) -> Result<Option<Begun>, StoreError> {
        if self.is(Records::ForgetsIntent) {
            let found = self.inner.get(&intent.game_id).await?;
            return Ok(found.map(|runtime| Begun { fence: Fence(u64::MAX), runtime }));
        }
        let mut intent = intent.clone();
        if self.is(Records::MistakesPolicy) {
            intent.policy.digest = PolicyDigest::of(b"another");
        }
        if self.is(Records::MistakesGeneration) {
            intent.policy.generation = GenerationId::numbered(&PolicyScope::Default, 9);
        }
        let begun = self.inner.begin_run(&intent).await?;
        Ok(begun.map(|mut begun| {
            if self.is(Records::RepeatsFence) {
                begun.fence = Fence(1);
            }
            if self.is(Records::HidesHold) {
                begun.runtime.cleanup.hold = None;
            }
            begun
        }))
    }

    async fn supersede_run(&self, run: &RunId) -> Result<Option<OpenRun>, StoreError> {
        if self.is(Records::GivesUpNothing) {
            return Ok(self.store.open_runs().into_iter().find(|open| open.intent.run_id == *run));
        }
        self.inner.supersede_run(run).await
    }

    async fn overdue_runs(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, Fence)>,
        limit: u32,
    ) -> Result<Vec<OpenRun>, StoreError> {
        let overdue = self.inner.overdue_runs(now, after, limit).await?;
        Ok(if self.is(Records::HidesOverdue) { Vec::new() } else { overdue })
    }

    async fn dispose(&self, game: &GameId, version: u64, disposition: &Disposition) -> Result<bool, StoreError> {
        if self.is(Records::ForgetsDisposition) {
            return Ok(true);
        }
        if let (Records::ParksNothing, Disposition::Park { parked, failed_attempts }) = (self.how, disposition) {
            let (reason, generation, failed_attempts) = (parked.reason.clone(), None, *failed_attempts);
            let wait = Disposition::Wait { until: parked.at, reason, generation, failed_attempts };
            return self.inner.dispose(game, version, &wait).await;
        }
        self.inner.dispose(game, version, disposition).await
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
        if self.is(Records::OffersNothing) {
            return Ok(DuePage { rows: Vec::new(), next: None });
        }
        self.inner.claim_due(engine, floor, now, after, limit, claim).await
    }

    async fn compare_and_set(&self, change: &StatusChange) -> Result<RuntimeRecord, CasError> {
        let mut change = change.clone();
        let truth = self.store.record(&change.game_id).map(|tracked| tracked.record);
        match self.how {
            Records::ComparesNothing => return self.force(&change),
            Records::TellsOnly => return truth.ok_or(CasError::NotFound),
            Records::ForgetsCommit => change.run_id = RunId::from_bytes([7; 16]),
            Records::ChangesAsAnother => {
                change.policy.generation = GenerationId::numbered(&PolicyScope::Default, 9);
                change.policy.digest = PolicyDigest::of(b"another");
            }
            Records::GreatestFence => change.fence = Fence(u64::MAX),
            Records::MistakesGame => change.game_id = "g0".parse().expect("a game"),
            Records::ExpectsAnything => {
                if let Some(record) = truth {
                    (change.expected_status, change.expected_container) = (record.status, record.container_id);
                }
            }
            _ => {}
        }
        match self.inner.compare_and_set(&change).await {
            Err(CasError::Conflict) if self.is(Records::IgnoresConflict) => self.force(&change),
            Err(CasError::Superseded) if self.is(Records::IgnoresFence) => self.force(&change),
            Err(CasError::Held) if self.is(Records::IgnoresHold) => self.force(&change),
            Err(CasError::Revoked) if self.is(Records::IgnoresRevocation) => self.force(&change),
            answer => answer,
        }
    }
}
