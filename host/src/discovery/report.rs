//! What a pass has to say.

use crate::model::{ContainerId, EngineName, GameId};

/// Something that a pass has to say about a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The container.
    pub container: ContainerId,
    /// The game it claims, if that is a valid one.
    pub game: Option<GameId>,
    /// What is the matter, for people.
    pub reason: String,
}

/// What a pass did and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiscoveryReport {
    /// Containers that made a record, or a new incarnation of one.
    pub registered: Vec<Finding>,
    /// Containers that changed their record, be it by having vanished while it said that they run.
    pub refreshed: Vec<Finding>,
    /// Containers whose records say already what the engine says, or were changed by others meanwhile.
    pub unchanged: u64,
    /// Containers whose claim something else contradicts. Their games are kept from the sweeper, unless
    /// the record is another tenant's, which no claim may keep from its cleanup.
    pub conflicts: Vec<Finding>,
    /// Containers of ours whose labels, state or record cannot be used, that the engine cannot describe, or that only
    /// their image makes ours.
    pub invalid: Vec<Finding>,
}

impl DiscoveryReport {
    pub(super) fn log(&self, engine: &EngineName) {
        for Finding { container, game, reason } in self.conflicts.iter().chain(&self.invalid) {
            let game = game.as_ref().map(GameId::as_str);
            tracing::warn!(%engine, %container, game, reason, "container left alone");
        }
        for Finding { container, game, reason } in self.registered.iter().chain(&self.refreshed) {
            let game = game.as_ref().map(GameId::as_str);
            tracing::info!(%engine, %container, game, reason, "container discovered");
        }
    }
}
