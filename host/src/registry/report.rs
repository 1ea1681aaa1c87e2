//! What a host says of what it serves, in the store for people and other hosts, and in its metrics.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Watcher;
use super::scope::{Current, ScopeBindings};
use super::watch::in_time;
use crate::metrics::GenerationGauges;
use crate::model::{ErrorChain, GenerationId, PolicyScope, Serving};
use crate::ports::PruneBefore;

/// Every so often a host says again what it serves,
const HEARTBEAT: Duration = Duration::from_secs(3);
/// of so many scopes, each in its turn.
const SCOPES_A_BEAT: usize = 200;
/// What a host said so long ago, and not again, it says no more.
const REPORTS_LAST: Duration = Duration::from_secs(3_600);
/// Every so often what nobody needs any more is forgotten:
const PRUNING: Duration = Duration::from_secs(3_600);
/// generations that were staged so long ago and never used,
const STAGED_LAST: Duration = Duration::from_secs(24 * 3_600);
/// and how shadows differed, so long ago, in rollouts that are over.
const DIVERGENCES_LAST: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Whose turn it is to be reported again.
pub(super) struct Beats {
    next: Instant,
    after: usize,
    pruning: Instant,
}

impl Beats {
    pub(super) fn begin() -> Self {
        Self { next: Instant::now() + HEARTBEAT, after: 0, pruning: Instant::now() }
    }
}

impl Watcher {
    /// From now on this host says in the store what it serves. A process that runs but one command does not.
    pub fn speak(&self) {
        self.speaks.store(true, Ordering::Relaxed);
    }

    /// Takes back what this host said: it stops.
    pub async fn retire(&self) {
        let long_ago = self.stores.clock.now().saturating_sub(REPORTS_LAST);
        if let Err(error) = self.stores.generations.forget_reports(long_ago, Some(&self.replica)).await {
            tracing::debug!(error = %ErrorChain(&error), "what this host said it serves stays until it is forgotten");
        }
    }

    /// Says what this host serves, now and then, of each scope in its turn.
    pub(super) async fn beat(&self) {
        let Some(after) = self.next_beat() else { return };
        let scopes = self.reported();
        let mut turn: Vec<_> = scopes.iter().skip(after).take(SCOPES_A_BEAT).collect();
        if turn.is_empty() {
            turn = scopes.iter().take(SCOPES_A_BEAT).collect();
        }
        // The first one is the default scope.
        let alive = scopes.first().filter(|_| after > 0);
        for scope in alive.into_iter().chain(turn) {
            self.report(scope).await;
        }
        if after == 0 {
            let long_ago = self.stores.clock.now().saturating_sub(REPORTS_LAST);
            if let Err(error) = in_time(self.stores.generations.forget_reports(long_ago, None)).await {
                tracing::debug!(error = %ErrorChain(&error), "old reports of hosts were not forgotten");
            }
        }
        self.prune().await;
    }

    /// Forgets what nobody needs any more, now and then; any host that serves does.
    async fn prune(&self) {
        if !self.speaks.load(Ordering::Relaxed) || !self.is_time_to_prune() {
            return;
        }
        let now = self.stores.clock.now();
        let before =
            PruneBefore { staged: now.saturating_sub(STAGED_LAST), divergences: now.saturating_sub(DIVERGENCES_LAST) };
        match in_time(self.stores.generations.prune(&before)).await {
            Ok(0) => {}
            Ok(generations) => {
                tracing::info!(generations, "generations that were staged and never used were forgotten")
            }
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), "old generations and divergences are kept for now")
            }
        }
    }

    fn is_time_to_prune(&self) -> bool {
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = beats.pruning <= Instant::now();
        if is_time {
            beats.pruning = Instant::now() + PRUNING;
        }
        is_time
    }

    /// Where the turn of those begins that report now, if it is time.
    fn next_beat(&self) -> Option<usize> {
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() < beats.next {
            return None;
        }
        let count = self.reported().len();
        let after = if beats.after >= count { 0 } else { beats.after };
        beats.next = Instant::now() + HEARTBEAT;
        beats.after = after.saturating_add(SCOPES_A_BEAT);
        Some(after)
    }

    /// Every host reports the default scope, be it bound or not: by that it is known to be alive.
    fn reported(&self) -> Vec<Arc<ScopeBindings>> {
        let mut scopes = self.registry.scopes();
        if !scopes.iter().any(|scope| scope.scope == PolicyScope::Default) {
            scopes.insert(0, Arc::new(ScopeBindings::absent(PolicyScope::Default)));
        }
        scopes
    }

    pub(super) async fn report_all(&self) {
        for scope in self.reported() {
            self.report(&scope).await;
        }
    }

    /// Says what this host serves a scope with now.
    pub(super) async fn report_scope(&self, scope: &PolicyScope) {
        if let Some(in_place) = self.registry.scope(scope) {
            self.report(&in_place).await;
        }
    }

    pub(super) async fn report(&self, scope: &ScopeBindings) {
        if !self.speaks.load(Ordering::Relaxed) {
            return;
        }
        // Not later than it looks: what is said was so at that time or after it.
        let at = self.stores.clock.now();
        // Since a scope's turn to be reported came, another generation may have come into force.
        let in_place = self.registry.scope(&scope.scope);
        let scope = in_place.as_deref().unwrap_or(scope);
        let ready = scope.loaded.iter().filter(|(_, binding)| Some(&binding.reference) != scope.reference());
        let serving = Serving {
            replica: self.replica.clone(),
            scope: scope.scope.clone(),
            generation: self.served(scope),
            ready: ready.map(|(number, _)| *number).collect(),
            problem: scope.problem.clone().or_else(|| self.registry.ceiling_problem(&scope.scope)),
            at,
        };
        if let Err(error) = in_time(self.stores.generations.report(&serving)).await {
            tracing::debug!(scope = %scope.scope, error = %ErrorChain(&error), "what is served was not reported");
        }
    }

    /// Generation 0 stands for nothing: what should serve could not be loaded, and nothing served before.
    fn served(&self, scope: &ScopeBindings) -> GenerationId {
        match &scope.current {
            Current::Serves(binding) => binding.reference.generation.clone(),
            Current::Revoked(policy) => policy.generation.clone(),
            Current::Unavailable(_) => GenerationId::numbered(&scope.scope, 0),
            Current::Absent => self.registry.assign(scope.scope.tenant(), None).reference().generation.clone(),
        }
    }

    pub(super) fn measure(&self) {
        let mut gauges = GenerationGauges::default();
        for scope in self.registry.scopes() {
            match &scope.current {
                Current::Serves(_) => gauges.serving += 1,
                Current::Revoked(_) => gauges.revoked += 1,
                Current::Unavailable(_) => gauges.unavailable += 1,
                Current::Absent => {}
            }
            gauges.tried += u64::from(scope.candidate.is_some());
            gauges.loaded += scope.loaded.len() as u64;
            gauges.problem += u64::from(scope.problem.is_some());
        }
        self.metrics.generations(gauges);
    }
}
