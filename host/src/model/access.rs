//! Who may do what: tokens and their roles, the ceilings of scopes, the keys they trust, and the trail of it all.

use std::fmt;
use std::time::Duration;

use super::{Grants, LimitOverrides, PolicyScope, TenantId, Timestamp};

/// What the holder of a token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Everything about runtimes, pauses and the log; sees policies, and changes none.
    Operator,
    /// Sees all of that, and changes nothing.
    Viewer,
    /// One tenant's: manages and sees that tenant's policies within its ceiling, and sees its runtimes and entries.
    Tenant(TenantId),
}

impl Role {
    /// The role as it is stored and shown, without the tenant.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Tenant(_) => "tenant",
        }
    }

    /// The role of that name; a tenant's needs its tenant, and the others have none.
    pub fn from_text(text: &str, tenant: Option<TenantId>) -> Option<Self> {
        match (text, tenant) {
            ("admin", None) => Some(Self::Admin),
            ("operator", None) => Some(Self::Operator),
            ("viewer", None) => Some(Self::Viewer),
            ("tenant", Some(tenant)) => Some(Self::Tenant(tenant)),
            _ => None,
        }
    }

    /// The tenant, of a tenant's role.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::Admin | Self::Operator | Self::Viewer => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(tenant) => write!(f, "tenant {tenant}"),
            role => f.write_str(role.as_str()),
        }
    }
}

/// A token as it is kept: never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Names it in lists and in the trail; unique among all tokens there ever were.
    pub name: String,
    /// The SHA-256 of the secret. The secret is 32 random bytes, so nothing slower is needed to keep it from guessers.
    pub hash: [u8; 32],
    /// What its holder may do.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Until when; none for no end.
    pub expires_at: Option<Timestamp>,
    /// Since when it is revoked; none while it is not.
    pub revoked_at: Option<Timestamp>,
    /// When it was last shown, to within [`Self::USE_NOTED`]; none if it never was.
    pub last_used_at: Option<Timestamp>,
}

impl ApiToken {
    /// How often its use is noted.
    pub const USE_NOTED: Duration = Duration::from_secs(300);

    /// Whether it is to be noted that it is shown at `now`.
    pub fn use_is_news(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|last| last.saturating_add(Self::USE_NOTED) <= now)
    }

    /// Whether it opens anything at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// What an admin allows in a scope, whoever binds there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ceiling {
    /// The most that a generation's limits may be. What is none is bounded by the host alone.
    pub limits: LimitOverrides,
    /// The most that a generation may be granted; none for all there is.
    pub grants: Option<Grants>,
    /// Whether policies must be signed by a key that the scope trusts.
    pub signature_required: bool,
    /// Days that a runtime is kept at least; the configured floor holds as well.
    pub retention_days: u32,
}

impl Ceiling {
    /// What is left today of what was granted under another ceiling.
    pub fn cut(&self, limits: &LimitOverrides, grants: &Grants) -> (LimitOverrides, Grants) {
        let grants = self.grants.as_ref().map_or_else(|| grants.clone(), |allowed| grants.intersection(allowed));
        (limits.narrower(&self.limits), grants)
    }

    /// How long a runtime is kept at least.
    pub fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_days) * 86_400)
    }

    /// How long a tenant's runtimes are kept at least: by its own ceiling if there is one, else by everybody's.
    pub fn retention_of(ceilings: &[(PolicyScope, Self)], tenant: &TenantId) -> Duration {
        let of = |scope: &PolicyScope| ceilings.iter().find(|(known, _)| known == scope).map(|(_, it)| it.retention());
        of(&PolicyScope::Tenant(tenant.clone())).or_else(|| of(&PolicyScope::Default)).unwrap_or_default()
    }
}

