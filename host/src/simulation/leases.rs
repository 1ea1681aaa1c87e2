//! Lease stores that are all wrong.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::plan::Leases;
use crate::model::{GameId, Timestamp};
use crate::ports::{LeaseStore, LeaseToken, StoreError};

/// Grants every lease, or none.
pub(super) struct Wrong {
    grants: bool,
}

/// The leases of a history.
pub(super) fn granted(honest: Arc<dyn LeaseStore>, how: Leases) -> Arc<dyn LeaseStore> {
    match how {
        Leases::Honest => honest,
        Leases::ToEveryone => Arc::new(Wrong { grants: true }),
        Leases::ToNobody => Arc::new(Wrong { grants: false }),
    }
}

#[async_trait]
impl LeaseStore for Wrong {
    async fn try_acquire(&self, _: &GameId, _: &LeaseToken, _: Duration) -> Result<bool, StoreError> {
        Ok(self.grants)
    }

    async fn renew(&self, _: &GameId, _: &LeaseToken, _: Duration) -> Result<bool, StoreError> {
        Ok(self.grants)
    }

    async fn release(&self, _: &GameId, _: &LeaseToken) -> Result<(), StoreError> {
        Ok(())
    }

    async fn held_until(&self, _: &GameId) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn prune(&self, _: Timestamp, _: u32) -> Result<(), StoreError> {
        Ok(())
    }
}
