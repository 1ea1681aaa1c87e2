//! What only an admin says of a scope: its ceiling, and whose signatures it trusts.

use super::{Error, Policies, may_see};
use crate::access::{Action, Caller, Deed, permit};
use crate::model::{Ceiling, PolicyScope, Signed, TrustedKey};
use crate::signing::PublicKey;

/// What holds in a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeRules {
    /// Its own ceiling; none if everybody's holds.
    pub own: Option<Ceiling>,
    /// The ceiling that holds.
    pub effective: Ceiling,
    /// The keys that it trusts, or has trusted, beside everybody's.
    pub keys: Vec<TrustedKey>,
}

impl Policies {
    /// What holds in a scope.
    pub async fn rules(&self, caller: &Caller, scope: &PolicyScope) -> Result<ScopeRules, Error> {
        may_see(caller, scope)?;
        let own = self.0.access.ceiling(scope).await?;
        let (effective, keys) = (self.ceiling(scope).await?, self.0.access.keys(scope).await?);
        Ok(ScopeRules { own, effective, keys })
    }

    /// Sets, or with none takes away, a scope's own ceiling. What is bound there stays bound, and may
    /// from now on do no more than the ceiling allows.
    pub async fn set_ceiling(
        &self,
        caller: &Caller,
        scope: &PolicyScope,
        ceiling: Option<Ceiling>,
    ) -> Result<(), Error> {
        permit(caller, &Action::SetCeiling)?;
        let shown = ceiling.as_ref().map(|ceiling| format!("{ceiling:?}"));
        let deed = Deed::new("policy.ceiling", scope).with("ceiling", shown);
        let (desk, scope) = (self.clone(), scope.clone());
        let signed = self.signed(caller, "the ceiling was changed while this was tried")?;
        let setting = async move {
            desk.0.access.set_ceiling(&scope, ceiling.as_ref()).await?;
            desk.end_disallowed(&scope, &signed).await
        };
        self.0.trail.audited(caller, deed, setting).await
    }

    /// Trusts a key in a scope.
    pub async fn add_key(&self, caller: &Caller, scope: &PolicyScope, key: &PublicKey) -> Result<TrustedKey, Error> {
        permit(caller, &Action::ManageKeys)?;
        let key = TrustedKey {
            id: key.id().to_string(),
            public_key: key.to_pem(),
            added_at: self.0.clock.now(),
            added_by: caller.actor.clone(),
            revoked_at: None,
        };
        let deed = Deed::new("policy.trust", scope).with("key", key.id.clone());
        let (desk, scope, added) = (self.clone(), scope.clone(), key.clone());
        let adding = async move {
            let fresh = desk.0.access.add_key(&scope, &added).await?;
            let revoked = || Error::Invalid(format!("key {} was revoked in {scope}, for good: make another", added.id));
            fresh.then_some(()).ok_or_else(revoked)
        };
        self.0.trail.audited(caller, deed, adding).await.map(|()| key)
    }

    /// Trusts a key in a scope no more, for good. What it vouched for is not bound again; what is bound stays.
    pub async fn revoke_key(&self, caller: &Caller, scope: &PolicyScope, id: &str) -> Result<(), Error> {
        permit(caller, &Action::ManageKeys)?;
        let deed = Deed::new("policy.distrust", scope).with("key", id.to_owned());
        let (desk, scope, id) = (self.clone(), scope.clone(), id.to_owned());
        let signed = self.signed(caller, "a key was revoked while this was tried")?;
        let revoking = async move {
            let known = desk.0.access.revoke_key(&scope, &id, desk.0.clock.now()).await?;
            known.then_some(()).ok_or_else(|| Error::NotFound(format!("key {id} in {scope}")))?;
            desk.end_disallowed(&scope, &signed).await
        };
        self.0.trail.audited(caller, deed, revoking).await
    }

    /// A rollout becomes current by itself, with nobody there to ask what is allowed: so one that is not any more ends.
    /// What is said of everybody holds where a tenant's own says nothing.
    async fn end_disallowed(&self, scope: &PolicyScope, signed: &Signed) -> Result<(), Error> {
        let states = self.0.generations.changed_since(0).await?.states;
        let concerned = states.into_iter().filter(|state| *scope == PolicyScope::Default || state.scope == *scope);
        for state in concerned {
            let Some(rollout) = state.rollout else { continue };
            let spec = self.generation(&state.scope, rollout.number).await?.spec;
            match self.check_allowed(&state.scope, &spec).await {
                Err(Error::Store(error)) => return Err(error.into()),
                Err(_) => drop(self.0.generations.end_rollout(&state.scope, rollout.number, signed).await?),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}
