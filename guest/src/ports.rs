//! What the policy needs: the imports of `wit/` that it uses, as traits. Meaning and errors of each
//! function stand at the function of the same name there.

use alloc::string::String;
use alloc::vec::Vec;

use crate::types::{Container, Entry, Error, Removal, RuntimeRecord, Status, Timestamp};

/// Grants the lease of this run's game.
pub trait Leases {
    /// A granted lease; dropping it releases it.
    type Lease: Lease;

    /// Tries once; none if another operation holds it.
    fn try_acquire(&self) -> Result<Option<Self::Lease>, Error>;
}

/// A granted lease.
pub trait Lease {
    /// Gives it back.
    fn release(&self) -> Result<(), Error>;
}

/// The record of this run's game.
pub trait Records: Leases {
    /// The record as it is now.
    fn get(&self) -> Result<RuntimeRecord, Error>;

    /// Changes the status if status and container are the expected ones.
    fn update_status(
        &self,
        lease: &Self::Lease,
        expected: &Status,
        expected_container: Option<&str>,
        new: &Status,
    ) -> Result<(), Error>;
}

/// The engine of this run's record.
pub trait Docker: Leases {
    /// Describes the record's container.
    fn inspect(&self, container: &str) -> Result<Container, Error>;

    /// Removes the record's container; never kills.
    fn remove(&self, lease: &Self::Lease, container: &str) -> Result<Removal, Error>;
}

/// The operation log.
pub trait OpLog {
    /// Appends the run's entry.
    fn append(&self, entry: &Entry) -> Result<u64, Error>;
}

/// The host's clock.
pub trait Clock {
    /// The present time.
    fn now(&self) -> Timestamp;
}

/// The settings could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettingsUnavailable;

/// The settings of the tenant's binding.
pub trait Settings {
    /// All of them, as name and value.
    fn all(&self) -> Result<Vec<(String, String)>, SettingsUnavailable>;
}
