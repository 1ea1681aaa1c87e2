//! The world of a recorded run, as far as the recording tells of it: ports in memory, made ready for each call to answer
//! as they did then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::adapters::memory::{
    Answer, Call, Inject, ManualClock, MemoryEngine, MemoryStore, SeededRandomness, Stage, Staged, Subject,
};
use crate::metrics::Metrics;
use crate::model::{
    BoundaryAnswer, BoundaryCall, BoundaryError, CleanupState, Container, ContainerId, ContainerState, EngineName,
    Exchange, GameId, Hold, HostNote, Labels, Removal, RunJournal, RuntimeRecord, SeenRecord, Timestamp,
    TrackedRuntime,
};
use crate::ports::{Clock as _, ContainerEngine, LeaseStore, LeaseToken, OperationLog, RecordStore};
use crate::session::Ports;

/// Longer than any lease.
const PAST_ANY_LEASE: Duration = Duration::from_secs(1_000_000);

/// What is known of something that the recorded run did not ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It follows from the recording.
    Surely,
    /// It is as it usually is.
    Usually,
    /// Nothing is.
    Not,
}

/// Clones share it.
#[derive(Clone)]
pub(super) struct World(Arc<Inner>);

struct Inner {
    started_at: Timestamp,
    game: Option<GameId>,
    store: MemoryStore,
    engine: MemoryEngine,
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    record: Option<RuntimeRecord>,
    /// Containers of which it is known whether they are there.
    known: BTreeSet<ContainerId>,
    /// Whether the lease is free; none while that is not known.
    lease_is_free: Option<bool>,
    /// What the next call of these methods comes to, until the policy's call has ended.
    armed: Vec<Armed>,
}

enum Armed {
    Fails(Call),
    /// Somebody else removes the container just before.
    Vanishes(ContainerId),
}

impl World {
    /// As it was before the run.
    pub(super) fn of(journal: &RunJournal, game: Option<GameId>) -> Self {
        let clock = Arc::new(ManualClock::at(journal.started_at));
        let engine = MemoryEngine::new(clock.clone());
        let (store, state) = (MemoryStore::default(), Mutex::default());
        let world = Self(Arc::new(Inner { started_at: journal.started_at, game, store, engine, clock, state }));
        if let Some(known) = journal.record.as_ref().or(journal.offered.as_ref().map(|offer| &offer.record)) {
            world.show(known, journal.held);
        }
        journal.exchanges.iter().for_each(|exchange| world.learn(exchange));
        world
    }

    /// What the recorded run saw first stands for what another sees that does not ask as that one did.
    fn learn(&self, exchange: &Exchange) {
        match (&exchange.call, &exchange.answer) {
            (BoundaryCall::Inspect { .. }, BoundaryAnswer::Container(seen)) if !self.knows(&seen.id) => {
                self.place((&**seen).into());
            }
            (BoundaryCall::TryAcquire, BoundaryAnswer::Lease(free)) => {
                self.lock().lease_is_free.get_or_insert(*free);
            }
            (BoundaryCall::RecordsGet, BoundaryAnswer::Record(record)) if self.record().is_none() => {
                self.show(record, exchange.host.held);
            }
            _ => {}
        }
    }

    fn knows(&self, container: &ContainerId) -> bool {
        self.lock().known.contains(container)
    }

    /// The ports of a run in it. Its engines are those that the recording names.
    pub(super) fn ports(&self, journal: &RunJournal, metrics: Arc<Metrics>) -> Ports {
        let stage = Readied(self.clone());
        let engine: Arc<dyn ContainerEngine> = Arc::new(self.0.engine.clone());
        let engine: Arc<dyn ContainerEngine> = Arc::new(Staged::new(engine, stage.clone()));
        let names = engines(journal);
        Ports {
            records: Arc::new(Staged::<dyn RecordStore, _>::new(self.0.store.records(), stage.clone())),
            operations: Arc::new(Staged::<dyn OperationLog, _>::new(self.0.store.operation_log(), stage.clone())),
            leases: Arc::new(Staged::<dyn LeaseStore, _>::new(self.0.store.leases(self.0.clock.clone()), stage)),
            engines: names.into_iter().map(|name| (name, engine.clone())).collect::<BTreeMap<_, _>>(),
            clock: self.0.clock.clone(),
            randomness: Arc::new(SeededRandomness::new(1)),
            metrics,
        }
    }

    /// The record that there is, for a run that is about to begin.
    pub(super) fn record(&self) -> Option<RuntimeRecord> {
        self.lock().record.clone()
    }

