//! Compares each effect with the true state of the world, and with what the run that caused it knew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::actor::Actor;
use super::invariant::{Breach, Invariant};
use super::site::{Site, tenant};
use super::sometimes::Sometimes;
use crate::adapters::memory::{Answer, Call, Inject, Subject};
use crate::model::{Container, ContainerId, Fence, GameId, OperationEntry, RunId, Timestamp, TrackedRuntime};
use crate::ports::LeaseToken;

mod effects;
mod policies;

/// What is known of a history so far.
#[derive(Default)]
pub(super) struct Witness {
    breaches: Vec<Breach>,
    /// The container of each record as a step read it last: stopped, and held by nobody.
    read_stopped: BTreeMap<(u32, GameId), Option<ContainerId>>,
    /// The leases that steps think they have, since when, on the monotonic clock.
    beliefs: BTreeMap<(u32, GameId), Duration>,
    tokens: Vec<(u32, GameId, LeaseToken)>,
    /// The run that began last on each game, with its fence.
    latest: BTreeMap<GameId, (RunId, Fence)>,
    last_fence: Fence,
    given_up: BTreeSet<RunId>,
    versions: BTreeMap<GameId, u64>,
    finished: BTreeSet<ContainerId>,
    /// Runs that began, and whose step.
    pub(super) begun: BTreeMap<RunId, u32>,
    /// Runs that changed their record.
    pub(super) changed: BTreeMap<RunId, u32>,
    /// Containers that steps removed.
    pub(super) removed: Vec<(u32, ContainerId)>,
    /// Calls of steps that went wrong.
    missed: BTreeSet<(u32, Call)>,
    delayed: BTreeSet<u32>,
    policies: policies::Policies,
    /// Removals that steps have asked for.
    asked: BTreeMap<(u32, GameId), ContainerId>,
    entered: BTreeSet<u32>,
    /// Calls of ports that a step has made.
    calls: BTreeMap<u32, u64>,
    reached: BTreeMap<Sometimes, u64>,
}

/// How things were just before an effect.
#[derive(Default)]
pub(super) struct Before {
    record: Option<TrackedRuntime>,
    container: Option<Container>,
    lease: Option<(LeaseToken, Timestamp)>,
}

impl Before {
    pub(super) fn look(site: &Site, call: Call, about: Subject<'_>) -> Self {
        let mut before = Self::default();
        match (call, about) {
            (Call::RecordCompareAndSet, Subject::Change(change)) => before.record = site.store.record(&change.game_id),
            (Call::EngineRemove, Subject::Container(id)) => before.container = site.engine.container(id),
            (Call::LeaseTryAcquire | Call::LeaseRenew, Subject::Lease(game, _)) => {
                before.lease = site.store.lease(game);
            }
            _ => {}
        }
        before
    }
}

/// The game that a call is about.
pub(super) fn game_of(site: &Site, _call: Call, about: Subject<'_>) -> Option<GameId> {
    match about {
        Subject::Game(game) | Subject::Lease(game, _) => Some(game.clone()),
        Subject::Intent(intent) => Some(intent.game_id.clone()),
        Subject::Change(change) => Some(change.game_id.clone()),
        Subject::Entry(entry) => entry.game_id.parse().ok(),
        Subject::Container(container) => site.owner(container).cloned(),
        Subject::All | Subject::Run(_) | Subject::Fault(..) | Subject::Told(_) => None,
    }
}

impl Witness {
    pub(super) fn is_whole(&self) -> bool {
        self.breaches.is_empty()
    }

    pub(super) fn take_breaches(&mut self) -> Vec<Breach> {
        std::mem::take(&mut self.breaches)
    }

    pub(super) fn breach(&mut self, invariant: Invariant, what: String) {
        self.breaches.push(Breach { invariant, what });
    }

    /// What the history came upon, and how often.
    pub(super) fn reached(&self) -> &BTreeMap<Sometimes, u64> {
        &self.reached
    }

    pub(super) fn reach(&mut self, what: Sometimes) {
        let times = self.reached.entry(what).or_default();
        *times = times.saturating_add(1);
    }

