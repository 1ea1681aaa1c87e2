//! How many calls an engine takes at the same time: one more for every round of calls that it answers as fast as
//! usual, and a part fewer when it slows down or fails. Knows no clock; times are passed in.

use std::time::Duration;

/// Weight of a new answer in the recent time of its kind.
const RECENT: f64 = 0.25;
/// The usual time is a smoothed minimum: it falls to a faster answer at this rate,
const FALLING: f64 = 0.25;
/// and rises to slower ones at this one, so that an engine that is slow for good is not held back for ever.
const RISING: f64 = 1.0 / 512.0;
/// An engine is as fast as usual within this multiple of the usual time, and too slow beyond the other; in between
/// the limit stays.
const NEAR: f64 = 2.0;
const TOLERANCE: f64 = 4.0;
/// Seconds by which answers may always differ: that many milliseconds are a scheduler's or a disk's whim.
const SLACK: f64 = 0.05;
/// What is left of the limit when it is lowered.
const LOWERED: f64 = 0.7;

/// Calls whose times are compared with one another only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Describing one container.
    Inspect,
    /// Removing one container: many times the time of an inspection.
    Remove,
    /// Listing. It takes as long as there are containers, so its time tells nothing.
    List,
}

/// How a call ended, as far as the limit is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With an answer, a refusal included.
    Answered,
    /// Without one that can be used, or only after its caller had waited for too long.
    Failed,
    /// Given up by its caller before it could tell anything.
    GivenUp,
}

/// A call under way.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    kind: Kind,
    at: Duration,
    /// Whether the limit mattered when it began.
    limited: bool,
}

/// The limit of one engine. It stays within 1 and its maximum.
#[derive(Debug, Clone)]
pub struct Limit {
    max: usize,
    limit: f64,
    under_way: usize,
    inspections: Times,
    removals: Times,
    lowered_at: Option<Duration>,
}

/// Seconds that calls of one kind take.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    recent: Option<f64>,
    usual: Option<f64>,
}

enum Pace {
    Usual,
    Slower,
    TooSlow,
}

impl Limit {
    /// Starts half way up to `max`, which is taken as 1 at least.
    pub fn new(max: usize) -> Self {
        let max = max.max(1);
        let (inspections, removals) = (Times::default(), Times::default());
        Self { max, limit: as_f64(max.div_ceil(2)), under_way: 0, inspections, removals, lowered_at: None }
    }

    /// Calls at the same time just now.
    pub fn now(&self) -> usize {
        (self.limit as usize).clamp(1, self.max)
    }

    /// A call begins.
    pub fn begin(&mut self, kind: Kind, now: Duration) -> Started {
        self.under_way = self.under_way.saturating_add(1);
        Started { kind, at: now, limited: self.is_in_use() }
    }

    /// Half of it is enough: runs have other things to do between two calls.
    fn is_in_use(&self) -> bool {
        self.under_way.saturating_mul(2) >= self.now()
    }

    /// It ends.
    pub fn end(&mut self, call: Started, ended: Ended, now: Duration) {
        let limited = call.limited || self.is_in_use();
        self.under_way = self.under_way.saturating_sub(1);
        let pace = match ended {
            Ended::GivenUp => return,
            Ended::Failed => Pace::TooSlow,
            Ended::Answered => self.pace(call.kind, now.saturating_sub(call.at)),
        };
        // A call of before the last lowering tells only what that was for.
        if self.lowered_at.is_some_and(|lowered_at| call.at < lowered_at) {
            return;
        }
        match pace {
            Pace::Usual if limited => self.limit = (self.limit + 1.0 / self.limit).min(as_f64(self.max)),
            Pace::Usual | Pace::Slower => {}
            Pace::TooSlow => self.lower(now),
        }
    }

    fn lower(&mut self, now: Duration) {
        self.limit = (self.limit * LOWERED).max(1.0);
        self.lowered_at = Some(now);
        (self.inspections.recent, self.removals.recent) = (None, None);
    }

    fn pace(&mut self, kind: Kind, took: Duration) -> Pace {
        match kind {
            Kind::Inspect => self.inspections.observe(took),
            Kind::Remove => self.removals.observe(took),
            Kind::List => Pace::Slower,
        }
    }
}

impl Times {
    fn observe(&mut self, took: Duration) -> Pace {
        let took = took.as_secs_f64();
        let recent = self.recent.map_or(took, |recent| recent + (took - recent) * RECENT);
        let usual = self.usual.map_or(took, |usual| {
            let rate = if took < usual { FALLING } else { RISING };
            usual + (took - usual) * rate
        });
        (self.recent, self.usual) = (Some(recent), Some(usual));
        if recent <= usual * NEAR + SLACK / 2.0 {
            Pace::Usual
        } else if recent <= usual * TOLERANCE + SLACK {
            Pace::Slower
        } else {
            Pace::TooSlow
        }
    }
}

fn as_f64(calls: usize) -> f64 {
    calls as f64
}
