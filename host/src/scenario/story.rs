//! Scenarios as they are played: read, checked, and whole.

use std::collections::BTreeMap;
use std::time::Duration;

use super::form;
use super::words::{DeedKind, What};
use crate::adapters::memory::Call;
use crate::model::{GameId, Grants, LimitOverrides, TenantId, Timestamp};
use crate::session::Crossing;
use crate::simulation::Plan;

/// One scenario.
#[derive(Debug)]
pub struct Scenario {
    /// What it is called; no other of its file has that name.
    pub name: String,
    /// Why it is there.
    pub about: Option<String>,
    /// The line at which it begins.
    pub line: usize,
    /// What the policy reads through `wasi:config/store`.
    pub settings: BTreeMap<String, String>,
    pub(super) play: Play,
}

#[derive(Debug)]
pub(super) enum Play {
    /// A world, and what happens in it.
    Story(Box<Story>),
    /// A history of the simulation.
    Plan(Plan),
}

#[derive(Debug)]
pub(super) struct Story {
    pub(super) now: Timestamp,
    pub(super) retention: Duration,
    pub(super) limits: LimitOverrides,
    /// None if everything is granted.
    pub(super) grants: Option<Grants>,
    pub(super) runtimes: Vec<form::Runtime>,
    pub(super) steps: Vec<Step>,
    pub(super) ends: Vec<(usize, form::End)>,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) act: Act,
    pub(super) faults: Vec<Fault>,
    pub(super) meanwhile: Vec<Meanwhile>,
    pub(super) expect: form::Expect,
}

#[derive(Debug, Clone)]
pub(super) enum Act {
    Review(GameId),
    Sweep(GameId),
    /// The game as it is given: it may be none.
    Cleanup {
        game: String,
        source: String,
        source_ref: String,
    },
    Advance(Duration),
    Deed(Deed),
    Recover,
}

#[derive(Debug, Clone)]
pub(super) struct Deed {
    pub(super) game: GameId,
    pub(super) kind: DeedKind,
    pub(super) status: Option<String>,
    pub(super) tenant: Option<TenantId>,
}

/// At which calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Call(Crossing),
    Backend(Call),
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nth {
    Every,
    /// From 1.
    Only(u32),
}

impl Nth {
    pub(super) fn is(self, nth: u32) -> bool {
        match self {
            Self::Every => true,
            Self::Only(only) => only == nth,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) at: At,
    pub(super) nth: Nth,
    pub(super) what: What,
    /// Milliseconds by which a clock jumps, or for which a host stands still.
    pub(super) by_ms: Option<i64>,
}

#[derive(Debug, Clone)]
pub(super) struct Meanwhile {
    pub(super) at: At,
    pub(super) nth: u32,
    pub(super) deed: Deed,
}

impl Scenario {
    /// Whether it is a history of the simulation.
    pub fn is_plan(&self) -> bool {
        self.plan().is_some()
    }

    /// That history.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.play {
            Play::Plan(plan) => Some(plan),
            Play::Story(_) => None,
        }
    }
}

impl Act {
    /// For people, such as `cleanup game-1`.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Review(game) => format!("review {game}"),
            Self::Sweep(game) => format!("sweep {game}"),
            Self::Cleanup { game, source, .. } if source == "cli" => format!("cleanup {game}"),
            Self::Cleanup { game, source, .. } => format!("cleanup {game} by {source}"),
            Self::Advance(span) => format!("advance {}", crate::config::show_span(*span)),
            Self::Deed(deed) => format!("{} {}", deed.kind.as_str(), deed.game),
            Self::Recover => "recover".to_owned(),
        }
    }

    /// The game that it is about.
    pub(super) fn game(&self) -> Option<GameId> {
        match self {
            Self::Review(game) | Self::Sweep(game) | Self::Deed(Deed { game, .. }) => Some(game.clone()),
            Self::Cleanup { game, .. } => game.parse().ok(),
            Self::Advance(_) | Self::Recover => None,
        }
    }

    /// Whether a policy runs.
    pub(super) fn is_run(&self) -> bool {
        matches!(self, Self::Review(_) | Self::Sweep(_) | Self::Cleanup { .. })
    }
}
