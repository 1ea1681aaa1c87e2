//! Rows of `policy_names`.

use super::{Reader, SqlRow};
use crate::model::{PolicyArtifact, PolicyPlace, TenantId};
use crate::ports::StoreError;

/// Reads the columns of `artifact_columns!`.
pub(in crate::adapters) fn artifact(row: &impl SqlRow) -> Result<PolicyArtifact, StoreError> {
    let mut reader = Reader::new("policy_names", row);
    Ok(PolicyArtifact {
        digest: reader.parsed()?,
        name: reader.parsed()?,
        version: reader.parsed()?,
        owner: owner(&mut reader)?,
        size: reader.count()?,
        pushed_at: reader.time()?,
        pushed_by: reader.string()?,
    })
}

fn owner(reader: &mut Reader<'_, impl SqlRow>) -> Result<Option<TenantId>, StoreError> {
    match reader.text()? {
        "" => Ok(None),
        tenant => tenant.parse().map(Some).map_err(|error| reader.corrupt(error)),
    }
}

/// Of rows that hold every version of each name in them, the page after a place: databases do not know the order of
/// versions.
pub(in crate::adapters) fn next_page(
    rows: &[impl SqlRow],
    after: Option<&PolicyPlace>,
    limit: u32,
) -> Result<Vec<PolicyArtifact>, StoreError> {
    let mut page = rows.iter().map(artifact).collect::<Result<Vec<_>, _>>()?;
    page.retain(|policy| after.is_none_or(|after| *after < policy.place()));
    page.sort_by_cached_key(PolicyArtifact::place);
    page.truncate(limit as usize);
    Ok(page)
}
