//! Records in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{MemoryStore, Row, State};
use crate::model::{
    Begun, Census, CleanupState, ContainerId, EngineName, Fence, GameId, GenerationId, Hold, Intent, OpenRun,
    PolicyRef, Registration, RunId, RuntimeRecord, Status, TenantId, Timestamp, TrackedRuntime,
};
use crate::ports::{
    CasError, Claim, Disposition, DueCursor, DuePage, RecordFilter, RecordStore, RegisterError, Standing, StatusChange,
    StoreError,
};

/// The records of a [`MemoryStore`].
pub struct MemoryRecords {
    store: MemoryStore,
}

impl MemoryRecords {
    pub(super) fn new(store: MemoryStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl RecordStore for MemoryRecords {
    async fn get(&self, game: &GameId) -> Result<Option<TrackedRuntime>, StoreError> {
        Ok(self.store.lock().rows.get(game).map(|row| row.tracked.clone()))
    }

    async fn get_for_effect(
        &self,
        game: &GameId,
        policy: &PolicyRef,
    ) -> Result<Option<(TrackedRuntime, Standing)>, StoreError> {
        let state = self.store.lock();
        let standing = if state.is_revoked(policy) { Standing::Revoked } else { Standing::Good };
        Ok(state.rows.get(game).map(|row| (row.tracked.clone(), standing)))
    }

    async fn begin_run(&self, intent: &Intent) -> Result<Option<Begun>, StoreError> {
        Ok(self.store.lock().begin_run(intent))
    }

    async fn supersede_run(&self, run: &RunId) -> Result<Option<OpenRun>, StoreError> {
        Ok(self.store.lock().supersede_run(run))
    }

    async fn overdue_runs(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, Fence)>,
        limit: u32,
    ) -> Result<Vec<OpenRun>, StoreError> {
        Ok(self.store.lock().overdue_runs(now, after, limit))
    }

    async fn compare_and_set(&self, change: &StatusChange) -> Result<RuntimeRecord, CasError> {
        let mut state = self.store.lock();
        let revoked = state.is_revoked(&change.policy);
        let row = state.rows.get_mut(&change.game_id).ok_or(CasError::NotFound)?;
        permits(row, change)?;
        if revoked {
            return Err(CasError::Revoked);
        }
        let (earlier, claim) = (row.tracked.record.clone(), row.claim.clone());
        change_status(row, change);
        let later = row.tracked.record.clone();
        state.note_removal(&earlier, &later, claim);
        if let Some(run) = state.runs.get_mut(&change.run_id) {
            run.committed_at = Some(change.at);
        }
        Ok(later)
    }

    async fn register(&self, registration: &Registration, at: Timestamp) -> Result<RuntimeRecord, RegisterError> {
        self.store.lock().register(registration, at)
    }

    async fn register_if(
        &self,
        version: Option<u64>,
        registration: &Registration,
        at: Timestamp,
    ) -> Result<Option<RuntimeRecord>, RegisterError> {
        let mut state = self.store.lock();
        let current = state.rows.get(&registration.game_id).map(|row| row.tracked.record.version);
        if current != version {
            return Ok(None);
        }
        state.register(registration, at).map(Some)
    }

    async fn list(
        &self,
        filter: &RecordFilter,
        after: Option<&GameId>,
        limit: u32,
    ) -> Result<Vec<TrackedRuntime>, StoreError> {
        let state = self.store.lock();
        let rows = state.rows.values().map(|row| &row.tracked);
        let wanted = rows.filter(|row| after.is_none_or(|after| *after < row.record.game_id) && passes(filter, row));
        Ok(wanted.take(limit as usize).cloned().collect())
    }

    async fn by_container(&self, container: &ContainerId) -> Result<Option<RuntimeRecord>, StoreError> {
        Ok(self.store.lock().owner(container).cloned())
    }

    async fn due(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        after: Option<&DueCursor>,
        limit: u32,
    ) -> Result<DuePage, StoreError> {
        let state = self.store.lock();
        let rows = state.rows.values().map(|row| &row.tracked);
        let due = rows.filter(|row| row.record.engine == *engine && is_due(row, floor, now));
        Ok(page(due, after, limit))
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
        let mut state = self.store.lock();
        let is_free = |row: &&Row| row.claim.as_ref().is_none_or(|held| held.until <= now || held.walk == claim.walk);
        let rows = state.rows.values().filter(is_free).map(|row| &row.tracked);
        let due = rows.filter(|row| row.record.engine == *engine && is_due(row, floor, now));
        let claimed = page(due, after, limit);
        for runtime in &claimed.rows {
            if let Some(row) = state.rows.get_mut(&runtime.record.game_id) {
                row.claim = Some(claim.clone());
            }
        }
        Ok(claimed)
    }

    async fn release_claims(&self, walk: &str) -> Result<(), StoreError> {
        for row in self.store.lock().rows.values_mut() {
            row.claim.take_if(|claim| claim.walk == walk);
        }
        Ok(())
    }

    async fn end_abandoned_claims(&self, now: Timestamp) -> Result<Vec<EngineName>, StoreError> {
        let mut engines = BTreeSet::new();
        for row in self.store.lock().rows.values_mut() {
            let was_claimed = row.claim.take_if(|claim| claim.until <= now).is_some();
            if was_claimed && row.tracked.record.status == Status::Stopped {
                engines.insert(row.tracked.record.engine.clone());
            }
        }
        Ok(engines.into_iter().collect())
    }

    async fn dispose(&self, game: &GameId, version: u64, disposition: &Disposition) -> Result<bool, StoreError> {
        let mut state = self.store.lock();
        let Some(row) = state.rows.get_mut(game).filter(|row| row.tracked.record.version == version) else {
            return Ok(false);
        };
        row.claim = None;
        let cleanup = &mut row.tracked.cleanup;
        cleanup.void();
        match disposition {
            Disposition::Wait { until, reason, generation, failed_attempts } => {
                cleanup.wait_until = Some(*until);
                cleanup.wait_reason = Some(reason.clone());
                cleanup.wait_generation = generation.clone();
                cleanup.failed_attempts = *failed_attempts;
            }
            Disposition::Park { parked, failed_attempts } => {
                cleanup.parked = Some(parked.clone());
                cleanup.failed_attempts = *failed_attempts;
            }
            Disposition::Clear => {}
        }
        Ok(true)
    }

    async fn void_waits(&self, tenant: &TenantId, serving: &[GenerationId]) -> Result<u64, StoreError> {
        let mut state = self.store.lock();
        let rows = state.rows.values_mut().map(|row| &mut row.tracked).filter(|row| row.record.tenant == *tenant);
        let word_of_another =
            |cleanup: &CleanupState| cleanup.wait_generation.as_ref().is_some_and(|of| !serving.contains(of));
        let voided = rows.filter(|row| word_of_another(&row.cleanup)).map(|row| row.cleanup.end_wait()).count();
        Ok(voided as u64)
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let state = self.store.lock();
        let tenants: BTreeSet<_> = state.rows.values().map(|row| row.tracked.record.tenant.clone()).collect();
        Ok(tenants.into_iter().collect())
    }

    async fn set_hold(&self, game: &GameId, hold: Option<&Hold>) -> Result<bool, StoreError> {
        let mut state = self.store.lock();
        let Some(row) = state.rows.get_mut(game) else {
            return Ok(false);
        };
        row.tracked.cleanup.hold = hold.cloned();
        row.tracked.cleanup.end_wait();
        Ok(true)
    }

    async fn unpark(&self, game: &GameId) -> Result<bool, StoreError> {
        let mut state = self.store.lock();
        let Some(row) = state.rows.get_mut(game).filter(|row| row.tracked.cleanup.parked.is_some()) else {
            return Ok(false);
        };
        row.tracked.cleanup.void();
        Ok(true)
    }

    async fn census(
        &self,
        engine: &EngineName,
        floor: Timestamp,
        now: Timestamp,
        window_start: Timestamp,
        walk: &str,
    ) -> Result<Census, StoreError> {
        let state = self.store.lock();
        let rows = || state.rows.values().map(|row| &row.tracked).filter(|row| row.record.engine == *engine);
        let is_held = |row: &TrackedRuntime| row.cleanup.hold.as_ref().is_some_and(|hold| hold.is_active(now));
        let is_recent = |of: &EngineName, at| of == engine && (window_start..=now).contains(&at);
        let removals = || state.removals.iter().filter(|past| is_recent(&past.engine, past.at));
        let allowances = state.allowances.iter().filter(|past| is_recent(&past.engine, past.at));
        Ok(Census {
            not_removed: rows().filter(|row| row.record.status != Status::Removed).count() as u64,
            due: rows().filter(|row| is_due(row, floor, now) && !is_held(row)).count() as u64,
            removed_recently: removals().count() as u64,
            removed_by_walk: removals().filter(|past| past.walk.as_deref() == Some(walk)).count() as u64,
            allowance: allowances.map(|past| past.removals).sum(),
            claimed: state.rows.values().filter(|row| row.counts_as_claimed(engine, now, walk)).count() as u64,
        })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl State {
    fn register(&mut self, registration: &Registration, at: Timestamp) -> Result<RuntimeRecord, RegisterError> {
        self.admits(registration)?;
        let row = self.rows.get_mut(&registration.game_id);
        let tracked = registration.apply(row.as_ref().map(|row| &row.tracked), at);
        let record = tracked.record.clone();
        match row {
            Some(row) => row.tracked = tracked,
            None => drop(self.rows.insert(registration.game_id.clone(), Row::new(tracked))),
        }
        Ok(record)
    }

    fn owner(&self, container: &ContainerId) -> Option<&RuntimeRecord> {
        let mut records = self.rows.values().map(|row| &row.tracked.record);
        records.find(|record| record.container_id.as_ref() == Some(container))
    }

    /// Whether the registration may be applied: tenant first, then the container's past, then its owner.
    fn admits(&self, registration: &Registration) -> Result<(), RegisterError> {
        let game = &registration.game_id;
        if let Some(row) = self.rows.get(game)
            && row.tracked.record.tenant != registration.tenant
        {
            return Err(RegisterError::OtherTenant(row.tracked.record.tenant.clone()));
        }
        let Some(container) = &registration.container_id else {
            return Ok(());
        };
        let removed = self.removals.iter().find(|past| past.container.as_ref() == Some(container));
        if removed.is_some_and(|past| past.game == *game) {
            return Err(RegisterError::ContainerRemoved(container.clone()));
        }
        let owner = removed.map(|past| &past.game).or(self.owner(container).map(|record| &record.game_id));
        match owner.filter(|owner| *owner != game) {
            Some(owner) => Err(RegisterError::ContainerTaken { container: container.clone(), game: owner.clone() }),
            None => Ok(()),
        }
    }
}

fn permits(row: &Row, change: &StatusChange) -> Result<(), CasError> {
    let TrackedRuntime { record, cleanup } = &row.tracked;
    if record.status != change.expected_status || record.container_id != change.expected_container {
        return Err(CasError::Conflict);
    }
    if row.fence > change.fence {
        return Err(CasError::Superseded);
    }
    match cleanup.hold.as_ref().is_some_and(|hold| hold.is_active(change.at)) {
        true => Err(CasError::Held),
        false => Ok(()),
    }
}

fn change_status(row: &mut Row, change: &StatusChange) {
    let record = &mut row.tracked.record;
    let earlier = record.clone();
    record.status = change.new_status.clone();
    record.last_op_at = change.at;
    record.version = record.version.saturating_add(1);
    record.removed_at = (change.new_status == Status::Removed).then_some(change.at);
    match record.status {
        Status::Removed => record.container_id = None,
        Status::Stopped if earlier.status != Status::Stopped => record.stopped_at = Some(change.at),
        _ => {}
    }
    row.tracked.cleanup.outlive(&earlier, record);
    if record.status == Status::Removed || record.status != earlier.status {
        row.tracked.cleanup.void();
        row.claim = None;
    }
    row.fence = change.fence;
}

impl Row {
    fn counts_as_claimed(&self, engine: &EngineName, now: Timestamp, walk: &str) -> bool {
        let record = &self.tracked.record;
        let is_claimed = self.claim.as_ref().is_some_and(|claim| now < claim.until && claim.walk != walk);
        is_claimed && record.engine == *engine && record.status == Status::Stopped
    }
}

/// The next of these rows in the order of the walk.
fn page<'r>(rows: impl Iterator<Item = &'r TrackedRuntime>, after: Option<&DueCursor>, limit: u32) -> DuePage {
    let mut placed: Vec<_> = rows.map(|row| (place(row), row)).collect();
    placed.retain(|(place, _)| after.is_none_or(|after| Place::from(after) < *place));
    placed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let limit = limit.max(1) as usize;
    let rows: Vec<_> = placed.iter().take(limit).map(|(_, row)| (*row).clone()).collect();
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| place(row).into());
    DuePage { rows, next }
}

fn passes(filter: &RecordFilter, row: &TrackedRuntime) -> bool {
    filter.tenant.as_ref().is_none_or(|tenant| *tenant == row.record.tenant)
        && filter.engine.as_ref().is_none_or(|engine| *engine == row.record.engine)
        && filter.status.as_ref().is_none_or(|status| *status == row.record.status)
}

fn is_due(row: &TrackedRuntime, floor: Timestamp, now: Timestamp) -> bool {
    row.record.status == Status::Stopped
        && row.record.stopped_at.is_some_and(|stopped| stopped <= floor)
        && row.cleanup.is_offered(now)
}

/// A row's place in the walk; ordered as the walk goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Fresh(Timestamp, GameId),
    WaitedStart,
    Waited(Timestamp, GameId),
}

fn place(row: &TrackedRuntime) -> Place {
    let game = row.record.game_id.clone();
    match row.cleanup.wait_until {
        Some(until) => Place::Waited(until, game),
        None => Place::Fresh(row.record.stopped_at.unwrap_or_default(), game),
    }
}

impl From<&DueCursor> for Place {
    fn from(cursor: &DueCursor) -> Self {
        match cursor.clone() {
            DueCursor::Fresh(at, game) => Self::Fresh(at, game),
            DueCursor::WaitedStart => Self::WaitedStart,
            DueCursor::Waited(at, game) => Self::Waited(at, game),
        }
    }
}

impl From<Place> for DueCursor {
    fn from(place: Place) -> Self {
        match place {
            Place::Fresh(at, game) => Self::Fresh(at, game),
            Place::WaitedStart => Self::WaitedStart,
            Place::Waited(at, game) => Self::Waited(at, game),
        }
    }
}
