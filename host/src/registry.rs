//! Which policy serves which tenant, at this moment.
//!
//! Of a tenant's own scope in the store, the configuration's entry for the tenant, the store's default scope, and the
//! configuration's `[policy]`, the first that there is serves it: what is said of one tenant stands before what is said
//! of all, and what was bound while running before what stands in a file.
//!
//! Reading is one atomic load. A run keeps the binding that it was given to its end, whatever is swapped meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::model::{ErrorCode, Fault, GameId, GenerationId, PolicyRef, PolicyScope, TenantId};
use crate::ports::{CeilingChanges, Changes};

mod binding;
mod ceilings;
mod load;
mod report;
mod rollout;
mod scope;
mod source;
mod tally;
mod watch;

pub use binding::Binding;
pub use source::PolicySource;
pub use tally::{Shown, Tally};
pub use watch::{Stores, Watcher};

use ceilings::Ceilings;
use scope::ScopeBindings;

/// The bindings in force.
pub struct Registry {
    fallback: Arc<Binding>,
    tenants: BTreeMap<TenantId, Arc<Binding>>,
    stored: ArcSwap<Stored>,
    tally: Tally,
}

/// What the store says, as far as this host has loaded it.
#[derive(Clone, Default)]
struct Stored {
    /// Whether the store has still to be asked for the first time: until then, nobody knows what serves whom.
    unread: bool,
    default: Option<Arc<ScopeBindings>>,
    tenants: BTreeMap<TenantId, Arc<ScopeBindings>>,
    /// Generations and components, by their texts: all that were ever revoked.
    revoked: Arc<BTreeSet<String>>,
    ceilings: Arc<Ceilings>,
}

/// What serves one run.
pub struct Assignment {
    /// The policy and its terms, or why nothing serves.
    pub binding: Result<Arc<Binding>, Refusal>,
    /// What is tried by this run, if anything is.
    pub trial: Option<Trial>,
}

/// Nothing serves a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The policy that would have.
    pub reference: PolicyRef,
    /// Why it does not.
    pub fault: Fault,
}

/// A run's part in a rollout.
#[derive(Clone)]
pub struct Trial {
    /// The scope.
    pub scope: PolicyScope,
    /// The generation that is tried.
    pub number: u64,
    /// The new generation, to be run beside the current one; none if it is the one that the run was given.
    pub shadow: Option<Arc<Binding>>,
}

impl Assignment {
    /// The policy that serves, or would have.
    pub fn reference(&self) -> &PolicyRef {
        match &self.binding {
            Ok(binding) => &binding.reference,
            Err(refusal) => &refusal.reference,
        }
    }
}

impl Registry {
    /// Tenants without a binding of their own get `fallback`. Knows no store.
    pub fn new(fallback: impl Into<Arc<Binding>>, tenants: impl IntoIterator<Item = (TenantId, Binding)>) -> Self {
        let tenants = tenants.into_iter().map(|(tenant, binding)| (tenant, Arc::new(binding))).collect();
        Self { fallback: fallback.into(), tenants, stored: ArcSwap::default(), tally: Tally::default() }
    }

    /// The same, for a host with a store: nobody is served until a [`Watcher`] has read it.
    #[must_use]
    pub fn unread(self) -> Self {
        self.update(|stored| stored.unread = true);
        self
    }

    /// What serves a run. Its tenant is not known while the game has no record; its game may be none that can exist.
    pub fn assign(&self, tenant: Option<&TenantId>, game: Option<&GameId>) -> Assignment {
        let stored = self.stored.load();
        let configured = tenant.and_then(|tenant| self.tenants.get(tenant));
        let fixed = configured.unwrap_or(&self.fallback);
        if stored.unread {
            let message = "the policies in the store have not been read yet; try again later";
            return Assignment::refused(&fixed.reference, ErrorCode::POLICY_UNAVAILABLE, message);
        }
        let scope = stored.bound(tenant, configured.is_some());
        let assigned = scope.and_then(|scope| scope.assign(game).map(|assigned| stored.within(&scope.scope, assigned)));
        let assigned = assigned.unwrap_or_else(|| Assignment { binding: Ok(fixed.clone()), trial: None });
        stored.if_known(tenant, stored.unless_revoked(assigned))
    }

    /// The generations that serve a tenant: the current one, and one that is tried on some of its games. None while
    /// that is not known.
    pub fn serving(&self, tenant: &TenantId) -> Option<Vec<GenerationId>> {
        let stored = self.stored.load();
        if stored.unread {
            return None;
        }
        let configured = self.tenants.get(tenant);
        Some(match stored.bound(Some(tenant), configured.is_some()) {
            Some(scope) => scope.serving(),
            None => vec![configured.unwrap_or(&self.fallback).reference.generation.clone()],
        })
    }

    /// How long a tenant's runtimes are kept at least by its ceiling, which is its own or else everybody's.
    pub fn retention(&self, tenant: &TenantId) -> Duration {
        self.stored.load().ceilings.retention(tenant)
    }