    /// Makes the ports answer as the exchange tells. What they cannot be made to say is said in their place by whoever
    /// asked for this.
    pub(super) fn ready(&self, exchange: &Exchange) {
        let then = self.0.started_at.saturating_add(Duration::from_micros(exchange.at_us));
        self.0.clock.jump_to(then);
        if exchange.answer == BoundaryAnswer::Error(BoundaryError::LeaseLost) {
            self.lose_lease();
        }
        let failed = matches!(exchange.answer, BoundaryAnswer::Error(_));
        match (&exchange.call, &exchange.answer) {
            (BoundaryCall::Now, BoundaryAnswer::Time(at)) => self.0.clock.jump_to(*at),
            (BoundaryCall::RecordsGet, BoundaryAnswer::Record(record)) => self.show(record, exchange.host.held),
            (BoundaryCall::RecordsGet, BoundaryAnswer::Error(BoundaryError::NotFound)) => self.show_none(),
            (BoundaryCall::RecordsGet, _) if failed => self.arm([Call::RecordGet, Call::RecordBeginRun]),
            (BoundaryCall::Inspect { .. }, BoundaryAnswer::Container(seen)) => self.place((&**seen).into()),
            (BoundaryCall::Inspect { container_id }, BoundaryAnswer::Error(BoundaryError::NotFound)) => {
                self.vanish(container_id);
            }
            (BoundaryCall::Inspect { .. }, _) if failed => self.arm([Call::EngineInspect]),
            (BoundaryCall::Remove { container_id }, answer) => self.ready_removal(container_id, answer, &exchange.host),
            (BoundaryCall::UpdateStatus { .. }, _) if failed => self.arm([Call::RecordCompareAndSet]),
            (BoundaryCall::TryAcquire, BoundaryAnswer::Lease(free)) => self.set_lease(*free),
            (BoundaryCall::TryAcquire, _) if failed => self.arm([Call::LeaseTryAcquire]),
            (BoundaryCall::Append(_), _) if failed => self.arm([Call::LogAppend]),
            (BoundaryCall::Release | BoundaryCall::DropLease, _) if failed => self.arm([Call::LeaseRelease]),
            _ => {}
        }
    }

    /// The host looks at the container, reads the record once more, and asks the engine: where it stopped then, it
    /// stops now.
    fn ready_removal(&self, container: &str, answer: &BoundaryAnswer, host: &HostNote) {
        let Ok(id) = container.parse::<ContainerId>() else { return };
        if let Some(changed) = &host.changed_record {
            self.show(changed, host.held);
        } else if host.held {
            self.hold();
        }
        match answer {
            BoundaryAnswer::Removal(Removal::AlreadyGone) if !host.engine_asked => self.vanish(container),
            BoundaryAnswer::Removal(removal) => {
                self.ensure_stopped(&id);
                if *removal == Removal::AlreadyGone {
                    self.lock().armed.push(Armed::Vanishes(id));
                }
            }
            BoundaryAnswer::Error(_) if host.engine_asked => {
                self.ensure_stopped(&id);
                self.arm([Call::EngineRemove]);
            }
            BoundaryAnswer::Error(_) if host.changed_record.is_some() || host.held => self.ensure_stopped(&id),
            _ => self.arm([Call::EngineInspect]),
        }
    }

    /// What is known for a call that the recording does not answer. What is usual is put there, if it is to be assumed.
    pub(super) fn known_of(&self, call: &BoundaryCall, assume: bool) -> Known {
        match call {
            BoundaryCall::RecordsGet if self.lock().record.is_none() => {
                self.arm([Call::RecordGet, Call::RecordBeginRun]);
                Known::Not
            }
            BoundaryCall::TryAcquire => {
                let free = self.lock().lease_is_free;
                let Some(free) = free else {
                    return self.usually(assume, [Call::LeaseTryAcquire], || self.set_lease(true));
                };
                self.set_lease(free);
                Known::Surely
            }
            BoundaryCall::Inspect { container_id } | BoundaryCall::Remove { container_id } => {
                let own = self.record().and_then(|record| record.container_id);
                match own.filter(|own| own.as_str() == container_id && !self.knows(own)) {
                    Some(own) => self.usually(assume, [Call::EngineInspect], || self.ensure_stopped(&own)),
                    // Known, or not this run's to see.
                    None => Known::Surely,
                }
            }
            _ => Known::Surely,
        }
    }

