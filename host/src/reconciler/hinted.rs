//! Containers that the engine hinted at: their records are looked at first, wherever the walk over all stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::memory::Memory;
use super::{Error, Reconciler, Report, finding};
use crate::model::{Container, ContainerId, Status, TrackedRuntime};

/// Containers that are remembered until the next pass; of more, the walk learns in time.
const REMEMBERED: usize = 1_000;

#[derive(Default)]
pub(super) struct Hinted {
    containers: Mutex<BTreeSet<ContainerId>>,
    /// That a pass may be worth it.
    news: Notify,
}

impl Hinted {
    pub(super) fn at(&self, container: ContainerId) {
        let mut containers = self.lock();
        if containers.len() < REMEMBERED {
            containers.insert(container);
        }
        drop(containers);
        self.at_anything();
    }

    pub(super) fn at_anything(&self) {
        self.news.notify_one();
    }

    /// Until something was hinted at since this last returned.
    pub(super) async fn anything(&self) {
        self.news.notified().await;
    }

    fn take(&self) -> BTreeSet<ContainerId> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<ContainerId>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reconciler {
    /// Answers the containers of the records that it looked at.
    pub(super) async fn look_at_hinted(
        &self,
        listed: &BTreeMap<ContainerId, Container>,
        memory: &mut Memory,
        report: &mut Report,
    ) -> Result<BTreeSet<ContainerId>, Error> {
        let mut recorded = BTreeSet::new();
        for container in self.hinted.take() {
            match self.row_of(&container).await {
                Ok(Some(row)) => {
                    match self.look_at(std::slice::from_ref(&row), listed, report).await?.pop() {
                        Some(missing) => memory.note(missing),
                        None => memory.forget(&row.record.game_id),
                    }
                    recorded.insert(container);
                }
                Ok(None) => {}
                Err(error) => {
                    let reason = self.confined_to_one(error).await?;
                    report.invalid.push(finding(&container, None, reason));
                }
            }
        }
        Ok(recorded)
    }

    /// The record that names the container, if it is one that is kept honest.
    async fn row_of(&self, container: &ContainerId) -> Result<Option<TrackedRuntime>, Error> {
        let Some(record) = self.records.by_container(container).await? else { return Ok(None) };
        let row = self.records.get(&record.game_id).await?;
        Ok(row.filter(|row| {
            let record = &row.record;
            record.engine == self.name
                && record.container_id.as_ref() == Some(container)
                && matches!(record.status, Status::Running | Status::Stopped)
        }))
    }
}
