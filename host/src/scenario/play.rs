//! Plays a scenario, step by step, and sees what happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::deeds;
use super::rules;
use super::seen::{End, Noted, StepSeen};
use super::story::{Act, At, Fault, Nth, Step, Story};
use super::watch::Watch;
use super::world::{SetupError, World};
use crate::lifecycle::{Lifecycle, Observer, OperationResult, Request, ReviewResult};
use crate::metrics::{self, Metrics};
use crate::model::{GameId, Grants, InvalidId, PolicyDigest, PolicyScope};
use crate::ports::{Clock as _, RandomnessError};
use crate::recovery::Recovery;
use crate::registry::{Binding, Registry};
use crate::runtime::Policy;
use crate::session::SessionOptions;
use crate::simulation::Life;

/// Runs at the same time: those of hosts that died stay to the end of the scenario.
const PLACES: u32 = 64;
/// For so long after a run was given up, its removal may still have its effect.
const GRACE: Duration = Duration::from_secs(60);
/// All that others do in a scenario they do within this.
const SETTLED: Duration = Duration::from_secs(120);
/// The engine of all games.
const ENGINE: &str = "local";

/// Why a scenario could not be played.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// tokio gave no runtime.
    #[error("no runtime for a scenario")]
    Runtime(#[from] std::io::Error),
    /// Its world could not be set up.
    #[error("the world of a scenario could not be set up")]
    Setup(#[from] SetupError),
    /// The instruments could not be set up.
    #[error("a scenario measures as a server does, and could not begin")]
    Metrics(#[from] metrics::Error),
    /// There was no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// A name is not valid.
    #[error(transparent)]
    Name(#[from] InvalidId),
}

/// A world after its story, and what was seen of each step.
pub(super) struct Played {
    pub(super) world: Arc<World>,
    pub(super) steps: Vec<StepSeen>,
    /// For each step, how the game that it is about stands after it.
    pub(super) after: Vec<Option<Standing>>,
    pub(super) ends: Vec<Standing>,
}

/// How a game stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// None if there is no record.
    pub(super) record: Option<String>,
    /// None if it is gone.
    pub(super) container: Option<String>,
    pub(super) lease_is_held: bool,
    pub(super) entries: usize,
}

/// Plays a story in virtual time; `tell` is given what it came to, while its world still is.
pub(super) fn play<T>(
    story: &Story,
    settings: &BTreeMap<String, String>,
    policy: &Policy,
    tell: impl FnOnce(Played) -> T,
) -> Result<T, PlayError> {
    in_virtual_time(async {
        let host = Host::new(story, settings, policy)?;
        let player = Player::new(story, &host).await?;
        let (mut steps, mut after) = (Vec::new(), Vec::new());
        for (index, step) in story.steps.iter().enumerate() {
            steps.push(player.step(index, step).await?);
            after.push(step.act.game().map(|game| player.standing(&game)));
        }
        let games = story.ends.iter().map(|(_, end)| end.game.parse::<GameId>());
        let ends = games.map(|game| game.map(|game| player.standing(&game))).collect::<Result<_, _>>()?;
        Ok(tell(Played { world: player.world, steps, after, ends }))
    })
}

pub(super) fn in_virtual_time<T>(play: impl Future<Output = Result<T, PlayError>>) -> Result<T, PlayError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(play)
}

/// What a host has before any run begins, and keeps for all of them.
#[derive(Clone)]
pub(super) struct Host {
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    policy: PolicyDigest,
}

impl Host {
    pub(super) fn new(story: &Story, settings: &BTreeMap<String, String>, policy: &Policy) -> Result<Self, PlayError> {
        let binding = Binding::configured(&PolicyScope::Default, policy.with_own_places(PLACES), settings);
        let limits = policy.limits().narrowed(&story.limits);
        let binding = binding.within(&limits).granting(story.grants.clone(), settings);
        let registry = Arc::new(Registry::new(binding, []));
        Ok(Self { registry, metrics: Arc::new(Metrics::new()?), policy: policy.digest().clone() })
    }
}

/// Plays one story once.
pub(super) struct Player<'s> {
    story: &'s Story,
    world: Arc<World>,
    host: Host,
}

