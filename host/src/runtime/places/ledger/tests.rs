#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const TENANTS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    /// A run of this tenant, on this engine or none, takes a place or waits.
    Come { tenant: usize, engine: Option<usize> },
    /// Of the runs that hold a place, this one ends.
    End(prop::sample::Index),
    /// Of the runs that wait, this one gives up.
    GiveUp(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..TENANTS, prop::option::of(0..2_usize)).prop_map(|(tenant, engine)| Step::Come { tenant, engine }),
        2 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => any::<prop::sample::Index>().prop_map(Step::GiveUp),
    ]
}

fn whose(tenant: usize) -> Whose {
    // One of them is not known.
    (tenant > 0).then(|| format!("tenant-{tenant}").parse().unwrap())
}

fn engines() -> Vec<EngineName> {
    ["one", "two"].map(|name| name.parse().unwrap()).to_vec()
}

/// What is said of the ledger, counted by simpler means.
struct Model {
    free: Vec<usize>,
    /// For who holds none.
    spare: Vec<usize>,
    held: BTreeMap<(Whose, Pool), usize>,
    /// Who holds a place, and where.
    runs: Vec<(Whose, Pool)>,
    /// Who waits, by a number; in the order of coming.
    waiting: Vec<(u32, Whose, Option<Pool>)>,
}

impl Model {
    fn may(&self, whose: &Whose, pool: Pool) -> bool {
        let held = self.held.get(&(whose.clone(), pool)).copied().unwrap_or(0);
        let spare = if held == 0 { 0 } else { self.spare[pool] };
        held + spare < self.free[pool]
    }

    fn takes(&mut self, whose: Whose, own: Option<Pool>, pool: Pool) {
        assert!(pool == SHARED || own == Some(pool), "a place of another engine");
        assert!(self.may(&whose, pool), "{whose:?} holds more than it leaves");
        self.free[pool] -= 1;
        *self.held.entry((whose.clone(), pool)).or_default() += 1;
        self.runs.push((whose, pool));
    }

    fn finds_a_place(&self, whose: &Whose, own: Option<Pool>) -> bool {
        own.into_iter().chain([SHARED]).any(|pool| self.may(whose, pool))
    }
}

/// Serves whom it can, as [`super::super::Places`] does: one that has given up gives its place back. No tenant is
/// served twice in a row while another one could be served.
fn serve(ledger: &mut Ledger<u32>, model: &mut Model) {
    let mut last = None;
    while let Some((whose, who, pool)) = ledger.serve() {
        let served_again = last.replace(whose.clone()).is_some_and(|last| last == whose);
        let could = |(_, other, own): &&(u32, Whose, Option<Pool>)| model.finds_a_place(other, *own);
        assert!(!served_again || model.waiting.iter().filter(could).all(|(_, other, _)| *other == whose));
        let Some(at) = model.waiting.iter().position(|(known, ..)| *known == who) else {
            ledger.give_back(&whose, pool);
            continue;
        };
        let first = model.waiting.iter().filter(could).find(|(_, other, _)| *other == whose);
        assert_eq!(first.unwrap().0, who, "the first of its tenant that can be served");
        let (_, _, own) = model.waiting.remove(at);
        model.takes(whose, own, pool);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_history_lets_a_tenant_hold_more_than_it_leaves_or_keep_another_waiting(
        places in 1..48_usize,
        steps in vec(step(), 1..120),
    ) {
        let engines = engines();
        let mut ledger: Ledger<u32> = Ledger::new(places, &engines);
        let each = places / 4;
        let free = vec![places - 2 * each, each, each];
        let spare = free.iter().map(|places| places / 8).collect();
        let mut model = Model { free: free.clone(), spare, held: BTreeMap::new(), runs: Vec::new(), waiting: Vec::new() };
        let mut gone: Vec<u32> = Vec::new();
        for (n, step) in (0..).zip(steps) {
            match step {
                Step::Come { tenant, engine } => {
                    let (whose, own) = (whose(tenant), ledger.own(engine.map(|engine| &engines[engine])));
                    let taken = ledger.take(&whose, own);
                    prop_assert_eq!(taken.is_some(), model.finds_a_place(&whose, own));
                    match taken {
                        Some(pool) => model.takes(whose, own, pool),
                        None => {
                            ledger.wait(&whose, own, n, |who| gone.contains(who));
                            model.waiting.push((n, whose, own));
                        }
                    }
                }
                Step::End(which) if !model.runs.is_empty() => {
                    let (whose, pool) = model.runs.remove(which.index(model.runs.len()));
                    ledger.give_back(&whose, pool);
                    model.free[pool] += 1;
                    *model.held.get_mut(&(whose, pool)).unwrap() -= 1;
                    serve(&mut ledger, &mut model);
                }
                Step::GiveUp(which) if !model.waiting.is_empty() => {
                    gone.push(model.waiting.remove(which.index(model.waiting.len())).0);
                }
                Step::End(_) | Step::GiveUp(_) => {}
            }
            // Nobody waits who could have a place, so one that has none in a pool with a free place never waits.
            for (_, whose, own) in &model.waiting {
                prop_assert!(!model.finds_a_place(whose, *own), "{whose:?} waits for nothing");
            }
        }
        for (whose, pool) in std::mem::take(&mut model.runs) {
            ledger.give_back(&whose, pool);
        }
        prop_assert_eq!(ledger.free, free);
        prop_assert!(ledger.tenants.values().all(|account| account.total == 0));
    }
}

#[test]
fn each_tenant_finds_half_of_what_those_before_it_have_left_and_newcomers_find_one() {
    let mut ledger: Ledger<()> = Ledger::new(64, &[]);
    for (tenant, expected) in [(1, 28), (2, 14), (3, 7), (4, 4), (5, 2), (6, 1)] {
        let taken = (0..64).filter(|_| ledger.take(&whose(tenant), None).is_some()).count();
        assert_eq!(taken, expected, "tenant {tenant}");
    }
    let newcomers = (7..).take_while(|&tenant| ledger.take(&whose(tenant), None).is_some()).count();
    assert_eq!(newcomers, 8, "one place each");
}

#[test]
fn one_place_serves_everybody() {
    let mut ledger: Ledger<()> = Ledger::new(1, &engines());
    let own = ledger.own(Some(&"one".parse().unwrap()));
    assert_eq!(ledger.take(&whose(1), own), Some(SHARED));
    assert_eq!(ledger.take(&whose(2), own), None);
    ledger.give_back(&whose(1), SHARED);
    assert_eq!(ledger.take(&whose(2), own), Some(SHARED));
}
