//! Whoever calls ports in a history: each call waits its turn, meets its fault, and is noted.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::VirtualClock;
use super::deeds;
use super::dice::mixed;
use super::fault::Fault;
use super::life::Life;
use super::site::Site;
use super::witness::Before;
use crate::adapters::memory::{Answer, Call, Inject, Stage, Subject};

/// Longer than any caller waits: the run ends first.
const SILENCE: Duration = Duration::from_secs(200);
/// Longer than a lease lasts without being renewed, and shorter than a caller waits.
const SLOW: Duration = Duration::from_secs(25);
/// Longer than a caller of an import waits.
const TOO_LATE: Duration = Duration::from_secs(35);
/// Longer than any lease.
const STANDSTILL: Duration = Duration::from_secs(75);
const LOG_DOWN: Duration = Duration::from_secs(10);
const JUMP_MS: i64 = 3_600_000;

/// One caller. Clones are the same.
#[derive(Clone)]
pub(super) struct Actor {
    pub(super) site: Arc<Site>,
    pub(super) life: Arc<Life>,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) part: Arc<Part>,
}

/// What an actor is doing.
pub(super) struct Part {
    pub(super) label: String,
    /// The game, if it is about a single one.
    pub(super) game: Option<usize>,
    step: AtomicU32,
    made: AtomicU32,
    waiting: Mutex<Waiting>,
}

/// How long an actor has waited for answers.
#[derive(Default)]
struct Waiting {
    calls: u32,
    since: Duration,
    total: Duration,
}

/// A call is under way until this is dropped.
struct UnderWay<'a>(&'a Actor);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let now = self.0.site.elapsed();
        let mut waiting = self.0.part.waiting();
        waiting.calls = waiting.calls.saturating_sub(1);
        if waiting.calls == 0 {
            let span = now.saturating_sub(waiting.since);
            waiting.total += span;
        }
    }
}

impl Part {
    pub(super) fn new(label: String, step: u32, game: Option<usize>) -> Self {
        Self { label, game, step: AtomicU32::new(step), made: AtomicU32::new(0), waiting: Mutex::default() }
    }

    /// The same actor in another step.
    pub(super) fn enter(&self, step: u32) {
        self.step.store(step, Ordering::Relaxed);
        self.made.store(0, Ordering::Relaxed);
    }

    pub(super) fn step(&self) -> u32 {
        self.step.load(Ordering::Relaxed)
    }

