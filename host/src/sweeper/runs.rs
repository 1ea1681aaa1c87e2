//! The runs of a walk, and what each tenant takes of it: one whose runs hang must not hold up the others' rows.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::candidate::Dealt;
use crate::model::{TenantId, TrackedRuntime};

/// What a tenant may take of a walk for each run that the walk has under way at once,
const LONG: Duration = Duration::from_secs(30);
/// unless its runs take less than this: then it is their number that takes long.
const LONG_RUN: Duration = Duration::from_secs(1);

/// The runs under way, and what has been taken.
#[derive(Default)]
pub(super) struct Runs {
    tasks: JoinSet<Dealt>,
    whose: HashMap<Id, TenantId>,
    taken: BTreeMap<TenantId, Taken>,
    passed_over: BTreeSet<TenantId>,
}

/// By one tenant.
#[derive(Default)]
struct Taken {
    begun: u32,
    under_way: BTreeMap<Id, Instant>,
    /// By runs that have ended.
    ended: Duration,
}

impl Runs {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn spawn(&mut self, tenant: TenantId, run: impl Future<Output = Dealt> + Send + 'static) {
        let task = self.tasks.spawn(run).id();
        let taken = self.taken.entry(tenant.clone()).or_default();
        taken.begun += 1;
        taken.under_way.insert(task, Instant::now());
        self.whose.insert(task, tenant);
    }

    /// Waits for one to end; none if none is under way.
    pub(super) async fn join_next(&mut self) -> Option<Result<Dealt, JoinError>> {
        let (task, dealt) = match self.tasks.join_next_with_id().await? {
            Ok((task, dealt)) => (task, Ok(dealt)),
            Err(error) => (error.id(), Err(error)),
        };
        if let Some(taken) = self.whose.remove(&task).and_then(|tenant| self.taken.get_mut(&tenant))
            && let Some(began) = taken.under_way.remove(&task)
        {
            taken.ended += began.elapsed();
        }
        Some(dealt)
    }

    /// Takes the next of a page's rows: those of a tenant that has half of the runs come after all others of the page.
    pub(super) fn choose<T>(
        &self,
        rows: &mut VecDeque<(T, TrackedRuntime)>,
        concurrency: usize,
    ) -> Option<(T, TrackedRuntime)> {
        let half = (concurrency / 2).max(1);
        let under_way = |tenant| self.taken.get(tenant).map_or(0, |taken| taken.under_way.len());
        let next = rows.iter().position(|(_, row)| under_way(&row.record.tenant) < half);
        rows.remove(next.unwrap_or(0))
    }

    /// Whether a tenant's runs have taken so long, and each of them, that its other rows are for another walk.
    pub(super) fn take_too_long(&self, tenant: &TenantId, concurrency: usize) -> bool {
        let Some(taken) = self.taken.get(tenant) else { return false };
        let under_way: Duration = taken.under_way.values().map(Instant::elapsed).sum();
        let total = taken.ended + under_way;
        total > LONG.saturating_mul(u32::try_from(concurrency).unwrap_or(u32::MAX))
            && total > LONG_RUN.saturating_mul(taken.begun)
    }

    /// Notes that the rows of a tenant are left to another walk from now on.
    pub(super) fn pass_over(&mut self, tenant: &TenantId) {
        self.passed_over.insert(tenant.clone());
    }

    /// Whether that was noted.
    pub(super) fn passes_over(&self, tenant: &TenantId) -> bool {
        self.passed_over.contains(tenant)
    }
}
