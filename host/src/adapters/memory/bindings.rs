//! Scopes and their generations, as a [`MemoryStore`](super::MemoryStore) keeps them.

use std::collections::{BTreeMap, BTreeSet};

use super::State;
use crate::adapters::scope::{Found, Line, Scope};
use crate::model::{
    Divergence, Generation, GenerationId, PolicyChange, PolicyName, PolicyScope, PolicyVersion, Revocation, Serving,
    Signed, Timestamp,
};
use crate::ports::{PruneBefore, ScopeState};

/// How many divergences of one rollout are kept,
const DIVERGENCES: usize = 1_000;
/// and of one scope.
const DIVERGENCES_OF_SCOPE: usize = 5_000;
/// How many lines of a scope's history are kept of those that made nothing current.
const ASIDES: usize = 1_000;

/// What serves whom.
#[derive(Default)]
pub(super) struct Bindings {
    pub(super) epoch: u64,
    pub(super) scopes: BTreeMap<PolicyScope, Bound>,
    pub(super) generations: BTreeMap<(PolicyScope, u64), Generation>,
    pub(super) history: Vec<(PolicyScope, PolicyChange)>,
    last_line: u64,
    /// What was revoked, by its text.
    pub(super) revocations: Vec<(String, Signed)>,
    /// In the order of their numbers.
    pub(super) divergences: BTreeMap<(PolicyScope, u64), Vec<(u64, Divergence)>>,
    last_divergence: u64,
    pub(super) marks: BTreeMap<(PolicyScope, PolicyName), PolicyVersion>,
    pub(super) reports: BTreeMap<(PolicyScope, String), Serving>,
}

/// A scope, and the epoch of its last change.
#[derive(Default)]
pub(super) struct Bound {
    pub(super) scope: Scope,
    pub(super) changed: u64,
}

impl Bindings {
    pub(super) fn raise_epoch(&mut self) {
        self.epoch = self.epoch.saturating_add(1);
    }

    pub(super) fn scope(&self, scope: &PolicyScope) -> Scope {
        self.scopes.get(scope).map(|bound| bound.scope.clone()).unwrap_or_default()
    }

    /// Writes a scope back as a change has made it, with its lines of the history.
    pub(super) fn put(&mut self, name: &PolicyScope, scope: Scope, lines: &[Line], signed: &Signed) {
        self.raise_epoch();
        self.scopes.insert(name.clone(), Bound { scope, changed: self.epoch });
        for Line { event, from, to } in lines.iter().copied() {
            self.last_line = self.last_line.saturating_add(1);
            let id = self.last_line;
            self.history.push((name.clone(), PolicyChange { id, event, from, to, signed: signed.clone() }));
        }
    }

    /// Whether a generation has neither served nor been tried.
    pub(super) fn is_unused(&self, scope: &PolicyScope, number: u64) -> bool {
        !self.history.iter().any(|(of, change)| of == scope && change.to == Some(number))
    }

    /// Answers how many generations it forgot.
    pub(super) fn prune(&mut self, before: &PruneBefore) -> u64 {
        let is_old = |generation: &Generation| generation.staged.at < before.staged;
        let old = self.generations.iter().filter(|(_, generation)| is_old(generation)).map(|(key, _)| key.clone());
        let unused: Vec<_> = old.filter(|(scope, number)| self.is_unused(scope, *number)).collect();
        if !unused.is_empty() {
            self.raise_epoch();
        }
        for key in &unused {
            self.generations.remove(key);
            if let Some(bound) = self.scopes.get_mut(&key.0) {
                bound.changed = self.epoch;
            }
        }
        self.prune_divergences(before.divergences);
        self.prune_history();
        unused.len() as u64
    }

    fn prune_divergences(&mut self, before: Timestamp) {
        let tried = |(scope, number): &(PolicyScope, u64)| {
            let rollout = self.scopes.get(scope).and_then(|bound| bound.scope.rollout.as_ref());
            rollout.is_some_and(|rollout| rollout.number == *number)
        };
        let mut kept: BTreeMap<PolicyScope, usize> = BTreeMap::new();
        let mut latest: Vec<_> =
            self.divergences.iter().flat_map(|(of, all)| all.iter().map(move |it| (it.0, of))).collect();
        latest.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
        latest.retain(|(_, of)| {
            let kept = kept.entry(of.0.clone()).or_default();
            *kept = kept.saturating_add(1);
            *kept <= DIVERGENCES_OF_SCOPE
        });
        let latest: BTreeSet<u64> = latest.into_iter().map(|(id, _)| id).collect();
        let under_way: BTreeSet<_> = self.divergences.keys().filter(|of| tried(of)).cloned().collect();
        for (of, all) in &mut self.divergences {
            all.retain(|(id, it)| latest.contains(id) && (before <= it.at || under_way.contains(of)));
        }
        self.divergences.retain(|_, all| !all.is_empty());
    }

