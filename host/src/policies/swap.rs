//! Back to an earlier generation, away from a revoked one, and what serves a scope now.

use std::collections::BTreeSet;

use super::AuthorityChange;
use super::authority::Extent;
use super::{Error, PAGE, Policies, Replica, may_change, may_see, sight};
use crate::access::{Action, Caller, Deed, permit};
use crate::model::{
    Ceiling, Divergence, Generation, Grants, LimitOverrides, PolicyArtifact, PolicyChange, PolicyScope, Revocation,
    Signed,
};
use crate::ports::{Changes, ScopeState, StoreError, SwapError, SwapKind};

/// Where to go back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollBack {
    /// The generation; none for the one before the current one.
    pub to: Option<u64>,
    /// The generation that has to be current; none for whichever is.
    pub expected: Option<u64>,
    /// Whether a rollout of another generation goes on beside it; otherwise it is given up.
    pub keep_rollout: bool,
    /// Why.
    pub reason: String,
}

/// What a generation may do today: what it was bound with, cut to the ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Its limits.
    pub limits: LimitOverrides,
    /// Its grants.
    pub grants: Grants,
}

/// What serves a scope, and what is allowed there.
#[derive(Debug, Clone)]
pub struct ScopeStatus {
    /// What the store says; none if the scope never had a binding of its own.
    pub state: Option<ScopeState>,
    /// The policy of the current generation.
    pub artifact: Option<PolicyArtifact>,
    /// The hosts that are alive, and what each serves the scope with.
    pub replicas: Vec<Replica>,
    /// What the scope's ceiling allows, be it its own or everybody's.
    pub ceiling: Ceiling,
    /// What the current generation may do today.
    pub effective: Option<Effective>,
    /// Why what the store says of the scope cannot be read; hosts keep to what they serve.
    pub problem: Option<String>,
}

/// What a revocation has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// What was revoked.
    pub revocation: Revocation,
    /// The scopes that nobody serves any more.
    pub unserved: Vec<PolicyScope>,
}

impl Policies {
    /// Makes an earlier generation current again, at once: it was examined when it was bound. Its version may be below
    /// the scope's mark; its signature has to count still, where the scope takes signed policies only. A rollout that is
    /// under way is given up, unless it is asked to go on. Twice without a target goes back and forth.
    pub async fn roll_back(&self, caller: &Caller, scope: &PolicyScope, order: RollBack) -> Result<Generation, Error> {
        may_change(caller, scope)?;
        let signed = self.signed(caller, &order.reason)?;
        let deed = Deed::new("policy.rollback", scope)
            .with("to", order.to)
            .with("keep_rollout", order.keep_rollout)
            .with("reason", order.reason.clone());
        let (desk, scope) = (self.clone(), scope.clone());
        self.0.trail.audited(caller, deed, async move { desk.swap_back(&scope, &order, &signed).await }).await
    }

    async fn swap_back(&self, scope: &PolicyScope, order: &RollBack, signed: &Signed) -> Result<Generation, Error> {
        let state = self.bound(scope).await?;
        let current = state.current.map(|generation| generation.number);
        if order.expected.is_some_and(|expected| Some(expected) != current) {
            return Err(SwapError::Conflict { current }.into());
        }
        let before = state.previous.map(|generation| generation.number);
        let nothing = || Error::NotFound(format!("generation of {scope} to go back to"));
        let to = order.to.or(before).ok_or_else(nothing)?;
        if Some(to) == current {
            return Err(Error::Invalid(format!("generation {to} of {scope} is current already")));
        }
        let generation = self.generation(scope, to).await?;
        if !self.has_served(scope, to).await? {
            return Err(Error::Invalid(format!("generation {to} of {scope} has never served: bind it")));
        }
        self.check_allowed(scope, &generation.spec).await?;
        let kind = if order.keep_rollout { SwapKind::RollBackBeside } else { SwapKind::RollBack };
        self.0.generations.swap(scope, current, to, kind, None, signed).await?;
        Ok(generation)
    }

    /// Whether a generation was ever current: what was only staged has not passed all that it would have to.
    async fn has_served(&self, scope: &PolicyScope, number: u64) -> Result<bool, Error> {
        let mut before = None;
        loop {
            let page = self.0.generations.history(scope, before, PAGE).await?;
            let Some(last) = page.last() else { return Ok(false) };
            before = Some(last.id);
            if page.iter().any(|change| change.to == Some(number) && change.event.makes_current()) {
                return Ok(true);
            }
        }
    }

    /// Revokes a generation or a component: what is revoked can change no record and remove no container from now on,
    /// on any host, runs under way included. A scope whose current generation it is has nobody to serve it until it is
    /// rolled back or bound anew.
    pub async fn revoke(&self, caller: &Caller, revocation: Revocation, reason: &str) -> Result<Revoked, Error> {
        match &revocation {
            Revocation::Generation(generation) => may_change(caller, &generation.scope())?,
            Revocation::Component(digest) => {
                self.seen(caller, digest).await?;
                permit(caller, &Action::RevokePolicy)?;
            }
        }
        let signed = self.signed(caller, reason)?;
        let deed = Deed::new("policy.revoke", revocation.subject()).with("reason", reason.to_owned());
        let (desk, revoked) = (self.clone(), revocation.clone());
        let revoking = async move {
            let known = desk.0.generations.revoke(&revoked, &signed).await?;
            known.then_some(()).ok_or_else(|| Error::NotFound(format!("policy {}", revoked.subject())))
        };
        self.0.trail.audited(caller, deed, revoking).await?;
        let states = self.0.generations.changed_since(0).await?.states;
        let unserved = states.into_iter().filter(|state| is_unserved_by(state, &revocation)).map(|state| state.scope);
        let unserved = unserved.filter(|scope| may_see(caller, scope).is_ok()).collect();
        Ok(Revoked { revocation, unserved })
    }