    pub(super) fn require(&mut self, holds: bool, invariant: Invariant, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.breach(invariant, otherwise());
        }
    }

    /// A call of this step went wrong.
    pub(super) fn missed(&mut self, step: u32, call: Call) {
        self.missed.insert((step, call));
    }

    pub(super) fn has_missed(&self, step: u32, calls: &[Call]) -> bool {
        calls.iter().any(|call| self.missed.contains(&(step, *call)))
    }

    /// This step has to wait for longer than runs last.
    pub(super) fn delayed(&mut self, step: u32) {
        self.delayed.insert(step);
    }

    pub(super) fn was_delayed(&self, step: u32) -> bool {
        self.delayed.contains(&step)
    }

    /// How many calls of ports a step has made.
    pub(super) fn calls_of(&self, step: u32) -> u64 {
        self.calls.get(&step).copied().unwrap_or_default()
    }

    /// The leases that a step asked for.
    pub(super) fn tokens_of(&self, step: u32) -> impl Iterator<Item = (&GameId, &LeaseToken)> {
        self.tokens.iter().filter(move |(of, ..)| *of == step).map(|(_, game, token)| (game, token))
    }

    /// Before a call is on its way: what its caller must know by then.
    pub(super) fn asked(&mut self, actor: &Actor, call: Call, about: Subject<'_>, now: Duration) {
        let (site, step) = (&actor.site, actor.part.step());
        let calls = self.calls.entry(step).or_default();
        *calls = calls.saturating_add(1);
        if let Some(own) = actor.part.game
            && let Some(game) = game_of(site, call, about)
        {
            let is_own = site.game(own) == Some(&game);
            self.require(is_own, Invariant::OwnGameOnly, || format!("{}: {call} of {game}", actor.part.label));
        }
        match about {
            Subject::Container(id) if call == Call::EngineRemove => self.asked_to_remove(actor, id, now),
            Subject::Change(change) => self.under_lease(actor, &change.game_id, now, "changed a record"),
            Subject::Lease(game, _) if call == Call::LeaseRelease => drop(self.beliefs.remove(&(step, game.clone()))),
            Subject::Lease(game, token) if call == Call::LeaseTryAcquire => {
                self.tokens.push((step, game.clone(), token.clone()));
            }
            Subject::Intent(intent) => self.asked_to_begin(actor, intent),
            Subject::Entry(entry) => self.asked_to_append(actor, entry),
            _ => {}
        }
    }

    fn asked_to_remove(&mut self, actor: &Actor, id: &ContainerId, now: Duration) {
        let (label, step) = (&actor.part.label, actor.part.step());
        let Some(game) = actor.site.owner(id).cloned() else {
            return self.breach(Invariant::OwnGameOnly, format!("{label} removes a container of nobody"));
        };
        let key = (step, game.clone());
        let has_read = self.read_stopped.get(&key).is_some_and(|read| read.as_ref() == Some(id));
        self.require(has_read, Invariant::OwnStoppedContainer, || {
            format!("{label} removes a container of {game} that it has not last read in a stopped record")
        });
        let earlier = self.asked.insert(key, id.clone());
        self.require(earlier.is_none_or(|earlier| earlier == *id), Invariant::OwnStoppedContainer, || {
            format!("{label} removes two containers of {game}")
        });
        self.under_lease(actor, &game, now, "removed a container");
        self.not_revoked_in(actor, &game, "asked to remove a container");
    }

    fn under_lease(&mut self, actor: &Actor, game: &GameId, now: Duration, what: &str) {
        let (lease, believed) = (&actor.site.lease, self.beliefs.get(&(actor.part.step(), game.clone())));
        let lasts = believed.is_some_and(|since| now + lease.margin < *since + lease.ttl);
        self.require(lasts, Invariant::OwnStoppedContainer, || {
            format!("{} {what} of {game} without a lease on it that lasts", actor.part.label)
        });
    }

    fn asked_to_append(&mut self, actor: &Actor, entry: &OperationEntry) {
        if entry.author != crate::model::Author::Recovery {
            self.policy_fits(actor, &entry.run_id, &entry.policy);
            self.entered.insert(actor.part.step());
        }
        let game = actor.site.games().iter().position(|game| game.as_str() == entry.game_id);
        let Some(index) = game else { return };
        let of_tenant = entry.tenant.as_ref().is_none_or(|named| *named == tenant(index));
        let of_game = entry.container_id.as_ref().is_none_or(|id| actor.site.owner(id) == actor.site.game(index));
        self.require(of_tenant && of_game, Invariant::OwnGameOnly, || {
            format!("{} names another's tenant or container in its entry", actor.part.label)
        });
    }

    /// The replica dies right after this call.
    pub(super) fn died(&mut self, actor: &Actor) {
        let step = actor.part.step();
        self.missed.insert((step, Call::LogAppend));
        let removed = self.removed.iter().any(|(of, _)| *of == step);
        let changed = self.changed.values().any(|of| *of == step);
        let what = match (removed, changed, self.entered.contains(&step)) {
            (_, true, false) => Sometimes::DiedAfterChange,
            (true, false, false) => Sometimes::DiedAfterRemoval,
            _ => return,
        };
        self.reach(what);
    }
}

/// After an effect: what it did to the world, and whether the answer is true.
pub(super) fn performed<T: Answer, E: Inject>(
    actor: &Actor,
    call: Call,
    about: Subject<'_>,
    issued: Duration,
    before: &Before,
    answer: &Result<T, E>,
) {
    let mut seen = actor.site.seen();
    let witness = &mut seen.witness;
    if answer.is_err() {
        witness.missed(actor.part.step(), call);
    }
    match (call, about) {
        (Call::RecordGet | Call::RecordGetForEffect, Subject::Game(game)) => witness.read(actor, game, answer),
        (Call::RecordBeginRun, Subject::Intent(intent)) => {
            witness.read(actor, &intent.game_id, answer);
            let fence = answer.as_ref().ok().and_then(Answer::fence);
            fence.into_iter().for_each(|fence| witness.began(actor, &intent.run_id, &intent.game_id, fence));
        }
        (Call::RecordSupersedeRun, Subject::Run(run)) if answer.is_ok() => drop(witness.given_up.insert(run.clone())),
        (Call::RecordCompareAndSet, Subject::Change(change)) => {
            witness.changed(actor, change, before.record.as_ref(), answer);
        }
        (Call::EngineRemove, Subject::Container(id)) => witness.removed(actor, id, before.container.as_ref(), answer),
        (Call::LeaseTryAcquire, Subject::Lease(game, token)) => {
            witness.leased(actor, (game, token), issued, before, answer);
        }
        (Call::LeaseRenew, Subject::Lease(game, token)) => {
            witness.renewed(actor, (game, token), issued, before, answer);
        }
        _ => {}
    }
}
