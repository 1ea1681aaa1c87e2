//! What each effect did to the world.

use std::time::Duration;

use super::{Before, Witness};
use crate::adapters::memory::{Answer, Call, Inject};
use crate::model::{Container, ContainerId, Fence, GameId, RunId, RuntimeRecord, Status, TrackedRuntime};
use crate::ownership::Ownership;
use crate::ports::{Clock as _, LeaseToken, StatusChange};
use crate::simulation::actor::Actor;
use crate::simulation::invariant::Invariant;
use crate::simulation::plan::Leases;
use crate::simulation::sometimes::Sometimes;

/// How the answer ends by which a run learns that its policy was revoked.
const REVOKED: &str = "for whom is revoked";

impl Witness {
    pub(super) fn read<T: Answer, E: Inject>(&mut self, actor: &Actor, game: &GameId, answer: &Result<T, E>) {
        let Ok(answer) = answer else { return };
        let truth = actor.site.store.record(game);
        let (told, is) = (Told(answer).to_string(), Told(&truth).to_string());
        // An answer may say more than the record, but not something else.
        self.require(told.starts_with(&is), Invariant::SoundRecord, || {
            format!("{} read {told} where the record of {game} is {is}", actor.part.label)
        });
        if told.ends_with(REVOKED) {
            self.reach(Sometimes::RefusedRevoked);
        }
        let Some(tracked) = truth else { return };
        self.note_version(&tracked.record);
        let is_held = tracked.cleanup.hold.as_ref().is_some_and(|hold| hold.is_active(actor.clock.now()));
        let stopped = tracked.record.status == Status::Stopped && !is_held;
        let container = tracked.record.container_id.filter(|_| stopped);
        self.read_stopped.insert((actor.part.step(), game.clone()), container);
    }

    fn note_version(&mut self, record: &RuntimeRecord) {
        let last = self.versions.insert(record.game_id.clone(), record.version).unwrap_or_default();
        self.require(last <= record.version, Invariant::SoundRecord, || {
            format!("version {last} of {} became {}", record.game_id, record.version)
        });
        let comes_back = record.container_id.as_ref().is_some_and(|id| self.finished.contains(id));
        self.require(!comes_back, Invariant::SoundRecord, || {
            format!("the record of {} names a container that it was removed with", record.game_id)
        });
    }

    pub(super) fn began(&mut self, actor: &Actor, run: &RunId, game: &GameId, fence: Fence) {
        let last = std::mem::replace(&mut self.last_fence, fence);
        self.require(last < fence, Invariant::SoundRecord, || format!("fence {} came after {}", fence.0, last.0));
        self.begun.insert(run.clone(), actor.part.step());
        self.latest.insert(game.clone(), (run.clone(), fence));
    }

    pub(super) fn changed<T: Answer, E: Inject>(
        &mut self,
        actor: &Actor,
        change: &StatusChange,
        before: Option<&TrackedRuntime>,
        answer: &Result<T, E>,
    ) {
        let (game, label) = (&change.game_id, &actor.part.label);
        let after = actor.site.store.record(game).map(|tracked| tracked.record);
        let earlier = before.map(|tracked| &tracked.record);
        if earlier == after.as_ref() {
            self.not_changed(actor, game, answer);
            return;
        }
        let (Some(tracked), Some(after)) = (before, after) else { return };
        let earlier = &tracked.record;
        self.require(answer.is_ok(), Invariant::SoundRecord, || format!("{label}: a refused change had an effect"));
        let expected = (&change.expected_status, &change.expected_container);
        let found = (&earlier.status, &earlier.container_id);
        self.require(found == expected, Invariant::SoundRecord, || {
            format!("{label} changed {game}, which was {} and not as expected", earlier.status)
        });
        let finishes = earlier.status == Status::Stopped && after.status == Status::Removed;
        self.require(finishes, Invariant::SoundRecord, || {
            format!("{label} changed {game} from {} to {}", earlier.status, after.status)
        });
        self.require(earlier.version < after.version, Invariant::SoundRecord, || {
            format!("{label} changed {game} without a new version")
        });
        let there = earlier.container_id.as_ref().and_then(|id| actor.site.engine.container(id));
        self.require(there.is_none(), Invariant::SoundRecord, || {
            format!("{label} marked {game} removed, and its container is still there")
        });
        let held = tracked.cleanup.hold.as_ref().is_some_and(|hold| hold.is_active(change.at));
        self.require(!held, Invariant::SoundRecord, || format!("{label} changed {game} while an operator held it"));
        self.under_fence(actor, change);
        self.not_revoked(actor, &change.run_id, "changed a record");
        self.finished.extend(earlier.container_id.clone());
        self.note_version(&after);
        self.changed.insert(change.run_id.clone(), actor.part.step());
    }

