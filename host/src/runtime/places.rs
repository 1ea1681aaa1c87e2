//! The places for runs, of which the runs of each engine always find some.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::model::EngineName;

/// So many places for runs at the same time. Half of them are for whoever comes first; the others are reserved in
/// equal parts for the engines, so that runs which wait for a hung engine never take all.
pub(super) struct Places {
    shared: Semaphore,
    reserved: BTreeMap<EngineName, Semaphore>,
}

impl Places {
    /// With one engine, or fewer places than twice the engines, nothing is reserved.
    pub(super) fn new(places: u32, engines: &[EngineName]) -> Arc<Self> {
        let places = usize::try_from(places).unwrap_or(Semaphore::MAX_PERMITS);
        let each = if engines.len() < 2 { 0 } else { places / (2 * engines.len()) };
        let reserved: BTreeMap<_, _> = engines.iter().map(|name| (name.clone(), Semaphore::new(each))).collect();
        Arc::new(Self { shared: Semaphore::new(places.saturating_sub(each * reserved.len())), reserved })
    }

    /// Waits for a place: for a run on `engine` one of its own or a shared one, otherwise a shared one. None is never
    /// answered, since the semaphores are never closed.
    pub(super) async fn take(&self, engine: Option<&EngineName>) -> Option<SemaphorePermit<'_>> {
        let place = match engine.and_then(|engine| self.reserved.get(engine)) {
            None => self.shared.acquire().await,
            Some(own) => tokio::select! {
                biased;
                place = own.acquire() => place,
                place = self.shared.acquire() => place,
            },
        };
        place.ok()
    }
}
