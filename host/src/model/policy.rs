//! Policies as they are kept: immutable components with a name, bound to scopes by generations.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::ids::{InvalidId, text_id};
use super::{GenerationId, Grants, LimitOverrides, PolicyDigest, PolicyScope, TenantId, Timestamp};

text_id!(
    /// What a policy is called. Versions of one policy share it.
    PolicyName,
    "policy name",
    "1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit",
    |text| {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        text.len() <= 64
            && text.bytes().all(known)
            && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    }
);

/// A policy's version, by Semantic Versioning 2.0: it says which of two came later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyVersion(semver::Version);

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PolicyVersion {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let version = (text.len() <= 64).then(|| semver::Version::parse(text).ok()).flatten();
        version.map(Self).ok_or_else(|| InvalidId {
            kind: "policy version",
            given: text.chars().take(80).collect(),
            expected: "MAJOR.MINOR.PATCH by Semantic Versioning, at most 64 bytes, such as 1.4.0",
        })
    }
}

/// A component in the store. What is under a digest never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyArtifact {
    /// The SHA-256 of its bytes.
    pub digest: PolicyDigest,
    /// What it is called.
    pub name: PolicyName,
    /// Which version of that it is.
    pub version: PolicyVersion,
    /// The tenant whose it is, who alone can see and bind it; none for the platform's, which any may.
    pub owner: Option<TenantId>,
    /// Its length in bytes.
    pub size: u64,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// Who pushed it.
    pub pushed_by: String,
}

impl PolicyArtifact {
    /// Its place in lists; no two have the same.
    pub fn place(&self) -> PolicyPlace {
        PolicyPlace { name: self.name.clone(), version: self.version.clone(), owner: self.owner.clone() }
    }

    /// Whether a tenant may see and bind it, or the platform, for none.
    pub fn is_open_to(&self, tenant: Option<&TenantId>) -> bool {
        self.owner.is_none() || self.owner.as_ref() == tenant
    }
}

/// What a policy is called, and whose it is: its place in lists, which are by name, then version, then owner, the
/// platform's first. As text `NAME@VERSION`, of a tenant's `OWNER/NAME@VERSION`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyPlace {
    /// What it is called.
    pub name: PolicyName,
    /// Which version of that it is.
    pub version: PolicyVersion,
    /// The tenant whose it is; none for the platform's.
    pub owner: Option<TenantId>,
}

impl fmt::Display for PolicyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(owner) = &self.owner {
            write!(f, "{owner}/")?;
        }
        write!(f, "{}@{}", self.name, self.version)
    }
}

impl FromStr for PolicyPlace {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = || InvalidId {
            kind: "place among policies",
            given: text.chars().take(80).collect(),
            expected: "NAME@VERSION or OWNER/NAME@VERSION, such as the `next` of the page before",
        };
        let (named, version) = text.rsplit_once('@').ok_or_else(wrong)?;
        let (owner, name) = named.rsplit_once('/').map_or((None, named), |(owner, name)| (Some(owner), name));
        let owner = owner.map(str::parse).transpose()?;
        Ok(Self { name: name.parse()?, version: version.parse()?, owner })
    }
}

/// What a generation consists of: swapped together, never apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingSpec {
    /// The component.
    pub digest: PolicyDigest,
    /// What that was called when it was bound, for it may have several names; none for what a version staged that did
    /// not note it.
    pub called: Option<(PolicyName, PolicyVersion)>,
    /// What it reads through `wasi:config/store`.
    pub settings: BTreeMap<String, String>,
    /// How much less than the host allows it may use.
    pub limits: LimitOverrides,
    /// What it may import and do.
    pub grants: Grants,
}

/// Who changes what serves a scope, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// One generation of a scope. Never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Whom it is for.
    pub scope: PolicyScope,
    /// Counts from 1 within the scope; never used again.
    pub number: u64,
    /// What it consists of.
    pub spec: BindingSpec,
    /// Who staged it.
    pub staged: Signed,
}

impl Generation {
    /// Its name.
    pub fn id(&self) -> GenerationId {
        GenerationId::numbered(&self.scope, self.number)
    }
}

/// How a generation that is not current yet is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutMode {
    /// Beside the current one, without effect.
    Shadow,
    /// Instead of the current one, for these of each 10,000 games.
    Canary {
        /// 1 to 10,000.
        per_myriad: u16,
    },
}

impl RolloutMode {
    /// A canary on so many percent of the games, in hundredths; none if that is none of them, or more than all.
    pub fn of_percent(percent: f64) -> Option<Self> {
        let per_myriad = (percent * 100.0).round();
        // A number within these bounds is a whole one of 16 bits.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        (1.0..=10_000.0).contains(&per_myriad).then_some(Self::Canary { per_myriad: per_myriad as u16 })
    }
}

/// When a rollout ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RolloutGoal {
    /// Becomes current after so many runs without a fault.
    pub clean_runs: Option<u64>,
    /// Becomes current at this time, if it has had no fault.
    pub promote_at: Option<Timestamp>,
    /// Ends at the first divergence from the current generation; otherwise only at the first fault.
    pub stop_on_divergence: bool,
}

