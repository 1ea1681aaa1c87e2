//! What is ordered, and what it may have come to when whoever carried it out is dead.

use rtmanager::model::GenerationId;
use rtmanager::ports::ScopeState;
use rtmanager_tests::bound::tenant_a;

/// Calls after which something is different in the store.
const WRITES: [&str; 10] = [
    "append",
    "stage",
    "swap",
    "start_rollout",
    "end_rollout",
    "revoke",
    "unbind",
    "report",
    "forget_reports",
    "count_rollout",
];

/// Whether a call writes: then it makes a difference whether its answer is lost, or it is never made.
pub(super) fn writes(call: &str) -> bool {
    WRITES.contains(&call)
}

/// An order that a process is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Bind,
    RollBack,
    RollOut,
    Promote,
    EndRollout,
    Revoke,
    Unbind,
    Host,
}

impl Order {
    /// As the process is told, where the scope stands so.
    pub(super) fn arguments(self, state: &ScopeState) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Bind => &["bind", "other@1.0.0"],
            Self::RollBack => &["roll-back"],
            Self::RollOut => &["roll-out", "other@1.0.0"],
            Self::Promote => &["promote"],
            Self::EndRollout => &["end-rollout"],
            Self::Revoke => return vec!["revoke".to_owned(), current(state).expect("a current one").to_string()],
            Self::Unbind => &["unbind"],
            Self::Host => return vec!["host".to_owned(), newest(state).expect("a staged one").to_string()],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// Steps that are the point of it.
    pub(super) fn must_pass(self) -> &'static [&'static str] {
        match self {
            Self::Bind => &["append", "stage", "component", "swap"],
            Self::RollBack | Self::Promote => &["append", "swap"],
            Self::RollOut => &["append", "stage", "start_rollout"],
            Self::EndRollout => &["append", "end_rollout"],
            Self::Revoke => &["append", "revoke"],
            Self::Unbind => &["append", "unbind"],
            Self::Host => &["changed_since", "revoked_since", "component", "report", "epoch", "forget_reports"],
        }
    }

    /// The call that does it; none of what another does meanwhile.
    pub(super) fn decisive(self) -> Option<&'static str> {
        Some(match self {
            Self::Bind | Self::RollBack | Self::Promote => "swap",
            Self::RollOut => "start_rollout",
            Self::EndRollout => "end_rollout",
            Self::Revoke => "revoke",
            Self::Unbind => "unbind",
            Self::Host => return None,
        })
    }

    /// Whether it stands in the trail. What hosts do is no order of anybody's.
    pub(super) fn is_audited(self) -> bool {
        self != Self::Host
    }

    /// Whether the scope stands now as it would if the order had been carried out.
    pub(super) fn is_done(self, before: &ScopeState, now: &ScopeState) -> bool {
        match self {
            Self::Bind => current_number(now) != current_number(before),
            Self::RollBack => current_number(now) == before.previous.as_ref().map(|previous| previous.number),
            Self::RollOut => now.rollout.is_some(),
            Self::Promote => current_number(now) == before.rollout.as_ref().map(|rollout| rollout.number),
            Self::EndRollout => now.rollout.is_none(),
            Self::Revoke => now.revoked.iter().any(|number| Some(*number) == current_number(now)),
            Self::Unbind => now.current.is_none(),
            Self::Host => current_number(now) == newest(before),
        }
    }

    /// What may be current if it was carried out.
    pub(super) fn may_serve(self, before: &ScopeState, number: Option<u64>) -> bool {
        match self {
            // The number that it staged under: none that was there before.
            Self::Bind => number > newest(before).max(current_number(before)),
            Self::RollBack => number == before.previous.as_ref().map(|previous| previous.number),
            Self::RollOut | Self::EndRollout | Self::Revoke => number == current_number(before),
            Self::Promote => number == before.rollout.as_ref().map(|rollout| rollout.number),
            Self::Unbind => number.is_none(),
            Self::Host => number == newest(before),
        }
    }

    /// Whether the order, once carried out, can be given again, rather than being refused as done already.
    pub(super) fn can_be_repeated(self) -> bool {
        match self {
            Self::Bind | Self::RollBack | Self::Revoke | Self::Host => true,
            Self::RollOut | Self::Promote | Self::EndRollout | Self::Unbind => false,
        }
    }
}

pub(super) fn current_number(state: &ScopeState) -> Option<u64> {
    state.current.as_ref().map(|current| current.number)
}

/// What is staged, or else the newest of those that are known.
fn newest(state: &ScopeState) -> Option<u64> {
    let known = state.current.iter().chain(&state.previous).chain(&state.staged);
    known.map(|generation| generation.number).max()
}

fn current(state: &ScopeState) -> Option<GenerationId> {
    current_number(state).map(|number| GenerationId::numbered(&tenant_a(), number))
}
