//! Pauses of the sweeper, and the counts that the breaker goes by.

use std::fmt;

use super::{EngineName, TenantId, Timestamp};

/// A scope in which the sweeper can be paused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PauseScope {
    /// Everything.
    Global,
    /// One engine.
    Engine(EngineName),
    /// One tenant.
    Tenant(TenantId),
}

impl fmt::Display for PauseScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Engine(engine) => write!(f, "engine {engine}"),
            Self::Tenant(tenant) => write!(f, "tenant {tenant}"),
        }
    }
}

/// Why the sweeper is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseCause {
    /// An operator's order.
    Operator,
    /// The blast-radius breaker: so many removals would pass the allowed share. Resuming allows that
    /// many more within a rolling day.
    Breaker {
        /// How many removals resuming would allow.
        removals: u64,
    },
    /// The wall clock and the monotonic clock disagree.
    ClockJump,
}

/// One pause in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What is paused.
    pub scope: PauseScope,
    /// Why.
    pub cause: PauseCause,
    /// The same for people; says how to resume.
    pub reason: String,
    /// Who paused it.
    pub actor: String,
    /// Since when.
    pub at: Timestamp,
}

/// How many runtimes an engine has, for the blast-radius breaker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Records on the engine that are not removed.
    pub not_removed: u64,
    /// Of these, stopped for longer than the retention floor, and neither waiting, held nor parked.
    pub due: u64,
    /// Records removed within the rolling window.
    pub removed_recently: u64,
    /// Removals that operators allowed beyond the limit within the rolling window.
    pub allowance: u64,
    /// Of the removed, those that the asking walk had claimed.
    pub removed_by_walk: u64,
    /// Stopped records that other walks have claimed: each may become a removal.
    pub claimed: u64,
}