/// A key that a scope trusts, or has trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// The SHA-256 of the key, in hexadecimal.
    pub id: String,
    /// The public key: SPKI, in PEM.
    pub public_key: String,
    /// Since when it is trusted.
    pub added_at: Timestamp,
    /// Who added it.
    pub added_by: String,
    /// Since when it is not trusted any more; never again.
    pub revoked_at: Option<Timestamp>,
}

/// What somebody did, before it is in the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// By which role.
    pub role: String,
    /// What, in a stable word such as `policy.bind`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// The rest, as a JSON object.
    pub detail: String,
}

/// One link of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Counts from 1 without gaps.
    pub sequence: u64,
    /// What was done.
    pub event: AuditEvent,
    /// The hash of the link before; zeros for the first.
    pub previous: [u8; 32],
    /// The hash of this link, over all of the above.
    pub hash: [u8; 32],
}

impl AuditEntry {
    /// Adds an event to the chain of which this is the last link; none is there yet of a new chain.
    pub fn after(last: Option<&Self>, event: AuditEvent) -> Self {
        let (sequence, previous) = last.map_or((0, [0; 32]), |last| (last.sequence, last.hash));
        Self::link(sequence.saturating_add(1), previous, event)
    }

    /// Adds an event to a chain that ends with `previous`.
    pub fn link(sequence: u64, previous: [u8; 32], event: AuditEvent) -> Self {
        let hash = Self::digest(sequence, &previous, &event);
        Self { sequence, event, previous, hash }
    }

    /// Whether the link is as it was written, and follows on `previous`.
    pub fn follows(&self, sequence: u64, previous: &[u8; 32]) -> bool {
        self.sequence == sequence
            && self.previous == *previous
            && self.hash == Self::digest(sequence, previous, &self.event)
    }

    fn digest(sequence: u64, previous: &[u8; 32], event: &AuditEvent) -> [u8; 32] {
        use sha2::Digest as _;
        let AuditEvent { at, actor, role, action, subject, detail } = event;
        let mut hash = sha2::Sha256::new();
        hash.update(b"rtmanager audit 1");
        hash.update(sequence.to_be_bytes());
        hash.update(previous);
        hash.update(at.as_micros().to_be_bytes());
        for text in [actor, role, action, subject, detail] {
            // Lengths keep ("ab", "c") apart from ("a", "bc").
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> AuditEvent {
        let text = str::to_owned;
        AuditEvent {
            at: Timestamp::from_micros(7),
            actor: text("ada"),
            role: text("admin"),
            action: text("policy.bind"),
            subject: text("acme"),
            detail: text("{}"),
        }
    }

    #[test]
    fn a_link_that_was_changed_in_any_part_does_not_follow() {
        let link = AuditEntry::link(3, [9; 32], event());
        assert!(link.follows(3, &[9; 32]));
        assert!(!link.follows(4, &[9; 32]) && !link.follows(3, &[8; 32]));
        let forgeries: [fn(&mut AuditEvent); 6] = [
            |event| event.at = Timestamp::from_micros(8),
            |event| event.actor = "eve".to_owned(),
            |event| event.role.push('s'),
            |event| event.action = "policy.bin".to_owned(),
            |event| event.subject = "dacme".to_owned(),
            |event| event.detail = "{ }".to_owned(),
        ];
        for forge in forgeries {
            let mut forged = link.clone();
            forge(&mut forged.event);
            assert!(!forged.follows(3, &[9; 32]), "{:?}", forged.event);
        }
    }

    #[test]
    fn a_token_opens_nothing_after_its_end_or_its_revocation() {
        let at = Timestamp::from_micros;
        let token = ApiToken {
            name: "ci".to_owned(),
            hash: [0; 32],
            role: Role::Viewer,
            created_at: at(1),
            created_by: "ada".to_owned(),
            expires_at: Some(at(10)),
            revoked_at: None,
            last_used_at: None,
        };
        assert!(token.is_valid(at(9)) && !token.is_valid(at(10)));
        assert!(!ApiToken { revoked_at: Some(at(5)), ..token }.is_valid(at(6)));
    }
}