    /// What runs have shown of the generations that are tried.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    fn scope(&self, scope: &PolicyScope) -> Option<Arc<ScopeBindings>> {
        self.stored.load().scope(scope).cloned()
    }

    fn scopes(&self) -> Vec<Arc<ScopeBindings>> {
        let stored = self.stored.load();
        stored.default.iter().chain(stored.tenants.values()).cloned().collect()
    }

    /// Puts in place what can be said of scopes without loading anything, unless something later is there already. With
    /// that the store has been read.
    fn announce(&self, changes: &Changes) {
        let states: Vec<_> = changes.states.iter().map(|state| Arc::new(state.clone())).collect();
        self.update(|stored| {
            let is_first = stored.unread;
            for state in &states {
                let known = stored.scope(&state.scope).cloned();
                if known.as_ref().is_none_or(|known| known.epoch <= changes.epoch) {
                    let next = ScopeBindings::told(changes.epoch, state.clone(), known.as_deref(), is_first);
                    stored.put(Arc::new(next));
                }
            }
            for (scope, damage) in changes.unreadable.iter().filter_map(|it| Some((it.scope.clone()?, it))) {
                let known = stored.scope(&scope).cloned();
                if known.as_ref().is_none_or(|known| known.epoch <= changes.epoch) {
                    let next = ScopeBindings::unreadable(changes.epoch, scope, damage, known.as_deref(), is_first);
                    stored.put(Arc::new(next));
                }
            }
            stored.unread = false;
        });
    }

    /// Knows as little as at the start: what was read of the store is not so any more. Until it is read anew nobody is served.
    fn forget(&self) {
        self.update(|stored| *stored = Stored { unread: true, ..Stored::default() });
    }

    /// Changes what is in place for a scope, if there is something, and the change makes something of it.
    fn amend(&self, scope: &PolicyScope, change: impl Fn(&ScopeBindings) -> Option<ScopeBindings>) {
        self.update(|stored| {
            if let Some(next) = stored.scope(scope).and_then(|known| change(known)) {
                stored.put(Arc::new(next));
            }
        });
    }

    /// Adds to what was revoked.
    fn revoke(&self, revoked: &[String]) {
        if !revoked.is_empty() {
            self.update(|stored| Arc::make_mut(&mut stored.revoked).extend(revoked.iter().cloned()));
        }
    }

    fn change_ceilings(&self, changes: &CeilingChanges) {
        if *changes != CeilingChanges::default() {
            self.update(|stored| Arc::make_mut(&mut stored.ceilings).change(changes));
        }
    }

    fn ceiling_problem(&self, scope: &PolicyScope) -> Option<String> {
        self.stored.load().ceilings.problem(scope)
    }

    fn update(&self, change: impl Fn(&mut Stored)) {
        self.stored.rcu(|stored| {
            let mut next = Stored::clone(stored);
            change(&mut next);
            next
        });
    }
}

impl Stored {
    fn scope(&self, scope: &PolicyScope) -> Option<&Arc<ScopeBindings>> {
        match scope {
            PolicyScope::Default => self.default.as_ref(),
            PolicyScope::Tenant(tenant) => self.tenants.get(tenant),
        }
    }

    fn put(&mut self, bindings: Arc<ScopeBindings>) {
        match &bindings.scope {
            PolicyScope::Default => self.default = Some(bindings),
            PolicyScope::Tenant(tenant) => drop(self.tenants.insert(tenant.clone(), bindings)),
        }
    }

    /// What a generation of a scope may do is cut to what the scope's ceiling allows today.
    fn within(&self, scope: &PolicyScope, assigned: Assignment) -> Assignment {
        match self.ceilings.of(scope) {
            Ok(None) => assigned,
            Ok(Some(ceiling)) => {
                let Assignment { binding, trial } = assigned;
                let trial = trial.map(|trial| Trial { shadow: trial.shadow.map(|it| it.under(ceiling)), ..trial });
                Assignment { binding: binding.map(|binding| binding.under(ceiling)), trial }
            }
            Err(_) => Assignment::beyond_knowledge(assigned.reference(), scope),
        }
    }

    /// Nothing serves a tenant of which it is not known how long its runtimes are to be kept.
    fn if_known(&self, tenant: Option<&TenantId>, assigned: Assignment) -> Assignment {
        let Some(tenant) = tenant.filter(|_| assigned.binding.is_ok()) else { return assigned };
        let scope = PolicyScope::Tenant(tenant.clone());
        match self.ceilings.of(&scope) {
            Ok(_) => assigned,
            Err(_) => Assignment::beyond_knowledge(assigned.reference(), &scope),
        }
    }

    /// The scope of the store that serves a tenant: its own, or else everybody's, unless a file binds the tenant.
    fn bound(&self, tenant: Option<&TenantId>, in_file: bool) -> Option<&Arc<ScopeBindings>> {
        let own = tenant.and_then(|tenant| self.tenants.get(tenant)).filter(|scope| scope.is_bound());
        own.or_else(|| self.default.as_ref().filter(|scope| scope.is_bound() && !in_file))
    }

    /// A component can be revoked wherever it is bound: also by a file, and also where a host keeps to an earlier
    /// generation since it cannot load the current one.
    fn unless_revoked(&self, assigned: Assignment) -> Assignment {
        match &assigned.binding {
            Ok(binding) if self.is_revoked(&binding.reference) => Assignment::revoked(&binding.reference),
            _ => assigned,
        }
    }

    fn is_revoked(&self, policy: &PolicyRef) -> bool {
        self.revoked.contains(policy.generation.as_str()) || self.revoked.contains(policy.digest.as_str())
    }
}

impl Assignment {
    fn refused(reference: &PolicyRef, code: ErrorCode, message: &str) -> Self {
        let fault = Fault { code, message: message.to_owned() };
        Self { binding: Err(Refusal { reference: reference.clone(), fault }), trial: None }
    }

    fn beyond_knowledge(reference: &PolicyRef, scope: &PolicyScope) -> Self {
        let message = format!("the ceiling of {scope} cannot be read; set it anew");
        Self::refused(reference, ErrorCode::POLICY_UNAVAILABLE, &message)
    }

    fn revoked(reference: &PolicyRef) -> Self {
        let message = format!("generation {} of the policy was revoked; bind another one", reference.generation);
        Self::refused(reference, ErrorCode::POLICY_REVOKED, &message)
    }
}
