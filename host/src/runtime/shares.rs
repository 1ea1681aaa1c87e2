//! What each tenant's runs have had of the processors lately. Knows no tasks and no clock, so that every history of it
//! can be tried.

use std::collections::HashMap;
use std::time::Duration;

use super::rota::Whose;

#[cfg(test)]
mod tests;

/// A tenant of which nothing was polled for so long wants nothing of the processors: nobody is held back for it. Longer
/// than a run waits behind a crowd that begins at once, since that is not seen here.
const RECENT: Duration = Duration::from_millis(100);
/// Who has had more than this beyond the tenant that has had least is ahead: about a tick.
const AHEAD: Duration = Duration::from_millis(5);
/// What a tenant has had beyond this is forgiven, so that none is last for long for what others let it have.
const FORGIVEN: Duration = Duration::from_millis(200);
/// A tenant whose runs computed on twice within this, some ticks, is held to turns for as long again: a crowd that begins at
/// once takes every thread for a tick, and not one after the other for as many as it has runs; nor do new ones among runs
/// that compute. Once is no crowd.
const HELD: Duration = Duration::from_millis(20);
/// A turn that was given and not taken for so long waits for a thread: the polls of several short runs.
const LATE: Duration = Duration::from_millis(1);
/// How long the least is known: many tenants need not be gone through at each poll.
const KNOWN: Duration = Duration::from_micros(500);
/// Tenants that want nothing are remembered, up to so many.
const REMEMBERED: usize = 1_024;

/// The tenants' accounts. All times of day are since some fixed moment.
pub(super) struct Shares {
    accounts: HashMap<Whose, Account>,
    /// Turns that were given and are not yet taken, since when.
    given: Vec<(Whose, Duration)>,
    least: Least,
}

/// The least that a tenant has had that wants something, as far as it is known.
#[derive(Clone, Copy)]
struct Least {
    of_all: Option<Duration>,
    of_those_not_held: Option<Duration>,
    known_until: Duration,
}

/// Processor time that a tenant has had; when it comes, as much as the others: what it did not want before, it does not get
/// later, and what nobody else wanted then is not held against it.
struct Account {
    had: Duration,
    seen_at: Duration,
    /// When one of its runs last computed on, if any has.
    went_on_at: Option<Duration>,
    held_until: Duration,
}

impl Shares {
    pub(super) fn new() -> Self {
        Self { accounts: HashMap::new(), given: Vec::new(), least: Least::UNKNOWN }
    }

    /// Notes that a tenant wants to compute now. Answers whether it is to wait for its turn: a run of its own went on for
    /// long just now, or it is ahead of another that waits for a thread. Who is held to turns waits for those, and for a
    /// thread only when it was given one: waiting behind it as well would leave that thread idle.
    pub(super) fn want(&mut self, whose: &Whose, now: Duration) -> bool {
        let had = self.see(whose, now);
        let is_held = self.accounts.get(whose).is_some_and(|account| account.is_held(now));
        is_held
            || self.least(now).of_those_not_held.is_some_and(|least| had > least.saturating_add(AHEAD))
            || self.delays(had, now)
    }

    /// Notes that a turn was given to a tenant.
    pub(super) fn give(&mut self, whose: &Whose, now: Duration) {
        self.given.push((whose.clone(), now));
    }

    /// Notes that a turn which was given was taken, or given up.
    pub(super) fn take(&mut self, whose: &Whose) {
        if let Some(at) = self.given.iter().position(|(given, _)| given == whose) {
            self.given.swap_remove(at);
        }
    }

    /// Whether a tenant that has had less waits for a thread in which to take its turn.
    fn delays(&self, had: Duration, now: Duration) -> bool {
        let late = self.given.iter().filter(|(_, since)| now.saturating_sub(*since) > LATE);
        let mut less = late.filter_map(|(whose, _)| self.accounts.get(whose));
        less.any(|account| had > account.had.saturating_add(AHEAD))
    }

    /// Notes that a run computed on.
    pub(super) fn note_long(&mut self, whose: &Whose, now: Duration) {
        self.see(whose, now);
        let Some(account) = self.accounts.get_mut(whose) else { return };
        if account.went_on_at.is_some_and(|before| now.saturating_sub(before) <= HELD) {
            account.held_until = now.saturating_add(HELD);
        }
        account.went_on_at = Some(now);
    }

    /// Books what it has had. What began long ago was under way until now.
    pub(super) fn book(&mut self, whose: &Whose, computed: Duration, now: Duration) {
        self.see(whose, now);
        let most = self.least(now).of_all.unwrap_or_default().saturating_add(FORGIVEN);
        if let Some(account) = self.accounts.get_mut(whose) {
            account.had = account.had.saturating_add(computed).min(account.had.max(most));
        }
    }

    /// What a tenant that wants to compute has had: the one with least comes first.
    pub(super) fn see(&mut self, whose: &Whose, now: Duration) -> Duration {
        if let Some(account) = self.accounts.get_mut(whose)
            && account.is_recent(now)
        {
            account.seen_at = now;
            return account.had;
        }
        self.come(whose, now)
    }

    fn come(&mut self, whose: &Whose, now: Duration) -> Duration {
        if self.accounts.len() >= REMEMBERED {
            self.accounts.retain(|_, account| account.is_recent(now));
        }
        let others = self.least_of(now, |_| true);
        let account = self.accounts.entry(whose.clone()).or_insert(Account::new(now));
        account.had = others.unwrap_or(account.had);
        account.seen_at = now;
        self.least = Least::UNKNOWN;
        account.had
    }

    fn least(&mut self, now: Duration) -> Least {
        if now >= self.least.known_until {
            self.least = Least {
                of_all: self.least_of(now, |_| true),
                of_those_not_held: self.least_of(now, |account| !account.is_held(now)),
                known_until: now.saturating_add(KNOWN),
            };
        }
        self.least
    }

    fn least_of(&self, now: Duration, counts: impl Fn(&Account) -> bool) -> Option<Duration> {
        self.accounts
            .values()
            .filter(|account| account.is_recent(now) && counts(account))
            .map(|account| account.had)
            .min()
    }
}

impl Least {
    const UNKNOWN: Self = Self { of_all: None, of_those_not_held: None, known_until: Duration::ZERO };
}

impl Account {
    fn new(now: Duration) -> Self {
        Self { had: Duration::ZERO, seen_at: now, went_on_at: None, held_until: Duration::ZERO }
    }

    fn is_held(&self, now: Duration) -> bool {
        now < self.held_until
    }

    fn is_recent(&self, now: Duration) -> bool {
        now.saturating_sub(self.seen_at) <= RECENT
    }
}
