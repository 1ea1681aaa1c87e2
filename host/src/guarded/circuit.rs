//! Whether an engine is asked at all: not for a while once it has failed several times in a row, and then by one
//! ping first. Knows no clock; times are passed in.

use std::time::Duration;

use crate::metrics::CircuitState;

/// The longest pause, in first ones.
const LONGEST: u32 = 32;

/// When an engine is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitOptions {
    /// So many failures in a row open the circuit; at least one.
    pub failures: u32,
    /// How long it then stays open. Each further time, until a call succeeds, twice as long, up to 32 times as long.
    pub cooldown: Duration,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Pass,
    /// Only if a ping, of which this caller tells the [`Probe`], is answered.
    Probe,
    /// It may not, for so long; zero while another caller's ping is under way.
    Refused(Duration),
}

/// What became of the ping that decides whether an open circuit closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// It was answered.
    Answered,
    /// It was not.
    Failed,
    /// Its caller did not wait for the answer, so the next one may try.
    GivenUp,
}

/// The circuit of one engine.
#[derive(Debug, Clone)]
pub struct Circuit {
    options: CircuitOptions,
    state: State,
    /// The next pause.
    cooldown: Duration,
    succeeded_at: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration },
    Probing,
}

impl Circuit {
    /// A closed one.
    pub fn new(options: CircuitOptions) -> Self {
        let cooldown = options.cooldown;
        Self { options, state: State::Closed { failures: 0 }, cooldown, succeeded_at: None }
    }

    /// The state, as it is shown.
    pub fn state(&self) -> CircuitState {
        match self.state {
            State::Closed { .. } => CircuitState::Closed,
            State::Open { .. } => CircuitState::Open,
            State::Probing => CircuitState::HalfOpen,
        }
    }

    /// Asks for leave to make a call.
    pub fn admit(&mut self, now: Duration) -> Admission {
        match self.state {
            State::Closed { .. } => Admission::Pass,
            State::Open { until } if now < until => Admission::Refused(until.saturating_sub(now)),
            State::Open { .. } => {
                self.state = State::Probing;
                Admission::Probe
            }
            State::Probing => Admission::Refused(Duration::ZERO),
        }
    }

    /// A call, not a ping, was answered. Only that ends a row of failures: an engine can answer pings and hang in
    /// everything else.
    pub fn succeeded(&mut self, now: Duration) {
        if let State::Closed { failures } = &mut self.state {
            *failures = 0;
            self.cooldown = self.options.cooldown;
            self.succeeded_at = Some(now);
        }
    }

    /// The engine failed in a call or ping that began at `began`. If it has answered another since, one container is
    /// to blame and not the engine.
    pub fn failed(&mut self, began: Duration, now: Duration) {
        let State::Closed { failures } = &mut self.state else { return };
        if self.succeeded_at.is_some_and(|succeeded_at| began < succeeded_at) {
            return;
        }
        *failures = failures.saturating_add(1);
        if *failures >= self.options.failures {
            self.open(now);
        }
    }

    /// The ping of whoever was told to [`Admission::Probe`] has ended.
    pub fn probed(&mut self, probe: Probe, now: Duration) {
        if !matches!(self.state, State::Probing) {
            return;
        }
        match probe {
            Probe::Answered => self.state = State::Closed { failures: 0 },
            Probe::Failed => self.open(now),
            Probe::GivenUp => self.state = State::Open { until: now },
        }
    }

    fn open(&mut self, now: Duration) {
        self.state = State::Open { until: now.saturating_add(self.cooldown) };
        let longest = self.options.cooldown.saturating_mul(LONGEST);
        self.cooldown = self.cooldown.saturating_mul(2).min(longest);
    }
}
