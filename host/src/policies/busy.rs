//! Who is having a policy examined: each scope one at a time, so that nobody keeps the others waiting by asking often.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use crate::model::PolicyScope;

/// The scopes for which a policy is being examined.
#[derive(Clone, Default)]
pub struct Busy(Arc<Mutex<BTreeSet<PolicyScope>>>);

/// An examination under way; it ends with the value.
pub(super) struct Examining {
    busy: Busy,
    scope: PolicyScope,
}

impl Busy {
    /// Refused while another one of the scope is under way.
    pub(super) fn enter(&self, scope: &PolicyScope) -> Result<Examining, Error> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(scope.clone()) {
            true => Ok(Examining { busy: self.clone(), scope: scope.clone() }),
            false => Err(Error::Busy(scope.clone())),
        }
    }
}

impl Drop for Examining {
    fn drop(&mut self) {
        self.busy.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_one_policy_examined_at_a_time_and_holds_up_no_other() {
        let (busy, acme) = (Busy::default(), PolicyScope::Tenant(crate::model::TenantId::default()));
        let first = busy.enter(&acme);
        assert!(matches!(busy.enter(&acme), Err(Error::Busy(_))));
        assert!(busy.enter(&PolicyScope::Default).is_ok());
        drop(first);
        assert!(busy.enter(&acme).is_ok());
    }
}
