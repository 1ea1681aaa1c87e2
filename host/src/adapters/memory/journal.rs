//! What was called, in which order, and what it answered.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A method of a port.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Call {
            $($(#[$doc])* $name,)*
        }

        impl Call {
            /// Every method, for tests that walk over all.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Port and method.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

calls! {
    /// `RecordStore::get`
    RecordGet = "records.get",
    /// `RecordStore::get_for_effect`
    RecordGetForEffect = "records.get_for_effect",
    /// `RecordStore::begin_run`
    RecordBeginRun = "records.begin_run",
    /// `RecordStore::supersede_run`
    RecordSupersedeRun = "records.supersede_run",
    /// `RecordStore::overdue_runs`
    RecordOverdueRuns = "records.overdue_runs",
    /// `RecordStore::compare_and_set`
    RecordCompareAndSet = "records.compare_and_set",
    /// `RecordStore::register` and `register_if`
    RecordRegister = "records.register",
    /// `RecordStore::list`
    RecordList = "records.list",
    /// `RecordStore::by_container`
    RecordByContainer = "records.by_container",
    /// `RecordStore::due`
    RecordDue = "records.due",
    /// `RecordStore::claim_due`
    RecordClaimDue = "records.claim_due",
    /// `RecordStore::release_claims`
    RecordReleaseClaims = "records.release_claims",
    /// `RecordStore::end_abandoned_claims`
    RecordEndAbandonedClaims = "records.end_abandoned_claims",
    /// `RecordStore::dispose`
    RecordDispose = "records.dispose",
    /// `RecordStore::void_waits`
    RecordVoidWaits = "records.void_waits",
    /// `RecordStore::tenants`
    RecordTenants = "records.tenants",
    /// `RecordStore::set_hold`
    RecordSetHold = "records.set_hold",
    /// `RecordStore::unpark`
    RecordUnpark = "records.unpark",
    /// `RecordStore::census`
    RecordCensus = "records.census",
    /// `RecordStore::ping`
    RecordPing = "records.ping",
    /// `OperationLog::append`
    LogAppend = "log.append",
    /// `OperationLog::note_fault`
    LogNoteFault = "log.note_fault",
    /// `OperationLog::list`
    LogList = "log.list",
    /// `OperationLog::prune`
    LogPrune = "log.prune",
    /// `LeaseStore::try_acquire`
    LeaseTryAcquire = "leases.try_acquire",
    /// `LeaseStore::renew`
    LeaseRenew = "leases.renew",
    /// `LeaseStore::release`
    LeaseRelease = "leases.release",
    /// `LeaseStore::held_until`
    LeaseHeldUntil = "leases.held_until",
    /// `LeaseStore::ping`
    LeasePing = "leases.ping",
    /// `LeaseStore::prune`
    LeasePrune = "leases.prune",
    /// `PauseStore::pause`
    PauseSet = "pauses.pause",
    /// `PauseStore::resume` and `resume_if`
    PauseResume = "pauses.resume",
    /// `PauseStore::pauses`
    PauseList = "pauses.pauses",
    /// `ContainerEngine::inspect`
    EngineInspect = "engine.inspect",
    /// `ContainerEngine::remove`
    EngineRemove = "engine.remove",
    /// `ContainerEngine::list_labelled`
    EngineListLabelled = "engine.list_labelled",
    /// `ContainerEngine::ping`
    EnginePing = "engine.ping",
    /// `Randomness::fill`
    RandomnessFill = "randomness.fill",
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One call as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// What was called.
    pub call: Call,
    /// With what, in brief.
    pub arguments: String,
    /// What the caller was answered, in brief; none if it never was.
    pub answer: Option<String>,
}

/// The calls of all ports of one [`Script`](super::Script), in the order in which they began.
#[derive(Default)]
pub struct CallJournal {
    entries: Mutex<Vec<JournalEntry>>,
}

impl CallJournal {
    /// The calls so far, with arguments and answers.
    pub fn entries(&self) -> Vec<JournalEntry> {
        self.lock().clone()
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().iter().map(|entry| entry.call).collect()
    }

    /// How often `call` was made.
    pub fn count(&self, call: Call) -> usize {
        self.lock().iter().filter(|entry| entry.call == call).count()
    }

    /// Notes the beginning of a call and answers its place, counted from zero.
    pub(super) fn begin(&self, call: Call, arguments: String) -> usize {
        let mut entries = self.lock();
        entries.push(JournalEntry { call, arguments, answer: None });
        entries.len() - 1
    }

    /// Notes the answer of the call at `place`.
    pub(super) fn end(&self, place: usize, answer: &dyn fmt::Debug) {
        const BRIEF: usize = 200;
        let answer = format!("{answer:?}").chars().take(BRIEF).collect();
        if let Some(entry) = self.lock().get_mut(place) {
            entry.answer = Some(answer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<JournalEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
