//! Containers that are gone though their record says that they run: removed by force, or by themselves at their end.

use std::collections::BTreeSet;

use super::{Discovery, DiscoveryError, DiscoveryReport, Finding, Registered};
use crate::model::{ContainerId, LiveStatus, Registration, RuntimeRecord, Status, Timestamp, TrackedRuntime};
use crate::ports::RecordFilter;

/// Records read at a time.
const PAGE: u32 = 200;

impl Discovery {
    /// Looks for the container of each record of this engine that says `running` and was not listed. Retention counts
    /// from now, since nobody knows when it ended.
    pub(super) async fn stop_vanished(
        &self,
        listed: &BTreeSet<ContainerId>,
        report: &mut DiscoveryReport,
    ) -> Result<(), DiscoveryError> {
        let filter = RecordFilter { engine: Some(self.name.clone()), status: Some(Status::Running), tenant: None };
        let mut after = None;
        loop {
            let page = match self.records.list(&filter, after.as_ref(), PAGE).await {
                Err(error) if !error.is_retryable() => {
                    tracing::warn!(engine = %self.name, %error, "vanished containers were not looked for to the end");
                    return Ok(());
                }
                page => page?,
            };
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.record.game_id.clone());
            for running in &page {
                let Some(id) = running.record.container_id.as_ref().filter(|id| !listed.contains(*id)) else {
                    continue;
                };
                if let Err(error) = self.stop_if_vanished(running, id, report).await {
                    let reason = self.confined_to_one(error).await?;
                    report.invalid.push(finding(running, id, reason));
                }
            }
        }
    }

    async fn stop_if_vanished(
        &self,
        running: &TrackedRuntime,
        id: &ContainerId,
        report: &mut DiscoveryReport,
    ) -> Result<(), DiscoveryError> {
        let exists = self.engine.inspect(id).await?.is_some();
        if exists || self.has_changed(&running.record.game_id, Some(running)).await? {
            return Ok(());
        }
        match self.register(&stopped(&running.record, self.clock.now())).await? {
            Registered::Written => report.refreshed.push(finding(running, id, "gone, so now stopped".to_owned())),
            Registered::Gone => {}
            Registered::Refused(reason) => report.conflicts.push(finding(running, id, reason)),
        }
        Ok(())
    }
}

fn finding(running: &TrackedRuntime, id: &ContainerId, reason: String) -> Finding {
    Finding { container: id.clone(), game: Some(running.record.game_id.clone()), reason }
}

fn stopped(record: &RuntimeRecord, now: Timestamp) -> Registration {
    Registration {
        game_id: record.game_id.clone(),
        tenant: record.tenant.clone(),
        engine: record.engine.clone(),
        status: LiveStatus::Stopped,
        container_id: record.container_id.clone(),
        image_ref: record.image_ref.clone(),
        labels: None,
        started_at: record.started_at,
        stopped_at: Some(now),
    }
}
