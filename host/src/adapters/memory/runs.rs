//! Runs that have begun, in memory.

use super::State;
use crate::model::{Begun, Fence, Intent, OpenRun, RunId, Timestamp};

impl State {
    pub(super) fn begin_run(&mut self, intent: &Intent) -> Option<Begun> {
        let row = self.rows.get_mut(&intent.game_id)?;
        self.last_fence = self.last_fence.saturating_add(1);
        row.fence = Fence(self.last_fence);
        let (fence, runtime) = (row.fence, row.tracked.clone());
        let record = &runtime.record;
        let open = OpenRun {
            intent: intent.clone(),
            fence,
            tenant: Some(record.tenant.clone()),
            engine: Some(record.engine.clone()),
            container_id: record.container_id.clone(),
            image_ref: record.image_ref.clone(),
            committed_at: None,
        };
        self.runs.insert(intent.run_id.clone(), open);
        Some(Begun { fence, runtime })
    }

    pub(super) fn supersede_run(&mut self, run: &RunId) -> Option<OpenRun> {
        let open = self.runs.get(run)?.clone();
        if let Some(row) = self.rows.get_mut(&open.intent.game_id).filter(|row| row.fence == open.fence) {
            self.last_fence = self.last_fence.saturating_add(1);
            row.fence = Fence(self.last_fence);
        }
        Some(open)
    }

    pub(super) fn overdue_runs(&self, now: Timestamp, after: Option<(Timestamp, Fence)>, limit: u32) -> Vec<OpenRun> {
        let is_next = |run: &&OpenRun| {
            let place = (run.intent.expires_at, run.fence);
            run.intent.expires_at <= now && after.is_none_or(|after| after < place)
        };
        let mut overdue: Vec<_> = self.runs.values().filter(is_next).cloned().collect();
        overdue.sort_by_key(|run| (run.intent.expires_at, run.fence));
        overdue.truncate(limit as usize);
        overdue
    }
}
