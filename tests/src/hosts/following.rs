//! What can be wrong with what a host is told of the store, or says there; and what becomes of each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rtmanager::model::{GenerationId, Serving};
use rtmanager::ports::{Changes, GenerationStore, StoreError};

use super::SCOPE;
use crate::tapped::{GenerationTap, Tapped};

/// Every so many calls go wrong.
const NOW_AND_THEN: u64 = 3;
/// Longer than many swaps take.
const LATE: Duration = Duration::from_millis(150);

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Astray {
    /// No notice wakes the host.
    WakesNever,
    /// The epoch is what it was at first.
    EpochStands,
    /// Now and then the epoch is not answered.
    EpochFails,
    /// Now and then what changed is not answered.
    ChangesFail,
    /// What changed is told when much else has changed.
    ToldLate,
    /// Now and then what changed is what was told last time, of that epoch.
    ToldAgain,
    /// Now and then what changed is what was told last time, as if it were new.
    ToldAgainAsNew,
    /// The tenant is left out of what changed.
    ScopeDropped,
    /// Nothing is ever revoked.
    RevocationsLost,
    /// What the host says is lost.
    SaysNothing,
    /// The host says that it serves the other generation.
    SaysTheOther,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A host gets by, so.
    Tolerated(&'static str),
    /// Somebody finds it.
    Found {
        /// Who.
        by: &'static str,
        /// Part of what is said then.
        telltale: &'static str,
    },
}

/// One bug of following.
#[derive(Debug, Clone, Copy)]
pub struct Followed {
    /// Which.
    pub astray: Astray,
    /// In words.
    pub bug: &'static str,
    /// What becomes of it.
    pub fate: Fate,
}

const STUCK: Fate =
    Fate::Found { by: "whoever waits for a swap to arrive", telltale: "does not serve what is current" };

/// All of them.
pub const FOLLOWING: &[Followed] = &[
    followed(Astray::WakesNever, "no notice ever wakes the host", Fate::Tolerated("it looks every 500 ms besides")),
    followed(Astray::EpochFails, "every third epoch is an error", Fate::Tolerated("it serves on, and looks again")),
    followed(Astray::ChangesFail, "every third change is an error", Fate::Tolerated("it serves on, and asks again")),
    followed(
        Astray::ToldLate,
        "changes are told when others have followed",
        Fate::Tolerated("they are of an old epoch, so it asks again"),
    ),
    followed(
        Astray::ToldAgain,
        "every third change is the one before, of its old epoch",
        Fate::Tolerated("it keeps what is of a later epoch, and asks again"),
    ),
    followed(
        Astray::RevocationsLost,
        "revocations are lost",
        Fate::Tolerated("the store refuses every effect of what was revoked"),
    ),
    followed(Astray::EpochStands, "the epoch never moves", STUCK),
    followed(Astray::ToldAgainAsNew, "every change is an old one under the new epoch", STUCK),
    followed(Astray::ScopeDropped, "the tenant is left out of what changed", STUCK),
    followed(
        Astray::SaysNothing,
        "the host never says what it serves",
        Fate::Found { by: "whoever waits for a swap to arrive", telltale: "does not say what it serves" },
    ),
    followed(
        Astray::SaysTheOther,
        "every report names the other generation",
        Fate::Found { by: "the judge of swaps", telltale: "said at" },
    ),
];

const fn followed(astray: Astray, bug: &'static str, fate: Fate) -> Followed {
    Followed { astray, bug, fate }
}

/// The section of the table of planted bugs, as Markdown.
pub fn section() -> String {
    let mut text = format!("{HEAD}\n| bug | what becomes of it |\n|---|---|\n");
    for Followed { bug, fate, .. } in FOLLOWING {
        let fate = match fate {
            Fate::Tolerated(how) => format!("tolerated: {how}"),
            Fate::Found { by, .. } => format!("found by {by}"),
        };
        text.push_str(&format!("| {bug} | {fate} |\n"));
    }
    text
}

const HEAD: &str = "
# Following

What a host is told of the store, or says there, goes wrong in one of two whole hosts on one PostgreSQL while tenants are
swapped under load; held true by `tests/tests/following.rs`. *Tolerated*: no run goes wrong, every swap arrives, and a
revocation is a fence all the same.
";

/// What the store tells, spoilt before anybody hears it.
pub(super) fn beneath(astray: Option<Astray>, inner: Arc<dyn GenerationStore>) -> Arc<dyn GenerationStore> {
    match astray {
        None | Some(Astray::SaysNothing | Astray::SaysTheOther) => inner,
        Some(astray) => spoilt(astray, inner),
    }
}

/// What the host says, spoilt before anybody hears it.
pub(super) fn above(astray: Option<Astray>, inner: Arc<dyn GenerationStore>) -> Arc<dyn GenerationStore> {
    match astray {
        Some(astray @ (Astray::SaysNothing | Astray::SaysTheOther)) => spoilt(astray, inner),
        _ => inner,
    }
}

fn spoilt(astray: Astray, inner: Arc<dyn GenerationStore>) -> Arc<dyn GenerationStore> {
    let (times, first, last) = (AtomicU64::new(1), Mutex::default(), Mutex::default());
    Arc::new(Tapped(Spoilt { inner, astray, times, first, last }))
}

struct Spoilt {
    inner: Arc<dyn GenerationStore>,
    astray: Astray,
    times: AtomicU64,
    first: Mutex<Option<u64>>,
    last: Mutex<Option<Changes>>,
}

impl Spoilt {
    fn is_now(&self) -> bool {
        self.times.fetch_add(1, Ordering::Relaxed).is_multiple_of(NOW_AND_THEN)
    }
}

fn fails() -> StoreError {
    StoreError::Unavailable("planted by a test".into())
}

#[async_trait]
impl GenerationTap for Spoilt {
    fn inner(&self) -> &Arc<dyn GenerationStore> {
        &self.inner
    }

    async fn epoch(&self) -> Result<u64, StoreError> {
        let epoch = self.inner.epoch().await?;
        match self.astray {
            Astray::EpochStands => Ok(*self.first.lock().unwrap().get_or_insert(epoch)),
            Astray::EpochFails if self.is_now() => Err(fails()),
            _ => Ok(epoch),
        }
    }

    async fn changed_since(&self, epoch: u64) -> Result<Changes, StoreError> {
        let mut changes = self.inner.changed_since(epoch).await?;
        match self.astray {
            Astray::EpochStands => *self.first.lock().unwrap() = Some(changes.epoch),
            Astray::ChangesFail if self.is_now() => return Err(fails()),
            Astray::ToldLate => tokio::time::sleep(LATE).await,
            Astray::ToldAgain => {
                let last = self.last.lock().unwrap().replace(changes.clone());
                return Ok(last.filter(|_| self.is_now()).unwrap_or(changes));
            }
            Astray::ToldAgainAsNew => {
                let mut last = self.last.lock().unwrap();
                changes.states.clone_from(&last.get_or_insert_with(|| changes.clone()).states);
            }
            Astray::ScopeDropped if epoch > 0 => changes.states.retain(|state| state.scope.as_str() != SCOPE),
            Astray::RevocationsLost => changes.states.iter_mut().for_each(|state| state.revoked.clear()),
            _ => {}
        }
        Ok(changes)
    }

    async fn revoked_since(&self, number: u64, limit: u32) -> Result<Vec<(u64, String)>, StoreError> {
        match self.astray {
            Astray::RevocationsLost => Ok(Vec::new()),
            _ => self.inner.revoked_since(number, limit).await,
        }
    }

    async fn changed(&self) {
        match self.astray {
            Astray::WakesNever => std::future::pending().await,
            _ => self.inner.changed().await,
        }
    }

    async fn report(&self, serving: &Serving) -> Result<(), StoreError> {
        match self.astray {
            Astray::SaysNothing => Ok(()),
            Astray::SaysTheOther if serving.scope.as_str() == SCOPE => {
                let other = if serving.generation.number() == Some(1) { 2 } else { 1 };
                let generation = GenerationId::numbered(&serving.scope, other);
                self.inner.report(&Serving { generation, ..serving.clone() }).await
            }
            _ => self.inner.report(serving).await,
        }
    }
}
