//! Writes down what passes the boundary, within bounds and behind a veil.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::boundary::{Boundary, Moment};
use crate::model::{BoundaryAnswer, BoundaryCall, BoundaryError, Exchange, HostNote, JournalBounds, Veil};

/// Keeps the exchanges of one run.
pub struct Recorder {
    bounds: JournalBounds,
    veil: Veil,
    started: Duration,
    state: Mutex<Recording>,
}

#[derive(Default)]
struct Recording {
    under_way: Option<(BoundaryCall, Moment)>,
    exchanges: Vec<Exchange>,
    bytes: usize,
    omitted: u64,
}

impl Recorder {
    /// Begins at `started`, by the monotonic clock.
    pub fn new(bounds: JournalBounds, veil: Veil, started: Duration) -> Self {
        Self { bounds, veil, started, state: Mutex::default() }
    }

    /// What hides secrets here.
    pub fn veil(&self) -> &Veil {
        &self.veil
    }

    /// When it began, by the monotonic clock.
    pub fn started(&self) -> Duration {
        self.started
    }

    /// Ends it, at `now` by the monotonic clock: the exchanges, and how many more there were.
    pub fn finish(&self, now: Duration) -> (Vec<Exchange>, u64) {
        let mut state = self.lock();
        if let Some((call, began)) = state.under_way.take() {
            let ended = Moment { at: now, ..began };
            self.keep(&mut state, call, began, (BoundaryAnswer::None, HostNote::default(), ended));
        }
        (std::mem::take(&mut state.exchanges), state.omitted)
    }

    /// Once one finds no room, none does: what is kept is the beginning, without gaps.
    fn keep(
        &self,
        state: &mut Recording,
        call: BoundaryCall,
        began: Moment,
        (answer, host, ended): (BoundaryAnswer, HostNote, Moment),
    ) {
        let at_us = micros(began.at.saturating_sub(self.started));
        let took_us = micros(ended.at.saturating_sub(began.at));
        let (call, answer) = (self.veil.call(call), self.veil.answer(answer));
        let host =
            HostNote { changed_record: host.changed_record.map(|record| Box::new(record.without_passwords())), ..host };
        let exchange = Exchange { at_us, took_us, phase: began.phase, call, answer, host };
        let bytes = serde_json::to_vec(&exchange).map_or(usize::MAX, |json| json.len());
        let room = state.omitted == 0
            && state.exchanges.len() < self.bounds.exchanges as usize
            && state.bytes.saturating_add(bytes) <= self.bounds.bytes as usize;
        if room {
            state.bytes += bytes;
            state.exchanges.push(exchange);
        } else {
            state.omitted = state.omitted.saturating_add(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Boundary for Recorder {
    fn begins(&self, call: BoundaryCall, moment: Moment) {
        let mut state = self.lock();
        state.under_way = Some((call, moment));
    }

    fn ends(&self, answer: BoundaryAnswer, note: HostNote, moment: Moment) -> Option<BoundaryError> {
        let mut state = self.lock();
        let (call, began) = state.under_way.take()?;
        self.keep(&mut state, call, began, (answer, note, moment));
        None
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
