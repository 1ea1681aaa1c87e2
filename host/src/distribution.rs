//! Policies in OCI registries: pushed to and pulled from any of them as Wasm artifacts of the CNCF's layout, so
//! that other tools (`wkg`, `oras`) can fetch them too.
//!
//! Signatures are attached as a manifest of their own that refers to the artifact's (OCI 1.1 referrers, with the
//! tag schema where a registry does not know referrers). A second layer would break the layout's single one, and
//! an annotation would change the artifact's digest with every signature that is added.
//!
//! A registry is believed in nothing: sizes are bounded, digests are checked, and whether signatures are worth
//! anything is for [`crate::signing::verify`] to say.

mod connection;
mod credentials;
mod digest;
mod error;
mod layout;
mod login;
mod pull;
mod push;
mod reference;
mod signatures;
mod wire;

pub use connection::RegistryOptions;
pub use credentials::{Credentials, CredentialsError};
pub use error::DistributionError;
pub use pull::{Pulled, pull};
pub use push::{Artifact, Pushed, push};
pub use reference::{InvalidReference, PolicyReference};

/// Told how many bytes of the component have travelled, and of how many.
pub type Progress<'a> = &'a mut (dyn FnMut(u64, u64) + Send);
