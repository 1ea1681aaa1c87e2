//! The table of who may do what. What does not stand there is denied.

use std::fmt;

use super::Caller;
use crate::model::{PolicyScope, Role, TenantId};

/// Everything that a caller can do. A component's owner is none if it is the platform's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Probe, and read the interface's description.
    Observe,
    /// See runtimes, their explanations and the operation log. A tenant sees its own; the others' are not there for it.
    ReadRuntimes,
    /// Register, clean up, hold and release, unpark.
    ChangeRuntimes,
    /// See what concerns all tenants at once: pauses, orphans, metrics, the hosts and what each needs.
    ReadPlatform,
    /// Pause and resume the sweeper.
    Pause,
    /// See the generations of a scope: current ones, history, rollouts; and its ceiling and keys.
    ReadPolicies(PolicyScope),
    /// See the values of a scope's settings, which may be secrets, beside their names.
    ReadSettings(PolicyScope),
    /// Bind, roll out and back, and revoke generations of a scope.
    ChangePolicies(PolicyScope),
    /// See and fetch a component.
    ReadPolicy(Option<TenantId>),
    /// Put components of one's own into the store, vouch for them and revoke them: whether this one, is asked with it at
    /// hand.
    ManagePolicies,
    /// Put a component into the store, or a signature of it.
    PushPolicy(Option<TenantId>),
    /// Revoke a component, wherever it is bound.
    RevokePolicy,
    /// Say what is allowed in scopes.
    SetCeiling,
    /// Say which keys scopes trust.
    ManageKeys,
    /// Make, list, replace and revoke tokens.
    ManageTokens,
    /// Read and check the trail.
    ReadAudit,
    /// Take the trail's oldest links away.
    PruneAudit,
}

/// Which tenants' tokens may.
enum Tenants<'a> {
    /// None.
    No,
    /// Each, about its own.
    Own,
    /// This one's only.
    Of(&'a TenantId),
}

const ADMIN: &[Role] = &[Role::Admin];
const OPERATORS: &[Role] = &[Role::Admin, Role::Operator];
const STAFF: &[Role] = &[Role::Admin, Role::Operator, Role::Viewer];

impl Action {
    /// The table.
    fn allowed(&self) -> (&'static [Role], Tenants<'_>) {
        let of = |tenant| Option::map_or(tenant, Tenants::No, Tenants::Of);
        match self {
            Self::Observe => (STAFF, Tenants::Own),
            Self::ReadRuntimes => (STAFF, Tenants::Own),
            Self::ChangeRuntimes => (OPERATORS, Tenants::No),
            Self::ReadPlatform => (STAFF, Tenants::No),
            Self::Pause => (OPERATORS, Tenants::No),
            Self::ReadPolicies(scope) => (STAFF, of(scope.tenant())),
            Self::ReadSettings(scope) | Self::ChangePolicies(scope) => (ADMIN, of(scope.tenant())),
            // What is the platform's, every tenant may bind.
            Self::ReadPolicy(None) => (STAFF, Tenants::Own),
            Self::ReadPolicy(Some(owner)) => (STAFF, Tenants::Of(owner)),
            Self::ManagePolicies => (ADMIN, Tenants::Own),
            Self::PushPolicy(owner) => (ADMIN, of(owner.as_ref())),
            // It holds for whoever is bound to these bytes, also by a file: a tenant revokes its own generations.
            Self::RevokePolicy => (ADMIN, Tenants::No),
            Self::SetCeiling | Self::ManageKeys => (ADMIN, Tenants::No),
            Self::ManageTokens => (ADMIN, Tenants::No),
            Self::ReadAudit | Self::PruneAudit => (ADMIN, Tenants::No),
        }
    }

    /// Who may, in words.
    pub fn needs(&self) -> String {
        let (roles, tenants) = self.allowed();
        let mut names: Vec<_> = roles.iter().map(|role| role.as_str().to_owned()).collect();
        match tenants {
            Tenants::No => {}
            Tenants::Own => names.push("tenant".to_owned()),
            Tenants::Of(tenant) => names.push(format!("tenant {tenant}")),
        }
        match names.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => names.concat(),
        }
    }
}

/// The caller's role does not allow this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Denied {
    /// The roles that do, in words.
    pub needs: String,
    /// The caller's.
    pub role: Role,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this needs the role {}, and the caller's is {}", self.needs, self.role)
    }
}

/// Whether a caller may do this.
pub fn permit(caller: &Caller, action: &Action) -> Result<(), Denied> {
    let (roles, tenants) = action.allowed();
    let may = match (&caller.role, tenants) {
        (Role::Tenant(_), Tenants::Own) => true,
        (Role::Tenant(own), Tenants::Of(tenant)) => own == tenant,
        (Role::Tenant(_), Tenants::No) => false,
        (role, _) => roles.contains(role),
    };
    if may { Ok(()) } else { Err(Denied { needs: action.needs(), role: caller.role.clone() }) }
}
