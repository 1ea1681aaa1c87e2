//! The run's lease. A lease keeps two runs apart for efficiency; what makes a run safe is the record's
//! compare-and-set. So a lost lease is no disaster, but nothing new is started without one.

use std::time::Duration;

use super::{Error, Kind, Rule, Session, TimedOut};
use crate::metrics::LeaseResult;
use crate::model::{ErrorChain, Grant};
use crate::ports::LeaseToken;

/// A release has a limit of its own: it happens when other limits are spent.
const RELEASE_TIME: Duration = Duration::from_secs(5);
const RENEWAL_TIME: Duration = Duration::from_secs(5);

/// The times of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseOptions {
    /// Time to live. Renewed after a third of it.
    pub ttl: Duration,
    /// How long before its end no new effect is started.
    pub margin: Duration,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(60), margin: Duration::from_secs(5) }
    }
}

/// Where the run's one lease stands.
pub(super) enum Slot {
    /// None was asked for.
    Never,
    /// The store's answer was lost or late: it may hold a lease for this token.
    Uncertain(LeaseToken),
    /// Somebody else holds it, or the store refused.
    Refused,
    /// Ours.
    Held(Held),
    /// The store said that it is no longer ours.
    Lost,
    /// Given back.
    Released,
}

pub(super) struct Held {
    token: LeaseToken,
    /// On the monotonic clock, counted from before the call that granted it.
    valid_until: Duration,
    renew_at: Duration,
}

impl Session {
    /// Tries once to take the lease of this run's game. True if it is ours.
    pub async fn try_acquire(&mut self) -> Result<bool, Error> {
        self.allowed(&Grant::Leases)?;
        let acquired = self.acquire().await;
        self.note_lease(&acquired);
        acquired
    }

    async fn acquire(&mut self) -> Result<bool, Error> {
        self.writable()?;
        let game = self.game()?.clone();
        if !matches!(self.lease, Slot::Never | Slot::Refused) {
            return Err(Error::Denied(Rule::OneLeaseARun));
        }
        let token = self.new_token()?;
        let asked_at = self.ports.clock.monotonic();
        let (leases, ttl, sent) = (self.ports.leases.clone(), self.options.lease.ttl, token.clone());
        // A run whose time is up in the middle of this call must give back what it may hold.
        self.lease = Slot::Uncertain(token.clone());
        let answer = self.call(Kind::Effect, async move { leases.try_acquire(&game, &sent, ttl).await }).await;
        let latency = self.ports.clock.monotonic().saturating_sub(asked_at);
        let (slot, answer, result) = match answer {
            Ok(Ok(true)) => {
                let held = Held { token, valid_until: asked_at + ttl, renew_at: asked_at + ttl / 3 };
                (Slot::Held(held), Ok(true), LeaseResult::Acquired)
            }
            Ok(Ok(false)) => (Slot::Refused, Ok(false), LeaseResult::Held),
            Ok(Err(error)) => {
                let seen = Error::from_store(&error, "acquiring the lease");
                (Slot::Uncertain(token), Err(seen), LeaseResult::Failed)
            }
            Err(TimedOut) => (Slot::Uncertain(token), Err(Error::OutcomeUnknown), LeaseResult::Failed),
        };
        self.lease = slot;
        self.read_under_lease = false;
        self.ports.metrics.lease_acquired(latency, result);
        answer
    }

    fn new_token(&self) -> Result<LeaseToken, Error> {
        let mut bytes = [0; 32];
        self.ports.randomness.fill(&mut bytes).map_err(|error| {
            tracing::error!(%error, "no lease without a token that nobody can guess");
            Error::Internal("the host has no randomness for a lease")
        })?;
        Ok(LeaseToken::from_bytes(bytes))
    }

    /// Gives the lease back, if there is one to give. Also at the end of every run.
    pub async fn release(&mut self) -> Result<(), Error> {
        let token = match std::mem::replace(&mut self.lease, Slot::Released) {
            Slot::Held(held) => held.token,
            Slot::Uncertain(token) => token,
            unheld => {
                self.lease = unheld;
                return Ok(());
            }
        };
        let game = self.game()?.clone();
        let leases = self.ports.leases.clone();
        let release = async move { leases.release(&game, &token).await };
        let failure = match self.call_within(RELEASE_TIME, Kind::Effect, release).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => ErrorChain(&error).to_string(),
            Err(TimedOut) => "no answer within 5 s".to_owned(),
        };
        self.ports.metrics.lease_release_failed();
        tracing::warn!(
            run_id = %self.run.run_id, game_id = %self.run.request.game_id, error = %failure,
            "the lease was not released; it ends by its time to live"
        );
        Err(Error::Unavailable("the lease store did not take the lease back"))
    }

    /// Renews the lease if that is due. An error if no new effect may be started under it.
    pub(super) async fn live_lease(&mut self) -> Result<(), Error> {
        if self.time_to_renewal().is_some_and(|span| span.is_zero()) {
            self.renew().await;
        }
        self.lease_lasts()
    }

    /// An error if as of now no new effect may be started under the lease.
    pub(super) fn lease_lasts(&self) -> Result<(), Error> {
        let now = self.ports.clock.monotonic();
        match &self.lease {
            Slot::Held(held) if now + self.options.lease.margin < held.valid_until => Ok(()),
            Slot::Held(_) | Slot::Lost => Err(Error::LeaseLost),
            Slot::Never | Slot::Refused | Slot::Uncertain(_) | Slot::Released => {
                Err(Error::Denied(Rule::LeaseRequired))
            }
        }
    }

    /// Whether the run holds a lease, as far as it knows.
    pub fn holds_lease(&self) -> bool {
        matches!(self.lease, Slot::Held(_))
    }

    /// Whether the run asked for the lease and did not get it: another operation held it, or the store failed.
    pub fn lease_was_refused(&self) -> bool {
        matches!(self.lease, Slot::Refused | Slot::Uncertain(_))
    }

    /// None if there is nothing to renew.
    pub(super) fn time_to_renewal(&self) -> Option<Duration> {
        match &self.lease {
            Slot::Held(held) => Some(held.renew_at.saturating_sub(self.ports.clock.monotonic())),
            _ => None,
        }
    }

    pub(super) async fn renew(&mut self) {
        let Slot::Held(held) = &mut self.lease else { return };
        let Some(game) = &self.run.game else { return };
        let asked_at = self.ports.clock.monotonic();
        let ttl = self.options.lease.ttl;
        let renewal = self.ports.leases.renew(game, &held.token, ttl);
        match tokio::time::timeout(RENEWAL_TIME.min(ttl / 3), renewal).await {
            Ok(Ok(true)) => {
                held.valid_until = asked_at + ttl;
                held.renew_at = asked_at + ttl / 3;
            }
            Ok(Ok(false)) => {
                tracing::warn!(run_id = %self.run.run_id, "the lease was lost");
                self.lease = Slot::Lost;
            }
            // Still ours until its end, as far as anybody knows: ask again soon.
            Ok(Err(_)) | Err(_) => held.renew_at = asked_at + ttl / 9,
        }
    }
}
