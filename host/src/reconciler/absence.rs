//! Since when containers are missed, and whether the engine that misses them can be believed.
//!
//! An engine whose data is not mounted yet, and another one at its address, answer "no such container" to everything,
//! and do so without an error. So an absence counts by how long it lasts, and where most containers vanish at once,
//! the engine is doubted first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::memory::Missing;
use crate::model::{ContainerId, GameId};

/// So many that vanish at once make an engine doubtful, if they are more than half of those that were there.
const MANY: usize = 3;

/// The containers that are missed, by game.
#[derive(Default)]
pub(super) struct Absences {
    by_game: BTreeMap<GameId, Absence>,
    /// Number of the pass under way.
    pass: u64,
    /// Whether it came to its end.
    has_ended: bool,
}

struct Absence {
    container: ContainerId,
    /// By the monotonic clock.
    since: Duration,
    /// The pass that first missed it, or stopped its record.
    pass: u64,
    /// It vanished at once with most others.
    is_doubtful: bool,
}

impl Absences {
    /// After a pass that did not come to its end, all are counted anew: what the engine was in between, nobody knows.
    pub(super) fn begin_pass(&mut self) {
        if !std::mem::take(&mut self.has_ended) {
            self.by_game.clear();
        }
        self.pass = self.pass.saturating_add(1);
    }

    pub(super) fn end_pass(&mut self) {
        self.has_ended = true;
    }

    pub(super) fn note(&mut self, missing: &Missing) {
        let Missing { game, container, missed_at, .. } = missing;
        if self.by_game.get(game).is_none_or(|known| known.container != *container) {
            let (container, since, pass) = (container.clone(), *missed_at, self.pass);
            self.by_game.insert(game.clone(), Absence { container, since, pass, is_doubtful: false });
        }
    }

    /// Its record was stopped by this pass, so that it is closed by a later one.
    pub(super) fn stopped(&mut self, game: &GameId) {
        if let Some(absence) = self.by_game.get_mut(game) {
            absence.pass = self.pass;
        }
    }

    pub(super) fn forget(&mut self, game: &GameId) {
        self.by_game.remove(game);
    }

    pub(super) fn retain(&mut self, is_missing: impl Fn(&GameId) -> bool) {
        self.by_game.retain(|game, _| is_missing(game));
    }

    /// Doubts what this pass has found, if it misses most of what it has looked at and what was there before.
    pub(super) fn weigh(&mut self, looked_at: &BTreeSet<ContainerId>) {
        let absences = self.by_game.values_mut().filter(|absence| looked_at.contains(&absence.container));
        let (new, known): (Vec<_>, Vec<_>) = absences.partition(|absence| absence.pass == self.pass);
        let were_there = looked_at.len().saturating_sub(known.len());
        if new.len() >= MANY && new.len() * 2 > were_there {
            new.into_iter().for_each(|absence| absence.is_doubtful = true);
        }
    }

    /// How many are doubtful. Those are believed that have lasted for `span`, but never by the pass that found them.
    pub(super) fn doubtful(&self, now: Duration, span: Duration) -> usize {
        self.by_game.values().filter(|absence| absence.is_doubtful && !self.lasts(absence, now, span)).count()
    }

    pub(super) fn is_noted(&self, game: &GameId) -> bool {
        self.by_game.contains_key(game)
    }

    /// Whether an earlier pass has missed it, or stopped its record, and it has been missed for `span`.
    pub(super) fn has_lasted(&self, game: &GameId, now: Duration, span: Duration) -> bool {
        self.by_game.get(game).is_some_and(|absence| self.lasts(absence, now, span))
    }

    fn lasts(&self, absence: &Absence, now: Duration, span: Duration) -> bool {
        absence.pass < self.pass && now.saturating_sub(absence.since) >= span
    }
}
