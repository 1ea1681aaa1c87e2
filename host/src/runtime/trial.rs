//! A policy's first instance, of which nothing is asked.

use wasmtime::Store;

use super::execute::bound;
use super::fault::{self, Exceeded};
use super::store::RunState;
use super::turnstile::Pace;
use super::{Policy, Terms};
use crate::model::Fault;
use crate::session::Session;

impl Policy {
    /// Instantiates the policy on these terms: its start functions run, with what `session` lets them do.
    pub async fn try_out(&self, session: Session, terms: Terms) -> Result<(), Fault> {
        let pace = Pace::new(self.turnstile.clone(), session.run().tenant.clone());
        pace.book(self.begin(session, terms, &pace)).await
    }

    async fn begin(&self, session: Session, terms: Terms, pace: &Pace) -> Result<(), Fault> {
        let Terms { settings, limits: shared } = terms;
        let limits = shared.as_ref();
        let place = self.places.take(&session.run().tenant, None);
        let Ok(Some(_place)) = tokio::time::timeout(limits.run_time, place).await else {
            return Err(fault::no_place(limits));
        };
        let mut store = Store::new(self.pre.engine(), RunState::new(session, settings, shared.clone()));
        if let Err(error) = bound(&mut store, limits, self.fuel) {
            return Err(fault::of_error(&error, &store.data().usage, limits));
        }
        let stopwatch = store.data().stopwatch.clone();
        let instance = pace.keep(&stopwatch, self.pre.instantiate_async(&mut store));
        let instance = tokio::time::timeout(limits.run_time, instance).await;
        pace.book_besides(store.data().usage.growths);
        match instance {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(fault::of_error(&error, &store.data().usage, limits)),
            Err(_) => Err(Exceeded::RunTime(limits.run_time).into()),
        }
    }
}
