//! What a reconciler remembers between two passes: how far it came, what is missing, and what it has said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::absence::Absences;
use super::report::{Finding, Report};
use super::{Orphans, finding};
use crate::model::{Container, ContainerId, GameId, Status, TenantId, Timestamp, TrackedRuntime};

/// Records without a container that are remembered, by status: an engine that has lost all its containers must not
/// cost memory for each record. Their counts stop there.
const REMEMBERED: usize = 10_000;
/// The first failed closing waits so long, each further one twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 60 * 60);

#[derive(Default)]
pub(super) struct Memory {
    running: Walked,
    stopped: Walked,
    pub(super) absences: Absences,
    /// Closings that failed.
    failed: BTreeMap<GameId, Failed>,
    /// What the last pass complained of.
    said: BTreeSet<(ContainerId, String)>,
    noted: [Option<String>; 2],
}

/// What is known of the records of one status.
#[derive(Default)]
struct Walked {
    /// Where the next slice begins.
    after: Option<GameId>,
    missing: BTreeMap<GameId, Missing>,
}

struct Failed {
    attempts: u32,
    until: Duration,
    reason: String,
}

/// A record whose container does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) game: GameId,
    pub(super) container: ContainerId,
    pub(super) tenant: TenantId,
    pub(super) status: Status,
    /// When it was looked for, by the monotonic clock.
    pub(super) missed_at: Duration,
    /// Held, parked or backing off: not to be closed.
    blocked: bool,
}

impl Missing {
    /// None if the record names no container.
    pub(super) fn of(row: &TrackedRuntime, now: Timestamp, missed_at: Duration) -> Option<Self> {
        let record = &row.record;
        Some(Self {
            game: record.game_id.clone(),
            container: record.container_id.clone()?,
            tenant: record.tenant.clone(),
            status: record.status.clone(),
            missed_at,
            blocked: is_blocked(row, now),
        })
    }
}

/// Whether somebody wants the game left alone: an operator, or a sweep that failed with it. How long a policy wants
/// its container kept is of no account once that is gone.
pub(super) fn is_blocked(row: &TrackedRuntime, now: Timestamp) -> bool {
    let cleanup = &row.cleanup;
    let held = cleanup.hold.as_ref().is_some_and(|hold| hold.is_active(now));
    let backs_off = cleanup.wait_generation.is_none() && cleanup.wait_until.is_some_and(|until| until > now);
    held || cleanup.parked.is_some() || backs_off
}

/// A walk over the records of one status. It belongs back into the memory.
pub(super) struct Lap {
    status: Status,
    after: Option<GameId>,
    over: bool,
}

impl Lap {
    pub(super) fn after(&self) -> Option<&GameId> {
        self.after.as_ref()
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Nothing is known of what follows.
    pub(super) fn end(&mut self, memory: &mut Memory) {
        let missing = &mut memory.of(&self.status).missing;
        missing.retain(|game, _| self.after.as_ref().is_some_and(|after| game <= after));
        self.over = true;
    }

    /// What is missing of a page takes the place of what was remembered of its range.
    pub(super) fn went_over(
        &mut self,
        memory: &mut Memory,
        page: &[TrackedRuntime],
        limit: u32,
        missing: Vec<Missing>,
    ) {
        let is_last = page.len() < limit as usize;
        let last = page.last().map(|row| row.record.game_id.clone());
        let before = |game: &GameId| self.after.as_ref().is_some_and(|after| game <= after);
        let beyond = |game: &GameId| !is_last && last.as_ref().is_some_and(|last| game > last);
        memory.of(&self.status).missing.retain(|game, _| before(game) || beyond(game));
        for missing in missing {
            memory.note(missing);
        }
        let is_full = memory.of(&self.status).missing.len() >= REMEMBERED;
        self.after = last.or_else(|| self.after.take());
        self.over = is_last || is_full;
    }
}

impl Memory {
    /// The walk goes on where the last one was interrupted, unless it is to be from the start.
    pub(super) fn lap(&mut self, status: &Status, from_start: bool) -> Lap {
        let after = self.of(status).after.take().filter(|_| !from_start);
        Lap { status: status.clone(), after, over: false }
    }

    pub(super) fn put_back(&mut self, lap: Lap) {
        self.of(&lap.status).after = lap.after.filter(|_| !lap.over);
    }

