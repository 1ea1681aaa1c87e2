//! Who holds how many places, who waits for one, and what each tenant has computed lately. Knows no tasks and no
//! clock, so that every history of it can be tried.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::super::rota::{Rota, Whose};
use crate::model::EngineName;

#[cfg(test)]
mod tests;

/// Tenants that hold nothing are remembered, up to so many: their accounts, and no allocation when they come again.
const REMEMBERED: usize = 1_024;
/// Credit for computing is saved up to this,
const SAVED: i64 = 50_000_000;
/// and debt to that: what a tenant has done longer ago is forgiven.
const OWED: i64 = -1_000_000_000;

/// An index: 0 is the shared pool, the others are those of engines.
pub(super) type Pool = usize;
const SHARED: Pool = 0;

/// The places, by pools.
pub(super) struct Ledger<W> {
    /// What is free, by pool.
    free: Vec<usize>,
    own: BTreeMap<EngineName, Pool>,
    tenants: HashMap<Whose, Account>,
    /// Tenants that hold a place.
    active: u32,
    waiting: Rota<Waiter<W>>,
    /// Threads that runs compute on.
    workers: u32,
}

struct Waiter<W> {
    own: Option<Pool>,
    who: W,
}

/// A tenant's places, and its credit for computing.
struct Account {
    /// By pool.
    held: Vec<usize>,
    total: usize,
    /// In nanoseconds; it grows by the tenant's equal part of the workers, and shrinks by what its runs compute.
    credit: i64,
    credited_at: Duration,
}

impl<W> Ledger<W> {
    /// Half of the places are shared, the others reserved in equal parts for the engines. With one engine, or fewer
    /// places than twice the engines, nothing is reserved.
    pub(super) fn new(places: usize, engines: &[EngineName], workers: u32) -> Self {
        let each = if engines.len() < 2 { 0 } else { places / (2 * engines.len()) };
        let own: BTreeMap<_, _> = engines.iter().cloned().zip(SHARED + 1..).collect();
        let mut free = vec![places.saturating_sub(each * engines.len())];
        free.resize(1 + engines.len(), each);
        Self { free, own, tenants: HashMap::new(), active: 0, waiting: Rota::new(), workers }
    }

    /// The engine's pool, if it has one.
    pub(super) fn own(&self, engine: Option<&EngineName>) -> Option<Pool> {
        self.own.get(engine?).copied()
    }

    /// Takes a place, of the engine's own if there is one. None if all are taken, or the tenant holds its part.
    pub(super) fn take(&mut self, whose: &Whose, own: Option<Pool>) -> Option<Pool> {
        let pool = self.takeable(whose, own)?;
        self.hold(whose, pool);
        Some(pool)
    }

    /// Joins those that wait.
    pub(super) fn wait(&mut self, whose: &Whose, own: Option<Pool>, who: W, gone: impl Fn(&W) -> bool) {
        self.waiting.push(whose, Waiter { own, who }, |waiter| gone(&waiter.who));
    }

    /// Gives a place back. Those that wait are to be served then, until nobody can be.
    pub(super) fn give_back(&mut self, whose: &Whose, pool: Pool) {
        if let Some(free) = self.free.get_mut(pool) {
            *free += 1;
        }
        let Some(account) = self.tenants.get_mut(whose) else { return };
        if let Some(held) = account.held.get_mut(pool) {
            *held = held.saturating_sub(1);
        }
        account.total = account.total.saturating_sub(1);
        if account.total == 0 {
            self.active = self.active.saturating_sub(1);
            if self.tenants.len() > REMEMBERED {
                self.tenants.remove(whose);
            }
        }
    }

    /// Gives a place to one that waits, tenants in turns.
    pub(super) fn serve(&mut self) -> Option<(Whose, W, Pool)> {
        let mut waiting = std::mem::replace(&mut self.waiting, Rota::new());
        let next = waiting.next(|whose, waiter| self.takeable(whose, waiter.own));
        self.waiting = waiting;
        let (whose, Waiter { who, .. }, pool) = next?;
        self.hold(&whose, pool);
        Some((whose, who, pool))
    }

    /// The tenant's credit for computing. It has its equal part of the workers' time, among the tenants at work.
    pub(super) fn credit(&mut self, whose: &Whose, now: Duration) -> Duration {
        let (workers, active) = (u64::from(self.workers), u64::from(self.active.max(1)));
        let Some(account) = self.tenants.get_mut(whose) else { return Duration::ZERO };
        let passed = now.saturating_sub(account.credited_at);
        account.credited_at = now;
        let part = nanos(passed).saturating_mul(i64::try_from(workers).unwrap_or(i64::MAX))
            / i64::try_from(active).unwrap_or(i64::MAX);
        account.credit = account.credit.saturating_add(part).min(SAVED);
        Duration::from_nanos(u64::try_from(account.credit).unwrap_or(0))
    }

    /// Books what a run has computed.
    pub(super) fn charge(&mut self, whose: &Whose, computed: Duration) {
        if let Some(account) = self.tenants.get_mut(whose) {
            account.credit = account.credit.saturating_sub(nanos(computed)).max(OWED);
        }
    }

    /// Takes back what was booked ahead.
    pub(super) fn refund(&mut self, whose: &Whose, advanced: Duration) {
        if let Some(account) = self.tenants.get_mut(whose) {
            account.credit = account.credit.saturating_add(nanos(advanced)).min(SAVED);
        }
    }

    fn takeable(&self, whose: &Whose, own: Option<Pool>) -> Option<Pool> {
        own.into_iter().chain([SHARED]).find(|&pool| self.may_take(whose, pool))
    }

    /// A tenant may hold as many places of a pool as it leaves free, so each finds at least half of what those before
    /// it have left. Were it more, one that comes beside a tenant whose runs hang would have less than half of the
    /// places that it has without: with three quarters for one, 12 of 64 in place of 24.
    fn may_take(&self, whose: &Whose, pool: Pool) -> bool {
        let free = self.free.get(pool).copied().unwrap_or_default();
        let held = self.tenants.get(whose).and_then(|account| account.held.get(pool)).copied();
        held.unwrap_or_default() < free
    }

    fn hold(&mut self, whose: &Whose, pool: Pool) {
        let pools = self.free.len();
        if let Some(free) = self.free.get_mut(pool) {
            *free = free.saturating_sub(1);
        }
        if !self.tenants.contains_key(whose) {
            self.tenants.insert(whose.clone(), Account::new(pools));
        }
        let Some(account) = self.tenants.get_mut(whose) else { return };
        if let Some(held) = account.held.get_mut(pool) {
            *held += 1;
        }
        if account.total == 0 {
            self.active += 1;
        }
        account.total += 1;
    }
}

impl Account {
    fn new(pools: usize) -> Self {
        Self { held: vec![0; pools], total: 0, credit: SAVED, credited_at: Duration::ZERO }
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}
