//! Rows of `operation_log`.

use super::{Reader, SqlRow, policy};
use crate::model::{Author, EntryId, ErrorCode, Fault, Fence, LoggedOperation, OperationEntry, Outcome};
use crate::ports::StoreError;

/// Reads, in this order: run_id, id, game_id, tenant, op_kind, op_source, source_ref, actor, image_ref, container_id,
/// outcome, error_code, error_message, started_at, finished_at, policy_generation, policy_digest, fence,
/// author, fault_code, fault_message.
pub(in crate::adapters) fn logged(row: &impl SqlRow) -> Result<LoggedOperation, StoreError> {
    let mut reader = Reader::new("operation_log", row);
    let run_id = reader.parsed()?;
    let id = EntryId(reader.count()?);
    let entry = OperationEntry {
        run_id,
        game_id: reader.string()?,
        tenant: reader.parsed_or_null()?,
        op_kind: reader.string()?,
        op_source: reader.string()?,
        source_ref: reader.string()?,
        actor: reader.string_or_null()?,
        image_ref: reader.string_or_null()?,
        container_id: reader.parsed_or_null()?,
        outcome: reader.known(Outcome::from_text)?,
        error_code: code_or_null(&mut reader)?,
        error_message: reader.string_or_null()?,
        started_at: reader.time()?,
        finished_at: reader.time()?,
        policy: policy(&mut reader)?,
        fence: reader.count_or_null()?.map(Fence),
        author: reader.known(Author::from_text)?,
        fault: fault(&mut reader)?,
    };
    Ok(LoggedOperation { id, entry })
}

fn fault(reader: &mut Reader<'_, impl SqlRow>) -> Result<Option<Fault>, StoreError> {
    let code = code_or_null(reader)?;
    let message = reader.string_or_null()?;
    Ok(code.map(|code| Fault { code, message: message.unwrap_or_default() }))
}

fn code_or_null(reader: &mut Reader<'_, impl SqlRow>) -> Result<Option<ErrorCode>, StoreError> {
    let text = reader.text_or_null()?;
    text.map(|text| ErrorCode::parse(text).ok_or_else(|| reader.corrupt("no error code"))).transpose()
}
