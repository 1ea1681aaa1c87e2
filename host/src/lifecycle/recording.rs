//! Journals of runs, for whoever keeps them.

use std::sync::Arc;

use super::Settled;
use crate::model::{
    Fault, JOURNAL_VERSION, JournalBounds, JournalEnd, JournalEntry, JournalOffer, JournalRequest, PolicyWord, Request,
    RunJournal, SeenRecord, SettledRun, TrackedRuntime, Veil, bounded_text,
};
use crate::registry::Binding;
use crate::runtime::{Advice, Answer, Job};
use crate::session::{Account, EntryState, Recorder, RunContext, Session};

const RECEIVED_BYTES: usize = 256;
const TEXT_BYTES: usize = 1024;

/// Who wants journals of runs, and takes them.
pub trait Recording: Send + Sync {
    /// Within which bounds a run that is about to begin is written down; none if it is not.
    fn bounds(&self, run: &RunContext) -> Option<JournalBounds>;

    /// Takes a journal. The run has ended, and its caller waits: this returns at once.
    fn keep(&self, journal: RunJournal);
}

/// One journal in the making, for somebody who takes it.
pub(super) struct Take {
    recorder: Arc<Recorder>,
    about: About,
    to: Arc<dyn Recording>,
}

/// What a run was about before it began.
#[derive(Clone)]
struct About {
    offered: Option<JournalOffer>,
    record: Option<SeenRecord>,
    held: bool,
}

impl Take {
    /// Begins a journal, if one is wanted, and has the session overheard. `tracked` is the record before the run.
    pub(super) fn begin(
        to: &Arc<dyn Recording>,
        session: Session,
        job: &Job,
        tracked: Option<&TrackedRuntime>,
        binding: &Binding,
    ) -> (Session, Option<Self>) {
        let Some(bounds) = to.bounds(session.run()) else { return (session, None) };
        let veil = Veil::over(binding.terms.settings.iter().map(|(_, value)| value));
        let recorder = Arc::new(Recorder::new(bounds, veil, session.clock().monotonic()));
        let hold = tracked.and_then(|tracked| tracked.cleanup.hold.as_ref());
        let held = hold.is_some_and(|hold| hold.is_active(session.now()));
        // The candidate is that record.
        let record = tracked.filter(|_| *job == Job::Handle).map(|tracked| SeenRecord::from(&tracked.record));
        let about = About { offered: offer(job), record: record.map(SeenRecord::without_passwords), held };
        let take = Self { recorder: recorder.clone(), about, to: to.clone() };
        (session.overheard(recorder), Some(take))
    }

    /// What the policy said.
    pub(super) fn word(&self, answer: &Result<Answer, Fault>) -> PolicyWord {
        word(self.recorder.veil(), answer)
    }

    /// Ends the journal and gives it away.
    pub(super) fn keep(self, session: &Session, word: PolicyWord, settled: Option<&Settled>) {
        let draft = Draft { recorder: &self.recorder, about: self.about };
        self.to.keep(draft.finish(session, word, settled));
    }
}

/// One journal in the making.
pub struct Draft<'r> {
    recorder: &'r Recorder,
    about: About,
}

impl<'r> Draft<'r> {
    /// Of a run that repeats a recorded one.
    pub fn repeating(recorder: &'r Recorder, recorded: &RunJournal) -> Self {
        let RunJournal { offered, record, held, .. } = recorded;
        Self { recorder, about: About { offered: offered.clone(), record: record.clone(), held: *held } }
    }

    /// What the policy said.
    pub fn word(&self, answer: &Result<Answer, Fault>) -> PolicyWord {
        word(self.recorder.veil(), answer)
    }

    /// Ends it.
    pub fn finish(self, session: &Session, word: PolicyWord, settled: Option<&Settled>) -> RunJournal {
        let now = session.clock().monotonic();
        let (exchanges, omitted) = self.recorder.finish(now);
        let veil = self.recorder.veil();
        let end = JournalEnd {
            after_us: u64::try_from(now.saturating_sub(self.recorder.started()).as_micros()).unwrap_or(u64::MAX),
            word,
            settled: settled.map(|settled| SettledRun {
                outcome: settled.outcome,
                error_code: settled.error_code.as_ref().map(|code| veil.code(code)),
                fault: settled.fault.as_ref().map(|fault| fault.code.clone()),
            }),
            removed_container: session.removed_container().cloned(),
            entry: entry(veil, session.entry()),
        };
        let RunContext { run_id, request, tenant, policy, started_at, .. } = session.run();
        let About { offered, record, held } = self.about;
        RunJournal {
            version: JOURNAL_VERSION,
            run_id: run_id.clone(),
            tenant: tenant.clone(),
            generation: policy.generation.clone(),
            digest: policy.digest.clone(),
            started_at: *started_at,
            request: received(request),
            record,
            held,
            offered,
            exchanges,
            omitted,
            end,
        }
    }
}

fn received(request: &Request) -> JournalRequest {
    let text = |text: &str| Veil::default().text(text, RECEIVED_BYTES);
    JournalRequest {
        // As it stands in the operation log.
        game_id: bounded_text(&request.game_id, RECEIVED_BYTES),
        op_source: text(&request.op_source),
        source_ref: text(&request.source_ref),
    }
}

fn offer(job: &Job) -> Option<JournalOffer> {
    let Job::Review { candidate, then_handle } = job else { return None };
    Some(JournalOffer {
        record: SeenRecord::from(&candidate.runtime.record).without_passwords(),
        floor_passed_at: candidate.floor_passed_at,
        failed_attempts: candidate.runtime.cleanup.failed_attempts,
        then_handle: *then_handle,
    })
}

fn word(veil: &Veil, answer: &Result<Answer, Fault>) -> PolicyWord {
    match answer {
        Ok(Answer::Advice(Advice::Due)) => PolicyWord::Due,
        Ok(Answer::Advice(Advice::WaitUntil(at))) => PolicyWord::WaitUntil(*at),
        Ok(Answer::Advice(Advice::Keep(reason))) => PolicyWord::Keep(veil.text(reason, RECEIVED_BYTES)),
        Ok(Answer::Verdict(verdict)) => PolicyWord::Verdict {
            outcome: verdict.outcome,
            error_code: veil.maybe(verdict.error_code.as_deref(), TEXT_BYTES),
            message: veil.maybe(verdict.message.as_deref(), TEXT_BYTES),
        },
        Err(fault) => PolicyWord::Fault { code: fault.code.clone(), message: veil.text(&fault.message, TEXT_BYTES) },
    }
}

fn entry(veil: &Veil, state: &EntryState) -> Option<JournalEntry> {
    let Account { outcome, error_code, message, container_id, image_ref } = state.account()?;
    Some(JournalEntry {
        id: state.id(),
        outcome: *outcome,
        error_code: error_code.as_ref().map(|code| veil.code(code)),
        message: veil.maybe(message.as_deref(), TEXT_BYTES),
        container_id: container_id.clone(),
        image_ref: Veil::default().maybe(image_ref.as_deref(), TEXT_BYTES),
    })
}
