//! A container engine under guard, whatever engine it is: it is never asked more at once than it takes well, and
//! not at all while it does not answer. So a hung engine costs its callers little, and holds up nobody else's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::metrics::{CircuitState, Metrics};
use crate::model::{Container, ContainerId, EngineName, Removal};
use crate::ports::{Clock, ContainerEngine, EngineError, Hints, Listing};

mod circuit;
mod limit;
mod under_way;

pub use circuit::{Admission, Circuit, CircuitOptions, Probe};
pub use limit::{Ended, Kind, Limit, Started};
use under_way::{Probing, UnderWay};

/// How an engine is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardOptions {
    /// Calls at the same time, at most; at least one.
    pub max_concurrency: usize,
    /// When it is left alone.
    pub circuit: CircuitOptions,
    /// A call that takes this long has shown that the engine hangs, be it that it failed or that its caller gave up.
    /// At most the engine's own time limit, and its callers'.
    pub patience: Duration,
}

impl Default for GuardOptions {
    /// For an engine that answers within 10 s.
    fn default() -> Self {
        let circuit = CircuitOptions { failures: 5, cooldown: Duration::from_secs(10) };
        Self { max_concurrency: 16, circuit, patience: Duration::from_secs(10) }
    }
}

/// The engine was not asked, since it does not answer: nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine failed several times in a row; it is not asked again for {0:?}")]
pub struct CircuitOpen(pub Duration);

/// An engine with a limit of concurrent calls that adapts to it, and a circuit breaker.
///
/// Calls beyond the limit wait in order. A ping never waits: it is what tells that an engine hangs.
pub struct GuardedEngine {
    name: EngineName,
    inner: Arc<dyn ContainerEngine>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    patience: Duration,
    state: Mutex<State>,
    /// As many as the limit, once those that are too many have come back.
    places: Arc<Semaphore>,
    /// Wakes those who wait for a place of an engine that is not asked any more.
    opened: Notify,
}

struct State {
    limit: Limit,
    circuit: Circuit,
    /// Places that exist, taken or not.
    places: usize,
}

/// A removal that has waited for its place for so long is not sent.
const FRESH: Duration = Duration::from_secs(1);

impl GuardedEngine {
    /// Guards `inner`, known as `name` in log and metrics. Time is the monotonic one of `clock`.
    pub fn new(
        name: EngineName,
        inner: Arc<dyn ContainerEngine>,
        options: GuardOptions,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let limit = Limit::new(options.max_concurrency);
        let (places, circuit) = (limit.now(), Circuit::new(options.circuit));
        metrics.engine_concurrency(&name, places);
        metrics.engine_circuit(&name, circuit.state());
        Self {
            name,
            inner,
            clock,
            metrics,
            patience: options.patience,
            state: Mutex::new(State { limit, circuit, places }),
            places: Arc::new(Semaphore::new(places)),
            opened: Notify::new(),
        }
    }

    async fn call<T>(
        &self,
        kind: Kind,
        call: impl Future<Output = Result<T, EngineError>> + Send,
    ) -> Result<T, EngineError> {
        let place = self.place().await?;
        self.call_in(place, kind, call).await
    }

    async fn call_in<T>(
        &self,
        place: OwnedSemaphorePermit,
        kind: Kind,
        call: impl Future<Output = Result<T, EngineError>> + Send,
    ) -> Result<T, EngineError> {
        let under_way = UnderWay::call(self, kind, place);
        let answer = call.await;
        under_way.end(&answer).await;
        answer
    }

    /// Waits for a place, unless and until the engine is not to be asked.
    async fn place(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        let opened = self.opened.notified();
        self.pass().await?;
        let place = tokio::select! {
            biased;
            () = opened => return Err(not_asked(Duration::ZERO)),
            place = self.places.clone().acquire_owned() => place,
        };
        // The semaphore is never closed.
        let place = place.map_err(|_| not_asked(Duration::ZERO))?;
        self.pass().await?;
        Ok(place)
    }

