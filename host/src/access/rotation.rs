//! A new token in the place of an old one, which goes on for a while so that its holders can change over.

use std::time::Duration;

use super::{Action, Caller, Deed, Secret, TokenError, TokenName, Tokens, permit};
use crate::model::{ApiToken, Timestamp};

/// How a token is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// How long the old one goes on.
    pub overlap: Duration,
    /// Until when the new one is valid; none for as long as the old one was to be from its making on.
    pub expires_at: Option<Timestamp>,
}

impl Tokens {
    /// Makes a token of the same role, and lets the old one end after the overlap. The new one is called as the old one
    /// with a number, for a name is never given twice. Its secret is answered here and never again.
    pub async fn rotate(
        &self,
        caller: &Caller,
        name: &str,
        rotation: Rotation,
    ) -> Result<(ApiToken, Secret), TokenError> {
        permit(caller, &Action::ManageTokens)?;
        let (now, known) = (self.clock.now(), self.store.tokens().await?);
        let old = known.iter().find(|token| token.name == name);
        let old = old.ok_or_else(|| TokenError::NotFound(name.to_owned()))?;
        if !old.is_valid(now) {
            return Err(TokenError::Ended(name.to_owned()));
        }
        let secret = Secret::draw(&*self.randomness)?;
        let new = ApiToken {
            name: successor(name, &known)?.as_str().to_owned(),
            hash: secret.hash(),
            created_at: now,
            created_by: caller.actor.clone(),
            expires_at: expiry(old, &rotation, now)?,
            last_used_at: None,
            ..old.clone()
        };
        self.replace(caller, name, now.saturating_add(rotation.overlap), &new).await?;
        Ok((new, secret))
    }

    async fn replace(&self, caller: &Caller, name: &str, end: Timestamp, new: &ApiToken) -> Result<(), TokenError> {
        let deed = Deed::new("token.rotate", name)
            .with("successor", new.name.as_str())
            .with("ends_at", end.to_string())
            .with("expires_at", new.expires_at.map(|end| end.to_string()));
        let (store, old, new) = (self.store.clone(), name.to_owned(), new.clone());
        let replacing = async move {
            // Whoever was first has revoked it, or taken the name.
            if store.replace_token(&old, end, &new).await? { Ok(()) } else { Err(TokenError::NameTaken(new.name)) }
        };
        self.trail.audited(caller, deed, replacing).await
    }
}

fn expiry(old: &ApiToken, rotation: &Rotation, now: Timestamp) -> Result<Option<Timestamp>, TokenError> {
    let span = old.expires_at.map(|end| end.since(old.created_at));
    match rotation.expires_at.or(span.map(|span| now.saturating_add(span))) {
        Some(end) if end <= now => Err(TokenError::Expired),
        end => Ok(end),
    }
}

/// `ci`, `ci.2`, `ci.3`: the first that is free.
fn successor(name: &str, known: &[ApiToken]) -> Result<TokenName, TokenError> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let stem = name.rsplit_once('.').filter(|(_, number)| is_number(number)).map_or(name, |(stem, _)| stem);
    let mut names = (2_u64..).map(|number| format!("{stem}.{number}"));
    let free = names.find(|name| known.iter().all(|token| token.name != *name));
    free.unwrap_or_default().parse().map_err(TokenError::Name)
}
