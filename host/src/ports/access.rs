//! Who may do what, and the trail of what was done.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{ApiToken, AuditEntry, AuditEvent, Ceiling, PolicyScope, Timestamp, TrustedKey};

/// Tokens, ceilings and trusted keys.
///
/// Every method is atomic.
#[async_trait]
pub trait AccessStore: Send + Sync {
    /// Adds a token. False if one of that name or hash was ever there.
    async fn add_token(&self, token: &ApiToken) -> Result<bool, StoreError>;

    /// The token with this hash, valid or not. Asked at every request, so that a revocation holds at once.
    async fn token(&self, hash: &[u8; 32]) -> Result<Option<ApiToken>, StoreError>;

    /// All tokens, by name.
    async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError>;

    /// Revokes a token; doing it again changes nothing. False if there is none of that name.
    async fn revoke_token(&self, name: &str, at: Timestamp) -> Result<bool, StoreError>;

    /// The ceiling of a scope itself; the default scope's says nothing of a tenant that has one of its own.
    async fn ceiling(&self, scope: &PolicyScope) -> Result<Option<Ceiling>, StoreError>;

    /// Sets, or with none takes away, the ceiling of a scope. Raises the epoch of the generations.
    async fn set_ceiling(&self, scope: &PolicyScope, ceiling: Option<&Ceiling>) -> Result<(), StoreError>;

    /// Every ceiling, by scope.
    async fn ceilings(&self) -> Result<Vec<(PolicyScope, Ceiling)>, StoreError>;

    /// Trusts a key in a scope; doing it again changes nothing. False if it was trusted there once and then revoked.
    async fn add_key(&self, scope: &PolicyScope, key: &TrustedKey) -> Result<bool, StoreError>;

    /// Revokes a key in a scope; doing it again changes nothing. False if the scope does not know it.
    async fn revoke_key(&self, scope: &PolicyScope, id: &str, at: Timestamp) -> Result<bool, StoreError>;

    /// The keys that a scope trusts or has trusted, by id.
    async fn keys(&self, scope: &PolicyScope) -> Result<Vec<TrustedKey>, StoreError>;
}

/// The trail of what admins and operators did: a chain of hashes, in which a change or a gap shows.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Adds an event at the end. Of several hosts at once, each gets a place of its own.
    async fn append(&self, event: &AuditEvent) -> Result<AuditEntry, StoreError>;

    /// Entries from this sequence number on, oldest first.
    async fn read(&self, from: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError>;

    /// The last entry, if there is any.
    async fn last(&self) -> Result<Option<AuditEntry>, StoreError>;
}