impl<'s> Player<'s> {
    pub(super) async fn new(story: &'s Story, host: &Host) -> Result<Self, PlayError> {
        let world = Arc::new(World::new(story, host.policy.clone()).await?);
        Ok(Self { story, world, host: host.clone() })
    }

    async fn step(&self, index: usize, step: &Step) -> Result<StepSeen, PlayError> {
        let (logged, began) = (self.world.store.logged().len(), self.world.clock.monotonic());
        let began_at = self.world.clock.now();
        let watch = self.enter(step);
        let end = self.act(index, step, &watch).await?;
        let mut state = self.world.state();
        let Noted { calls, logs, ending, denied, wrongs, felt, notes, .. } = std::mem::take(&mut state.noted);
        drop(state);
        let missed = step.faults.iter().enumerate().filter(|(index, _)| !felt.contains(index));
        Ok(StepSeen {
            title: step.act.title(),
            line: step.line,
            began_at,
            end,
            calls,
            logs,
            ending,
            denied,
            wrongs,
            entries: self.world.store.logged().into_iter().skip(logged).collect(),
            notes,
            missed: missed.map(|(_, fault)| planned(fault)).collect(),
            took_ms: millis(self.world.clock.monotonic().saturating_sub(began)),
        })
    }

    /// A process that died has been started again.
    pub(super) fn enter(&self, step: &Step) -> Watch {
        let mut state = self.world.state();
        if state.life.has_ended() {
            state.life = Arc::new(Life::default());
        }
        state.faults = step.faults.clone();
        state.meanwhile = step.meanwhile.clone();
        state.asked.clear();
        state.armed.clear();
        state.noted = Noted::default();
        Watch { world: self.world.clone(), life: state.life.clone() }
    }

    pub(super) async fn act(&self, index: usize, step: &Step, watch: &Watch) -> Result<End, PlayError> {
        let seed = index as u64;
        match &step.act {
            Act::Advance(span) => pass(*span).await,
            Act::Deed(deed) => {
                if !deeds::perform(&self.world, deed).await {
                    watch.note("without effect".to_owned());
                }
            }
            Act::Recover => return self.recover(watch, seed).await,
            Act::Review(_) | Act::Sweep(_) | Act::Cleanup { .. } => {
                let lifecycle = self.lifecycle(watch, seed)?;
                return Ok(self.run(&lifecycle, &step.act, watch).await);
            }
        }
        Ok(End::Done)
    }

    /// The run of a step that has one.
    pub(super) async fn run(&self, lifecycle: &Lifecycle, act: &Act, watch: &Watch) -> End {
        match act {
            Act::Review(game) => self.offer(lifecycle, watch, game, true).await,
            Act::Sweep(game) => self.offer(lifecycle, watch, game, false).await,
            Act::Cleanup { game, source, source_ref } => {
                let request = Request {
                    game_id: game.clone(),
                    op_source: source.clone(),
                    source_ref: source_ref.clone(),
                    actor: Some("tester".to_owned()),
                };
                let run = async { handled(lifecycle.cleanup(request).await) };
                until_death(watch, run).await
            }
            Act::Advance(_) | Act::Deed(_) | Act::Recover => End::Done,
        }
    }

    async fn offer(&self, lifecycle: &Lifecycle, watch: &Watch, game: &GameId, only_review: bool) -> End {
        let Some(tracked) = self.world.store.record(game) else {
            watch.note("there is no record to review".to_owned());
            return End::Done;
        };
        let stopped_at = tracked.record.stopped_at.unwrap_or(tracked.record.last_op_at);
        let floor = stopped_at.saturating_add(self.story.retention);
        let run = async {
            match lifecycle.review(tracked, floor, only_review).await {
                ReviewResult::WaitUntil(at) => End::WaitUntil(at),
                ReviewResult::Keep(reason) => End::Keep(reason),
                ReviewResult::Faulted(fault) => End::ReviewFault(fault),
                ReviewResult::Handled(result) => handled(*result),
                ReviewResult::Busy(why) => End::Busy(why),
                ReviewResult::WouldHandle => End::Due,
            }
        };
        until_death(watch, run).await
    }

