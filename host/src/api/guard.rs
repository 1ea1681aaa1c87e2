//! Who may call: on a unix socket, whoever may open it; on TCP, whoever knows the token, under a name we serve.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap};
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::caller::Peer;
use super::problem::Problem;
use crate::ports::{Randomness, RandomnessError};

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
        let failed = |source| TokenError::File { path: path.to_owned(), source };
        // What is checked is what is read, even if somebody swaps the file in between.
        let file = fs::File::open(path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        let (owner, uid) = (found.uid(), rustix::process::geteuid().as_raw());
        if !may_own(owner, uid) {
            return Err(TokenError::Foreign { path: path.to_owned(), owner, uid });
        }
        let mode = found.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Open { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(LONGEST_TOKEN_FILE).read_to_string(&mut text).map_err(failed)?;
        let token = text.trim_end();
        let well_formed = URL_SAFE_NO_PAD.decode(token).is_ok_and(|bytes| bytes.len() == 32);
        if well_formed { Ok(Self(token.to_owned())) } else { Err(TokenError::Malformed { path: path.to_owned() }) }
    }

    fn make(path: &Path, randomness: &dyn Randomness) -> Result<(), TokenError> {
        let (mut secret, mut name) = ([0; 32], [0; 8]);
        randomness.fill(&mut secret)?;
        randomness.fill(&mut name)?;
        let failed = |source| TokenError::File { path: path.to_owned(), source };
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        // Linked into place whole, so that nobody reads half a token, and never over another one.
        let draft = path.with_extension(format!("new-{}", hex::encode(name)));
        let written = write_private(&draft, &URL_SAFE_NO_PAD.encode(secret)).and_then(|()| fs::hard_link(&draft, path));
        fs::remove_file(&draft).map_err(failed)?;
        match written {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// For a client's `Authorization: Bearer` header.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn opens(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = given.and_then(|value| value.split_once(' ')) else { return false };
        scheme.eq_ignore_ascii_case("bearer") && bool::from(token.as_bytes().ct_eq(self.0.as_bytes()))
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

/// What is checked of callers on TCP.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pub token: Option<Token>,
    pub allowed_hosts: Vec<String>,
}

impl Guard {
    fn check(&self, request: &Request) -> Result<(), Problem> {
        if matches!(request.extensions().get::<Peer>(), Some(Peer::Unix { .. })) {
            return Ok(());
        }
        if !self.serves(request.headers()) {
            let detail = "this name is not served here; http.allowed_hosts lists those that are";
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected_request", detail));
        }
        if self.token.as_ref().is_some_and(|token| token.opens(request.headers())) {
            return Ok(());
        }
        let detail = "the bearer token is missing or wrong; http.token_file holds it";
        Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail))
    }

    fn serves(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        let plain = |authority: &Authority| !authority.as_str().contains('@');
        authority.filter(plain).is_some_and(|authority| {
            self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(authority.host()))
        })
    }
}

pub(super) async fn admit(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
