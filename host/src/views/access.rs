//! Tokens and the trail.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{maybe, text};
use crate::access::{Secret, Verification};
use std::time::Duration;

use crate::model::{ApiToken, AuditEntry, Timestamp};

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
    /// When it was last shown, to within five minutes; null if it never was.
    pub last_used_at: Option<String>,
    /// `revoked`, `expired`, `expires_soon` (within 14 days) or `unused` (for 90 days); null if there is nothing to say.
    pub notice: Option<String>,
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
    /// The last link that was pruned, as SEQUENCE:HASH: the trail begins after it; null if it begins at its first.
    pub pruned: Option<String>,
}

/// What was taken away of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PrunedTrail {
    /// How many links.
    pub links: u64,
    /// The last of them, as SEQUENCE:HASH; null if none was old enough.
    pub through: Option<String>,
}

/// A link that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BrokenLink {
    /// Its place.
    pub sequence: u64,
    /// What is wrong with it.
    pub detail: String,
}

/// How long before its end a token is spoken of.
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// How long a token may lie unused before it is spoken of.
const UNUSED: Duration = Duration::from_secs(90 * 86_400);

fn notice(token: &ApiToken, now: Timestamp) -> Option<&'static str> {
    let last = token.last_used_at.unwrap_or(token.created_at);
    match token.expires_at {
        _ if token.revoked_at.is_some() => Some("revoked"),
        Some(end) if end <= now => Some("expired"),
        Some(end) if end.since(now) <= SOON => Some("expires_soon"),
        _ if now.since(last) >= UNUSED => Some("unused"),
        _ => None,
    }
}

impl NamedToken {
    /// A token, and what is to be said of it now.
    pub fn new(token: &ApiToken, now: Timestamp) -> Self {
        Self {
            name: token.name.clone(),
            role: token.role.as_str().to_owned(),
            tenant: token.role.tenant().map(text),
            created_at: text(&token.created_at),
            created_by: token.created_by.clone(),
            expires_at: maybe(&token.expires_at),
            revoked_at: maybe(&token.revoked_at),
            last_used_at: maybe(&token.last_used_at),
            notice: notice(token, now).map(str::to_owned),
        }
    }
}

impl MadeToken {
    /// The token and its secret.
    pub fn new(token: &ApiToken, secret: &Secret) -> Self {
        Self { token: NamedToken::new(token, token.created_at), secret: secret.expose() }
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
            pruned: maybe(&found.pruned),
            broken: broken.map(|link| BrokenLink { sequence: link.sequence, detail: text(&link.flaw) }),
        }
    }
}
