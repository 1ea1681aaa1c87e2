//! Scopes and their generations, as a [`MemoryStore`](super::MemoryStore) keeps them.

use std::collections::BTreeMap;

use super::State;
use crate::adapters::scope::{Line, Scope};
use crate::model::{
    Divergence, Generation, GenerationId, PolicyChange, PolicyName, PolicyScope, PolicyVersion, Revocation, Serving,
    Signed,
};
use crate::ports::ScopeState;

/// How many divergences of one rollout are kept.
const DIVERGENCES: usize = 1_000;

/// What serves whom.
#[derive(Default)]
pub(super) struct Bindings {
    pub(super) epoch: u64,
    pub(super) scopes: BTreeMap<PolicyScope, Bound>,
    pub(super) generations: BTreeMap<(PolicyScope, u64), Generation>,
    pub(super) history: Vec<(PolicyScope, PolicyChange)>,
    /// What was revoked, by its text.
    pub(super) revocations: Vec<(String, Signed)>,
    pub(super) divergences: BTreeMap<(PolicyScope, u64), Vec<Divergence>>,
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
            let id = (self.history.len() as u64).saturating_add(1);
            self.history.push((name.clone(), PolicyChange { id, event, from, to, signed: signed.clone() }));
        }
    }

    pub(super) fn raise_mark(&mut self, scope: &PolicyScope, name: &PolicyName, version: &PolicyVersion) {
        let mark = self.marks.entry((scope.clone(), name.clone())).or_insert_with(|| version.clone());
        if *mark < *version {
            *mark = version.clone();
        }
    }

    pub(super) fn add_divergence(&mut self, scope: &PolicyScope, number: u64, divergence: &Divergence) {
        let kept = self.divergences.entry((scope.clone(), number)).or_default();
        kept.push(divergence.clone());
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
            Revocation::Component(digest) => self.policies.contains_key(digest),
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
        let staged = scope.staged(previous);
        let generation = |number: Option<u64>| self.bindings.generations.get(&(name.clone(), number?)).cloned();
        let mut revoked: Vec<_> = [scope.current, previous, staged].into_iter().flatten().collect();
        revoked.retain(|number| self.is_revoked_generation(name, *number));
        revoked.sort_unstable();
        Some(ScopeState {
            scope: name.clone(),
            current: generation(scope.current),
            previous: generation(previous),
            staged: generation(staged),
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
