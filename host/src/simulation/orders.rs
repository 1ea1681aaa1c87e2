//! What operators do with the policy that serves: swap it, roll it back, revoke it. And how replicas come to know.

use std::sync::Arc;
use std::time::Duration;

use super::dice::mixed;
use super::host::SetupError;
use super::life::Life;
use super::plan::Deed;
use super::site::Site;
use super::sometimes::Sometimes;
use super::versions::{SCOPE, bind, signed};
use crate::model::{Generation, Revocation, Timestamp};
use crate::ports::{ScopeState, SwapKind};
use crate::registry::Watcher;

/// A replica asks the store so often, whatever it was told.
const POLL_MS: u64 = 500;

/// A process that follows the store.
#[derive(Clone)]
pub(super) struct Follower {
    pub(super) replica: usize,
    pub(super) life: Arc<Life>,
    pub(super) watcher: Arc<Watcher>,
}

impl Follower {
    /// Brings into force what the store says, and says there what is served.
    pub(super) async fn follow(&self, site: &Site) {
        let name = self.watcher.replica();
        // It serves what it is about to report a moment before it does.
        if let Ok(Some(state)) = site.store.generations().state(&SCOPE).await
            && let Some(current) = state.current
        {
            site.seen().witness.looks(name, &current.id());
        }
        if self.watcher.refresh().await.is_err() {
            return;
        }
        let said = site.store.generations().reports(&SCOPE, Timestamp::from_micros(0)).await.unwrap_or_default();
        if let Some(own) = said.into_iter().find(|serving| serving.replica == name) {
            site.note(&own.replica, format_args!("serves {}", own.generation));
            site.seen().witness.reported(&own.replica, &own.generation);
        }
    }
}

/// Does it, as far as it can be done. `told` is the replica on which the order is given: it knows at once.
pub(super) async fn perform(site: &Arc<Site>, told: Option<usize>, deed: Deed) -> Result<bool, SetupError> {
    let Some(state) = site.store.generations().state(&SCOPE).await? else { return Ok(false) };
    let done = match deed {
        Deed::Swap => swap(site, &state).await?,
        Deed::RollBack => roll_back(site, &state).await?,
        Deed::RevokeGeneration | Deed::RevokeComponent => revoke(site, &state, deed).await?,
        _ => None,
    };
    let Some((what, sometimes)) = done else { return Ok(false) };
    site.note("world", format_args!("{what}"));
    if site.has_runs() {
        site.seen().witness.reach(sometimes);
    }
    tell(site, told);
    Ok(true)
}

/// Whatever was revoked: somebody binds what was not.
pub(super) async fn repair(site: &Arc<Site>) -> Result<(), SetupError> {
    let Some(state) = site.store.generations().state(&SCOPE).await? else { return Ok(()) };
    let is_revoked = state.current.as_ref().is_some_and(|current| state.revoked.contains(&current.number));
    if is_revoked {
        perform(site, None, Deed::Swap).await?;
    }
    Ok(())
}

type Done = Option<(String, Sometimes)>;

async fn swap(site: &Site, state: &ScopeState) -> Result<Done, SetupError> {
    let current = state.current.as_ref();
    let digest = current.map(|current| &current.spec.digest);
    let next = site.versions.after(digest, |subject| site.seen().witness.is_revoked(subject));
    let bound = bind(site, current.map(|current| current.number), next).await?;
    Ok(bound.map(|bound| (format!("binds {}", bound.id()), Sometimes::SwappedUnderWay)))
}

async fn roll_back(site: &Site, state: &ScopeState) -> Result<Done, SetupError> {
    let (Some(current), Some(previous)) = (&state.current, &state.previous) else { return Ok(None) };
    let (generations, signed) = (site.store.generations(), signed(site));
    generations.swap(&SCOPE, Some(current.number), previous.number, SwapKind::RollBack, None, &signed).await?;
    Ok(Some((format!("rolls back to {}", previous.id()), Sometimes::RolledBackUnderWay)))
}

async fn revoke(site: &Site, state: &ScopeState, deed: Deed) -> Result<Done, SetupError> {
    let Some(current) = state.current.as_ref().filter(|current| !state.revoked.contains(&current.number)) else {
        return Ok(None);
    };
    let Some(revocation) = revocation(site, current, deed) else { return Ok(None) };
    let is_done = site.store.generations().revoke(&revocation, &signed(site)).await?;
    // From its answer on, nothing that is revoked begins to have an effect.
    site.seen().witness.revoked(revocation.subject());
    let short: String = revocation.subject().chars().take(12).collect();
    Ok(is_done.then(|| (format!("revokes {short}"), Sometimes::RevokedUnderWay)))
}

fn revocation(site: &Site, current: &Generation, deed: Deed) -> Option<Revocation> {
    let digest = current.spec.digest.clone();
    match deed {
        Deed::RevokeGeneration => Some(Revocation::Generation(current.id())),
        _ if site.versions.may_be_revoked(&digest) => Some(Revocation::Component(digest)),
        _ => None,
    }
}

/// Each replica learns of a change in its own time: most of a notice, and some when they ask.
fn tell(site: &Arc<Site>, told: Option<usize>) {
    for follower in site.followers() {
        let draw = mixed(site.seed, 1 << 60 | site.elapsed().as_millis() as u64 ^ (follower.replica as u64) << 50);
        let delay = if told == Some(follower.replica) || site.is_calm() { 0 } else { delay_ms(draw) };
        let site = site.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            follower.life.thawed().await;
            if !follower.life.has_ended() {
                follower.follow(&site).await;
            }
        });
    }
}

fn delay_ms(draw: u64) -> u64 {
    if draw.is_multiple_of(3) { (draw >> 8) % POLL_MS } else { (draw >> 8) % 8 }
}
