//! How what a generation may do differs from what the one before might.

use std::fmt;

use crate::model::{BindingSpec, Grants};
use crate::runtime::Limits;

/// One limit that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitChange {
    /// Its name.
    pub limit: &'static str,
    /// What it was; times in milliseconds.
    pub from: u64,
    /// What it becomes.
    pub to: u64,
}

/// What changes between two generations of a scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorityChange {
    /// What it may do and might not.
    pub gained: Grants,
    /// What it might do and may not any more.
    pub lost: Grants,
    /// Limits that differ.
    pub limits: Vec<LimitChange>,
}

/// What a generation may do, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) grants: Grants,
    pub(super) limits: Limits,
}

impl Extent {
    /// Of what stands in the store, on a host with these limits: they were checked when it was bound.
    pub(super) fn of(spec: &BindingSpec, host: &Limits) -> Self {
        let limits = spec.limits.apply(host).unwrap_or_else(|_| host.clone());
        Self { grants: spec.grants.clone(), limits }
    }

    /// Of what the configuration binds, which may do all there is.
    pub(super) fn whole(host: &Limits) -> Self {
        Self { grants: Grants::all(), limits: host.clone() }
    }
}

impl AuthorityChange {
    pub(super) fn between(from: &Extent, to: &Extent) -> Self {
        let (gained, lost) = (to.grants.difference(&from.grants), from.grants.difference(&to.grants));
        let limits = numbers(&from.limits).into_iter().zip(numbers(&to.limits));
        let limits = limits.map(|((limit, from), (_, to))| LimitChange { limit, from, to });
        Self { gained, lost, limits: limits.filter(|change| change.from != change.to).collect() }
    }

    /// Whether the new one may do anything that the old one might not.
    pub fn widens(&self) -> bool {
        !self.gained.is_empty() || self.limits.iter().any(|change| change.to > change.from)
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn numbers(limits: &Limits) -> [(&'static str, u64); 6] {
    let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    [
        ("memory_bytes", limits.memory_bytes),
        ("guest_time_ms", millis(limits.guest_time)),
        ("run_time_ms", millis(limits.run_time)),
        ("calls", limits.calls.into()),
        ("bytes_per_run", limits.bytes_per_run),
        ("log_lines", limits.log_lines.into()),
    ]
}

impl fmt::Display for AuthorityChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        if !self.gained.is_empty() {
            said.push(format!("it gains {}", self.gained));
        }
        if !self.lost.is_empty() {
            said.push(format!("it loses {}", self.lost));
        }
        said.extend(self.limits.iter().map(|LimitChange { limit, from, to }| format!("{limit} from {from} to {to}")));
        f.write_str(if said.is_empty() { "nothing" } else { "" })?;
        f.write_str(&said.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(grants: &str, calls: u32) -> Extent {
        Extent { grants: grants.parse().unwrap_or_default(), limits: Limits { calls, ..Limits::default() } }
    }

    #[test]
    fn more_grants_and_higher_limits_widen_and_less_does_not() {
        let narrow = extent("clock, docker.inspect", 10);
        let wide = extent("clock, docker.inspect, docker.remove", 20);
        let widened = AuthorityChange::between(&narrow, &wide);
        assert!(widened.widens());
        assert_eq!(widened.to_string(), "it gains docker.remove; calls from 10 to 20");
        let narrowed = AuthorityChange::between(&wide, &narrow);
        assert!(!narrowed.widens() && !narrowed.is_empty());
        assert_eq!(narrowed.to_string(), "it loses docker.remove; calls from 20 to 10");
        assert!(AuthorityChange::between(&wide, &wide).is_empty());
    }
}
