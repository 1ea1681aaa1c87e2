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
/// that compute. Once may be the machine's doing, which had something else to do.
const HELD: Duration = Duration::from_millis(20);
/// How long the least is known: many tenants need not be gone through at each poll.
const KNOWN: Duration = Duration::from_micros(500);
/// Tenants that want nothing are remembered, up to so many.
const REMEMBERED: usize = 1_024;

/// The tenants' accounts. All times of day are since some fixed moment.
pub(super) struct Shares {
    accounts: HashMap<Whose, Account>,
    /// The least that any tenant has had that wants something, and until when that is known.
    least: Duration,
    known_until: Duration,
}

/// Processor time that a tenant has had. It is never less than what the others had when the tenant came: what it did not
/// want then, it does not get later.
struct Account {
    had: Duration,
    seen_at: Duration,
    /// When one of its runs last computed on, if any has.
    went_on_at: Option<Duration>,
    held_until: Duration,
}

impl Shares {
    pub(super) fn new() -> Self {
        Self { accounts: HashMap::new(), least: Duration::ZERO, known_until: Duration::ZERO }
    }

    /// Notes that a tenant wants to compute now. Answers whether it is to wait for its turn: it is ahead of another that
    /// wants the same, or a run of its own went on for long just now.
    pub(super) fn want(&mut self, whose: &Whose, now: Duration) -> bool {
        let had = self.see(whose, now);
        let is_held = self.accounts.get(whose).is_some_and(|account| now < account.held_until);
        is_held || had > self.least(now).saturating_add(AHEAD)
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
        let most = self.least(now).saturating_add(FORGIVEN);
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
        let others = self.least_of_all(now);
        let account = self.accounts.entry(whose.clone()).or_insert(Account::new(now));
        account.had = account.had.max(others.unwrap_or_default());
        account.seen_at = now;
        let had = account.had;
        // Where nobody else wants anything, it is itself the least.
        self.know(others.map_or(had, |others| others.min(had)), now);
        had
    }

    fn least(&mut self, now: Duration) -> Duration {
        if now >= self.known_until {
            let least = self.least_of_all(now).unwrap_or_default();
            self.know(least, now);
        }
        self.least
    }

    fn know(&mut self, least: Duration, now: Duration) {
        self.least = least;
        self.known_until = now.saturating_add(KNOWN);
    }

    fn least_of_all(&self, now: Duration) -> Option<Duration> {
        self.accounts.values().filter(|account| account.is_recent(now)).map(|account| account.had).min()
    }
}

impl Account {
    fn new(now: Duration) -> Self {
        Self { had: Duration::ZERO, seen_at: now, went_on_at: None, held_until: Duration::ZERO }
    }

    fn is_recent(&self, now: Duration) -> bool {
        now.saturating_sub(self.seen_at) <= RECENT
    }
}
