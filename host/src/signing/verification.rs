//! Whether somebody who is trusted vouches for an artifact.

use super::statement::wanted;
use super::{Envelope, InvalidStatement, KeyId, Mismatch, PAYLOAD_TYPE, PublicKey, Statement, Subject, TenantScope};
use crate::model::{TenantId, bounded_text};

/// A key that is trusted, and for whom.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// For whom its owner may sign.
    pub tenants: TenantScope,
    /// Whether it was once trusted and is no longer. Kept, so that its signatures are told from unknown ones.
    pub revoked: bool,
}

/// What a trusted signer says of the artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub statement: Statement,
    /// Whose word it is.
    pub key_id: KeyId,
}

/// Why an envelope does not vouch for an artifact.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// Something else was signed.
    #[error("the envelope holds {found:?}, not {PAYLOAD_TYPE:?}")]
    PayloadType {
        /// What it holds, cut.
        found: String,
    },
    /// No signature names a trusted key.
    #[error("no signature by a trusted key; those found are by {}", found.join(", "))]
    Untrusted {
        /// The key ids found, cut.
        found: Vec<String>,
    },
    /// A signature names a trusted key that did not make it.
    #[error("the signature that names key {key_id} is not by it, or what it signed was changed")]
    Forged {
        /// The trusted key.
        key_id: KeyId,
    },
    /// The key is not trusted any more.
    #[error("key {key_id} is revoked")]
    Revoked {
        /// Which key.
        key_id: KeyId,
    },
    /// The key is another tenant's.
    #[error("key {key_id} may sign for {allowed} only, not for {}", wanted(tenant.as_ref()))]
    KeyScope {
        /// Which key.
        key_id: KeyId,
        /// For whom it may sign.
        allowed: TenantScope,
        /// For whom the policy is to be bound.
        tenant: Option<TenantId>,
    },
    /// A trusted key signed what is no statement.
    #[error("key {key_id} signed something malformed")]
    Statement {
        /// Which key.
        key_id: KeyId,
        /// What is wrong with it.
        #[source]
        source: InvalidStatement,
    },
    /// A trusted key signed something about another artifact.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

/// What a trusted key says in this envelope about the subject. One good signature is enough, whatever others
/// stand beside it. The specification calls a key's id a hint; here a signature counts only under the id of the
/// key that made it, so that what an operator is told of an envelope is true.
pub fn verify(envelope: &Envelope, trusted: &[TrustedKey], subject: &Subject<'_>) -> Result<Verified, SignatureError> {
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(SignatureError::PayloadType { found: bounded_text(&envelope.payload_type, 80) });
    }
    let key_id = signer(envelope, trusted, subject.tenant)?.key.id().clone();
    // Only now: what nobody trusted signed is not even parsed.
    let statement = match Statement::parse(&envelope.payload) {
        Ok(statement) => statement,
        Err(source) => return Err(SignatureError::Statement { key_id, source }),
    };
    statement.check(subject)?;
    Ok(Verified { statement, key_id })
}

/// The first key that signed and may. Otherwise the most telling reason why none did.
fn signer<'t>(
    envelope: &Envelope,
    trusted: &'t [TrustedKey],
    tenant: Option<&TenantId>,
) -> Result<&'t TrustedKey, SignatureError> {
    let (mut genuine, mut forged) = (Vec::new(), None);
    for signature in &envelope.signatures {
        let named = trusted.iter().filter(|trusted| trusted.key.id().as_str() == signature.key_id);
        for trusted in named {
            match envelope.is_signed(signature, &trusted.key) {
                true => genuine.push(trusted),
                false => forged = Some(trusted.key.id().clone()),
            }
        }
    }
    let may_sign = |trusted: &&&TrustedKey| !trusted.revoked && trusted.tenants.covers(tenant);
    if let Some(trusted) = genuine.iter().find(may_sign) {
        return Ok(trusted);
    }
    Err(match (genuine.first(), forged) {
        (Some(TrustedKey { key, revoked: true, .. }), _) => SignatureError::Revoked { key_id: key.id().clone() },
        (Some(TrustedKey { key, tenants, .. }), _) => {
            let (key_id, allowed, tenant) = (key.id().clone(), tenants.clone(), tenant.cloned());
            SignatureError::KeyScope { key_id, allowed, tenant }
        }
        (None, Some(key_id)) => SignatureError::Forged { key_id },
        (None, None) => SignatureError::Untrusted { found: found(envelope) },
    })
}

fn found(envelope: &Envelope) -> Vec<String> {
    let named = |id: &str| if id.is_empty() { "an unnamed key".to_owned() } else { bounded_text(id, 64) };
    envelope.signatures.iter().map(|signature| named(&signature.key_id)).collect()
}
