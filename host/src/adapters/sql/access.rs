//! Rows of `api_tokens`, `policy_ceilings`, `policy_keys` and `audit_log`.

use super::{Reader, SqlRow};
use crate::model::{ApiToken, AuditEntry, AuditEvent, Ceiling, PolicyScope, Role, TrustedKey};
use crate::ports::StoreError;

/// Reads, in this order: name, hash, role, tenant, created_at, created_by, expires_at, revoked_at.
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
    })
}

fn role(reader: &mut Reader<'_, impl SqlRow>) -> Result<Role, StoreError> {
    let text = reader.text()?;
    let tenant = reader.parsed_or_null()?;
    Role::from_text(text, tenant).ok_or_else(|| reader.corrupt(format_args!("role {text:?} is not known")))
}

/// Reads, in this order: scope, limits, grants, signature_required, retention_days; the two as text.
pub(in crate::adapters) fn ceiling(row: &impl SqlRow) -> Result<(PolicyScope, Ceiling), StoreError> {
    let mut reader = Reader::new("policy_ceilings", row);
    let scope = reader.parsed()?;
    let ceiling = Ceiling {
        limits: reader.limits()?,
        grants: reader.grants_or_null()?,
        signature_required: reader.flag()?,
        retention_days: reader.count()?,
    };
    Ok((scope, ceiling))
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
