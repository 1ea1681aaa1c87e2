//! What can be observed: the sets that labels are taken from, and figures that are taken together.

use std::time::Duration;

use crate::model::Timestamp;

/// How asking for a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseResult {
    /// It was granted.
    Acquired,
    /// Another operation holds it.
    Held,
    /// The lease store failed.
    Failed,
}

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Making the fresh instance.
    Instantiate,
    /// The policy's review.
    Review,
    /// The policy's handling.
    Handle,
    /// All of it, from request to result.
    Total,
}

/// What a review came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Clean it up now.
    Due,
    /// Not before a time.
    WaitUntil,
    /// Keep it.
    Keep,
    /// The review failed.
    Fault,
}

/// How recovery closed a run that its host left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// The run had changed the record.
    Completed,
    /// It had not.
    Abandoned,
}

/// What became of the journal of a run that was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journaled {
    /// It is in the store.
    Kept,
    /// Too many waited for the store.
    Dropped,
    /// The store did not take it.
    Failed,
}

/// Whether an engine is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// It is.
    Closed,
    /// It is not: it failed several times in a row.
    Open,
    /// One ping decides whether it is again.
    HalfOpen,
}

/// What one sweep over one engine did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepGauges {
    /// Runtimes that were offered to their policies.
    pub candidates: u64,
    /// Of these, removed.
    pub removed: u64,
    /// Of these, kept or told to wait.
    pub kept: u64,
    /// Of these, failed.
    pub failed: u64,
    /// Of the failed, parked.
    pub parked: u64,
    /// How long the sweep took.
    pub duration: Duration,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// What a pass over one engine found without a counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrphanGauges {
    /// By kind: running_container, stopped_container, running_record, stopped_record.
    pub counts: [(&'static str, u64); 4],
    /// When the pass ended.
    pub finished_at: Timestamp,
}

/// Generations of policies by what this host does with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GenerationGauges {
    /// Scopes that one serves.
    pub serving: u64,
    /// Scopes whose current one was revoked.
    pub revoked: u64,
    /// Scopes whose current one could not be loaded, where none served before.
    pub unavailable: u64,
    /// Scopes where one is tried.
    pub tried: u64,
    /// All that are loaded.
    pub loaded: u64,
    /// Scopes of which not all could be loaded.
    pub problem: u64,
}

/// What became of a run beside another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shadowed {
    /// It came to its end, and was compared.
    Compared,
    /// Too many were under way, or the host was too slow for it.
    Dropped,
    /// The run beside which it would have stood met a failure, or a change, that cannot be shown to another; or
    /// it asked for what that run did not look at.
    Unclear,
}

/// Why a request was refused before its handler, or by its route's action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpRefusal {
    /// The tenant asked too often.
    Rate,
    /// Too many requests of the tenant were under way.
    Concurrency,
    /// An order was denied to the caller's role, and recorded.
    Denied,
    /// Too many were, so that this one was not recorded.
    Denials,
    /// No valid token was shown.
    Unauthenticated,
    /// That came from the address too often, so that no token was looked up.
    Strangers,
    /// The address had too many connections.
    Connections,
}