    /// Whether the engine may be asked; pings it first if that is what it depends on.
    async fn pass(&self) -> Result<(), EngineError> {
        match self.admit() {
            Admission::Pass => Ok(()),
            Admission::Probe => self.probe().await,
            Admission::Refused(left) => Err(not_asked(left)),
        }
    }

    async fn probe(&self) -> Result<(), EngineError> {
        let probing = Probing::begin(self);
        let answer = self.inner.ping().await;
        probing.end(if answer.is_ok() { Probe::Answered } else { Probe::Failed });
        answer
    }

    fn admit(&self) -> Admission {
        let now = self.clock.monotonic();
        self.change(|state| state.circuit.admit(now))
    }

    /// Whether it answers at all, within the time for that.
    async fn answers(&self) -> bool {
        matches!(tokio::time::timeout(self.patience, self.inner.ping()).await, Ok(Ok(())))
    }

    /// Changes the state and tells whom it concerns, while no other change can come between.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let (limit, circuit) = (state.limit.now(), state.circuit.state());
        let result = change(&mut state);
        if state.limit.now() != limit {
            self.metrics.engine_concurrency(&self.name, state.limit.now());
        }
        self.provide_places(&mut state);
        if state.circuit.state() != circuit {
            self.circuit_changed(circuit, state.circuit.state());
        }
        result
    }

    fn provide_places(&self, state: &mut State) {
        let wanted = state.limit.now();
        if let Some(more) = wanted.checked_sub(state.places) {
            self.places.add_permits(more);
            state.places = wanted;
        } else {
            // Those that are taken now are forgotten when they come back.
            state.places -= self.places.forget_permits(state.places - wanted);
        }
    }

    fn circuit_changed(&self, before: CircuitState, now: CircuitState) {
        self.metrics.engine_circuit(&self.name, now);
        match (before, now) {
            (CircuitState::Closed, CircuitState::Open) => {
                tracing::warn!(engine = %self.name, "the engine failed several times in a row and is left alone");
                self.opened.notify_waiters();
            }
            (_, CircuitState::Open) => tracing::debug!(engine = %self.name, "the engine still does not answer"),
            (_, CircuitState::Closed) => tracing::info!(engine = %self.name, "the engine answers again"),
            (_, CircuitState::HalfOpen) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_asked(left: Duration) -> EngineError {
    EngineError::Unavailable(Box::new(CircuitOpen(left)))
}

#[async_trait]
impl ContainerEngine for GuardedEngine {
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        self.call(Kind::Inspect, self.inner.inspect(id)).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError> {
        self.call(Kind::Remove, self.inner.remove(id)).await
    }

    async fn remove_seen(&self, seen: &Container) -> Result<Removal, EngineError> {
        // Whoever asks has looked right before at the record, its hold, its lease and the policy's standing: what waited
        // for long would act on what is not so any more.
        let place = tokio::time::timeout(FRESH, self.place()).await;
        let place = place.map_err(|late| EngineError::Unavailable(Box::new(late)))??;
        self.call_in(place, Kind::Remove, self.inner.remove_seen(seen)).await
    }

    async fn list_labelled(&self, labels: &[(String, String)]) -> Result<Listing, EngineError> {
        self.call(Kind::List, self.inner.list_labelled(labels)).await
    }

    async fn ping(&self) -> Result<(), EngineError> {
        match self.admit() {
            Admission::Probe => self.probe().await,
            Admission::Refused(left) => Err(not_asked(left)),
            Admission::Pass => {
                let under_way = UnderWay::ping(self);
                let answer = self.inner.ping().await;
                under_way.end(&answer).await;
                answer
            }
        }
    }

    /// Not counted: a stream stays open, and one that fails costs nothing but hints.
    async fn watch(&self, labels: &[(String, String)]) -> Result<Option<Hints>, EngineError> {
        self.inner.watch(labels).await
    }

    fn capacity(&self) -> usize {
        let state = self.lock();
        let own = if state.circuit.state() == CircuitState::Closed { state.limit.now() } else { 0 };
        own.min(self.inner.capacity())
    }
}
