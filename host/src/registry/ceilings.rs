//! What ceilings hold today, as far as this host has read them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{Ceiling, PolicyScope, TenantId};
use crate::ports::CeilingChanges;

/// Ceilings by scope.
#[derive(Debug, Clone, Default)]
pub(super) struct Ceilings(BTreeMap<PolicyScope, Held>);

/// A scope's own ceiling.
#[derive(Debug, Clone, Default)]
struct Held {
    /// The last one that could be read.
    known: Option<Ceiling>,
    /// Why the one that was set cannot be read.
    problem: Option<String>,
}

/// It is not known what a ceiling allows.
pub(super) struct Unknown;

impl Ceilings {
    /// One that cannot be read leaves in force what was known of it.
    pub(super) fn change(&mut self, changes: &CeilingChanges) {
        for (scope, ceiling) in &changes.ceilings {
            match ceiling {
                Some(ceiling) => {
                    drop(self.0.insert(scope.clone(), Held { known: Some(ceiling.clone()), problem: None }));
                }
                None => drop(self.0.remove(scope)),
            }
        }
        for damage in &changes.unreadable {
            if let Some(scope) = &damage.scope {
                self.0.entry(scope.clone()).or_default().problem = Some(damage.reason.clone());
            }
        }
    }

    /// The ceiling that holds in a scope, which is its own or else everybody's; none if there is none.
    pub(super) fn of(&self, scope: &PolicyScope) -> Result<Option<&Ceiling>, Unknown> {
        let held = self.0.get(scope).or_else(|| self.0.get(&PolicyScope::Default));
        held.map(|held| held.known.as_ref().ok_or(Unknown)).transpose()
    }

    /// How long a tenant's runtimes are kept at least. Where that is not known, nobody serves the tenant.
    pub(super) fn retention(&self, tenant: &TenantId) -> Duration {
        let ceiling = self.of(&PolicyScope::Tenant(tenant.clone()));
        ceiling.ok().flatten().map(Ceiling::retention).unwrap_or_default()
    }

    /// What is wrong with the ceiling that holds in a scope.
    pub(super) fn problem(&self, scope: &PolicyScope) -> Option<String> {
        let held = self.0.get(scope).or_else(|| self.0.get(&PolicyScope::Default))?;
        held.problem.as_ref().map(|problem| format!("its ceiling cannot be read: {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Unreadable;

    fn set(scope: &PolicyScope, retention_days: u32) -> CeilingChanges {
        let ceiling = Ceiling { retention_days, ..Ceiling::default() };
        CeilingChanges { ceilings: vec![(scope.clone(), Some(ceiling))], unreadable: Vec::new() }
    }

    fn damaged(scope: &PolicyScope) -> CeilingChanges {
        let damage = Unreadable { scope: Some(scope.clone()), current: None, reason: "damaged".to_owned() };
        CeilingChanges { ceilings: Vec::new(), unreadable: vec![damage] }
    }

    #[test]
    fn one_that_cannot_be_read_leaves_what_was_known_and_says_so() {
        let (mut ceilings, acme) = (Ceilings::default(), PolicyScope::Tenant(TenantId::default()));
        ceilings.change(&set(&acme, 30));
        ceilings.change(&damaged(&acme));
        assert_eq!(ceilings.retention(&TenantId::default()), Duration::from_secs(30 * 86_400));
        assert!(ceilings.problem(&acme).is_some_and(|problem| problem.ends_with("damaged")));
        ceilings.change(&set(&acme, 1));
        assert_eq!(ceilings.problem(&acme), None);
    }

    #[test]
    fn one_that_was_never_read_is_unknown_to_its_own_scope_and_everybodys_to_all_without_their_own() {
        let (mut ceilings, acme) = (Ceilings::default(), PolicyScope::Tenant(TenantId::default()));
        ceilings.change(&damaged(&acme));
        assert!(ceilings.of(&acme).is_err());
        assert!(ceilings.of(&PolicyScope::Default).is_ok());
        ceilings.change(&CeilingChanges { ceilings: vec![(acme.clone(), None)], unreadable: Vec::new() });
        assert!(ceilings.of(&acme).is_ok_and(|ceiling| ceiling.is_none()));
        ceilings.change(&damaged(&PolicyScope::Default));
        assert!(ceilings.of(&acme).is_err());
        ceilings.change(&set(&acme, 1));
        assert!(ceilings.of(&acme).is_ok());
    }
}
