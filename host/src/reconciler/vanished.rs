//! Running records whose container vanished are stopped. That can be undone: a container that is there again says so.

use super::memory::{Memory, Missing};
use super::{Error, Reconciler, Report, finding, honesty};
use crate::model::{LiveStatus, TrackedRuntime};

impl Reconciler {
    /// Corrects and closes what is missing, unless the engine that misses it is doubtful.
    pub(super) async fn judge_missing(&self, memory: &mut Memory, report: &mut Report) -> Result<(), Error> {
        let span = self.options.close_after;
        let doubtful = memory.absences.doubtful(self.clock.monotonic(), span);
        if doubtful > 0 {
            report.left_open = Some(format!(
                "the containers of {doubtful} records vanished at once: the engine may have lost its data or be \
                 another one, so no record is stopped or closed before they have been missing for {span:?}"
            ));
            return Ok(());
        }
        self.stop_vanished(memory, report).await?;
        self.close_missing(memory, report).await
    }

    async fn stop_vanished(&self, memory: &mut Memory, report: &mut Report) -> Result<(), Error> {
        for missing in memory.vanished() {
            match self.stop(&missing, report).await {
                Ok(true) => memory.stopped(&missing.game),
                Ok(false) => {}
                Err(error) => {
                    let reason = self.confined_to_one(error).await?;
                    report.invalid.push(finding(&missing.container, Some(&missing.game), reason));
                }
            }
        }
        Ok(())
    }

    /// Retention counts from now, since nobody knows when it ended: removed by force, or by itself at its end.
    async fn stop(&self, missing: &Missing, report: &mut Report) -> Result<bool, Error> {
        let Some(row) = self.still_missing(missing).await? else { return Ok(false) };
        let now = self.clock.now();
        let stopped = honesty::registration(&row.record, LiveStatus::Stopped, row.record.started_at, Some(now));
        self.refresh(&row, &missing.container, &stopped, "gone, so now stopped", report).await
    }

    /// Looks again: the record may have been seen by an earlier pass. A container that cannot be inspected is not gone.
    pub(super) async fn still_missing(&self, missing: &Missing) -> Result<Option<TrackedRuntime>, Error> {
        let row = self.records.get(&missing.game).await?.filter(|row| {
            let record = &row.record;
            record.container_id.as_ref() == Some(&missing.container)
                && record.engine == self.name
                && record.status == missing.status
        });
        let Some(row) = row else { return Ok(None) };
        Ok(self.engine.inspect(&missing.container).await?.is_none().then_some(row))
    }
}