    fn usually<const N: usize>(&self, assume: bool, or_fails: [Call; N], put: impl FnOnce()) -> Known {
        if assume {
            put();
            return Known::Usually;
        }
        self.arm(or_fails);
        Known::Not
    }

    /// The policy's call has ended: what was made ready for it goes.
    pub(super) fn disarm(&self) {
        self.lock().armed.clear();
    }

    /// By the monotonic clock, which stands still but for this, the lease has ended.
    fn lose_lease(&self) {
        let wall = self.0.clock.now();
        self.0.clock.advance(PAST_ANY_LEASE);
        self.0.clock.jump_to(wall);
        if let Some(game) = &self.0.game {
            self.0.store.forget_lease(game);
        }
    }

    fn set_lease(&self, free: bool) {
        self.lock().lease_is_free = Some(free);
        let Some(game) = &self.0.game else { return };
        match free {
            true => self.0.store.forget_lease(game),
            false => {
                let soon = self.0.clock.now().saturating_add(Duration::from_secs(1));
                self.0.store.lend(game, LeaseToken::from_bytes([0; 32]), soon);
            }
        }
    }

    fn show(&self, seen: &SeenRecord, held: bool) {
        let record = RuntimeRecord::from(seen);
        let cleanup = CleanupState { hold: held.then(endless), ..CleanupState::default() };
        self.0.store.show(TrackedRuntime { record: record.clone(), cleanup });
        self.lock().record = Some(record);
    }

    fn hold(&self) {
        if let Some(record) = self.record() {
            self.show(&SeenRecord::from(&record), true);
        }
    }

    fn show_none(&self) {
        if let Some(game) = &self.0.game {
            self.0.store.delete_directly(game);
        }
    }

    fn place(&self, container: Container) {
        self.lock().known.insert(container.id.clone());
        self.0.engine.put(container);
    }

    fn vanish(&self, container: &str) {
        if let Ok(id) = container.parse() {
            self.0.engine.vanish(&id);
            self.lock().known.insert(id);
        }
    }

    fn ensure_stopped(&self, id: &ContainerId) {
        match self.0.engine.container(id) {
            None => self.place(self.usual(id)),
            Some(found) if found.state.is_live() => {
                self.0.engine.set_state(id, ContainerState::Exited);
            }
            Some(_) => {}
        }
    }

    /// A container that has ended well.
    fn usual(&self, id: &ContainerId) -> Container {
        let record = self.record();
        Container {
            id: id.clone(),
            name: String::new(),
            state: ContainerState::Exited,
            exit_code: Some(0),
            created_at: None,
            started_at: record.as_ref().and_then(|record| record.started_at),
            finished_at: record.as_ref().and_then(|record| record.stopped_at),
            image: record.and_then(|record| record.image_ref).unwrap_or_default(),
            labels: Labels::new(),
        }
    }

    fn arm<const N: usize>(&self, calls: [Call; N]) {
        self.lock().armed.extend(calls.map(Armed::Fails));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets every call through but those that are to fail.
#[derive(Clone)]
struct Readied(World);

impl Stage for Readied {
    async fn call<T: Answer, E: Inject>(
        &self,
        call: Call,
        _about: Subject<'_>,
        _refusal: impl FnOnce() -> Result<T, E> + Send,
        effect: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let (fails, vanishing) = {
            let state = self.0.lock();
            let fails = state.armed.iter().any(|armed| matches!(armed, Armed::Fails(failing) if *failing == call));
            let vanishing = state.armed.iter().find_map(|armed| match armed {
                Armed::Vanishes(id) if call == Call::EngineRemove => Some(id.clone()),
                _ => None,
            });
            (fails, vanishing)
        };
        if fails {
            return Err(E::unavailable());
        }
        if let Some(id) = vanishing {
            self.0.vanish(id.as_str());
        }
        effect.await
    }
}

fn endless() -> Hold {
    Hold { reason: "as recorded".to_owned(), actor: "recorded".to_owned(), until: None }
}

fn engines(journal: &RunJournal) -> BTreeSet<EngineName> {
    let seen = journal.exchanges.iter().flat_map(|exchange| {
        let answered = match &exchange.answer {
            BoundaryAnswer::Record(record) => Some(record.engine.clone()),
            _ => None,
        };
        answered.into_iter().chain(exchange.host.changed_record.as_ref().map(|record| record.engine.clone()))
    });
    let offered = journal.offered.as_ref().map(|offer| offer.record.engine.clone());
    seen.chain(offered).chain(journal.record.as_ref().map(|record| record.engine.clone())).collect()
}
