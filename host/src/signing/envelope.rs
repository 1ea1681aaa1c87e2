//! DSSE envelopes: <https://github.com/secure-systems-lab/dsse>, version 1.0.2.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use super::{PAYLOAD_TYPE, PublicKey, SigningKey, Statement};

/// A signed payload, as it travels: nothing in it is believed before [`super::verify`] says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub(super) payload_type: String,
    pub(super) payload: Vec<u8>,
    pub(super) signatures: Vec<Signature>,
}

/// One signature, and the key that it says it is by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) key_id: String,
    bytes: Vec<u8>,
}

/// A text that is no envelope.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEnvelope {
    /// Longer than any envelope is.
    #[error("the envelope is longer than {} bytes", Envelope::LONGEST)]
    TooLong,
    /// No such JSON.
    #[error("the envelope is no DSSE envelope in JSON")]
    Json(#[from] serde_json::Error),
    /// Payload or signature are not Base64.
    #[error("the envelope's {0} is not Base64")]
    Base64(&'static str),
    /// Too many signatures, or none.
    #[error("the envelope has {0} signatures; there must be 1 to {max}", max = Envelope::MOST_SIGNATURES)]
    Signatures(usize),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    payload: String,
    payload_type: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
struct WireSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

impl Envelope {
    /// In bytes. A statement for a thousand tenants fits.
    pub const LONGEST: usize = 128 << 10;
    /// Each costs a verification.
    pub const MOST_SIGNATURES: usize = 16;

    /// Signs a statement.
    pub fn sign(statement: &Statement, key: &SigningKey) -> Self {
        let payload = statement.to_json();
        let bytes = key.sign(&encoded(PAYLOAD_TYPE, &payload));
        let signature = Signature { key_id: key.public().id().to_string(), bytes };
        Self { payload_type: PAYLOAD_TYPE.to_owned(), payload, signatures: vec![signature] }
    }

    /// Reads an envelope. Unknown members are passed over, as the specification demands: no signature covers them.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidEnvelope> {
        if json.len() > Self::LONGEST {
            return Err(InvalidEnvelope::TooLong);
        }
        let Wire { payload, payload_type, signatures } = serde_json::from_slice(json)?;
        if !(1..=Self::MOST_SIGNATURES).contains(&signatures.len()) {
            return Err(InvalidEnvelope::Signatures(signatures.len()));
        }
        let payload = decoded(&payload).ok_or(InvalidEnvelope::Base64("payload"))?;
        let signature = |WireSignature { keyid: key_id, sig }: WireSignature| {
            decoded(&sig).map(|bytes| Signature { key_id, bytes }).ok_or(InvalidEnvelope::Base64("signature"))
        };
        let signatures = signatures.into_iter().map(signature).collect::<Result<_, _>>()?;
        Ok(Self { payload_type, payload, signatures })
    }

    /// The keys that are said to have signed, by their ids; an empty one names none.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|signature| &*signature.key_id)
    }

    /// As JSON, on one line.
    pub fn to_json(&self) -> String {
        let signature = |signature: &Signature| serde_json::json!({ "keyid": signature.key_id, "sig": STANDARD.encode(&signature.bytes) });
        let signatures: Vec<_> = self.signatures.iter().map(signature).collect();
        let payload = STANDARD.encode(&self.payload);
        serde_json::json!({ "payload": payload, "payloadType": self.payload_type, "signatures": signatures })
            .to_string()
    }

    /// Whether a signature of this envelope is by this key.
    pub(super) fn is_signed(&self, signature: &Signature, key: &PublicKey) -> bool {
        key.has_signed(&encoded(&self.payload_type, &self.payload), &signature.bytes)
    }
}

/// Either alphabet, but not both in one text.
fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

/// The specification's pre-authentication encoding: what is signed. Lengths keep type and payload apart.
fn encoded(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_the_specifications_own_example() {
        let signed = encoded("http://example.com/HelloWorld", b"hello world");
        assert_eq!(signed, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn lengths_count_bytes_and_an_empty_part_still_has_its_space() {
        assert_eq!(encoded("é", "ü".as_bytes()), "DSSEv1 2 é 2 ü".as_bytes());
        assert_eq!(encoded("", b""), b"DSSEv1 0  0 ");
        assert_ne!(encoded("a 1 b", b"c"), encoded("a", b"b 1 c"));
    }
}
