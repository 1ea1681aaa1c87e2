//! Who may do what, and the trail of what was done.

use async_trait::async_trait;

use super::{StoreError, Unreadable};
use crate::model::{ApiToken, AuditEntry, AuditEvent, Ceiling, PolicyScope, Timestamp, TrustedKey};

/// Ceilings that have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CeilingChanges {
    /// What each scope's own is now; none for those that have none any more.
    pub ceilings: Vec<(PolicyScope, Option<Ceiling>)>,
    /// Those that cannot be read. They keep no other from being told.
    pub unreadable: Vec<Unreadable>,
}

/// Tokens, ceilings and trusted keys.
///
/// Every method is atomic.
#[async_trait]
pub trait AccessStore: Send + Sync {
    /// Adds a token that was never used. False if one of that name or hash was ever there.
    async fn add_token(&self, token: &ApiToken) -> Result<bool, StoreError>;

    /// The token with this hash, valid or not. Asked at every request, so that a revocation holds at once.
    async fn token(&self, hash: &[u8; 32]) -> Result<Option<ApiToken>, StoreError>;

    /// All tokens, by name.
    async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError>;

    /// Notes that a token was shown; a time before the one that is known changes nothing, nor does a name that is not.
    async fn note_token_used(&self, name: &str, at: Timestamp) -> Result<(), StoreError>;

    /// Adds a token, and lets another one end at this time unless it ends sooner. False, and nothing is done, if that
    /// one is not there or is revoked, or if one of the new one's name was ever there.
    async fn replace_token(&self, name: &str, end: Timestamp, new: &ApiToken) -> Result<bool, StoreError>;

    /// Revokes a token; doing it again changes nothing. False if there is none of that name.
    async fn revoke_token(&self, name: &str, at: Timestamp) -> Result<bool, StoreError>;

    /// The ceiling of a scope itself; the default scope's says nothing of a tenant that has one of its own.
    async fn ceiling(&self, scope: &PolicyScope) -> Result<Option<Ceiling>, StoreError>;

    /// The ceiling that holds in a scope: its own, or else everybody's.
    async fn effective_ceiling(&self, scope: &PolicyScope) -> Result<Option<Ceiling>, StoreError> {
        match self.ceiling(scope).await? {
            Some(own) => Ok(Some(own)),
            None => self.ceiling(&PolicyScope::Default).await,
        }
    }

    /// Sets, or with none takes away, the ceiling of a scope. Raises the epoch of the generations.
    async fn set_ceiling(&self, scope: &PolicyScope, ceiling: Option<&Ceiling>) -> Result<(), StoreError>;

    /// The ceilings that were set or taken away after this epoch of the generations, by scope; from 0, all.
    async fn ceilings_since(&self, epoch: u64) -> Result<CeilingChanges, StoreError>;

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

    /// Removes the entries up to and including this sequence number, and answers how many there were. The last one
    /// always stays: the chain goes on from it.
    async fn remove_through(&self, sequence: u64) -> Result<u64, StoreError>;
}
