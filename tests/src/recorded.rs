//! Keeps the journals of a host's runs in memory.

use std::sync::{Arc, Mutex, PoisonError};

use rtmanager::lifecycle::Recording;
use rtmanager::model::{JournalBounds, RunJournal};
use rtmanager::session::RunContext;

use crate::mock_host::MockHost;

/// Wants the journal of every run.
#[derive(Default)]
pub struct Recorded {
    bounds: JournalBounds,
    journals: Mutex<Vec<RunJournal>>,
}

impl Recorded {
    /// Within these bounds.
    pub fn within(bounds: JournalBounds) -> Arc<Self> {
        Arc::new(Self { bounds, journals: Mutex::default() })
    }

    /// The journals so far, in the order in which their runs ended.
    pub fn journals(&self) -> Vec<RunJournal> {
        self.journals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last one.
    pub fn last(&self) -> RunJournal {
        self.journals().pop().expect("a journal")
    }
}

impl Recording for Recorded {
    fn bounds(&self, _: &RunContext) -> Option<JournalBounds> {
        Some(self.bounds)
    }

    fn keep(&self, journal: RunJournal) {
        self.journals.lock().unwrap_or_else(PoisonError::into_inner).push(journal);
    }
}

impl MockHost {
    /// From now on this host's runs are written down.
    pub fn record_runs(&self) -> Arc<Recorded> {
        let recorded = Arc::new(Recorded::default());
        self.lifecycle.record_for(recorded.clone());
        recorded
    }
}
