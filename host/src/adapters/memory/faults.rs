//! What shall go wrong, and when.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Call;
use crate::model::ContainerState;
use crate::ports::{CasError, EngineError, RegisterError, StoreError};

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No effect; the backend is unavailable.
    Unavailable,
    /// No effect; the store is corrupt. An engine or the randomness answers as if unavailable.
    Corrupt,
    /// No effect, but the caller cannot know.
    LoseRequest,
    /// The effect happens, but its answer is lost.
    LoseReply,
    /// No effect and never an answer.
    Hang,
    /// The effect happens, and there is never an answer.
    HangAfterEffect,
    /// No effect, and the answer by which the port says "no": a conflict, a lease held by another or
    /// lost, a running container, nothing written. A port without such an answer is unavailable.
    Refuse,
}

impl Failure {
    /// Every failure, for tests that walk over all.
    pub const ALL: [Self; 7] = [
        Self::Unavailable,
        Self::Corrupt,
        Self::LoseRequest,
        Self::LoseReply,
        Self::Hang,
        Self::HangAfterEffect,
        Self::Refuse,
    ];
}

/// Which calls fail, and how. Calls that nothing is said about work.
#[derive(Default)]
pub struct FaultPlan {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    made: HashMap<Call, u32>,
    nth: HashMap<(Call, u32), Failure>,
    at_place: HashMap<usize, Failure>,
    always: HashMap<Call, Failure>,
    meanwhile: HashMap<(Call, u32), Interference>,
}

/// What somebody else does to the world while a run is under way.
type Interference = Pin<Box<dyn Future<Output = ()> + Send>>;

impl FaultPlan {
    /// The `nth` call of `call` from the start (the first is 1) fails.
    pub fn fail(&self, call: Call, nth: u32, failure: Failure) {
        self.lock().nth.insert((call, nth), failure);
    }

    /// Every call of `call` fails, until [`FaultPlan::mend`].
    pub fn fail_always(&self, call: Call, failure: Failure) {
        self.lock().always.insert(call, failure);
    }

    /// The call at this place in the journal (the first is 0) fails, whatever it is: run once, then again
    /// with a fault at each place of the journal, and every step of a run has been tried.
    pub fn fail_at(&self, place: usize, failure: Failure) {
        self.lock().at_place.insert(place, failure);
    }

    /// Just before the `nth` call of `call` takes effect, this happens, as if somebody else did it.
    /// Randomness is drawn without waiting, so nothing can happen before it.
    pub fn meanwhile(&self, call: Call, nth: u32, interference: impl Future<Output = ()> + Send + 'static) {
        self.lock().meanwhile.insert((call, nth), Box::pin(interference));
    }

    /// From now on nothing fails.
    pub fn mend(&self) {
        let mut state = self.lock();
        state.nth.clear();
        state.at_place.clear();
        state.always.clear();
    }

    /// Counts a call, and answers what happens before it and how it fails.
    pub(super) fn next(&self, call: Call, place: usize) -> (Option<Interference>, Option<Failure>) {
        let mut state = self.lock();
        let made = state.made.entry(call).or_default();
        *made = made.saturating_add(1);
        let nth = (call, *made);
        let planned = state.nth.get(&nth).or_else(|| state.at_place.get(&place)).or_else(|| state.always.get(&call));
        let planned = planned.copied();
        (state.meanwhile.remove(&nth), planned)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error that a plan can ask for.
#[derive(Debug, thiserror::Error)]
#[error("injected by the fault plan")]
struct Injected;

/// A port's errors, as far as a plan asks for them.
pub trait Inject: Debug + Send {
    /// No effect; the backend is unavailable.
    fn unavailable() -> Self;
    /// The answer was lost.
    fn unknown() -> Self;
    /// The backend holds what it must not; where a port has no such error, it is unavailable.
    fn corrupt() -> Self;
}

impl Inject for StoreError {
    fn unavailable() -> Self {
        Self::Unavailable(Box::new(Injected))
    }

    fn unknown() -> Self {
        Self::Unknown(Box::new(Injected))
    }

    fn corrupt() -> Self {
        Self::Corrupt(Injected.to_string())
    }
}

macro_rules! inject_through_store {
    ($($error:ty),*) => {$(
        impl Inject for $error {
            fn unavailable() -> Self {
                StoreError::unavailable().into()
            }

            fn unknown() -> Self {
                StoreError::unknown().into()
            }

            fn corrupt() -> Self {
                StoreError::corrupt().into()
            }
        }
    )*};
}

inject_through_store!(CasError, RegisterError);

impl Inject for EngineError {
    fn unavailable() -> Self {
        Self::Unavailable(Box::new(Injected))
    }

    fn unknown() -> Self {
        Self::Unknown(Box::new(Injected))
    }

    fn corrupt() -> Self {
        Self::unavailable()
    }
}

/// The refusal of an engine.
pub(super) fn refused() -> EngineError {
    EngineError::Refused(ContainerState::Running)
}
