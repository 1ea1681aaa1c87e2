//! Rows of `run_journals`.

use super::{Reader, SqlRow};
use crate::model::RunJournal;
use crate::ports::{KeptJournal, StoreError};

/// Reads, in this order: run_id, journal. A journal that cannot be read costs nobody the others.
pub(in crate::adapters) fn kept_journal(row: &impl SqlRow) -> Result<KeptJournal, StoreError> {
    let mut reader = Reader::new("run_journals", row);
    let run_id = reader.parsed()?;
    let journal = RunJournal::from_json(reader.text()?);
    if let Err(error) = &journal {
        tracing::warn!(%run_id, %error, "the journal of a run cannot be read");
    }
    Ok(KeptJournal { run_id, journal: journal.ok() })
}

/// A journal as it is stored.
pub(in crate::adapters) fn journal_text(journal: &RunJournal) -> Result<String, StoreError> {
    journal.to_json().map_err(|error| StoreError::Corrupt(error.to_string()))
}
