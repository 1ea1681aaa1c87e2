//! Tokens: made, listed, revoked, and shown by callers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Action, Caller, Deed, Denied, Failure, Trail, Unrecorded, permit};
use crate::model::{ApiToken, Role, Timestamp};
use crate::ports::{AccessStore, Clock, Randomness, RandomnessError, StoreError};

/// What the holder of a token shows: 32 random bytes, base64url without padding. Never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// A new one.
    pub fn draw(randomness: &dyn Randomness) -> Result<Self, RandomnessError> {
        let mut bytes = [0; 32];
        randomness.fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads what a caller shows; none if it is no secret at all.
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// What is kept of it.
    pub fn hash(&self) -> [u8; 32] {
        use sha2::Digest as _;
        sha2::Sha256::digest(self.expose()).into()
    }

    /// For its holder only.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A token's name. `file` is that of the server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenName(String);

impl TokenName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if text == "file" {
            return Err("\"file\" is what the server's own token is called");
        }
        if starts_well && text.len() <= 64 && text.bytes().all(is_part) {
            return Ok(Self(text.to_owned()));
        }
        Err("a token's name is 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-', starting with a letter or digit")
    }
}

/// A token that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its name.
    pub name: TokenName,
    /// What its holder may do.
    pub role: Role,
    /// Until when; none for no end.
    pub expires_at: Option<Timestamp>,
}

/// Why something about tokens was not done.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The trail cannot be written.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
    /// There is, or was, one of this name.
    #[error(
        "there is or was a token {0:?}, and the trail must not mistake one for another: give this one another name"
    )]
    NameTaken(String),
    /// There is none of this name.
    #[error("there is no token {0:?}")]
    NotFound(String),
    /// It opens nothing any more, so nothing can take its place.
    #[error("token {0:?} is revoked or past its end: make another")]
    Ended(String),
    /// A name is none.
    #[error("{0}")]
    Name(&'static str),
    /// It would never open anything.
    #[error("this token would be past its end already")]
    Expired,
    /// No secret can be drawn.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure for TokenError {
    fn code(&self) -> &str {
        match self {
            Self::Denied(_) => "forbidden",
            Self::NameTaken(_) | Self::Ended(_) => "conflict",
            Self::NotFound(_) => "not_found",
            Self::Expired | Self::Name(_) => "invalid_request",
            Self::Unrecorded(_) | Self::Randomness(_) => "service_unavailable",
            Self::Store(error) => error.code(),
        }
    }

    fn may_have_happened(&self) -> bool {
        matches!(self, Self::Store(error) if error.may_have_happened())
    }
}

/// The tokens of the REST interface.
#[derive(Clone)]
pub struct Tokens {
    pub(super) store: Arc<dyn AccessStore>,
    pub(super) trail: Trail,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) randomness: Arc<dyn Randomness>,
}

impl Tokens {
    /// The tokens in a store.
    pub fn new(
        store: Arc<dyn AccessStore>,
        trail: Trail,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        Self { store, trail, clock, randomness }
    }

    /// Makes a token. Its secret is answered here and never again.
    pub async fn create(&self, caller: &Caller, new: NewToken) -> Result<(ApiToken, Secret), TokenError> {
        permit(caller, &Action::ManageTokens)?;
        let now = self.clock.now();
        if new.expires_at.is_some_and(|end| end <= now) {
            return Err(TokenError::Expired);
        }
        let secret = Secret::draw(&*self.randomness)?;
        let NewToken { name: TokenName(name), role, expires_at } = new;
        let (hash, created_by) = (secret.hash(), caller.actor.clone());
        let token = ApiToken {
            name,
            hash,
            role,
            created_at: now,
            created_by,
            expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        let deed = Deed::new("token.create", &token.name).with("role", token.role.to_string());
        let deed = deed.with("expires_at", token.expires_at.map(|end| end.to_string()));
        let (store, added) = (self.store.clone(), token.clone());
        let adding =
            async move { if store.add_token(&added).await? { Ok(()) } else { Err(TokenError::NameTaken(added.name)) } };
        self.trail.audited(caller, deed, adding).await?;
        Ok((token, secret))
    }

    /// All tokens, by name.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<ApiToken>, TokenError> {
        permit(caller, &Action::ManageTokens)?;
        Ok(self.store.tokens().await?)
    }

    /// Revokes a token: it opens nothing from the next request on. Doing it again changes nothing.
    pub async fn revoke(&self, caller: &Caller, name: &str) -> Result<(), TokenError> {
        permit(caller, &Action::ManageTokens)?;
        let (store, at, revoked) = (self.store.clone(), self.clock.now(), name.to_owned());
        let revoking = async move {
            if store.revoke_token(&revoked, at).await? { Ok(()) } else { Err(TokenError::NotFound(revoked)) }
        };
        self.trail.audited(caller, Deed::new("token.revoke", name), revoking).await
    }

    /// The time by which tokens end.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Who shows this; none if it opens nothing (any more). That it is used is noted now and then. Whatever is wrong with a secret, the work is the same: one
    /// look by its hash, from which nothing can be learnt of other secrets.
    pub async fn verify(&self, secret: &Secret) -> Result<Option<Caller>, StoreError> {
        let found = self.store.token(&secret.hash()).await?;
        let now = self.clock.now();
        let Some(token) = found.filter(|token| token.is_valid(now)) else { return Ok(None) };
        if token.use_is_news(now)
            && let Err(error) = self.store.note_token_used(&token.name, now).await
        {
            // It opens what it opens all the same.
            tracing::warn!(token = token.name, %error, "that a token was used was not noted");
        }
        Ok(Some(Caller { actor: format!("token:{}", token.name), role: token.role }))
    }
}
