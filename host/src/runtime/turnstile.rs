//! Turns for runs that compute for long, and for runs of tenants that have had more than others. There are fewer turns
//! than threads, so that whatever policies compute, a thread is left for runs that do not, for timers and for callers.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::processor;
use super::rota::{Rota, Whose};
use super::shares::Shares;
use super::stopwatch::Stopwatch;

#[cfg(test)]
mod tests;

/// What a run computes without a turn, unless its tenant is held to turns: a hundred times what the default policy takes,
/// and less than a tick.
const FREE: Duration = Duration::from_millis(2);

/// What the host does for a run before it is known whose it is, and when it is over. Without it, who has the most and
/// shortest runs would have more than others.
const AROUND: Duration = Duration::from_micros(10);
/// What it costs all the others when a run's memory grows, and is taken away again: the address space that they share is
/// locked meanwhile, and every processor told of it. What it takes of the run's own thread is booked besides.
const GROWTH: Duration = Duration::from_micros(40);

/// Hands out turns: to the tenant that has had least of the processors.
pub(super) struct Turnstile {
    turns: Mutex<Turns>,
    since: Instant,
}

struct Turns {
    free: usize,
    waiting: Rota<oneshot::Sender<Turn>>,
    shares: Shares,
}

/// A turn, given to the next one when dropped.
struct Turn {
    turnstile: Arc<Turnstile>,
    /// Whom it was given to, until it is taken.
    given_to: Option<Whose>,
}

/// When one run is polled: at once while it is short and its tenant has had no more than others, otherwise in its turn,
/// which lasts for one poll.
pub(super) struct Pace {
    turnstile: Arc<Turnstile>,
    whose: Whose,
    /// Its turn, from when the policy was polled in it to the end of that poll of the run.
    turn: Mutex<Option<Turn>>,
}

impl Turnstile {
    /// For so many threads.
    pub(super) fn new(workers: u32) -> Arc<Self> {
        let free = usize::try_from(workers / 2).unwrap_or(1).max(1);
        let turns = Turns { free, waiting: Rota::new(), shares: Shares::new() };
        Arc::new(Self { turns: Mutex::new(turns), since: Instant::now() })
    }

    fn take(self: &Arc<Self>, whose: &Whose) -> Result<Turn, oneshot::Receiver<Turn>> {
        let mut turns = self.turns();
        if turns.free > 0 {
            turns.free -= 1;
            return Ok(Turn { turnstile: self.clone(), given_to: None });
        }
        let (sender, waiting) = oneshot::channel();
        turns.waiting.push(whose, sender, oneshot::Sender::is_closed);
        Err(waiting)
    }

    /// Whether its runs are to wait for their turns, however short they are.
    fn holds(&self, whose: &Whose) -> bool {
        let now = self.since.elapsed();
        self.turns().shares.want(whose, now)
    }

    fn book(&self, whose: &Whose, had: Duration) {
        let now = self.since.elapsed();
        self.turns().shares.book(whose, had, now);
    }

    /// Books what it had in one poll.
    fn book_poll(&self, whose: &Whose, computed: Duration) {
        let now = self.since.elapsed();
        let mut turns = self.turns();
        turns.shares.book(whose, computed, now);
        if computed > FREE {
            turns.shares.note_long(whose, now);
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    fn next(&mut self, now: Duration) -> Option<(Whose, oneshot::Sender<Turn>)> {
        let Self { waiting, shares, .. } = self;
        waiting.forget(oneshot::Sender::is_closed);
        waiting.order_by(|whose| shares.see(whose, now));
        let (whose, waiter, ()) = waiting.next(|_, _| Some(()))?;
        shares.give(&whose, now);
        Some((whose, waiter))
    }
}

impl Turn {
    /// For whom it was given to.
    fn taken(mut self) -> Self {
        if let Some(whose) = self.given_to.take() {
            self.turnstile.turns().shares.take(&whose);
        }
        self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let now = self.turnstile.since.elapsed();
            let mut turns = self.turnstile.turns();
            if let Some(given_up) = self.given_to.take() {
                turns.shares.take(&given_up);
            }
            let next = turns.next(now);
            if next.is_none() {
                turns.free += 1;
            }
            next
        };
        if let Some((whose, waiter)) = next {
            // One that does not wait any more passes it on by dropping it.
            drop(waiter.send(Turn { turnstile: self.turnstile.clone(), given_to: Some(whose) }));
        }
    }
}

impl Pace {
    pub(super) fn new(turnstile: Arc<Turnstile>, whose: Whose) -> Self {
        Self { turnstile, whose, turn: Mutex::new(None) }
    }

    /// Polls everything of a run: what its policy computes, and what the host does for it besides, which is most of a
    /// run that ends at once. All of it is booked to the run's tenant.
    pub(super) async fn book<F: Future>(&self, run: F) -> F::Output {
        let mut run = std::pin::pin!(run);
        poll_fn(|context| {
            let span = processor::Span::begin();
            let polled = run.as_mut().poll(context);
            self.turnstile.book_poll(&self.whose, span.end());
            let turn = self.turn().take();
            drop(turn);
            polled
        })
        .await
    }

    /// Books what nobody measures: what is done around a run, and what others lose since its memory grew so often.
    pub(super) fn book_besides(&self, growths: u32) {
        self.turnstile.book(&self.whose, AROUND + GROWTH.saturating_mul(growths));
    }

    /// Polls the run's policy at its pace, by its stopwatch, which stands still while it waits for its turn. Within
    /// [`Self::book`], which ends the turn: what settles a run, in the poll in which its policy ends, is done in it too.
    pub(super) async fn keep<F: Future>(&self, stopwatch: &Stopwatch, policy: F) -> F::Output {
        let mut timed = std::pin::pin!(stopwatch.time(policy));
        let mut waiting = None;
        poll_fn(|context| {
            let turn = ready!(self.poll_turn(stopwatch, &mut waiting, context));
            if turn.is_some() {
                *self.turn() = turn;
            }
            timed.as_mut().poll(context)
        })
        .await
    }

    /// Ready with none if the run needs no turn, or has one.
    fn poll_turn(
        &self,
        stopwatch: &Stopwatch,
        waiting: &mut Option<oneshot::Receiver<Turn>>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Turn>> {
        if self.turn().is_some() {
            return Poll::Ready(None);
        }
        let mut receiver = match waiting.take() {
            Some(receiver) => receiver,
            None if stopwatch.elapsed() < FREE && !self.turnstile.holds(&self.whose) => return Poll::Ready(None),
            None => match self.turnstile.take(&self.whose) {
                Ok(turn) => return Poll::Ready(Some(turn)),
                Err(receiver) => receiver,
            },
        };
        match Pin::new(&mut receiver).poll(context) {
            Poll::Ready(turn) => Poll::Ready(turn.ok().map(Turn::taken)),
            Poll::Pending => {
                *waiting = Some(receiver);
                Poll::Pending
            }
        }
    }

    fn turn(&self) -> MutexGuard<'_, Option<Turn>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
