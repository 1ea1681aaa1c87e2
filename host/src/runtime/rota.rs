//! Waiters of many tenants, served in turns: one of each tenant, then the next one of each.

use std::collections::VecDeque;

use crate::model::TenantId;

/// Whose run it is. Runs of which that is not known share one line.
pub(super) type Whose = Option<TenantId>;

/// A line of waiters for each tenant that has some; the tenant whose turn is next comes first.
pub(super) struct Rota<W> {
    lines: VecDeque<(Whose, VecDeque<W>)>,
}

impl<W> Rota<W> {
    pub(super) fn new() -> Self {
        Self { lines: VecDeque::new() }
    }

    /// Puts a waiter at the end of its tenant's line, from which those that are `gone` are taken away: nobody who
    /// stopped waiting is kept for long, and nobody need say so.
    pub(super) fn push(&mut self, whose: &Whose, waiter: W, gone: impl Fn(&W) -> bool) {
        match self.lines.iter_mut().find(|(line, _)| line == whose) {
            None => self.lines.push_back((whose.clone(), VecDeque::from([waiter]))),
            Some((_, waiters)) => {
                waiters.retain(|waiter| !gone(waiter));
                waiters.push_back(waiter);
            }
        }
    }

    /// Takes away all waiters that are `gone`, and the tenants that have no others: those want nothing any more.
    pub(super) fn forget(&mut self, gone: impl Fn(&W) -> bool) {
        self.lines.retain_mut(|(_, waiters)| {
            waiters.retain(|waiter| !gone(waiter));
            !waiters.is_empty()
        });
    }

    /// Puts the tenants whose key is least first; among equals, turns stay as they are.
    pub(super) fn order_by<K: Ord>(&mut self, mut key: impl FnMut(&Whose) -> K) {
        self.lines.make_contiguous().sort_by_cached_key(|(whose, _)| key(whose));
    }

    /// The first waiter that can be `served`, of the first tenant that has one; that tenant's next turn comes after
    /// everybody else's.
    pub(super) fn next<T>(&mut self, mut served: impl FnMut(&Whose, &W) -> Option<T>) -> Option<(Whose, W, T)> {
        let found = self.lines.iter().enumerate().find_map(|(line, (whose, waiters))| {
            waiters.iter().enumerate().find_map(|(at, waiter)| Some((line, at, served(whose, waiter)?)))
        });
        let (line, at, how) = found?;
        let (whose, mut waiters) = self.lines.remove(line)?;
        let waiter = waiters.remove(at)?;
        if !waiters.is_empty() {
            self.lines.push_back((whose.clone(), waiters));
        }
        Some((whose, waiter, how))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use super::*;

    #[test]
    fn tenants_take_turns_however_many_wait_for_each() {
        let (hog, other): (Whose, Whose) = (Some("hog".parse().unwrap()), Some("other".parse().unwrap()));
        let mut rota = Rota::new();
        for n in 0..4 {
            rota.push(&hog, n, |_| false);
        }
        rota.push(&other, 10, |_| false);
        rota.push(&None, 20, |_| false);
        rota.push(&other, 11, |_| false);
        let served: Vec<_> = std::iter::from_fn(|| rota.next(|_, _| Some(())).map(|(_, waiter, ())| waiter)).collect();
        assert_eq!(served, [0, 10, 20, 1, 11, 2, 3]);
    }

    #[test]
    fn the_tenant_with_the_least_comes_first_and_equals_take_turns() {
        let [hog, first, second]: [Whose; 3] = ["hog", "first", "second"].map(|name| Some(name.parse().unwrap()));
        let mut rota = Rota::new();
        for (n, whose) in [&hog, &first, &second, &hog, &first, &second].into_iter().enumerate() {
            rota.push(whose, n, |_| false);
        }
        let mut served = Vec::new();
        while let Some((_, waiter, ())) = rota.next(|_, _| Some(())) {
            served.push(waiter);
            rota.order_by(|whose| *whose == hog);
        }
        assert_eq!(served, [0, 1, 2, 4, 5, 3]);
    }

    #[test]
    fn who_cannot_be_served_keeps_its_turn_and_who_is_gone_is_forgotten() {
        let (first, second): (Whose, Whose) = (Some("first".parse().unwrap()), Some("second".parse().unwrap()));
        let mut rota = Rota::new();
        rota.push(&first, 1, |_| false);
        rota.push(&second, 2, |_| false);
        assert_eq!(rota.next(|whose, _| (*whose == second).then_some(())).unwrap().1, 2);
        rota.push(&second, 3, |_| false);
        rota.push(&first, 4, |&waiter| waiter == 1);
        assert_eq!(rota.next(|_, _| Some(())).unwrap().1, 4);
        assert_eq!(rota.next(|_, _| Some(())).unwrap().1, 3);
        assert!(rota.next(|_, _| Some(())).is_none());
    }

    #[test]
    fn a_tenant_whose_waiters_are_all_gone_has_no_line() {
        let [gone, first, second]: [Whose; 3] = ["gone", "first", "second"].map(|name| Some(name.parse().unwrap()));
        let mut rota = Rota::new();
        for (whose, waiter) in [(&gone, 1), (&first, 2), (&gone, 1), (&second, 3), (&first, 1)] {
            rota.push(whose, waiter, |_| false);
        }
        rota.forget(|&waiter| waiter == 1);
        let mut asked = Vec::new();
        rota.order_by(|whose| {
            asked.push(whose.clone());
            0
        });
        assert_eq!(asked, [first, second]);
        let served: Vec<_> = std::iter::from_fn(|| rota.next(|_, _| Some(())).map(|(_, waiter, ())| waiter)).collect();
        assert_eq!(served, [2, 3]);
    }
}
