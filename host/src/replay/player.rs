//! Sits at the boundary of a run and has it answered from a recording.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::matcher::Matcher;
use super::world::{Known, World};
use crate::model::{BoundaryAnswer, BoundaryCall, BoundaryError, Exchange, HostNote};
use crate::session::{Boundary, Moment, Recorder};

const NOT_RECORDED: &str = "the recording does not say";

/// A call that the recorded run did not make, and whose answer does not follow from what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedMore {
    /// The function.
    pub call: &'static str,
    /// Whether it was answered by what usually is; else as unavailable.
    pub assumed: bool,
}

/// Answers one run, and writes it down.
pub(super) struct Player {
    world: World,
    recorder: Recorder,
    assume: bool,
    state: Mutex<State>,
}

struct State {
    matcher: Matcher,
    /// What the policy is told whatever the ports say, unless a rule forbids the call.
    forced: Option<BoundaryError>,
    asked_more: Vec<AskedMore>,
}

impl Player {
    pub(super) fn new(exchanges: &[Exchange], world: World, recorder: Recorder, assume: bool) -> Self {
        let state = State { matcher: Matcher::new(exchanges), forced: None, asked_more: Vec::new() };
        Self { world, recorder, assume, state: Mutex::new(state) }
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// What the recording had no answer for.
    pub(super) fn asked_more(&self) -> Vec<AskedMore> {
        self.lock().asked_more.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Boundary for Player {
    fn begins(&self, call: BoundaryCall, moment: Moment) {
        // As it would have been written down.
        let shown = self.recorder.veil().call(call.clone());
        let mut state = self.lock();
        state.forced = match state.matcher.find(&shown) {
            Some(exchange) => {
                self.world.ready(&exchange);
                match exchange.answer {
                    BoundaryAnswer::Error(error) => Some(error),
                    _ => None,
                }
            }
            None => {
                let known = self.world.known_of(&call, self.assume);
                if known != Known::Surely {
                    let assumed = known == Known::Usually;
                    state.asked_more.push(AskedMore { call: call.name(), assumed });
                }
                (known == Known::Not).then(|| BoundaryError::Unavailable(NOT_RECORDED.to_owned()))
            }
        };
        self.recorder.begins(call, moment);
    }

    fn ends(&self, answer: BoundaryAnswer, note: HostNote, moment: Moment) -> Option<BoundaryError> {
        self.world.disarm();
        let forced = self.lock().forced.take();
        // Rules hold whatever was recorded: the other policy may not have broken this one.
        let forced = forced.filter(|_| !matches!(answer, BoundaryAnswer::Error(BoundaryError::Denied(_))));
        let told = forced.clone().map_or(answer, BoundaryAnswer::Error);
        self.recorder.ends(told, note, moment);
        forced
    }
}
