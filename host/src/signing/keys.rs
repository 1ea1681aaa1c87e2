//! Keys: ed25519, in the PEM files that `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` make.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use sha2::{Digest as _, Sha256};

use crate::ports::{Randomness, RandomnessError};

/// What stands before the 32 bytes of a public key in its SubjectPublicKeyInfo (RFC 8410).
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What stands before the 32 bytes of a private key in its PKCS#8 (RFC 8410).
const PRIVATE_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// In bytes: an ed25519 key in PEM has 119, and may stand below some words.
const LONGEST_FILE: u64 = 16 << 10;

/// A key that cannot be had. No message holds any part of a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text holds no key of this kind.
    #[error("no ed25519 {kind} in PEM; `{command}` makes one")]
    Malformed {
        /// Private or public key.
        kind: &'static str,
        /// What makes such a file.
        command: &'static str,
    },
    /// The file cannot be read or written.
    #[error("the key file {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others than its owner can read the private key.
    #[error("the key file {} is open to others (mode {mode:03o}): chmod 600 it", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// No key can be drawn.
    #[error("no key was made")]
    Randomness(#[from] RandomnessError),
}

const NO_PRIVATE_KEY: KeyError =
    KeyError::Malformed { kind: "private key (PKCS#8)", command: "openssl genpkey -algorithm ed25519" };
const NO_PUBLIC_KEY: KeyError =
    KeyError::Malformed { kind: "public key (SubjectPublicKeyInfo)", command: "openssl pkey -pubout" };

/// Which key: the SHA-256 of its SubjectPublicKeyInfo in DER, in hexadecimal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// What signatures are checked with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    bytes: [u8; 32],
    id: KeyId,
}

impl PublicKey {
    fn of(bytes: [u8; 32]) -> Self {
        let id = KeyId(hex::encode(Sha256::digest(info(&bytes))).into());
        Self { bytes, id }
    }

    /// The first public key of a PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let found = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| NO_PUBLIC_KEY)?;
        let bytes = found.strip_prefix(&PUBLIC_PREFIX).and_then(|key| key.try_into().ok());
        bytes.map(Self::of).ok_or(NO_PUBLIC_KEY)
    }

    /// As `openssl pkey -pubout` writes it.
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &info(&self.bytes))
    }

    /// Which key it is.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Whether the owner of this key signed these bytes.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.bytes).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

/// What signatures are made with. It is shown only as the id of its public key.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    pkcs8: PrivatePkcs8KeyDer<'static>,
    public: PublicKey,
}

impl SigningKey {
    /// Draws a new key.
    pub fn generate(randomness: &dyn Randomness) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        randomness.fill(&mut seed)?;
        Self::from_pkcs8([&PRIVATE_PREFIX[..], &seed].concat().into())
    }

    /// The first private key of a PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        Self::from_pkcs8(PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| NO_PRIVATE_KEY)?)
    }

    /// The key of a file that is open to its owner only.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        // What is checked is what is read, even if somebody swaps the file in between.
        let file = fs::File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Open { path: path.to_owned(), mode });
        }
        let mut pem = Vec::new();
        file.take(LONGEST_FILE).read_to_end(&mut pem).map_err(failed)?;
        Self::from_pem(&pem)
    }

    fn from_pkcs8(pkcs8: PrivatePkcs8KeyDer<'static>) -> Result<Self, KeyError> {
        // "Maybe unchecked": OpenSSL leaves the public key out, so there may be nothing to check the private one against.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8.secret_pkcs8_der()).map_err(|_| NO_PRIVATE_KEY)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| NO_PRIVATE_KEY)?;
        Ok(Self { pair, pkcs8, public: PublicKey::of(public) })
    }

    /// Writes the key to a file that only its owner can read, and that must not exist yet.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyError> {
        let write = || {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(pem("PRIVATE KEY", self.pkcs8.secret_pkcs8_der()).as_bytes())?;
            file.sync_all()
        };
        write().map_err(|source| KeyError::File { path: path.to_owned(), source })
    }

    /// What this key's signatures are checked with.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id)
    }
}

fn info(key: &[u8; 32]) -> Vec<u8> {
    [&PUBLIC_PREFIX[..], key].concat()
}

/// Keys of this kind fill a line of 64 characters at most; those with more in them are broken up all the same.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n");
    format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", lines.collect::<String>())
}
