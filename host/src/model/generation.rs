//! Which policy serves whom: scopes, their generations, and what a run says of the policy that it runs.

use std::fmt;
use std::str::FromStr;

use super::ids::{InvalidId, text_id};
use super::{PolicyDigest, TenantId};

/// Whom a binding serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyScope {
    /// Tenants that have no binding of their own. Written `*`, which no tenant can be called.
    Default,
    /// One tenant.
    Tenant(TenantId),
}

impl PolicyScope {
    /// The scope as it is stored and shown.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Default => "*",
            Self::Tenant(tenant) => tenant.as_str(),
        }
    }

    /// The tenant, of a scope that is one's own.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Default => None,
            Self::Tenant(tenant) => Some(tenant),
        }
    }
}

impl fmt::Display for PolicyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PolicyScope {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "*" => Ok(Self::Default),
            tenant => tenant.parse().map(Self::Tenant),
        }
    }
}

text_id!(
    /// One generation of a scope's binding: component, settings, limits and grants together. `SCOPE/NUMBER` for those
    /// in the store; `SCOPE/file-HASH` for what a host's configuration binds, by a hash of component and settings.
    GenerationId,
    "policy generation",
    "SCOPE/NUMBER, such as acme/7, or */3 for tenants without a policy of their own",
    |text| {
        let named = |scope: &str, rest: &str| scope.parse::<PolicyScope>().is_ok() && is_generation(rest);
        text.split_once('/').is_some_and(|(scope, rest)| named(scope, rest))
    }
);

impl GenerationId {
    /// A generation in the store.
    pub fn numbered(scope: &PolicyScope, number: u64) -> Self {
        Self(format!("{scope}/{number}").into())
    }

    /// What a host's configuration binds.
    pub fn configured(scope: &PolicyScope, hash: &str) -> Self {
        Self(format!("{scope}/file-{hash}").into())
    }

    /// Whom it serves.
    pub fn scope(&self) -> PolicyScope {
        let scope = self.0.split_once('/').and_then(|(scope, _)| scope.parse().ok());
        // Every one that was parsed or made has a scope.
        scope.unwrap_or(PolicyScope::Default)
    }

    /// Its number in the store; none for what a configuration binds.
    pub fn number(&self) -> Option<u64> {
        self.0.split_once('/').and_then(|(_, number)| number.parse().ok())
    }
}

fn is_generation(text: &str) -> bool {
    let is_number = text.parse::<u64>().is_ok_and(|number| number.to_string() == text);
    let is_hash = |hash: &str| hash.len() == 16 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_number || text.strip_prefix("file-").is_some_and(is_hash)
}

/// The policy of a run: what its log entry names, and what a revocation can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRef {
    /// The generation that bound it.
    pub generation: GenerationId,
    /// The SHA-256 of the component.
    pub digest: PolicyDigest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_names_its_scope_and_its_number() {
        let acme = PolicyScope::Tenant(TenantId::default());
        for (id, number) in [
            (GenerationId::numbered(&acme, 7), Some(7)),
            (GenerationId::numbered(&PolicyScope::Default, 1), Some(1)),
            (GenerationId::configured(&PolicyScope::Default, "0123456789abcdef"), None),
        ] {
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
            assert_eq!(id.number(), number);
        }
    }

    #[test]
    fn what_names_no_generation_is_refused() {
        for wrong in ["", "acme", "acme/", "/7", "acme/07", "acme/-1", "acme/7/8", "**/1", "acme/file-xyz", "a b/1"] {
            assert!(wrong.parse::<GenerationId>().is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn no_tenant_can_be_called_like_the_default_scope() {
        assert!("*".parse::<TenantId>().is_err());
        assert_eq!("*".parse(), Ok(PolicyScope::Default));
    }
}
