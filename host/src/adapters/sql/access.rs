//! Rows of `api_tokens`, `policy_ceilings`, `policy_keys` and `audit_log`.

use super::{Reader, SqlRow, said};
use crate::model::{ApiToken, AuditEntry, AuditEvent, Ceiling, PolicyScope, Role, TrustedKey};
use crate::ports::{CeilingChanges, StoreError, Unreadable};

/// Reads, in this order: name, hash, role, tenant, created_at, created_by, expires_at, revoked_at, last_used_at.
pub(in crate::adapters) fn token(row: &impl SqlRow) -> Result<ApiToken, StoreError> {
    let mut reader = Reader::new("api_tokens", row);
    Ok(ApiToken {
        name: reader.string()?,
        hash: reader.hash()?,
        role: role(&mut reader)?,
        created_at: reader.time()?,
        created_by: reader.string()?,
        expires_at: reader.time_or_null()?,
        revoked_at: reader.time_or_null()?,
        last_used_at: reader.time_or_null()?,
    })
}

fn role(reader: &mut Reader<'_, impl SqlRow>) -> Result<Role, StoreError> {
    let text = reader.text()?;
    let tenant = reader.parsed_or_null()?;
    Role::from_text(text, tenant).ok_or_else(|| reader.corrupt(format_args!("role {text:?} is not known")))
}

/// Reads, in this order: scope, limits, grants, signature_required, retention_days; the two as text.
pub(in crate::adapters) fn ceiling(row: &impl SqlRow) -> Result<(PolicyScope, Ceiling), StoreError> {
    read_ceiling(&mut Reader::new("policy_ceilings", row))
}

fn read_ceiling(reader: &mut Reader<'_, impl SqlRow>) -> Result<(PolicyScope, Ceiling), StoreError> {
    let scope = reader.parsed()?;
    let ceiling = Ceiling {
        limits: reader.limits()?,
        grants: reader.grants_or_null()?,
        signature_required: reader.flag()?,
        retention_days: reader.count()?,
    };
    Ok((scope, ceiling))
}

/// Reads rows of a scope with its ceiling: the scope, then the columns that [`ceiling`] reads, which are null if there is
/// none.
pub(in crate::adapters) fn ceiling_changes(rows: &[impl SqlRow]) -> CeilingChanges {
    let mut changes = CeilingChanges::default();
    for row in rows {
        let scope = Reader::new("policy_ceiling_changes", row).parsed::<PolicyScope>();
        let is_there = Reader::at("policy_ceilings", row, 1).text_or_null().map(|text| text.is_some());
        let read = is_there.and_then(|is_there| match is_there {
            false => Ok(None),
            true => read_ceiling(&mut Reader::at("policy_ceilings", row, 1)).map(|(_, ceiling)| Some(ceiling)),
        });
        match (scope, read) {
            (Ok(scope), Ok(ceiling)) => changes.ceilings.push((scope, ceiling)),
            (Ok(scope), Err(error)) => changes.unreadable.push(unreadable(Some(scope), &error)),
            (Err(error), _) => changes.unreadable.push(unreadable(None, &error)),
        }
    }
    changes
}

fn unreadable(scope: Option<PolicyScope>, error: &StoreError) -> Unreadable {
    Unreadable { scope, current: None, reason: said(error) }
}

/// Reads, in this order: id, public_key, added_at, added_by, revoked_at.
pub(in crate::adapters) fn key(row: &impl SqlRow) -> Result<TrustedKey, StoreError> {
    let mut reader = Reader::new("policy_keys", row);
    Ok(TrustedKey {
        id: reader.string()?,
        public_key: reader.string()?,
        added_at: reader.time()?,
        added_by: reader.string()?,
        revoked_at: reader.time_or_null()?,
    })
}

/// Reads, in this order: sequence, at, actor, role, action, subject, detail, previous, hash.
pub(in crate::adapters) fn audited(row: &impl SqlRow) -> Result<AuditEntry, StoreError> {
    let mut reader = Reader::new("audit_log", row);
    let sequence = reader.count()?;
    let event = AuditEvent {
        at: reader.time()?,
        actor: reader.string()?,
        role: reader.string()?,
        action: reader.string()?,
        subject: reader.string()?,
        detail: reader.string()?,
    };
    Ok(AuditEntry { sequence, event, previous: reader.hash()?, hash: reader.hash()? })
}
