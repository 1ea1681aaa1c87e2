//! Labelled containers that no record names. Where discovery is on, each makes a record or is reported by it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Error, Reconciler, Report, claim, finding};
use crate::model::{Container, ContainerId, ContainerState};

/// A platform makes the container before it writes the record.
const RECORD_GRACE: Duration = Duration::from_secs(60);

impl Reconciler {
    pub(super) async fn find_unrecorded(
        &self,
        listed: &BTreeMap<ContainerId, Container>,
        recorded: &BTreeSet<ContainerId>,
        report: &mut Report,
    ) -> Result<(), Error> {
        for container in listed.values().filter(|container| !recorded.contains(&container.id)) {
            let is_new = container.created_at.is_some_and(|at| self.soon_after(at, RECORD_GRACE));
            if is_new || container.state == ContainerState::Removing {
                continue;
            }
            let game = claim::game(container, &self.options.ownership.labels).ok();
            match self.records.by_container(&container.id).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let found = finding(&container.id, game.as_ref(), "no record names it");
                    let orphans = &mut report.orphans;
                    let live = container.state.is_live();
                    if live { &mut orphans.running_containers } else { &mut orphans.stopped_containers }.push(found);
                }
                Err(error) => {
                    let reason = self.confined_to_one(error.into()).await?;
                    report.invalid.push(finding(&container.id, game.as_ref(), reason));
                }
            }
        }
        Ok(())
    }
}