    /// Takes a scope's own binding away: from now on it is served as tenants without one are.
    pub async fn unbind(&self, caller: &Caller, scope: &PolicyScope, reason: &str) -> Result<(), Error> {
        may_change(caller, scope)?;
        let signed = self.signed(caller, reason)?;
        let deed = Deed::new("policy.unbind", scope).with("reason", reason.to_owned());
        let (desk, scope) = (self.clone(), scope.clone());
        let unbinding = async move {
            let current = desk.bound(&scope).await?.current.map(|generation| generation.number);
            let current = current.ok_or_else(|| Error::NotFound(format!("binding of {scope}")))?;
            Ok::<_, Error>(desk.0.generations.unbind(&scope, current, &signed).await?)
        };
        self.0.trail.audited(caller, deed, unbinding).await
    }

    /// The scopes that were ever bound and that the caller can see.
    pub async fn scopes(&self, caller: &Caller) -> Result<Vec<PolicyScope>, Error> {
        let Changes { states, unreadable, .. } = self.0.generations.changed_since(0).await?;
        let unreadable = unreadable.into_iter().filter_map(|damage| damage.scope);
        let scopes: BTreeSet<_> = states.into_iter().map(|state| state.scope).chain(unreadable).collect();
        Ok(scopes.into_iter().filter(|scope| may_see(caller, scope).is_ok()).collect())
    }

    /// What serves a scope, on every host.
    pub async fn status(&self, caller: &Caller, scope: &PolicyScope) -> Result<ScopeStatus, Error> {
        may_see(caller, scope)?;
        let (state, problem) = match self.0.generations.state(scope).await {
            Ok(state) => (state.map(|state| sight::state(caller, state)), None),
            Err(StoreError::Corrupt(reason)) => (None, Some(reason)),
            Err(error) => return Err(error.into()),
        };
        let spec = state.as_ref().and_then(|state| state.current.as_ref()).map(|current| &current.spec);
        let artifact = match spec {
            Some(spec) => self.policy_of(scope, spec).await?,
            None => None,
        };
        let (replicas, ceiling) = (self.replicas(caller, scope).await?, self.ceiling(scope).await?);
        let effective = spec.map(|spec| {
            let (limits, grants) = ceiling.cut(&spec.limits, &spec.grants);
            Effective { limits, grants }
        });
        Ok(ScopeStatus { state, artifact, replicas, ceiling, effective, problem })
    }

    /// What happened to a scope, newest first.
    pub async fn history(
        &self,
        caller: &Caller,
        scope: &PolicyScope,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<PolicyChange>, Error> {
        may_see(caller, scope)?;
        Ok(self.0.generations.history(scope, before, limit).await?)
    }

    /// One generation of a scope.
    pub async fn show_generation(
        &self,
        caller: &Caller,
        scope: &PolicyScope,
        number: u64,
    ) -> Result<Generation, Error> {
        may_see(caller, scope)?;
        Ok(sight::generation(caller, self.generation(scope, number).await?))
    }

    /// How two generations of a scope differ in what they may do. None for the current one.
    pub async fn diff(
        &self,
        caller: &Caller,
        scope: &PolicyScope,
        from: Option<u64>,
        to: u64,
    ) -> Result<(Generation, Generation, AuthorityChange), Error> {
        may_see(caller, scope)?;
        let from = match from {
            Some(number) => self.generation(scope, number).await?,
            None => {
                let current = self.bound(scope).await?.current;
                current.ok_or_else(|| Error::NotFound(format!("current generation of {scope}")))?
            }
        };
        let to = self.generation(scope, to).await?;
        let [before, after] = [&from, &to].map(|generation| Extent::of(&generation.spec, &self.0.limits));
        let change = AuthorityChange::between(&before, &after);
        Ok((sight::generation(caller, from), sight::generation(caller, to), change))
    }

    /// How runs of a shadow differed from those that they stood beside, newest first.
    pub async fn divergences(
        &self,
        caller: &Caller,
        scope: &PolicyScope,
        number: u64,
        limit: u32,
    ) -> Result<Vec<Divergence>, Error> {
        may_see(caller, scope)?;
        Ok(self.0.generations.divergences(scope, number, limit).await?)
    }

    pub(super) async fn bound(&self, scope: &PolicyScope) -> Result<ScopeState, Error> {
        let state = self.0.generations.state(scope).await?;
        state.ok_or_else(|| Error::NotFound(format!("binding of {scope}")))
    }

    pub(super) async fn generation(&self, scope: &PolicyScope, number: u64) -> Result<Generation, Error> {
        let found = self.0.generations.generation(scope, number).await?;
        found.ok_or_else(|| Error::NotFound(format!("generation {number} of {scope}")))
    }
}

/// Whether a scope's current generation is one of those that a revocation names.
fn is_unserved_by(state: &ScopeState, revocation: &Revocation) -> bool {
    state.current.as_ref().is_some_and(|current| match revocation {
        Revocation::Generation(generation) => current.id() == *generation,
        Revocation::Component(digest) => current.spec.digest == *digest,
    })
}