    fn prune_history(&mut self) {
        let mut asides: BTreeMap<PolicyScope, usize> = BTreeMap::new();
        self.history.reverse();
        self.history.retain(|(scope, change)| {
            if change.event.makes_current() {
                return true;
            }
            let seen = asides.entry(scope.clone()).or_default();
            *seen = seen.saturating_add(1);
            *seen <= ASIDES
        });
        self.history.reverse();
    }

    pub(super) fn add_divergence(&mut self, scope: &PolicyScope, number: u64, divergence: &Divergence) {
        self.last_divergence = self.last_divergence.saturating_add(1);
        let kept = self.divergences.entry((scope.clone(), number)).or_default();
        kept.push((self.last_divergence, divergence.clone()));
        let surplus = kept.len().saturating_sub(DIVERGENCES);
        kept.drain(..surplus);
    }

    /// The generations that are there of what is to be revoked.
    fn hit(&self, revocation: &Revocation) -> Vec<(PolicyScope, u64)> {
        let is_hit = |generation: &&Generation| match revocation {
            Revocation::Generation(id) => generation.id() == *id,
            Revocation::Component(digest) => generation.spec.digest == *digest,
        };
        let hit = self.generations.values().filter(is_hit);
        hit.map(|generation| (generation.scope.clone(), generation.number)).collect()
    }
}

impl State {
    /// What there is of a generation.
    pub(super) fn found(&self, scope: &PolicyScope, number: u64) -> Found {
        let is_there = self.bindings.generations.contains_key(&(scope.clone(), number));
        Found::of_rows(is_there.into(), self.is_revoked_generation(scope, number).into())
    }

    /// Whether a generation, or its component, was revoked.
    pub(super) fn is_revoked_generation(&self, scope: &PolicyScope, number: u64) -> bool {
        let generation = self.bindings.generations.get(&(scope.clone(), number));
        let is_component_revoked = |generation: &Generation| self.revoked.contains(generation.spec.digest.as_str());
        self.revoked.contains(GenerationId::numbered(scope, number).as_str())
            || generation.is_some_and(is_component_revoked)
    }

    /// False if there is no such generation or component.
    pub(super) fn revoke(&mut self, revocation: &Revocation, signed: &Signed) -> bool {
        let hit = self.bindings.hit(revocation);
        let is_known = match revocation {
            Revocation::Generation(_) => !hit.is_empty(),
            Revocation::Component(digest) => self.policies.has(digest),
        };
        if !is_known || !self.revoked.insert(revocation.subject().to_owned()) {
            return is_known;
        }
        self.bindings.raise_epoch();
        self.bindings.revocations.push((revocation.subject().to_owned(), signed.clone()));
        for (name, number) in hit {
            let mut scope = self.bindings.scope(&name);
            let line = scope.revoke(number);
            self.bindings.put(&name, scope, line.as_slice(), signed);
        }
        true
    }

    pub(super) fn scope_state(&self, name: &PolicyScope) -> Option<ScopeState> {
        let scope = &self.bindings.scopes.get(name)?.scope;
        let previous = self.previous(name, scope.current);
        let (staged, newest) = (scope.staged(previous), scope.newest(previous));
        let generation = |number: Option<u64>| self.bindings.generations.get(&(name.clone(), number?)).cloned();
        let mut revoked: Vec<_> = [scope.current, previous, staged, newest].into_iter().flatten().collect();
        revoked.retain(|number| self.found(name, *number) == Found::Revoked);
        revoked.sort_unstable();
        Some(ScopeState {
            scope: name.clone(),
            current: generation(scope.current),
            previous: generation(previous),
            staged: generation(staged),
            newest: generation(newest),
            rollout: scope.rollout.clone(),
            revoked,
        })
    }

    /// The last generation that served the scope but the current one, of those that are not revoked.
    fn previous(&self, name: &PolicyScope, current: Option<u64>) -> Option<u64> {
        let changes = self.bindings.history.iter().rev().filter(|(scope, _)| scope == name);
        let mut served = changes.filter(|(_, change)| change.event.makes_current()).filter_map(|(_, change)| change.to);
        served.find(|number| Some(*number) != current && !self.is_revoked_generation(name, *number))
    }
}