    fn not_changed<T: Answer, E: Inject>(&mut self, actor: &Actor, game: &GameId, answer: &Result<T, E>) {
        let label = &actor.part.label;
        self.require(answer.is_err(), Invariant::SoundRecord, || {
            format!("{label} was told that {game} is changed, and it is not")
        });
        let Err(error) = answer else { return };
        match format!("{error:?}").as_str() {
            "Conflict" => self.reach(Sometimes::Conflict),
            "Superseded" => self.reach(Sometimes::Superseded),
            "Held" => self.reach(Sometimes::HeldAway),
            "Revoked" => self.reach(Sometimes::RefusedRevoked),
            _ => {}
        }
    }

    fn under_fence(&mut self, actor: &Actor, change: &StatusChange) {
        let (game, label) = (&change.game_id, &actor.part.label);
        let is_latest = self.latest.get(game).is_some_and(|(run, fence)| {
            *run == change.run_id && *fence == change.fence && self.begun.get(run) == Some(&actor.part.step())
        });
        self.require(is_latest, Invariant::SoundRecord, || {
            format!("{label} changed {game} though its run did not begin in the store, or a later one did")
        });
        let given_up = self.given_up.contains(&change.run_id);
        self.require(!given_up, Invariant::SoundRecord, || format!("{label} changed {game} after it was given up"));
    }

    pub(super) fn removed<T: Answer, E: Inject>(
        &mut self,
        actor: &Actor,
        id: &ContainerId,
        before: Option<&Container>,
        answer: &Result<T, E>,
    ) {
        let label = &actor.part.label;
        let is_gone = actor.site.engine.container(id).is_none();
        self.require(answer.is_err() || is_gone, Invariant::SoundRecord, || {
            format!("{label} was told that a container is gone, and it is there")
        });
        if format!("{:?}", answer.as_ref().err()).contains("Refused") {
            self.reach(Sometimes::EngineRefused);
        }
        let Some(before) = before.filter(|_| is_gone) else { return };
        self.require(!before.state.is_live(), Invariant::NeverLive, || {
            format!("{label} removed a container that was {}", before.state)
        });
        let named = actor.site.owner(id).and_then(|game| actor.site.store.record(game));
        let foreign =
            named.is_some_and(|tracked| Ownership::default().contradiction(&before.labels, &tracked.record).is_some());
        self.require(!foreign, Invariant::OwnGameOnly, || {
            format!("{label} removed a container whose labels name another owner")
        });
        self.removed.push((actor.part.step(), id.clone()));
        self.reach(Sometimes::Removed);
    }

    pub(super) fn leased<T: Answer, E: Inject>(
        &mut self,
        actor: &Actor,
        (game, token): (&GameId, &LeaseToken),
        issued: Duration,
        before: &Before,
        answer: &Result<T, E>,
    ) {
        match answer.as_ref().ok().and_then(Answer::yes) {
            Some(true) => {
                self.beliefs.insert((actor.part.step(), game.clone()), issued);
                let now = actor.site.clock.now();
                let others = before.lease.as_ref().is_some_and(|(holder, until)| holder != token && now < *until);
                let honest = actor.site.leases == Leases::Honest;
                self.require(!(honest && others), Invariant::LeaseEnds, || {
                    format!("{} was granted the lease of {game} while another run holds it", actor.part.label)
                });
            }
            Some(false) => self.reach(Sometimes::LeaseHeld),
            None => {}
        }
    }

    pub(super) fn renewed<T: Answer, E: Inject>(
        &mut self,
        actor: &Actor,
        (game, token): (&GameId, &LeaseToken),
        issued: Duration,
        before: &Before,
        answer: &Result<T, E>,
    ) {
        let key = (actor.part.step(), game.clone());
        match answer.as_ref().ok().and_then(Answer::yes) {
            Some(true) => {
                let now = actor.site.clock.now();
                let ours = before.lease.as_ref().is_some_and(|(holder, until)| holder == token && now < *until);
                let honest = actor.site.leases == Leases::Honest;
                self.require(!honest || ours, Invariant::LeaseEnds, || {
                    format!("{} renewed a lease of {game} that it does not hold", actor.part.label)
                });
                self.beliefs.insert(key, issued);
            }
            Some(false) => {
                self.missed(actor.part.step(), Call::LeaseRenew);
                self.beliefs.remove(&key);
                self.reach(Sometimes::LeaseLost);
            }
            None => {}
        }
    }
}

/// An answer as text.
struct Told<'a, T>(&'a T);

impl<T: Answer> std::fmt::Display for Told<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.brief(f)
    }
}
