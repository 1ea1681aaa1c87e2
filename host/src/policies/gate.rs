//! What runs a policy through the safety scenarios.

use async_trait::async_trait;

use crate::model::BindingSpec;

/// A policy kept the protocol in all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenarios {
    /// How many histories it ran in.
    pub histories: u64,
}

/// Why a policy is not let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// It broke the protocol, or did not come to an end.
    #[error("the policy is not safe: {what}\n{scenario}")]
    Policy {
        /// What it did.
        what: String,
        /// The smallest history found in which it does so, for people.
        scenario: String,
    },
    /// It was not examined to the end, for a reason that is this host's.
    #[error("the policy could not be examined: {0}")]
    Unchecked(String),
}

/// Runs a policy through randomised histories with faults, and looks whether it keeps the protocol. What it decides
/// is its own affair.
#[async_trait]
pub trait SafetyGate: Send + Sync {
    /// Examines a component as it is to be bound: with these settings, by which it may be another policy, and within
    /// these limits and grants. It has been admitted: it fits, and is bounded.
    async fn examine(&self, component: &[u8], bound: &BindingSpec) -> Result<Scenarios, Unsafe>;
}