    /// How long the actor has waited for answers, by now.
    pub(super) fn waited(&self, now: Duration) -> Duration {
        let waiting = self.waiting();
        let under_way = if waiting.calls > 0 { now.saturating_sub(waiting.since) } else { Duration::ZERO };
        waiting.total + under_way
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage for Actor {
    async fn call<T: Answer, E: Inject>(
        &self,
        call: Call,
        about: Subject<'_>,
        refusal: impl FnOnce() -> Result<T, E> + Send,
        effect: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let place = (self.part.step(), self.part.made.fetch_add(1, Ordering::Relaxed));
        let issued = self.site.elapsed();
        let _under_way = self.under_way(issued);
        if !self.life.has_ended() {
            self.site.seen().witness.asked(self, call, about, issued);
        }
        self.wait_for_turn(place, call).await;
        if self.life.has_ended() {
            return unheard().await;
        }
        let Some(fault) = self.site.fault_at(place) else { return self.perform(call, about, issued, effect).await };
        self.feel(fault, call, about);
        match fault {
            Fault::Unavailable => Err(E::unavailable()),
            Fault::Corrupt => Err(E::corrupt()),
            Fault::LoseRequest => Err(E::unknown()),
            Fault::Refuse => refusal(),
            Fault::LoseReply => self.perform(call, about, issued, effect).await.and(Err(E::unknown())),
            Fault::Hang => silence().await,
            Fault::HangAfterEffect => {
                drop(self.perform(call, about, issued, effect).await);
                silence().await
            }
            Fault::Slow | Fault::LateEffect => {
                tokio::time::sleep(if fault == Fault::Slow { SLOW } else { TOO_LATE }).await;
                self.go_on(call, about, issued, effect).await
            }
            Fault::CrashBefore => {
                self.site.seen().witness.died(self);
                self.life.end();
                unheard().await
            }
            Fault::CrashAfter => {
                drop(self.perform(call, about, issued, effect).await);
                self.site.seen().witness.died(self);
                self.life.end();
                unheard().await
            }
            Fault::Pause => {
                self.life.freeze(STANDSTILL);
                self.go_on(call, about, issued, effect).await
            }
            Fault::JumpForward | Fault::JumpBack => {
                self.clock.jump(if fault == Fault::JumpForward { JUMP_MS } else { -JUMP_MS });
                self.perform(call, about, issued, effect).await
            }
            Fault::LogDown => {
                self.site.take_log_down(LOG_DOWN);
                self.perform(call, about, issued, effect).await
            }
            Fault::Meanwhile(deed) => {
                if let Err(error) = deeds::perform(&self.site, self.concerned(call, about, place.1), deed).await {
                    self.site.fail(error);
                }
                self.perform(call, about, issued, effect).await
            }
        }
    }
}

impl Actor {
    fn under_way(&self, now: Duration) -> UnderWay<'_> {
        let mut waiting = self.part.waiting();
        if waiting.calls == 0 {
            waiting.since = now;
        }
        waiting.calls = waiting.calls.saturating_add(1);
        UnderWay(self)
    }

    /// How long a call takes to arrive follows from its place alone, so that leaving out other steps of a plan
    /// changes as little as can be.
    async fn wait_for_turn(&self, (step, nth): (u32, u32), call: Call) {
        if !self.site.is_calm() {
            let draw = mixed(self.site.seed, (u64::from(step) << 32) | u64::from(nth));
            let milliseconds = match draw % 16 {
                0..8 => (draw >> 8) % 4,
                8..15 => (draw >> 8) % 30,
                _ => (draw >> 8) % 1_500,
            };
            if milliseconds > 0 {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            }
        }
        if self.life.is_frozen() {
            let mut seen = self.site.seen();
            seen.witness.missed(step, call);
            seen.witness.delayed(step);
        }
        self.life.thawed().await;
    }

    /// After a delay, unless the process has died meanwhile: what was sent before arrives all the same.
    async fn go_on<T: Answer, E: Inject>(
        &self,
        call: Call,
        about: Subject<'_>,
        issued: Duration,
        effect: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        self.life.thawed().await;
        if self.life.has_ended() { unheard().await } else { self.perform(call, about, issued, effect).await }
    }

    /// The call as the adapter makes it.
    async fn perform<T: Answer, E: Inject>(
        &self,
        call: Call,
        about: Subject<'_>,
        issued: Duration,
        effect: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        if matches!(call, Call::LogAppend | Call::LogNoteFault) && self.site.log_is_down() {
            self.site.seen().witness.missed(self.part.step(), call);
            self.site.note(&self.part.label, format_args!("{call} {about} ✗ the log is down"));
            return Err(E::unavailable());
        }
        let before = Before::look(&self.site, call, about);
        let answer = effect.await;
        self.site.note(&self.part.label, format_args!("{call} {} → {}", Brief(about), Told(&answer)));
        super::witness::performed(self, call, about, issued, &before, &answer);
        answer
    }

    fn feel(&self, fault: Fault, call: Call, about: Subject<'_>) {
        self.site.note(&self.part.label, format_args!("{call} {} ✗ {fault}", Brief(about)));
        let mut seen = self.site.seen();
        let times = seen.felt.entry((fault, call)).or_default();
        *times = times.saturating_add(1);
        seen.witness.missed(self.part.step(), call);
        if fault.takes_time() {
            seen.witness.delayed(self.part.step());
        }
    }

    /// The game that a deed at this call concerns.
    fn concerned(&self, call: Call, about: Subject<'_>, nth: u32) -> usize {
        let named = super::witness::game_of(&self.site, call, about);
        let of_call = named.and_then(|game| self.site.games().iter().position(|known| *known == game));
        let any = usize::try_from(nth).unwrap_or_default().checked_rem(self.site.games().len());
        self.part.game.or(of_call).or(any).unwrap_or_default()
    }
}

/// No answer comes for longer than anybody waits.
async fn silence<T, E: Inject>() -> Result<T, E> {
    tokio::time::sleep(SILENCE).await;
    Err(E::unknown())
}

/// Nobody hears of it any more. What is left of the process ends soon: it does not ask again after such an answer.
async fn unheard<T, E: Inject>() -> Result<T, E> {
    tokio::time::sleep(SILENCE).await;
    Err(E::corrupt())
}

/// A subject without what only machines can tell apart.
struct Brief<'a>(Subject<'a>);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // Their times and filters say nothing here, and take long to write.
            Subject::Told(_) | Subject::Run(_) => Ok(()),
            Subject::Container(container) => container.brief(f),
            other => other.fmt(f),
        }
    }
}

/// An answer in a few words.
struct Told<'a, T, E>(&'a Result<T, E>);

impl<T: Answer, E: Inject> fmt::Display for Told<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(answer) => answer.brief(f),
            Err(error) => write!(f, "{error:?}"),
        }
    }
}
