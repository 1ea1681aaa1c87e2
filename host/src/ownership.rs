//! Whose containers are ours: the owner label that keeps two managers on one engine apart, and the labels
//! that tie a container to a tenant and a game.

use crate::model::{Labels, RuntimeRecord};

/// The names of the labels that a platform sets on its containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelNames {
    /// Names the manager that owns the container.
    pub owner: String,
    /// Names the tenant.
    pub tenant: String,
    /// Names the game.
    pub game: String,
}

impl Default for LabelNames {
    fn default() -> Self {
        Self {
            owner: "rtmanager.owner".to_owned(),
            tenant: "rtmanager.tenant".to_owned(),
            game: "rtmanager.game".to_owned(),
        }
    }
}

/// This manager's owner name, and the labels to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The value that the owner label of our containers has.
    pub owner: String,
    /// The names of the labels.
    pub labels: LabelNames,
}

impl Default for Ownership {
    fn default() -> Self {
        Self { owner: "rtmanager".to_owned(), labels: LabelNames::default() }
    }
}

impl Ownership {
    /// The name of a label that says that the container is not the record's: it names another owner,
    /// tenant or game. A label that is absent says nothing, since a platform that writes the records
    /// itself need not label its containers.
    pub fn contradiction(&self, labels: &Labels, record: &RuntimeRecord) -> Option<&str> {
        [
            (&self.labels.owner, self.owner.as_str()),
            (&self.labels.tenant, record.tenant.as_str()),
            (&self.labels.game, record.game_id.as_str()),
        ]
        .into_iter()
        .find(|(name, ours)| labels.get(name.as_str()).is_some_and(|theirs| theirs != ours))
        .map(|(name, _)| name.as_str())
    }
}