    /// What this pass has listed is not missing. The rest is held against all records that it has looked at, by
    /// their containers.
    pub(super) fn weigh(&mut self, listed: &BTreeMap<ContainerId, Container>, looked_at: &BTreeSet<ContainerId>) {
        for known in [&mut self.running.missing, &mut self.stopped.missing] {
            known.retain(|_, missing| !listed.contains_key(&missing.container));
        }
        let (running, stopped) = (&self.running.missing, &self.stopped.missing);
        self.absences.retain(|game| running.contains_key(game) || stopped.contains_key(game));
        self.absences.weigh(looked_at);
    }

    /// Running records whose container is missing.
    pub(super) fn vanished(&self) -> Vec<Missing> {
        let running = self.running.missing.values();
        running.filter(|missing| self.absences.is_noted(&missing.game)).cloned().collect()
    }

    /// The record says so now. That ended what it waited for, but no hold.
    pub(super) fn stopped(&mut self, game: &GameId) {
        if let Some(missing) = self.running.missing.remove(game) {
            self.note(Missing { status: Status::Stopped, ..missing });
            self.absences.stopped(game);
        }
    }

    /// Stopped records that nobody keeps from being closed, as far as is known: how many, and those whose container
    /// has been missing for `span`.
    pub(super) fn closable(&self, now: Duration, span: Duration) -> (usize, Vec<Missing>) {
        let open = || self.stopped.missing.values().filter(|missing| !missing.blocked);
        let has_lasted = |missing: &&Missing| self.absences.has_lasted(&missing.game, now, span);
        (open().count(), open().filter(has_lasted).cloned().collect())
    }

    /// Whether closing it failed not long ago.
    pub(super) fn backs_off(&self, game: &GameId, now: Duration) -> bool {
        self.failed.get(game).is_some_and(|failed| now < failed.until)
    }

    pub(super) fn closed(&mut self, game: &GameId) {
        self.stopped.missing.remove(game);
        self.failed.remove(game);
    }

    pub(super) fn not_closed(&mut self, game: &GameId, now: Duration, reason: String) {
        let attempts = self.failed.get(game).map_or(1, |failed| failed.attempts.saturating_add(1));
        let wait = FIRST_WAIT.saturating_mul(1 << (attempts - 1).min(16)).min(LONGEST_WAIT);
        self.failed.insert(game.clone(), Failed { attempts, until: now.saturating_add(wait), reason });
    }

    /// It is there, or is not what was remembered.
    pub(super) fn forget(&mut self, game: &GameId) {
        self.running.missing.remove(game);
        self.stopped.missing.remove(game);
        self.absences.forget(game);
    }

    /// Reports every record that is known to be without its container.
    pub(super) fn tell_missing(&mut self, orphans: &mut Orphans) {
        let stopped = &self.stopped.missing;
        self.failed.retain(|game, _| stopped.contains_key(game));
        let tell = |missing: &Missing| {
            let reason = match self.failed.get(&missing.game) {
                Some(failed) => format!("its container does not exist; closing it failed: {}", failed.reason),
                None => "its container does not exist".to_owned(),
            };
            finding(&missing.container, Some(&missing.game), reason)
        };
        orphans.running_records = self.running.missing.values().map(tell).collect();
        orphans.stopped_records = self.stopped.missing.values().map(tell).collect();
    }

    /// What the report complains of and the last one did not.
    pub(super) fn say<'r>(&mut self, report: &'r Report) -> Vec<&'r Finding> {
        let key = |finding: &Finding| (finding.container.clone(), finding.reason.clone());
        let news = report.complaints().filter(|finding| !self.said.contains(&key(finding))).collect();
        self.said = report.complaints().map(key).collect();
        news
    }

    /// Whether the report's notes are others than the last one's.
    pub(super) fn notes_are_new(&mut self, report: &Report) -> bool {
        let notes = [report.left_open.clone(), report.unread.clone()];
        std::mem::replace(&mut self.noted, notes.clone()) != notes
    }

    pub(super) fn note(&mut self, missing: Missing) {
        if self.of(&missing.status).missing.len() < REMEMBERED {
            self.absences.note(&missing);
            let known = &mut self.of(&missing.status).missing;
            known.insert(missing.game.clone(), missing);
        }
    }

    fn of(&mut self, status: &Status) -> &mut Walked {
        match status {
            Status::Running => &mut self.running,
            _ => &mut self.stopped,
        }
    }
}
