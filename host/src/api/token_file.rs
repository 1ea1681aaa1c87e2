//! The server's own token: a file that its user alone can read. It opens everything, so it is how the first of the
//! named tokens are made.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use crate::access::Secret;
use crate::ports::{Randomness, RandomnessError};
use crate::private_file::{self, MakeError, Refusal};

/// More than a token and its line's end: what is longer is none.
const LONGEST_TOKEN_FILE: u64 = 128;

/// The secret that opens the TCP interface: 32 random bytes, base64url without padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The token cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read or made.
    #[error("cannot read or make the token file {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read it.
    #[error("the token file {} is open to others (mode {mode:o}): chmod 600 it, or delete it to have a new one made", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else owns it, who could have planted it.
    #[error("the token file {} belongs to uid {owner}, and this is uid {uid}: run this as its owner or, as a client, as root", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        uid: u32,
    },
    /// It holds something else.
    #[error("the token file {} holds no token: delete it to have a new one made", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// No token can be made.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl Token {
    /// A server's: the token of a file that is ours, and ours only; made if there is none.
    pub fn load_or_make(path: &Path, randomness: &dyn Randomness) -> Result<Self, TokenError> {
        match Self::read(path, |owner, uid| owner == uid) {
            Err(TokenError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::make(path, randomness)?;
                // Whoever was first: two processes may start at once.
                Self::read(path, |owner, uid| owner == uid)
            }
            loaded => loaded,
        }
    }

    /// A client's: the token of a file that is open to its owner only, who is us. Root may also be the client of
    /// another user's server, to which a token that was planted does not open anything.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        Self::read(path, |owner, uid| owner == uid || uid == 0)
    }

    fn read(path: &Path, may_own: impl Fn(u32, u32) -> bool) -> Result<Self, TokenError> {
        let text = private_file::read(path, LONGEST_TOKEN_FILE, may_own).map_err(|refusal| {
            let path = path.to_owned();
            match refusal {
                Refusal::File(source) => TokenError::File { path, source },
                Refusal::Open { mode } => TokenError::Open { path, mode },
                Refusal::Foreign { owner, uid } => TokenError::Foreign { path, owner, uid },
            }
        })?;
        let text = String::from_utf8_lossy(&text);
        let token = text.trim_end();
        let well_formed = URL_SAFE_NO_PAD.decode(token).is_ok_and(|bytes| bytes.len() == 32);
        if well_formed { Ok(Self(token.to_owned())) } else { Err(TokenError::Malformed { path: path.to_owned() }) }
    }

    fn make(path: &Path, randomness: &dyn Randomness) -> Result<(), TokenError> {
        let mut secret = [0; 32];
        randomness.fill(&mut secret)?;
        private_file::make(path, &URL_SAFE_NO_PAD.encode(secret), randomness).map_err(|error| match error {
            MakeError::File(source) => TokenError::File { path: path.to_owned(), source },
            MakeError::Randomness(error) => TokenError::Randomness(error),
        })
    }

    /// For a client's `Authorization: Bearer` header.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn is(&self, secret: &Secret) -> bool {
        bool::from(secret.expose().as_bytes().ct_eq(self.0.as_bytes()))
    }
}
