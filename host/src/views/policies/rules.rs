//! What holds in a scope, as it is shown and given.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::grants;
use crate::model::{Ceiling, InvalidGrant, LimitOverrides, TrustedKey};
use crate::policies::ScopeRules;
use crate::views::{maybe, text};

/// Limits of a policy's runs. What is null is the host's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyLimits {
    /// Linear memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Time that the guest computes.
    pub guest_time_ms: Option<u64>,
    /// Wall-clock time of a run.
    pub run_time_ms: Option<u64>,
    /// Calls of imports.
    pub calls: Option<u32>,
    /// Bytes of text passed to the host in a run.
    pub bytes_per_run: Option<u64>,
    /// Lines logged in a run.
    pub log_lines: Option<u32>,
}

/// What an admin allows in a scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyCeiling {
    /// The most that a generation's limits may be.
    pub limits: PolicyLimits,
    /// The most that a generation may be granted; null for all there is.
    pub grants: Option<Vec<String>>,
    /// Whether policies must be signed by a key that the scope trusts.
    pub signature_required: bool,
    /// Days that a runtime is kept at least, whatever its policy says.
    pub retention_days: u32,
}

/// A key whose signatures a scope trusts, or has trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicySigner {
    /// The SHA-256 of the key.
    pub id: String,
    /// The public key in PEM.
    pub public_key: String,
    /// Since when it is trusted.
    pub added_at: String,
    /// Who added it.
    pub added_by: String,
    /// Since when it is trusted no more.
    pub revoked_at: Option<String>,
}

/// What holds in a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyRules {
    /// The scope's own ceiling; null if everybody's holds.
    pub own: Option<PolicyCeiling>,
    /// The ceiling that holds.
    pub effective: PolicyCeiling,
    /// The keys of the scope, beside everybody's.
    pub keys: Vec<PolicySigner>,
}

impl From<&LimitOverrides> for PolicyLimits {
    fn from(limits: &LimitOverrides) -> Self {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            memory_bytes: limits.memory_bytes,
            guest_time_ms: limits.guest_time.map(millis),
            run_time_ms: limits.run_time.map(millis),
            calls: limits.calls,
            bytes_per_run: limits.bytes_per_run,
            log_lines: limits.log_lines,
        }
    }
}

impl From<&PolicyLimits> for LimitOverrides {
    fn from(limits: &PolicyLimits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            guest_time: limits.guest_time_ms.map(Duration::from_millis),
            run_time: limits.run_time_ms.map(Duration::from_millis),
            calls: limits.calls,
            bytes_per_run: limits.bytes_per_run,
            log_lines: limits.log_lines,
        }
    }
}

impl From<&Ceiling> for PolicyCeiling {
    fn from(ceiling: &Ceiling) -> Self {
        Self {
            limits: (&ceiling.limits).into(),
            grants: ceiling.grants.as_ref().map(grants),
            signature_required: ceiling.signature_required,
            retention_days: ceiling.retention_days,
        }
    }
}

impl TryFrom<&PolicyCeiling> for Ceiling {
    type Error = InvalidGrant;

    fn try_from(ceiling: &PolicyCeiling) -> Result<Self, InvalidGrant> {
        let grants = ceiling.grants.as_ref().map(|grants| grants.iter().map(|text| text.parse()).collect());
        Ok(Self {
            limits: (&ceiling.limits).into(),
            grants: grants.transpose()?,
            signature_required: ceiling.signature_required,
            retention_days: ceiling.retention_days,
        })
    }
}

impl From<&TrustedKey> for PolicySigner {
    fn from(key: &TrustedKey) -> Self {
        Self {
            id: key.id.clone(),
            public_key: key.public_key.clone(),
            added_at: text(&key.added_at),
            added_by: key.added_by.clone(),
            revoked_at: maybe(&key.revoked_at),
        }
    }
}

impl From<&ScopeRules> for PolicyRules {
    fn from(rules: &ScopeRules) -> Self {
        Self {
            own: rules.own.as_ref().map(PolicyCeiling::from),
            effective: (&rules.effective).into(),
            keys: rules.keys.iter().map(PolicySigner::from).collect(),
        }
    }
}
