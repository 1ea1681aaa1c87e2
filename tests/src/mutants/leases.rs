//! Bugs around the leases.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rtmanager::model::GameId;
use rtmanager::ports::{LeaseStore, LeaseToken, StoreError};

use crate::tapped::LeaseTap;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "`ALL` says what each is")]
pub enum Leases {
    GrantsAll,
    RenewsAll,
    KeepsReleased,
    IgnoresRefusal,
    IgnoresFailure,
    IgnoresLoss,
    AsksForNone,
    ForgetsRelease,
}

pub(super) struct Bad {
    pub(super) inner: Arc<dyn LeaseStore>,
    pub(super) how: Leases,
}

#[async_trait]
impl LeaseTap for Bad {
    fn inner(&self) -> &Arc<dyn LeaseStore> {
        &self.inner
    }

    async fn try_acquire(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        if self.how == Leases::AsksForNone {
            return Ok(true);
        }
        let answer = self.inner.try_acquire(game, token, ttl).await;
        match (self.how, answer) {
            (Leases::GrantsAll | Leases::IgnoresRefusal, Ok(_)) => Ok(true),
            (Leases::IgnoresFailure, Err(_)) => Ok(true),
            (_, answer) => answer,
        }
    }

    async fn renew(&self, game: &GameId, token: &LeaseToken, ttl: Duration) -> Result<bool, StoreError> {
        let answer = self.inner.renew(game, token, ttl).await;
        let is_blind = matches!(self.how, Leases::RenewsAll | Leases::IgnoresLoss);
        if is_blind { Ok(true) } else { answer }
    }

    async fn release(&self, game: &GameId, token: &LeaseToken) -> Result<(), StoreError> {
        if matches!(self.how, Leases::KeepsReleased | Leases::ForgetsRelease) {
            return Ok(());
        }
        self.inner.release(game, token).await
    }
}
