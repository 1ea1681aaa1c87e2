//! Rows of `run_intents`.

use super::{Reader, SqlRow, policy};
use crate::model::{Fence, Intent, OpenRun};
use crate::ports::StoreError;

/// Reads the columns of `run_columns!`.
pub(in crate::adapters) fn open_run(row: &impl SqlRow) -> Result<OpenRun, StoreError> {
    let mut reader = Reader::new("run_intents", row);
    let intent = Intent {
        run_id: reader.parsed()?,
        game_id: reader.parsed()?,
        op_source: reader.string()?,
        source_ref: reader.string()?,
        actor: reader.string_or_null()?,
        policy: policy(&mut reader)?,
        started_at: reader.time()?,
        expires_at: reader.time()?,
    };
    Ok(OpenRun {
        intent,
        fence: reader.count().map(Fence)?,
        tenant: reader.text()?.parse().ok(),
        engine: reader.text()?.parse().ok(),
        container_id: reader.parsed_or_null()?,
        image_ref: reader.string_or_null()?,
        committed_at: reader.time_or_null()?,
    })
}
