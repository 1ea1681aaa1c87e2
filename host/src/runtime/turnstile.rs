//! Turns for runs that compute for long. There are fewer turns than threads, so that whatever policies compute, a
//! thread is left for runs that do not, for timers and for callers.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;

use super::rota::{Rota, Whose};
use super::stopwatch::Stopwatch;

/// What a run computes without a turn, if its tenant has the credit: a hundred times what the default policy takes,
/// and less than a tick, so that a crowd of runs that begin at once holds up timers for little longer than one.
pub(super) const FREE: Duration = Duration::from_millis(2);

/// Hands out turns, to tenants in turns.
pub(super) struct Turnstile(Mutex<Turns>);

struct Turns {
    free: usize,
    waiting: Rota<oneshot::Sender<Turn>>,
}

/// A turn, given to the next one when dropped.
struct Turn(Arc<Turnstile>);

/// When one run is polled: at once while it is short, and otherwise in its turn, which lasts for one poll.
pub(super) struct Pace {
    turnstile: Arc<Turnstile>,
    stopwatch: Arc<Stopwatch>,
    whose: Whose,
    /// Computed without a turn.
    free: Duration,
}

impl Turnstile {
    /// For so many threads.
    pub(super) fn new(workers: u32) -> Arc<Self> {
        let turns = usize::try_from(workers / 2).unwrap_or(1).max(1);
        Arc::new(Self(Mutex::new(Turns { free: turns, waiting: Rota::new() })))
    }

    fn take(self: &Arc<Self>, whose: &Whose) -> Result<Turn, oneshot::Receiver<Turn>> {
        let mut turns = self.turns();
        if turns.free > 0 {
            turns.free -= 1;
            return Ok(Turn(self.clone()));
        }
        let (sender, waiting) = oneshot::channel();
        turns.waiting.push(whose, sender, oneshot::Sender::is_closed);
        Err(waiting)
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut turns = self.0.turns();
            let next = turns.waiting.next(|_, waiter| (!waiter.is_closed()).then_some(()));
            if next.is_none() {
                turns.free += 1;
            }
            next
        };
        if let Some((_, waiter, ())) = next {
            // One that does not wait any more passes it on by dropping it.
            drop(waiter.send(Turn(self.0.clone())));
        }
    }
}

impl Pace {
    /// `free` is what the run may compute without a turn.
    pub(super) fn new(turnstile: Arc<Turnstile>, stopwatch: Arc<Stopwatch>, whose: Whose, free: Duration) -> Self {
        Self { turnstile, stopwatch, whose, free }
    }

    /// Polls a future of the run at its pace, by its stopwatch, which stands still while it waits for its turn.
    pub(super) async fn keep<F: Future>(&self, future: F) -> F::Output {
        let mut timed = std::pin::pin!(self.stopwatch.time(future));
        let mut waiting = None;
        poll_fn(|context| {
            let turn = ready!(self.poll_turn(&mut waiting, context));
            let polled = timed.as_mut().poll(context);
            drop(turn);
            polled
        })
        .await
    }

    /// Ready with none if the run needs no turn.
    fn poll_turn(
        &self,
        waiting: &mut Option<oneshot::Receiver<Turn>>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Turn>> {
        if self.stopwatch.elapsed() < self.free {
            return Poll::Ready(None);
        }
        let mut receiver = match waiting.take() {
            Some(receiver) => receiver,
            None => match self.turnstile.take(&self.whose) {
                Ok(turn) => return Poll::Ready(Some(turn)),
                Err(receiver) => receiver,
            },
        };
        match Pin::new(&mut receiver).poll(context) {
            Poll::Ready(turn) => Poll::Ready(turn.ok()),
            Poll::Pending => {
                *waiting = Some(receiver);
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use super::*;

    fn tenant(name: &str) -> Whose {
        Some(name.parse().unwrap())
    }

    #[tokio::test]
    async fn tenants_take_turns_and_one_that_gives_up_passes_its_on() {
        let turnstile = Turnstile::new(2);
        let turn = turnstile.take(&tenant("hog")).ok().unwrap();
        let [mut second, given_up, mut third] = [(); 3].map(|()| turnstile.take(&tenant("hog")).err().unwrap());
        let other = turnstile.take(&tenant("other")).err().unwrap();
        drop(given_up);
        drop(turn);
        let turn = second.try_recv().unwrap();
        drop(turn);
        let turn = other.await.unwrap();
        assert!(third.try_recv().is_err(), "one turn for two threads");
        drop(turn);
        drop(third.await.unwrap());
        assert!(turnstile.take(&tenant("hog")).is_ok());
    }

    #[tokio::test]
    async fn a_short_run_needs_no_turn_unless_its_tenant_is_out_of_credit() {
        let turnstile = Turnstile::new(2);
        let _taken = turnstile.take(&tenant("hog")).ok().unwrap();
        let run = |credit| Pace::new(turnstile.clone(), Arc::new(Stopwatch::new()), tenant("other"), credit);
        run(FREE).keep(async {}).await;
        let pace = run(Duration::ZERO);
        let waits = tokio::time::timeout(Duration::from_millis(20), pace.keep(async {})).await;
        assert!(waits.is_err());
        assert_eq!(pace.stopwatch.elapsed(), Duration::ZERO, "waiting for a turn is not computing");
    }

    #[tokio::test]
    async fn a_run_that_waits_holds_no_turn() {
        let turnstile = Turnstile::new(2);
        let pace =
            Arc::new(Pace::new(turnstile.clone(), Arc::new(Stopwatch::new()), tenant("sleeper"), Duration::ZERO));
        let sleeper = tokio::spawn(async move { pace.keep(std::future::pending::<()>()).await });
        tokio::task::yield_now().await;
        assert!(turnstile.take(&tenant("other")).is_ok());
        sleeper.abort();
    }
}
