//! The places for runs. The runs of each engine always find some, whatever hangs on the others; and those of each
//! tenant find some, whatever another tenant's runs do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

mod ledger;
#[cfg(test)]
mod tests;

use super::rota::Whose;
use crate::model::EngineName;
use ledger::{Ledger, Pool};

/// So many places for runs at the same time. Half of them are for whoever comes first; the others are reserved in
/// equal parts for the engines, so that runs which wait for a hung engine never take all. Of each part, a tenant holds
/// at most as many as it leaves free, and the last few only if it holds no others.
pub(super) struct Places {
    ledger: Mutex<Ledger<oneshot::Sender<Place>>>,
}

/// A place, given back when dropped.
pub(super) struct Place {
    places: Arc<Places>,
    whose: Whose,
    pool: Pool,
}

impl Places {
    pub(super) fn new(places: u32, engines: &[EngineName]) -> Arc<Self> {
        let ledger = Ledger::new(usize::try_from(places).unwrap_or(usize::MAX), engines);
        Arc::new(Self { ledger: Mutex::new(ledger) })
    }

    /// Waits for a place: for a run on `engine` one of its own or a shared one, otherwise a shared one. Tenants that
    /// wait are served in turns. None is never answered, since a waiter is never dropped without its place.
    pub(super) async fn take(self: &Arc<Self>, whose: &Whose, engine: Option<&EngineName>) -> Option<Place> {
        let waiting = {
            let mut ledger = self.ledger();
            let own = ledger.own(engine);
            if let Some(pool) = ledger.take(whose, own) {
                return Some(self.place(whose.clone(), pool));
            }
            let (sender, waiting) = oneshot::channel();
            ledger.wait(whose, own, sender, oneshot::Sender::is_closed);
            waiting
        };
        waiting.await.ok()
    }

    fn place(self: &Arc<Self>, whose: Whose, pool: Pool) -> Place {
        Place { places: self.clone(), whose, pool }
    }

    /// Gives what is free to those that wait.
    fn serve(self: &Arc<Self>) {
        loop {
            let Some((whose, waiter, pool)) = self.ledger().serve() else { return };
            // One that does not wait any more gives its place back by dropping it, which serves the next.
            drop(waiter.send(self.place(whose, pool)));
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<oneshot::Sender<Place>>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.ledger().give_back(&self.whose, self.pool);
        self.places.serve();
    }
}
