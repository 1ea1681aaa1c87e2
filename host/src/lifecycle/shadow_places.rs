//! The places for runs beside live ones. Nobody waits for one, and no tenant's runs take all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::TenantId;

/// So many places, of which a tenant holds at most as many as it leaves free: who comes when others have taken theirs
/// finds one.
pub(super) struct ShadowPlaces(Mutex<State>);

struct State {
    free: usize,
    /// Of tenants that hold some.
    held: BTreeMap<Option<TenantId>, usize>,
}

/// A place, given back when dropped.
pub(super) struct ShadowPlace {
    places: Arc<ShadowPlaces>,
    tenant: Option<TenantId>,
}

impl ShadowPlaces {
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { free: places, held: BTreeMap::new() })))
    }

    /// None if all are taken, or the tenant holds its part.
    pub(super) fn take(self: &Arc<Self>, tenant: &Option<TenantId>) -> Option<ShadowPlace> {
        let mut state = self.state();
        let held = state.held.get(tenant).copied().unwrap_or_default();
        if held >= state.free {
            return None;
        }
        state.free -= 1;
        state.held.insert(tenant.clone(), held + 1);
        Some(ShadowPlace { places: self.clone(), tenant: tenant.clone() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ShadowPlace {
    fn drop(&mut self) {
        let mut state = self.places.state();
        state.free += 1;
        match state.held.get_mut(&self.tenant) {
            Some(held) if *held > 1 => *held -= 1,
            _ => drop(state.held.remove(&self.tenant)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use super::*;

    #[test]
    fn one_tenant_does_not_take_all_and_gives_back_what_it_took() {
        let places = ShadowPlaces::new(4);
        let [hog, other, third] = ["hog", "other", "third"].map(|name| Some(name.parse().unwrap()));
        let take_all = |tenant| std::iter::from_fn(|| places.take(tenant)).collect::<Vec<_>>();
        let hogs = take_all(&hog);
        assert_eq!(hogs.len(), 2);
        let others = take_all(&other);
        assert_eq!((others.len(), take_all(&third).len()), (1, 1));
        let last = places.take(&None).unwrap();
        assert!(places.take(&None).is_none() && places.take(&third).is_none(), "all are taken");
        drop((hogs, others, last));
        assert_eq!(places.state().held, BTreeMap::new());
        assert_eq!(take_all(&third).len(), 2);
    }
}
