//! Who may do what, how much of it, how callers show who they are, and the trail of what they did. Whoever changes something for a
//! caller asks [`permit`] first, and does it through the [`Trail`].

mod action;
mod pace;
mod pruning;
mod rotation;
mod tokens;
mod trail;
mod verification;

pub use action::{Action, Denied, permit};
pub use pace::{Pace, Place, Places};
pub use pruning::PruneError;
pub use rotation::Rotation;
pub use tokens::{NewToken, Secret, TokenError, TokenName, Tokens};
pub use trail::{Deed, Failure, Trail, Unrecorded};
pub use verification::{Anchor, Break, Flaw, InvalidAnchor, Verification};

use crate::model::{Role, TenantId};

/// Who acts, and by which role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Names them in logs and in the trail: `token:NAME`, `unix:uid=UID` or `cli:uid=UID`.
    pub actor: String,
    /// What they may do.
    pub role: Role,
}

impl Caller {
    /// Whoever opened the unix socket, runs a command or knows the server's own token: they could read the store's
    /// file, so they may do everything.
    pub fn admin(actor: impl Into<String>) -> Self {
        Self { actor: actor.into(), role: Role::Admin }
    }

    /// Whether what is this tenant's is there for them at all.
    pub fn sees(&self, tenant: &TenantId) -> bool {
        self.role.tenant().is_none_or(|own| own == tenant)
    }

    /// Whose rows they are shown, of the tenant that they ask for, or of all if they ask for none: the tenant to filter
    /// by, if any. None if no rows are there for them.
    pub fn sight(&self, asked: Option<TenantId>) -> Option<Option<TenantId>> {
        match (self.role.tenant(), asked) {
            (Some(own), Some(asked)) if *own != asked => None,
            (Some(own), _) => Some(Some(own.clone())),
            (None, asked) => Some(asked),
        }
    }
}
