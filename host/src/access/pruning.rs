//! Taking the trail's oldest links away, in a way that shows: a later link names the last one that went, so that the
//! chain can be verified from there.

use serde_json::Value;

use super::{Action, Anchor, Break, Caller, Deed, Denied, Failure, Trail, Unrecorded, permit};
use crate::model::{AuditEntry, AuditEvent, Timestamp};
use crate::ports::StoreError;

/// What a pruning is recorded as.
const PRUNED: &str = "audit.prune";
/// Links looked at together.
const PAGE: u32 = 500;

/// Why the trail was not pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It cannot be recorded.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
    /// The trail is not whole, and what would be taken away is what shows how.
    #[error("the trail is broken at {}, and so nothing of it is taken away: {}", .0.sequence, .0.flaw)]
    Broken(Break),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure for PruneError {
    fn code(&self) -> &str {
        match self {
            Self::Denied(_) => "forbidden",
            Self::Unrecorded(_) => "service_unavailable",
            Self::Broken(_) => "conflict",
            Self::Store(error) => error.code(),
        }
    }

    fn may_have_happened(&self) -> bool {
        matches!(self, Self::Store(error) if error.may_have_happened())
    }
}

impl Trail {
    /// The last of the oldest links that were all written before this; none if not even the first was.
    pub async fn last_before(&self, before: Timestamp) -> Result<Option<Anchor>, StoreError> {
        let (mut last, mut next) = (None::<Anchor>, 1);
        loop {
            let page = self.read(next, PAGE).await?;
            let older = page.iter().take_while(|link| link.event.at < before);
            last = older.last().map(Anchor::of).or(last);
            let Some(end) = page.last() else { return Ok(last) };
            if last.is_none_or(|last| last.sequence != end.sequence) {
                return Ok(last);
            }
            next = end.sequence.saturating_add(1);
        }
    }

    /// Takes the links up to and including this one away, and answers how many there were. The whole trail is verified
    /// before. What is removed nobody can check any more who has not kept it.
    pub async fn prune(&self, caller: &Caller, through: Anchor) -> Result<u64, PruneError> {
        permit(caller, &Action::PruneAudit)?;
        if let Some(broken) = self.verify(Some(through)).await?.broken {
            return Err(PruneError::Broken(broken));
        }
        let deed = Deed::new(PRUNED, through.sequence)
            .with("through", through.sequence)
            .with("hash", hex::encode(through.hash));
        let log = self.log.clone();
        self.audited(caller, deed, async move { Ok(log.remove_through(through.sequence).await?) }).await
    }
}

/// The last link that went, if this link, which is sound, tells of a pruning. Only [`Trail::prune`] writes such ones:
/// no caller chooses the action of a deed.
pub(super) fn pruned_through(link: &AuditEntry) -> Option<Anchor> {
    let AuditEvent { action, detail, .. } = &link.event;
    if action != PRUNED {
        return None;
    }
    let detail: Value = serde_json::from_str(detail).ok()?;
    format!("{}:{}", detail.get("through")?.as_u64()?, detail.get("hash")?.as_str()?).parse().ok()
}
