//! Which recorded exchange answers a call. What only looks may come in another order; what acts divides the recording
//! into stretches, since the world may be another after it.

use crate::model::{BoundaryCall, Exchange};

/// A recording, of which some has been answered.
pub(super) struct Matcher {
    lines: Vec<Line>,
    /// How many acts of the recording came before the present.
    stretch: u32,
    /// The policy has changed the world as the recorded one did not: what that one saw later says nothing.
    off_record: bool,
}

struct Line {
    exchange: Exchange,
    stretch: u32,
    used: bool,
}

impl Matcher {
    pub(super) fn new(exchanges: &[Exchange]) -> Self {
        let mut stretch = 0;
        let line = |exchange: &Exchange| {
            let line = Line { exchange: exchange.clone(), stretch, used: false };
            stretch += u32::from(acts(&exchange.call));
            line
        };
        Self { lines: exchanges.iter().map(line).collect(), stretch: 0, off_record: false }
    }

    /// The exchange that answers a call; none if the recording does not.
    pub(super) fn find(&mut self, call: &BoundaryCall) -> Option<Exchange> {
        let found = if acts(call) { self.act(call) } else { self.look(call) };
        if found.is_none() && changes(call) {
            self.off_record = true;
        }
        found
    }

    /// The first that was not answered yet.
    fn act(&mut self, call: &BoundaryCall) -> Option<Exchange> {
        if self.off_record {
            return None;
        }
        let line = self.lines.iter_mut().find(|line| !line.used && alike(call, &line.exchange.call))?;
        line.used = true;
        self.stretch = line.stretch.saturating_add(1);
        Some(line.exchange.clone())
    }

    /// Of the present stretch, the first that was not answered yet, else the last that was: who looks twice sees the same.
    fn look(&mut self, call: &BoundaryCall) -> Option<Exchange> {
        if self.off_record {
            return None;
        }
        let stretch = self.stretch;
        let mut here = self.lines.iter_mut().filter(|line| line.stretch == stretch && alike(call, &line.exchange.call));
        let mut last = None;
        let fresh = here.find(|line| {
            if line.used {
                last = Some(line.exchange.clone());
            }
            !line.used
        });
        match fresh {
            Some(line) => {
                line.used = true;
                Some(line.exchange.clone())
            }
            None => last,
        }
    }
}

/// Whether the world may be another afterwards.
fn acts(call: &BoundaryCall) -> bool {
    match call {
        BoundaryCall::UpdateStatus { .. }
        | BoundaryCall::Remove { .. }
        | BoundaryCall::TryAcquire
        | BoundaryCall::Release
        | BoundaryCall::DropLease
        | BoundaryCall::Append(_) => true,
        BoundaryCall::Now
        | BoundaryCall::RecordsGet
        | BoundaryCall::Inspect { .. }
        | BoundaryCall::Setting { .. }
        | BoundaryCall::Settings
        | BoundaryCall::Log { .. } => false,
    }
}

/// Whether the record or its container may be another afterwards.
fn changes(call: &BoundaryCall) -> bool {
    matches!(call, BoundaryCall::UpdateStatus { .. } | BoundaryCall::Remove { .. })
}

/// What a policy writes or says is answered whatever it is.
fn alike(call: &BoundaryCall, recorded: &BoundaryCall) -> bool {
    match (call, recorded) {
        (BoundaryCall::Append(_), BoundaryCall::Append(_)) | (BoundaryCall::Log { .. }, BoundaryCall::Log { .. }) => {
            true
        }
        _ => call == recorded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BoundaryAnswer, HostNote, Outcome, RunPhase, Timestamp, WrittenEntry};

    fn line(at_us: u64, call: BoundaryCall) -> Exchange {
        let answer = BoundaryAnswer::Time(Timestamp::from_micros(at_us));
        Exchange { at_us, took_us: 0, phase: RunPhase::Handle, call, answer, host: HostNote::default() }
    }

    fn inspect(id: &str) -> BoundaryCall {
        BoundaryCall::Inspect { container_id: id.to_owned() }
    }

    fn remove(id: &str) -> BoundaryCall {
        BoundaryCall::Remove { container_id: id.to_owned() }
    }

    fn append() -> BoundaryCall {
        let outcome = Outcome::Success;
        let (error_code, message, container_id, image_ref) = Default::default();
        BoundaryCall::Append(WrittenEntry { outcome, error_code, message, container_id, image_ref })
    }

    /// Plays calls and tells which lines answered, by their times.
    fn answered(recording: &[BoundaryCall], calls: &[BoundaryCall]) -> Vec<Option<u64>> {
        let lines: Vec<_> = (0..).zip(recording).map(|(at, call)| line(at, call.clone())).collect();
        let mut matcher = Matcher::new(&lines);
        calls.iter().map(|call| matcher.find(call).map(|exchange| exchange.at_us)).collect()
    }

    #[test]
    fn the_same_calls_are_answered_line_by_line() {
        use BoundaryCall::{Now, Release, TryAcquire};
        let get = BoundaryCall::RecordsGet;
        let calls = [Now, get.clone(), TryAcquire, get.clone(), Now, remove("a"), get, append(), Release, Now];
        let expected: Vec<_> = (0..calls.len() as u64).map(Some).collect();
        assert_eq!(answered(&calls, &calls), expected);
    }

    #[test]
    fn looks_may_come_in_another_order_between_the_same_acts() {
        let get = BoundaryCall::RecordsGet;
        let recording = [BoundaryCall::TryAcquire, get.clone(), inspect("a"), inspect("b"), remove("a")];
        let calls = [BoundaryCall::TryAcquire, inspect("b"), inspect("a"), get, remove("a")];
        assert_eq!(answered(&recording, &calls), [Some(0), Some(3), Some(2), Some(1), Some(4)]);
    }

    #[test]
    fn a_look_is_answered_by_what_was_seen_between_the_same_acts() {
        let get = BoundaryCall::RecordsGet;
        let recording = [get.clone(), BoundaryCall::TryAcquire, get.clone(), remove("a"), get.clone()];
        // It does not look before it takes the lease, and twice after.
        let calls = [BoundaryCall::TryAcquire, get.clone(), get.clone(), remove("a"), get];
        assert_eq!(answered(&recording, &calls), [Some(1), Some(2), Some(2), Some(3), Some(4)]);
    }

    #[test]
    fn a_call_that_was_not_made_has_no_answer() {
        let recording = [BoundaryCall::TryAcquire, inspect("a")];
        let calls = [inspect("a"), BoundaryCall::RecordsGet, BoundaryCall::TryAcquire, inspect("b"), inspect("a")];
        assert_eq!(answered(&recording, &calls), [None, None, Some(0), None, Some(1)]);
    }

    #[test]
    fn nothing_is_known_of_a_world_that_was_changed_otherwise() {
        let get = BoundaryCall::RecordsGet;
        let recording = [BoundaryCall::TryAcquire, get.clone(), append(), get.clone()];
        let calls = [BoundaryCall::TryAcquire, get.clone(), remove("a"), get, append()];
        assert_eq!(answered(&recording, &calls), [Some(0), Some(1), None, None, None]);
    }

    #[test]
    fn an_entry_is_answered_whatever_it_says() {
        let other = BoundaryCall::Append(WrittenEntry {
            outcome: Outcome::Failure,
            error_code: Some("busy".to_owned()),
            message: None,
            container_id: None,
            image_ref: None,
        });
        assert_eq!(answered(&[append()], &[other]), [Some(0)]);
    }
}
