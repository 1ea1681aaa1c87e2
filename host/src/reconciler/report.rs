//! What a pass has to say.

use std::sync::Arc;

use crate::metrics::OrphanGauges;
use crate::model::{ContainerId, EngineName, GameId, Timestamp};
use crate::ports::PassedOver;

/// Complaints that are logged one by one; of the rest only how many there are.
const LOGGED: usize = 20;

/// Something that a pass has to say about a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The container.
    pub container: ContainerId,
    /// The game it claims or is recorded for, if that is a valid one.
    pub game: Option<GameId>,
    /// What is the matter, for people.
    pub reason: String,
}

/// What a pass did and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Containers that made a record, or a new incarnation of one.
    pub registered: Vec<Finding>,
    /// Containers that changed their record, be it by having vanished while it said that they run.
    pub refreshed: Vec<Finding>,
    /// Containers that had vanished and whose stopped record says `removed` now.
    pub closed: Vec<Finding>,
    /// Containers whose records say already what the engine says, or were changed by others meanwhile.
    pub unchanged: u64,
    /// Containers whose claim something else contradicts, or that contradict their record. Games that are claimed
    /// are kept from the sweeper, unless the record is another tenant's, which no claim may keep from its cleanup.
    pub conflicts: Vec<Finding>,
    /// Containers of ours whose labels, state or record cannot be used, that the engine cannot describe, or that only
    /// their image makes ours.
    pub invalid: Vec<Finding>,
    /// What has no counterpart, when the pass ended.
    pub orphans: Orphans,
    /// Why records without a container were left as they are, if that has one reason for all.
    pub left_open: Option<String>,
    /// Why not all records could be read.
    pub unread: Option<String>,
}

/// Containers without records, and records without containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Labelled containers that are live and that no record names. Where discovery is on, there are none: see
    /// conflicts and invalid.
    pub running_containers: Vec<Finding>,
    /// The same that are not live.
    pub stopped_containers: Vec<Finding>,
    /// Records that say `running`, whose container does not exist, and that could not be corrected (yet).
    pub running_records: Vec<Finding>,
    /// Records that say `stopped`, whose container does not exist, and that could not be closed (yet).
    pub stopped_records: Vec<Finding>,
}

/// What the last passes of a process found.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The last pass that came to its end, and when.
    pub findings: Option<(Timestamp, Arc<Report>)>,
    /// Why the last pass did not, and when.
    pub failure: Option<(Timestamp, String)>,
}

impl From<PassedOver> for Finding {
    fn from(PassedOver { id, reason }: PassedOver) -> Self {
        Self { container: id, game: None, reason }
    }
}

impl Orphans {
    /// Every kind by its stable name.
    pub fn by_kind(&self) -> [(&'static str, &[Finding]); 4] {
        [
            ("running_container", &self.running_containers),
            ("stopped_container", &self.stopped_containers),
            ("running_record", &self.running_records),
            ("stopped_record", &self.stopped_records),
        ]
    }

    pub(super) fn gauges(&self, finished_at: Timestamp) -> OrphanGauges {
        OrphanGauges { counts: self.by_kind().map(|(kind, found)| (kind, found.len() as u64)), finished_at }
    }
}

impl Report {
    /// What somebody should look into.
    pub(super) fn complaints(&self) -> impl Iterator<Item = &Finding> {
        let orphans = self.orphans.by_kind().into_iter().flat_map(|(_, found)| found);
        self.conflicts.iter().chain(&self.invalid).chain(orphans)
    }

    /// Says what was done, and of what was found only the news.
    pub(super) fn log(&self, engine: &EngineName, news: &[&Finding], is_new: bool) {
        for Finding { container, game, reason } in news.iter().take(LOGGED) {
            let game = game.as_ref().map(GameId::as_str);
            tracing::warn!(%engine, %container, game, reason, "container left alone");
        }
        if news.len() > LOGGED {
            tracing::warn!(%engine, more = news.len() - LOGGED, "more containers left alone; `rtmanager reconcile` lists them");
        }
        for reason in self.left_open.iter().chain(&self.unread).filter(|_| is_new) {
            tracing::warn!(%engine, reason, "records left alone");
        }
        for Finding { container, game, reason } in self.registered.iter().chain(&self.refreshed).chain(&self.closed) {
            let game = game.as_ref().map(GameId::as_str);
            tracing::info!(%engine, %container, game, reason, "record corrected");
        }
    }
}
