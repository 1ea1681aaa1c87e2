//! What each change makes of a scope. The stores read a scope and write it back as one; what the change is, and when it
//! is refused, is the same in all of them.

use crate::model::{PolicyEvent, PolicyName, PolicyVersion, Rollout, RolloutCounts};
use crate::ports::{SwapError, SwapKind};

/// Where a scope stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// The generation that serves it.
    pub(super) current: Option<u64>,
    /// How many generations it has had: they count from 1. Those that were never used may be gone.
    pub(super) last: u64,
    /// The rollout under way.
    pub(super) rollout: Option<Rollout>,
}

/// A line of the history, but for who, when and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) event: PolicyEvent,
    pub(super) from: Option<u64>,
    pub(super) to: Option<u64>,
}

/// What a swap is asked to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Swap {
    pub(super) expected: Option<u64>,
    pub(super) to: u64,
    pub(super) kind: SwapKind,
}

/// What there is of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Sound,
    Revoked,
}

impl Found {
    /// By how many rows there are of it: of the generation itself, and of revocations that hit it.
    pub(super) fn of_rows(generations: u64, revocations: u64) -> Self {
        match (generations, revocations) {
            (0, _) => Self::Nothing,
            (_, 0) => Self::Sound,
            _ => Self::Revoked,
        }
    }
}

/// Whether the mark is to be raised to a version that becomes current; refused if it is above.
pub(super) fn raises(
    mark: Option<&PolicyVersion>,
    name: &PolicyName,
    version: &PolicyVersion,
) -> Result<bool, SwapError> {
    match mark {
        Some(mark) if mark > version => {
            Err(SwapError::Downgrade { name: name.clone(), version: version.clone(), mark: mark.clone() })
        }
        mark => Ok(mark != Some(version)),
    }
}

impl Scope {
    /// One more generation; answers its number.
    pub(super) fn stage(&mut self) -> u64 {
        self.last = self.last.saturating_add(1);
        self.last
    }

    /// The rollout's generation, or else the newest, if it is neither the current nor the previous one.
    pub(super) fn staged(&self, previous: Option<u64>) -> Option<u64> {
        let tried = self.rollout.as_ref().map(|rollout| rollout.number);
        let newest = (self.last > 0).then_some(self.last);
        let mut candidates = [tried, newest].into_iter().flatten();
        candidates.find(|number| Some(*number) != self.current && Some(*number) != previous)
    }

    /// The newest generation, if it is neither of the others that are told of the scope.
    pub(super) fn newest(&self, previous: Option<u64>) -> Option<u64> {
        let told = [self.current, previous, self.staged(previous)];
        (self.last > 0 && !told.contains(&Some(self.last))).then_some(self.last)
    }

    pub(super) fn swap(&mut self, swap: Swap, found: Found) -> Result<Vec<Line>, SwapError> {
        let Swap { expected, to, kind } = swap;
        self.permits(expected, to, found)?;
        let is_tried = self.rollout.as_ref().is_some_and(|rollout| rollout.number == to);
        let event = match kind {
            SwapKind::Bind => PolicyEvent::Bound,
            SwapKind::RollBack | SwapKind::RollBackBeside => PolicyEvent::RolledBack,
            SwapKind::Promote if is_tried => PolicyEvent::Promoted,
            SwapKind::Promote => return Err(SwapError::Rollout("the generation is not being rolled out")),
        };
        let mut lines = Vec::new();
        let goes_on = kind == SwapKind::RollBackBeside && !is_tried;
        if !is_tried && !goes_on {
            lines.extend(self.give_up());
        }
        if !goes_on {
            self.rollout = None;
        }
        lines.push(Line { event, from: self.current.replace(to), to: Some(to) });
        Ok(lines)
    }

    pub(super) fn unbind(&mut self, expected: u64) -> Result<Vec<Line>, SwapError> {
        self.expects(Some(expected))?;
        let mut lines: Vec<_> = self.give_up().into_iter().collect();
        lines.push(Line { event: PolicyEvent::Unbound, from: self.current.take(), to: None });
        Ok(lines)
    }

    pub(super) fn start_rollout(
        &mut self,
        expected: Option<u64>,
        rollout: &Rollout,
        found: Found,
    ) -> Result<Vec<Line>, SwapError> {
        self.permits(expected, rollout.number, found)?;
        if self.current == Some(rollout.number) {
            return Err(SwapError::Rollout("the generation is the current one already"));
        }
        if self.rollout.is_some() {
            return Err(SwapError::Rollout("a rollout is under way already"));
        }
        self.rollout = Some(Rollout { counts: RolloutCounts::default(), ..rollout.clone() });
        Ok(vec![self.line(PolicyEvent::RolloutStarted, rollout.number)])
    }

    /// None if that rollout is not under way.
    pub(super) fn end_rollout(&mut self, number: u64) -> Option<Line> {
        self.tried(number)?;
        self.give_up()
    }

    /// None if that rollout is not under way.
    pub(super) fn count(&mut self, number: u64, seen: &RolloutCounts) -> Option<RolloutCounts> {
        let counts = &mut self.tried(number)?.counts;
        counts.runs = counts.runs.saturating_add(seen.runs);
        counts.faults = counts.faults.saturating_add(seen.faults);
        counts.divergences = counts.divergences.saturating_add(seen.divergences);
        Some(*counts)
    }

    /// A generation was revoked. What serves goes on to serve, without effect.
    pub(super) fn revoke(&mut self, number: u64) -> Option<Line> {
        let is_tried = self.tried(number).is_some();
        if is_tried {
            self.rollout = None;
        }
        (is_tried || self.current == Some(number)).then(|| self.line(PolicyEvent::Revoked, number))
    }

    fn tried(&mut self, number: u64) -> Option<&mut Rollout> {
        self.rollout.as_mut().filter(|rollout| rollout.number == number)
    }

    fn give_up(&mut self) -> Option<Line> {
        let rollout = self.rollout.take()?;
        Some(self.line(PolicyEvent::RolloutEnded, rollout.number))
    }

    fn line(&self, event: PolicyEvent, number: u64) -> Line {
        Line { event, from: self.current, to: Some(number) }
    }

    fn permits(&self, expected: Option<u64>, number: u64, found: Found) -> Result<(), SwapError> {
        if found == Found::Nothing {
            return Err(SwapError::NotFound(number));
        }
        self.expects(expected)?;
        match found {
            Found::Revoked => Err(SwapError::Revoked(number)),
            _ => Ok(()),
        }
    }

    fn expects(&self, expected: Option<u64>) -> Result<(), SwapError> {
        match self.current == expected {
            true => Ok(()),
            false => Err(SwapError::Conflict { current: self.current }),
        }
    }
}
