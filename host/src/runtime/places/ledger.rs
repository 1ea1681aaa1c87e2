//! Who holds how many places, and who waits for one. Knows no tasks, so that every history of it can be tried.

use std::collections::{BTreeMap, HashMap};

use super::super::rota::{Rota, Whose};
use crate::model::EngineName;

#[cfg(test)]
mod tests;

/// Tenants that hold nothing are remembered, up to so many: no allocation when they come again.
const REMEMBERED: usize = 1_024;

/// Of each pool, one in so many is for tenants that hold none of it.
const FOR_NEWCOMERS: usize = 8;

/// An index: 0 is the shared pool, the others are those of engines.
pub(super) type Pool = usize;
const SHARED: Pool = 0;

/// The places, by pools.
pub(super) struct Ledger<W> {
    /// What is free, by pool.
    free: Vec<usize>,
    /// Of what is free, for tenants that hold none, by pool.
    spare: Vec<usize>,
    own: BTreeMap<EngineName, Pool>,
    tenants: HashMap<Whose, Account>,
    waiting: Rota<Waiter<W>>,
}

struct Waiter<W> {
    own: Option<Pool>,
    who: W,
}

/// A tenant's places.
struct Account {
    /// By pool.
    held: Vec<usize>,
    total: usize,
}

impl<W> Ledger<W> {
    /// Half of the places are shared, the others reserved in equal parts for the engines. With one engine, or fewer
    /// places than twice the engines, nothing is reserved.
    pub(super) fn new(places: usize, engines: &[EngineName]) -> Self {
        let each = if engines.len() < 2 { 0 } else { places / (2 * engines.len()) };
        let own: BTreeMap<_, _> = engines.iter().cloned().zip(SHARED + 1..).collect();
        let mut free = vec![places.saturating_sub(each * engines.len())];
        free.resize(1 + engines.len(), each);
        let spare = free.iter().map(|places| places / FOR_NEWCOMERS).collect();
        Self { free, spare, own, tenants: HashMap::new(), waiting: Rota::new() }
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
        if account.total == 0 && self.tenants.len() > REMEMBERED {
            self.tenants.remove(whose);
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

    fn takeable(&self, whose: &Whose, own: Option<Pool>) -> Option<Pool> {
        own.into_iter().chain([SHARED]).find(|&pool| self.may_take(whose, pool))
    }

    /// A tenant may hold as many places of a pool as it leaves free, so each finds at least half of what those before
    /// it have left. Were it more, one that comes beside a tenant whose runs hang would have less than half of the
    /// places that it has without: with three quarters for one, 12 of 64 in place of 24. The last few are for tenants
    /// that hold none: without them, six tenants whose runs hang would take 63 of 64.
    fn may_take(&self, whose: &Whose, pool: Pool) -> bool {
        let of = |places: &[usize]| places.get(pool).copied().unwrap_or_default();
        match self.tenants.get(whose).map_or(0, |account| of(&account.held)) {
            0 => of(&self.free) > 0,
            held => held < of(&self.free).saturating_sub(of(&self.spare)),
        }
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
        account.total += 1;
    }
}

impl Account {
    fn new(pools: usize) -> Self {
        Self { held: vec![0; pools], total: 0 }
    }
}
