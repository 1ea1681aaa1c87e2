//! Rows of `runtime_records`.

use super::{Reader, SqlRow};
use crate::model::{CleanupState, Hold, Parked, RuntimeRecord, Status, TrackedRuntime};
use crate::ports::{Standing, StoreError};

/// Reads the columns of `runtime_columns!`.
pub(in crate::adapters) fn tracked(row: &impl SqlRow) -> Result<TrackedRuntime, StoreError> {
    let mut reader = Reader::new("runtime_records", row);
    Ok(TrackedRuntime { record: record(&mut reader)?, cleanup: cleanup(&mut reader)? })
}

/// Reads the same, and after it how many revocations there are of a policy.
pub(in crate::adapters) fn with_standing(row: &impl SqlRow) -> Result<(TrackedRuntime, Standing), StoreError> {
    let mut reader = Reader::new("runtime_records", row);
    let tracked = TrackedRuntime { record: record(&mut reader)?, cleanup: cleanup(&mut reader)? };
    let standing = if reader.count::<u64>()? == 0 { Standing::Good } else { Standing::Revoked };
    Ok((tracked, standing))
}

fn record(reader: &mut Reader<'_, impl SqlRow>) -> Result<RuntimeRecord, StoreError> {
    Ok(RuntimeRecord {
        game_id: reader.parsed()?,
        tenant: reader.parsed()?,
        engine: reader.parsed()?,
        status: reader.text().map(Status::from_text)?,
        container_id: reader.parsed_or_null()?,
        image_ref: reader.string_or_null()?,
        labels: reader.labels()?,
        created_at: reader.time()?,
        started_at: reader.time_or_null()?,
        stopped_at: reader.time_or_null()?,
        removed_at: reader.time_or_null()?,
        last_op_at: reader.time()?,
        version: reader.count()?,
    })
}

fn cleanup(reader: &mut Reader<'_, impl SqlRow>) -> Result<CleanupState, StoreError> {
    Ok(CleanupState {
        wait_until: reader.time_or_null()?,
        wait_reason: reader.string_or_null()?,
        wait_generation: reader.parsed_or_null()?,
        failed_attempts: reader.count()?,
        parked: parked(reader)?,
        hold: hold(reader)?,
    })
}

fn parked(reader: &mut Reader<'_, impl SqlRow>) -> Result<Option<Parked>, StoreError> {
    let at = reader.time_or_null()?;
    let reason = reader.string_or_null()?;
    Ok(at.map(|at| Parked { at, reason: reason.unwrap_or_default() }))
}

fn hold(reader: &mut Reader<'_, impl SqlRow>) -> Result<Option<Hold>, StoreError> {
    let until = reader.time_or_null()?;
    let reason = reader.string_or_null()?;
    let actor = reader.string_or_null()?;
    Ok(reason.map(|reason| Hold { reason, actor: actor.unwrap_or_default(), until }))
}