    async fn recover(&self, watch: &Watch, seed: u64) -> Result<End, PlayError> {
        let ports = Arc::new(watch.ports(ENGINE.parse()?, self.host.metrics.clone(), seed));
        let recovery = Recovery::new(ports, GRACE);
        // The first pass gives up what is past its lease, the second closes what has stayed so for the grace.
        for pause in [Duration::ZERO, GRACE + Duration::from_secs(1)] {
            tokio::time::sleep(pause).await;
            if let Err(error) = recovery.run().await {
                watch.note(format!("the runs of dead hosts cannot be found: {error}"));
            }
        }
        Ok(End::Done)
    }

    /// As a host that serves has it, with nobody looking on: what nothing is planned to happen to.
    pub(super) fn unwatched(&self, seed: u64) -> Result<Lifecycle, PlayError> {
        let ports = Arc::new(self.world.ports(ENGINE.parse()?, self.host.metrics.clone(), seed));
        let (registry, import_time) = (self.host.registry.clone(), crate::runtime::Limits::default().import_time);
        Ok(Lifecycle::new(ports, registry, SessionOptions::default(), import_time)?)
    }

    pub(super) fn lifecycle(&self, watch: &Watch, seed: u64) -> Result<Lifecycle, PlayError> {
        let ports = Arc::new(watch.ports(ENGINE.parse()?, self.host.metrics.clone(), seed));
        let options = SessionOptions { onlooker: Some(Arc::new(watch.clone())), ..SessionOptions::default() };
        let import_time = crate::runtime::Limits::default().import_time;
        let observer = observer(watch.clone(), self.story.grants.clone());
        Ok(Lifecycle::observed(ports, self.host.registry.clone(), options, import_time, Some(observer))?)
    }

    fn standing(&self, game: &GameId) -> Standing {
        let record = self.world.store.record(game).map(|tracked| tracked.record.status.to_string());
        let container = self.world.container_of(game).map(|found| found.state.to_string());
        let now = self.world.clock.now();
        let lease_is_held = self.world.store.lease(game).is_some_and(|(_, until)| now < until);
        let logged = self.world.store.logged();
        let entries = logged.iter().filter(|logged| logged.entry.game_id == game.as_str()).count();
        Standing { record, container, lease_is_held, entries }
    }
}

/// Lets time pass: in one leap but for its end, in which others do what they would have done before. What somebody does
/// every few seconds, he does millions of times in a year, and nobody looks.
async fn pass(span: Duration) {
    tokio::time::advance(span.saturating_sub(SETTLED)).await;
    tokio::time::sleep(span.min(SETTLED)).await;
}

/// Sees each run as its policy has left it.
fn observer(watch: Watch, grants: Option<Grants>) -> Observer {
    Arc::new(move |execution| {
        if watch.life.has_ended() {
            return;
        }
        let delayed = watch.world.state().noted.delayed;
        let wrongs = rules::broken(execution, delayed, grants.is_some());
        let mut state = watch.world.state();
        state.noted.denied = execution.session.denied().to_vec();
        state.noted.wrongs = wrongs;
    })
}

async fn until_death(watch: &Watch, run: impl Future<Output = End>) -> End {
    tokio::select! {
        biased;
        () = watch.life.ended() => End::Crashed,
        end = run => end,
    }
}

fn handled(result: OperationResult) -> End {
    let OperationResult { outcome, error_code, message, .. } = result;
    End::Handled { outcome, error_code, message }
}

fn planned(fault: &Fault) -> String {
    let at = match fault.at {
        At::Call(call) => call.as_str(),
        At::Backend(call) => call.as_str(),
    };
    let nth = match fault.nth {
        Nth::Every | Nth::Only(1) => String::new(),
        Nth::Only(nth) => format!(" no. {nth}"),
    };
    format!("{} at {at}{nth}", fault.what.as_str())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
