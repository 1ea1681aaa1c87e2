//! Who appears in the demo: a dozen games, each in another situation, and what must become of each.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// One game.
pub(super) struct Part {
    pub(super) game: &'static str,
    pub(super) scene: Scene,
    /// How long ago its record says that it stopped.
    pub(super) stopped_for: Option<Duration>,
    pub(super) fate: Fate,
}

/// How things stand with a game before the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scene {
    /// Its container runs.
    Running,
    /// Its container ran and was stopped.
    Stopped,
    /// The same, and an operator holds it.
    Held,
    /// Its container was made and never started.
    NeverStarted,
    /// Its container runs, but its record says that it is stopped.
    WronglyStopped,
    /// Its record names a container whose labels name another game.
    AnothersContainer,
    /// Its container was removed behind our back.
    Vanished,
}

/// What the sweep must do about a game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Not offered to the policy, since it runs.
    Runs,
    /// Not offered to the policy, since it stopped too short a time ago.
    TooYoung,
    /// Its container is removed.
    Removed,
    /// There is no container, and its record says so in the end.
    FoundGone,
    /// The operator's hold is respected.
    Held,
    /// The host refuses, and nothing is changed.
    Refused,
}

const fn part(game: &'static str, scene: Scene, stopped_for: Duration, fate: Fate) -> Part {
    Part { game, scene, stopped_for: Some(stopped_for), fate }
}

const fn running(game: &'static str) -> Part {
    Part { game, scene: Scene::Running, stopped_for: None, fate: Fate::Runs }
}

pub(super) const CAST: [Part; 12] = [
    running("chess-1"),
    running("chess-2"),
    part("chess-3", Scene::Stopped, MINUTE.saturating_mul(5), Fate::TooYoung),
    part("chess-4", Scene::Stopped, DAY.saturating_mul(29), Fate::TooYoung),
    part("go-1", Scene::Stopped, DAY.saturating_mul(31), Fate::Removed),
    part("go-2", Scene::Stopped, DAY.saturating_mul(45), Fate::Removed),
    part("go-3", Scene::Stopped, DAY.saturating_mul(90), Fate::Removed),
    part("go-4", Scene::NeverStarted, DAY.saturating_mul(40), Fate::Removed),
    part("go-5", Scene::Vanished, DAY.saturating_mul(60), Fate::FoundGone),
    part("poker-1", Scene::Held, DAY.saturating_mul(50), Fate::Held),
    part("poker-2", Scene::WronglyStopped, DAY.saturating_mul(35), Fate::Refused),
    part("poker-3", Scene::AnothersContainer, DAY.saturating_mul(35), Fate::Refused),
];
