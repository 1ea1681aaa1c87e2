//! Rows about generations.

use super::{Reader, SqlRow, number};
use crate::adapters::scope::Found;
use crate::model::{
    BindingSpec, Divergence, DivergenceKind, Generation, PolicyChange, PolicyEvent, Revocation, Serving, Signed,
};
use crate::ports::StoreError;

/// Reads, in this order: scope, number, digest, settings, limits, grants, staged_at, staged_by, reason, name, version;
/// the JSON as text.
pub(in crate::adapters) fn generation(row: &impl SqlRow) -> Result<Generation, StoreError> {
    read_generation(&mut Reader::new("policy_generations", row))
}

pub(super) fn read_generation(reader: &mut Reader<'_, impl SqlRow>) -> Result<Generation, StoreError> {
    let (scope, number, digest) = (reader.parsed()?, reader.count()?, reader.parsed()?);
    let (settings, limits, grants) = (reader.settings()?, reader.limits()?, reader.grants()?);
    let staged = signed(reader)?;
    let (name, version) = (reader.parsed_or_null()?, reader.parsed_or_null()?);
    let spec = BindingSpec { digest, called: name.zip(version), settings, limits, grants };
    Ok(Generation { scope, number, spec, staged })
}

/// Reads the two numbers of `FOUND`.
pub(in crate::adapters) fn found(row: &impl SqlRow) -> Result<Found, StoreError> {
    let mut reader = Reader::new("policy_generations", row);
    Ok(Found::of_rows(reader.count()?, reader.count()?))
}

/// Reads, in this order: id, subject.
pub(in crate::adapters) fn revoked_subject(row: &impl SqlRow) -> Result<(u64, String), StoreError> {
    let mut reader = Reader::new("policy_revocations", row);
    Ok((reader.count()?, reader.string()?))
}

/// Reads, in this order: id, event, from_generation, to_generation, at, actor, reason.
pub(in crate::adapters) fn change_of(row: &impl SqlRow) -> Result<PolicyChange, StoreError> {
    let mut reader = Reader::new("policy_history", row);
    Ok(PolicyChange {
        id: reader.count()?,
        event: reader.known(PolicyEvent::from_text)?,
        from: reader.count_or_null()?,
        to: reader.count_or_null()?,
        signed: signed(&mut reader)?,
    })
}

/// Reads, in this order: subject, at, actor, reason.
pub(in crate::adapters) fn revocation(row: &impl SqlRow) -> Result<(String, Signed), StoreError> {
    let mut reader = Reader::new("policy_revocations", row);
    Ok((reader.string()?, signed(&mut reader)?))
}

/// What is to be revoked as values of the columns digest, or scope and number; the others are null.
pub(in crate::adapters) fn revoked_columns(revocation: &Revocation) -> (Option<&str>, Option<&str>, Option<i64>) {
    match revocation {
        Revocation::Component(digest) => (Some(digest.as_str()), None, None),
        Revocation::Generation(id) => {
            let scope = id.as_str().split_once('/').map(|(scope, _)| scope);
            (None, scope, id.number().map(number))
        }
    }
}

/// Reads, in this order: game_id, run_id, kind, current, candidate, at.
pub(in crate::adapters) fn divergence(row: &impl SqlRow) -> Result<Divergence, StoreError> {
    let mut reader = Reader::new("policy_divergences", row);
    Ok(Divergence {
        game_id: reader.string()?,
        run_id: reader.parsed()?,
        kind: reader.known(DivergenceKind::from_text)?,
        current: reader.string()?,
        candidate: reader.string()?,
        at: reader.time()?,
    })
}

/// Reads, in this order: replica, scope, generation, ready as text, problem, at.
pub(in crate::adapters) fn serving(row: &impl SqlRow) -> Result<Serving, StoreError> {
    let mut reader = Reader::new("policy_serving", row);
    Ok(Serving {
        replica: reader.string()?,
        scope: reader.parsed()?,
        generation: reader.parsed()?,
        ready: reader.ready()?,
        problem: reader.string_or_null()?,
        at: reader.time()?,
    })
}

/// Reads when, who and why.
pub(super) fn signed(reader: &mut Reader<'_, impl SqlRow>) -> Result<Signed, StoreError> {
    Ok(Signed { at: reader.time()?, actor: reader.string()?, reason: reader.string()? })
}
