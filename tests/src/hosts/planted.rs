//! What can be wrong with a host, so that it is seen that whoever judges finds it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rtmanager::app::Stores;
use rtmanager::model::{EntryId, Generation, GenerationId, OperationEntry, PolicyRef, Serving};
use rtmanager::ports::{Changes, GenerationStore, OperationLog, ScopeState, StoreError};

use super::{Astray, SCOPE};
use crate::tapped::{GenerationTap, LogTap, Tapped};

/// Every so many times that a host is told what is current, or writes an entry, it goes wrong.
const NOW_AND_THEN: u64 = 3;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Nothing.
    None,
    /// Each generation runs with the other's settings.
    MixedSettings,
    /// The second generation runs the first one's code.
    MixedCode,
    /// The old one goes on serving, though the host says that the new one does.
    OldAfterReport,
    /// An entry names the other generation.
    OtherName,
    /// An entry is answered and not written.
    EntryLost,
    /// What the store tells the host, or the host tells the store, is this wrong.
    Follows(Astray),
}

impl Plant {
    /// The stores of a host with this wrong.
    pub(super) fn spoils(self, stores: Stores) -> Stores {
        if matches!(self, Self::None | Self::Follows(_)) {
            return stores;
        }
        let generations = Planted {
            inner: stores.generations.clone(),
            plant: self,
            known: Mutex::default(),
            current: Mutex::default(),
            times: AtomicU64::new(0),
        };
        let log = PlantedLog {
            inner: stores.operations.clone(),
            plant: self,
            last: Mutex::default(),
            times: AtomicU64::new(0),
        };
        Stores { generations: Arc::new(Tapped(generations)), operations: Arc::new(Tapped(log)), ..stores }
    }
}

struct Planted {
    inner: Arc<dyn GenerationStore>,
    plant: Plant,
    known: Mutex<BTreeMap<u64, Generation>>,
    /// What is current in truth.
    current: Mutex<Option<GenerationId>>,
    times: AtomicU64,
}

impl Planted {
    fn spoil(&self, state: &mut ScopeState) {
        *self.current.lock().unwrap() = state.current.as_ref().map(Generation::id);
        let mut known = self.known.lock().unwrap();
        let all = state.current.iter().chain(&state.previous).chain(&state.staged);
        known.extend(all.map(|generation| (generation.number, generation.clone())));
        match self.plant {
            Plant::OldAfterReport if self.times.fetch_add(1, Ordering::Relaxed).is_multiple_of(NOW_AND_THEN) => {
                std::mem::swap(&mut state.current, &mut state.previous);
            }
            Plant::MixedSettings | Plant::MixedCode => {
                for generation in [&mut state.current, &mut state.previous, &mut state.staged].into_iter().flatten() {
                    self.mix(generation, &known);
                }
            }
            _ => {}
        }
    }

    fn mix(&self, generation: &mut Generation, known: &BTreeMap<u64, Generation>) {
        let Some(other) = known.values().find(|other| other.number != generation.number) else { return };
        match self.plant {
            Plant::MixedSettings => generation.spec.settings.clone_from(&other.spec.settings),
            _ if generation.number == 2 => generation.spec.digest.clone_from(&other.spec.digest),
            _ => {}
        }
    }
}

#[async_trait]
impl GenerationTap for Planted {
    fn inner(&self) -> &Arc<dyn GenerationStore> {
        &self.inner
    }

    async fn changed_since(&self, epoch: u64) -> Result<Changes, StoreError> {
        let mut changes = self.inner.changed_since(epoch).await?;
        for state in changes.states.iter_mut().filter(|state| state.scope.as_str() == SCOPE) {
            self.spoil(state);
        }
        Ok(changes)
    }

    async fn report(&self, serving: &Serving) -> Result<(), StoreError> {
        let current = self.current.lock().unwrap().clone();
        let claimed = current.filter(|_| self.plant == Plant::OldAfterReport && serving.scope.as_str() == SCOPE);
        let generation = claimed.unwrap_or_else(|| serving.generation.clone());
        self.inner.report(&Serving { generation, ..serving.clone() }).await
    }
}

struct PlantedLog {
    inner: Arc<dyn OperationLog>,
    plant: Plant,
    /// The policies of the last entries, one of each generation.
    last: Mutex<BTreeMap<GenerationId, PolicyRef>>,
    times: AtomicU64,
}

#[async_trait]
impl LogTap for PlantedLog {
    fn inner(&self) -> &Arc<dyn OperationLog> {
        &self.inner
    }

    async fn append(&self, entry: &OperationEntry) -> Result<EntryId, StoreError> {
        let other = {
            let mut last = self.last.lock().unwrap();
            last.insert(entry.policy.generation.clone(), entry.policy.clone());
            last.values().find(|policy| policy.generation != entry.policy.generation).cloned()
        };
        let now = self.times.fetch_add(1, Ordering::Relaxed).is_multiple_of(NOW_AND_THEN);
        match (self.plant, other) {
            (Plant::OtherName, Some(policy)) if now => {
                self.inner.append(&OperationEntry { policy, ..entry.clone() }).await
            }
            (Plant::EntryLost, _) if now => Ok(EntryId(u64::MAX >> 1)),
            _ => self.inner.append(entry).await,
        }
    }
}
