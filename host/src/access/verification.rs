//! Whether the trail is whole.

use std::fmt;
use std::str::FromStr;

use super::Trail;
use super::pruning::pruned_through;
use crate::model::AuditEntry;
use crate::ports::StoreError;

const PAGE: u32 = 500;
/// How often a trail that is pruned meanwhile is walked again.
const RETRIES: u32 = 3;

/// A link as somebody outside the store remembers it. Written `SEQUENCE:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Its place.
    pub sequence: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// A text that names no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no link; write it as SEQUENCE:HASH, the hash in 64 hexadecimal digits")]
pub struct InvalidAnchor(String);

impl FromStr for Anchor {
    type Err = InvalidAnchor;

    fn from_str(text: &str) -> Result<Self, InvalidAnchor> {
        let invalid = || InvalidAnchor(text.chars().take(90).collect());
        let (sequence, digits) = text.split_once(':').ok_or_else(invalid)?;
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).map_err(|_| invalid())?;
        let sequence = sequence.parse().ok().filter(|sequence| *sequence > 0).ok_or_else(invalid)?;
        Ok(Self { sequence, hash })
    }
}

impl Anchor {
    /// A link, as it says itself.
    pub(super) fn of(link: &AuditEntry) -> Self {
        Self { sequence: link.sequence, hash: link.hash }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, hex::encode(self.hash))
    }
}

/// What is wrong with a link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is not there, and later ones are.
    #[error("it is missing")]
    Missing,
    /// It is not there, and somebody remembers it, or a later one.
    #[error("it is missing: the trail was cut off before it")]
    CutOff,
    /// It cannot be read at all.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Its hash is not that of what it says.
    #[error("it was changed: its hash is not that of what it says")]
    Changed,
    /// It says itself that it follows on another link than the one before it.
    #[error("it does not follow on the link before it")]
    Unlinked,
    /// It is sound, and not the link that somebody remembers.
    #[error("it is not the link that is remembered, so the trail was written anew")]
    Rewritten,
}

/// The first link that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Its place.
    pub sequence: u64,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What a walk along the trail found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// The last sound link before the first broken one; none if there is none. Remember it outside the store: what
    /// is checked against it later cannot have been cut off.
    pub head: Option<Anchor>,
    /// The first broken link; none if all are sound.
    pub broken: Option<Break>,
    /// The last link that was pruned, as a later sound one vouches; none if the trail begins at its first. What was before
    /// is not looked at, and whoever remembers one of those is not contradicted.
    pub pruned: Option<Anchor>,
}

impl Trail {
    /// Walks the chain from its first link to its first broken one. Without `remembered`, a tail that was cut off, or
    /// a chain that was written anew from some link on, does not show.
    pub async fn verify(&self, remembered: Option<Anchor>) -> Result<Verification, StoreError> {
        let mut found = self.walk(remembered).await?;
        for _ in 0..RETRIES {
            if found.broken.is_none() || self.begin().await? == found.pruned.map_or(1, |last| last.sequence + 1) {
                break;
            }
            // Pruned under our feet: what was missing is not.
            found = self.walk(remembered).await?;
        }
        Ok(found)
    }

    /// The place of the first link that is there.
    async fn begin(&self) -> Result<u64, StoreError> {
        match self.read(1, 1).await {
            Err(StoreError::Corrupt(_)) => Ok(1),
            first => Ok(first?.first().map_or(1, |link| link.sequence)),
        }
    }

    async fn walk(&self, remembered: Option<Anchor>) -> Result<Verification, StoreError> {
        let mut walk = Walk { remembered, found: Verification::default(), is_vouched_for: false };
        loop {
            let page = match self.read(walk.next(), PAGE).await {
                // One of them: those before it are read by themselves.
                Err(StoreError::Corrupt(_)) => match self.read(walk.next(), 1).await {
                    Err(StoreError::Corrupt(said)) => {
                        walk.breaks(Flaw::Unreadable(said));
                        break;
                    }
                    link => link?,
                },
                page => page?,
            };
            if page.is_empty() || !page.iter().all(|link| walk.step(link)) {
                break;
            }
        }
        walk.end();
        Ok(walk.found)
    }
}

struct Walk {
    remembered: Option<Anchor>,
    found: Verification,
    /// Whether a link told of the pruning that is said to have been.
    is_vouched_for: bool,
}

impl Walk {
    /// The place of the next link.
    fn next(&self) -> u64 {
        self.before().map_or(1, |before| before.sequence.saturating_add(1))
    }

    /// The link that the next one follows on, be it one that was pruned.
    fn before(&self) -> Option<Anchor> {
        self.found.head.or(self.found.pruned)
    }

    /// Looks at the next link; false if it is broken.
    fn step(&mut self, link: &AuditEntry) -> bool {
        if self.before().is_none() && link.sequence > 1 {
            // So it says. Whether that is true, a later link has to tell.
            self.found.pruned = Some(Anchor { sequence: link.sequence - 1, hash: link.previous });
        }
        let expected = self.next();
        let previous = self.before().map_or([0; 32], |before| before.hash);
        let here = Anchor { sequence: expected, hash: link.hash };
        let flaw = match link {
            link if link.follows(expected, &previous) => None,
            link if link.sequence != expected => Some(Flaw::Missing),
            link if link.follows(expected, &link.previous) => Some(Flaw::Unlinked),
            _ => Some(Flaw::Changed),
        };
        let contradicts = |told: &Anchor| told.sequence == expected && told.hash != link.hash;
        match flaw.or_else(|| self.remembered.as_ref().is_some_and(contradicts).then_some(Flaw::Rewritten)) {
            None => {
                self.found.head = Some(here);
                self.is_vouched_for |= self.found.pruned.is_some() && pruned_through(link) == self.found.pruned;
            }
            Some(flaw) => self.breaks(flaw),
        }
        self.found.broken.is_none()
    }

    fn breaks(&mut self, flaw: Flaw) {
        let sequence = self.next();
        self.found.broken.get_or_insert(Break { sequence, flaw });
    }

    /// At the end of the trail, or at its first broken link.
    fn end(&mut self) {
        if self.found.broken.is_none() && self.found.pruned.is_some() && !self.is_vouched_for {
            // Nobody pruned it, so what it begins with is nobody's word.
            self.found = Verification::default();
            self.breaks(Flaw::Missing);
        }
        let contradicts =
            |told: Anchor| self.found.pruned.is_some_and(|last| last.sequence == told.sequence && last != told);
        if self.found.broken.is_none() && self.remembered.is_some_and(contradicts) {
            self.found.broken = self.remembered.map(|told| Break { sequence: told.sequence, flaw: Flaw::Rewritten });
        }
        if self.remembered.is_some_and(|told| told.sequence >= self.next()) {
            self.breaks(Flaw::CutOff);
        }
        self.found.pruned = self.found.pruned.filter(|_| self.is_vouched_for);
    }
}
