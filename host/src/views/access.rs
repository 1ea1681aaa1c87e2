//! Tokens and the trail.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{maybe, text};
use crate::access::{Secret, Verification};
use crate::model::{ApiToken, AuditEntry};

/// A token of the REST interface, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NamedToken {
    /// Its name; its holder acts as `token:NAME`.
    pub name: String,
    /// `admin`, `operator`, `viewer` or `tenant`.
    pub role: String,
    /// The tenant, of a tenant's.
    pub tenant: Option<String>,
    /// Since when.
    pub created_at: String,
    /// Who made it.
    pub created_by: String,
    /// Until when; null for no end.
    pub expires_at: Option<String>,
    /// Since when it is revoked; null while it is not.
    pub revoked_at: Option<String>,
}

/// A token that was just made, with its secret, which is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MadeToken {
    /// The token.
    pub token: NamedToken,
    /// For `Authorization: Bearer`.
    pub secret: String,
}

/// One link of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditedAction {
    /// Counts from 1 without gaps.
    pub sequence: u64,
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// By which role.
    pub role: String,
    /// What, such as `runtime.hold`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// The rest. With `of`, this says that the action of that number `failed`, or that its outcome is `unknown`.
    pub detail: Value,
    /// The hash of the link before, in hexadecimal; zeros for the first.
    pub previous: String,
    /// The hash of this link.
    pub hash: String,
}

/// Whether the trail is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrailVerification {
    /// Whether every link is as it was written.
    pub intact: bool,
    /// The last sound link before the first broken one, as SEQUENCE:HASH; null if there is none. Kept elsewhere, it
    /// shows later whether the trail was cut off or written anew.
    pub head: Option<String>,
    /// The first broken link; null if none is.
    pub broken: Option<BrokenLink>,
}

/// A link that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BrokenLink {
    /// Its place.
    pub sequence: u64,
    /// What is wrong with it.
    pub detail: String,
}

impl From<&ApiToken> for NamedToken {
    fn from(token: &ApiToken) -> Self {
        Self {
            name: token.name.clone(),
            role: token.role.as_str().to_owned(),
            tenant: token.role.tenant().map(text),
            created_at: text(&token.created_at),
            created_by: token.created_by.clone(),
            expires_at: maybe(&token.expires_at),
            revoked_at: maybe(&token.revoked_at),
        }
    }
}

impl MadeToken {
    /// The token and its secret.
    pub fn new(token: &ApiToken, secret: &Secret) -> Self {
        Self { token: token.into(), secret: secret.expose() }
    }
}

impl From<&AuditEntry> for AuditedAction {
    fn from(entry: &AuditEntry) -> Self {
        let event = &entry.event;
        Self {
            sequence: entry.sequence,
            at: text(&event.at),
            actor: event.actor.clone(),
            role: event.role.clone(),
            action: event.action.clone(),
            subject: event.subject.clone(),
            // What somebody has tampered with is shown as it stands there.
            detail: serde_json::from_str(&event.detail).unwrap_or_else(|_| Value::String(event.detail.clone())),
            previous: hex::encode(entry.previous),
            hash: hex::encode(entry.hash),
        }
    }
}

impl From<&Verification> for TrailVerification {
    fn from(found: &Verification) -> Self {
        let broken = found.broken.as_ref();
        Self {
            intact: broken.is_none(),
            head: maybe(&found.head),
            broken: broken.map(|link| BrokenLink { sequence: link.sequence, detail: text(&link.flaw) }),
        }
    }
}
