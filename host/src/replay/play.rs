//! One policy over one recorded run.

use std::sync::Arc;
use std::time::Duration;

use super::player::{AskedMore, Player};
use super::world::World;
use crate::lifecycle::{Draft, settle};
use crate::metrics::Metrics;
use crate::model::{
    CleanupState, ErrorCode, GameId, Grants, JournalBounds, PolicyRef, PolicyWord, Request, RunJournal, RuntimeRecord,
    TrackedRuntime, Veil,
};
use crate::runtime::{Answer, Candidate, Execution, Job, Policy, Settings, Terms};
use crate::session::{Phase, Recorder, RunContext, Session, SessionOptions};

const IMPORT_TIME: Duration = Duration::from_secs(30);
/// More than a run within any limits can fill.
const BOUNDS: JournalBounds = JournalBounds { exchanges: u32::MAX, bytes: 64 << 20 };

/// A policy as it is to be played.
#[derive(Clone)]
pub struct Part {
    /// The policy.
    pub policy: Policy,
    /// What it reads through `wasi:config/store`.
    pub settings: Arc<Settings>,
    /// What it may do; none for everything.
    pub grants: Option<Arc<Grants>>,
    /// What is the same for every run.
    pub session: Arc<SessionOptions>,
    /// Whether what the recording does not tell is taken to be as it usually is, and not to be unavailable.
    pub assume: bool,
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct Played {
    /// The run, as it would have been.
    pub journal: RunJournal,
    /// What the recording had no answer for.
    pub asked_more: Vec<AskedMore>,
}

/// Why a recorded run says nothing of another policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unplayable {
    /// Calls are missing.
    #[error("the journal was cut")]
    Cut,
    /// The host was too slow for the run, or began none.
    #[error("the host ended the run, or could not begin it")]
    Host,
}

/// Whether another policy can be played over it.
pub(super) fn playable(journal: &RunJournal) -> Result<(), Unplayable> {
    if journal.is_cut() {
        return Err(Unplayable::Cut);
    }
    let by_host = |code: &ErrorCode| {
        [ErrorCode::POLICY_RUN_TIMEOUT, ErrorCode::POLICY_UNAVAILABLE, ErrorCode::POLICY_REVOKED].contains(code)
    };
    match &journal.end.word {
        PolicyWord::Fault { code, .. } if by_host(code) => Err(Unplayable::Host),
        _ => Ok(()),
    }
}

impl Part {
    /// Plays the policy over a recorded run, in the real sandbox and under the rules.
    pub async fn play(&self, recorded: &RunJournal, nowhere: &Arc<Metrics>) -> Result<Played, Unplayable> {
        playable(recorded)?;
        let game: Option<GameId> = recorded.request.game_id.parse().ok();
        let world = World::of(recorded, game.clone());
        let record = world.record();
        let engine = record.as_ref().map(|record| record.engine.clone());
        let veil = Veil::over(self.settings.iter().map(|(_, value)| value));
        let recorder = Recorder::new(BOUNDS, veil, Duration::ZERO);
        let player = Arc::new(Player::new(&recorded.exchanges, world.clone(), recorder, self.assume));
        let job = job(recorded);
        let offered = match &job {
            Job::Review { candidate, .. } => Some(candidate.runtime.clone()),
            Job::Handle => None,
        };
        let ports = Arc::new(world.ports(recorded, nowhere.clone()));
        let run = self.run(recorded, game);
        let session = Session::new(ports, self.session.clone(), IMPORT_TIME, run, offered);
        let session = session.granted(self.grants.clone()).overheard(player.clone());
        let terms = Terms { settings: self.settings.clone(), limits: self.policy.limits().clone() };
        let execution = self.policy.execute(session, terms, job.clone(), engine.as_ref(), nowhere).await;
        Ok(Played { journal: conclude(&player, recorded, execution).await, asked_more: player.asked_more() })
    }

    fn run(&self, recorded: &RunJournal, game: Option<GameId>) -> RunContext {
        let request = Request {
            game_id: recorded.request.game_id.clone(),
            op_source: recorded.request.op_source.clone(),
            source_ref: recorded.request.source_ref.clone(),
            actor: None,
        };
        RunContext {
            run_id: recorded.run_id.clone(),
            request,
            game,
            tenant: recorded.tenant.clone(),
            policy: PolicyRef { generation: recorded.generation.clone(), digest: self.policy.digest().clone() },
            started_at: recorded.started_at,
        }
    }
}

/// As the lifecycle ends a run.
async fn conclude(player: &Player, recorded: &RunJournal, execution: Execution) -> RunJournal {
    let Execution { mut session, answer } = execution;
    let draft = Draft::repeating(player.recorder(), recorded);
    let word = draft.word(&answer);
    let reviewed = matches!(answer, Ok(Answer::Advice(_))) || (answer.is_err() && session.phase() == Phase::Review);
    if reviewed {
        return draft.finish(&session, word, None);
    }
    let settled = settle(&session, answer);
    if let Some(fault) = &settled.fault {
        session.record_fault(fault).await;
    }
    draft.finish(&session, word, Some(&settled))
}

fn job(recorded: &RunJournal) -> Job {
    let Some(offer) = &recorded.offered else { return Job::Handle };
    let cleanup = CleanupState { failed_attempts: offer.failed_attempts, ..CleanupState::default() };
    let runtime = TrackedRuntime { record: RuntimeRecord::from(&offer.record), cleanup };
    let candidate = Candidate { runtime, floor_passed_at: offer.floor_passed_at };
    Job::Review { candidate: Box::new(candidate), then_handle: offer.then_handle }
}