/// What has been seen of a rollout, by all hosts together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RolloutCounts {
    /// Runs of the new generation.
    pub runs: u64,
    /// Of these, faults of the policy.
    pub faults: u64,
    /// Of these, answers that differ from the current generation's.
    pub divergences: u64,
}

/// A generation on its way to become current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Which.
    pub number: u64,
    /// How it is tried.
    pub mode: RolloutMode,
    /// When that ends.
    pub goal: RolloutGoal,
    /// What has been seen.
    pub counts: RolloutCounts,
    /// Who began it.
    pub started: Signed,
}

/// How a shadow run differs from the run that it stood beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DivergenceKind {
    /// It would have removed a container that was kept, or gone about it.
    WouldRemove,
    /// It would have kept a container that was removed.
    WouldKeep,
    /// It would have ended otherwise, or with another error code.
    OtherError,
    /// It would have written another entry.
    OtherEntry,
    /// It would have waited for another time, or kept for another reason.
    OtherAdvice,
}

impl DivergenceKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::WouldRemove, Self::WouldKeep, Self::OtherError, Self::OtherEntry, Self::OtherAdvice];

    /// The kind as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WouldRemove => "would_remove",
            Self::WouldKeep => "would_keep",
            Self::OtherError => "other_error",
            Self::OtherEntry => "other_entry",
            Self::OtherAdvice => "other_advice",
        }
    }

    /// The kind with that name.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One difference that a shadow run showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The game.
    pub game_id: String,
    /// The run that it stood beside.
    pub run_id: super::RunId,
    /// In what they differ.
    pub kind: DivergenceKind,
    /// What the current generation did, for people.
    pub current: String,
    /// What the new one would have done.
    pub candidate: String,
    /// When.
    pub at: Timestamp,
}

/// What happened to a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyEvent {
    /// A generation was made current.
    Bound,
    /// An earlier generation was made current again.
    RolledBack,
    /// A generation began to be tried.
    RolloutStarted,
    /// The generation that was tried was made current.
    Promoted,
    /// The generation that was tried was given up.
    RolloutEnded,
    /// A generation, or a component that serves the scope, was revoked.
    Revoked,
    /// The scope has no binding of its own any more.
    Unbound,
}

impl PolicyEvent {
    /// Every event.
    pub const ALL: [Self; 7] = [
        Self::Bound,
        Self::RolledBack,
        Self::RolloutStarted,
        Self::Promoted,
        Self::RolloutEnded,
        Self::Revoked,
        Self::Unbound,
    ];

    /// Whether it makes its generation the current one.
    pub fn makes_current(self) -> bool {
        matches!(self, Self::Bound | Self::RolledBack | Self::Promoted)
    }

    /// The event as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::RolledBack => "rolled_back",
            Self::RolloutStarted => "rollout_started",
            Self::Promoted => "promoted",
            Self::RolloutEnded => "rollout_ended",
            Self::Revoked => "revoked",
            Self::Unbound => "unbound",
        }
    }

    /// The event with that name.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == text)
    }
}

/// One line of a scope's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChange {
    /// Its place in the history; grows.
    pub id: u64,
    /// What happened.
    pub event: PolicyEvent,
    /// The generation that was current before; none if the scope had none.
    pub from: Option<u64>,
    /// The generation that it is about; none if there is none.
    pub to: Option<u64>,
    /// Who, when and why.
    pub signed: Signed,
}

/// What can be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// One generation.
    Generation(GenerationId),
    /// A component, in whatever generation.
    Component(PolicyDigest),
}

impl Revocation {
    /// What is revoked, as it is stored.
    pub fn subject(&self) -> &str {
        match self {
            Self::Generation(generation) => generation.as_str(),
            Self::Component(digest) => digest.as_str(),
        }
    }
}

/// What one host says of one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The host, by a name that is new at each start.
    pub replica: String,
    /// Whom it serves.
    pub scope: PolicyScope,
    /// What it serves them with.
    pub generation: GenerationId,
    /// Generations beside it that it has loaded: staged, tried, or the one before.
    pub ready: Vec<u64>,
    /// Why it cannot serve what it should; it keeps to `generation`.
    pub problem: Option<String>,
    /// When it said so.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers_and_not_by_their_texts() {
        let version = |text: &str| text.parse::<PolicyVersion>().ok();
        assert!(version("1.10.0") > version("1.9.0"));
        assert!(version("1.0.0-rc.1") < version("1.0.0"));
        for wrong in ["", "1", "1.0", "v1.0.0", "1.0.0 ", "01.0.0"] {
            assert!(version(wrong).is_none(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for text in ["keep@1.0.0", "acme/keep@1.0.0-rc.1+b"] {
            assert_eq!(text.parse::<PolicyPlace>().map(|place| place.to_string()), Ok(text.to_owned()));
        }
        for wrong in ["", "keep", "@1.0.0", "keep@", "a/b/keep@1.0.0", "/keep@1.0.0"] {
            assert!(wrong.parse::<PolicyPlace>().is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_policy_name_is_lower_case() {
        assert!("keep-failed.v2".parse::<PolicyName>().is_ok());
        for wrong in ["", "Keep", "-keep", "a/b", "a b", &"a".repeat(65)] {
            assert!(wrong.parse::<PolicyName>().is_err(), "{wrong:?} was taken");
        }
    }
}
