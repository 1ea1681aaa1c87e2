//! Who vouches for a policy: statements about an artifact, signed by ed25519 in DSSE envelopes.
//!
//! A signature covers a [`Statement`] (digest, name, version, ABI, tenants), never the bytes alone, so that a
//! signed policy cannot be passed off under another name or version, or bound for a tenant it was not made for.

mod envelope;
mod keys;
mod statement;
mod verification;

pub use envelope::{Envelope, InvalidEnvelope};
pub use keys::{KeyError, KeyId, PublicKey, SigningKey};
pub use statement::{InvalidStatement, Mismatch, PAYLOAD_TYPE, Statement, Subject, TenantScope};
pub use verification::{SignatureError, TrustedKey, Verified, verify};
