//! Registrations, and what one makes of a record: one rule, which every store applies.

use super::{
    CleanupState, ContainerId, EngineName, GameId, Labels, RuntimeRecord, Status, TenantId, Timestamp, TrackedRuntime,
};

/// What a platform says when it registers or refreshes a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The game.
    pub game_id: GameId,
    /// Whose it is. A game never changes its tenant.
    pub tenant: TenantId,
    /// The engine that runs it.
    pub engine: EngineName,
    /// Running or stopped; `removed` cannot be registered.
    pub status: LiveStatus,
    /// Its container.
    pub container_id: Option<ContainerId>,
    /// The image reference it was started from.
    pub image_ref: Option<String>,
    /// Labels of the record; none leaves those of the same container as they are.
    pub labels: Option<Labels>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it stopped; if it is stopped and none is given, the time it is known to have stopped, or that of the
    /// registration if it has another container or has started since.
    pub stopped_at: Option<Timestamp>,
}

/// The two states a runtime can be registered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveStatus {
    /// Its container runs.
    Running,
    /// Its container is stopped.
    Stopped,
}

impl From<LiveStatus> for Status {
    fn from(live: LiveStatus) -> Self {
        match live {
            LiveStatus::Running => Self::Running,
            LiveStatus::Stopped => Self::Stopped,
        }
    }
}

impl Registration {
    /// What the game's row becomes, be there one or not, when it is registered at `at`.
    ///
    /// What is not told stays, as long as the container is the same: image, labels, start, and the time it
    /// stopped.
    /// The store has checked tenant and container before.
    pub fn apply(&self, current: Option<&TrackedRuntime>, at: Timestamp) -> TrackedRuntime {
        let Some(current) = current else {
            return TrackedRuntime { record: self.first(at), cleanup: CleanupState::default() };
        };
        let mut next = TrackedRuntime { record: self.refreshed(&current.record, at), cleanup: current.cleanup.clone() };
        if next.record != current.record {
            next.record.version = current.record.version.saturating_add(1);
            next.cleanup.outlive(&current.record, &next.record);
        }
        next.record.last_op_at = at;
        next
    }

    fn first(&self, at: Timestamp) -> RuntimeRecord {
        RuntimeRecord {
            game_id: self.game_id.clone(),
            tenant: self.tenant.clone(),
            engine: self.engine.clone(),
            status: self.status.into(),
            container_id: self.container_id.clone(),
            image_ref: self.image_ref.clone(),
            labels: self.labels.clone().unwrap_or_default(),
            created_at: at,
            started_at: self.started_at,
            stopped_at: self.stop_time(None, at),
            removed_at: None,
            last_op_at: at,
            version: 1,
        }
    }

    fn refreshed(&self, current: &RuntimeRecord, at: Timestamp) -> RuntimeRecord {
        let was_removed = current.status == Status::Removed;
        let same = !was_removed && current.container_id == self.container_id;
        let goes_on = same && current.status == Status::Stopped;
        let stopped_before = current.stopped_at.filter(|stop| goes_on && self.started_at <= Some(*stop));
        RuntimeRecord {
            engine: self.engine.clone(),
            status: self.status.into(),
            container_id: self.container_id.clone(),
            image_ref: self.image_ref.clone().or(current.image_ref.clone().filter(|_| same)),
            labels: self.labels.clone().or(Some(current.labels.clone()).filter(|_| same)).unwrap_or_default(),
            created_at: if was_removed { at } else { current.created_at },
            started_at: self.started_at.or(current.started_at.filter(|_| same)),
            stopped_at: self.stop_time(stopped_before, at),
            removed_at: None,
            ..current.clone()
        }
    }

    /// A running container has not stopped, whatever is said of an earlier run.
    fn stop_time(&self, known: Option<Timestamp>, at: Timestamp) -> Option<Timestamp> {
        match self.status {
            LiveStatus::Running => None,
            LiveStatus::Stopped => Some(self.stopped_at.or(known).unwrap_or(at)),
        }
    }
}

impl RuntimeRecord {
    /// Whether this record, written over `earlier`, is of another stop but has no stop time of its own.
    pub fn lacks_stop_time(&self, earlier: &Self) -> bool {
        let another = earlier.status != Status::Stopped
            || self.container_id != earlier.container_id
            || self.started_at != earlier.started_at;
        self.status == Status::Stopped
            && (self.stopped_at.is_none() || (self.stopped_at == earlier.stopped_at && another))
    }

    /// Whether what was decided about `earlier` says nothing about this record any more.
    pub fn begins_anew(&self, earlier: &Self) -> bool {
        self.status != earlier.status
            || self.container_id != earlier.container_id
            || self.stopped_at != earlier.stopped_at
    }
}

impl CleanupState {
    /// Forgets what does not hold for a changed record: a policy's wait in any case, all but a hold if it begins anew.
    pub fn outlive(&mut self, earlier: &RuntimeRecord, later: &RuntimeRecord) {
        if later.begins_anew(earlier) {
            self.void();
        } else if self.wait_generation.is_some() {
            self.end_wait();
        }
    }

    /// Whether the game may be offered at `now` as far as this state goes.
    pub fn is_offered(&self, now: Timestamp) -> bool {
        self.parked.is_none() && self.wait_until.is_none_or(|until| until <= now)
    }

    /// Forgets wait, failures and parking. A hold stays.
    pub fn void(&mut self) {
        *self = Self { hold: self.hold.take(), ..Self::default() };
    }

    /// Forgets the wait.
    pub fn end_wait(&mut self) {
        self.wait_until = None;
        self.wait_reason = None;
        self.wait_generation = None;
    }
}
