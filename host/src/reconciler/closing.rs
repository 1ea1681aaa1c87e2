//! Stopped records whose container is gone are closed: by a run of their policy, under a lease and with an entry like
//! any other cleanup. The session lets a run of the reconciler remove nothing, should the game have got another
//! container meanwhile.
//!
//! An engine that has lost its data answers "no such container" to everything, and `removed` is final for a container.
//! So a record is closed only after its container was missed for a while, and by a later pass than the one that first
//! missed it or stopped the record (`absence`). These closings count as removals for the breaker; once more are missing
//! than it would allow, none is closed, and they are left to the sweeper, whose breaker asks an operator. For the same
//! reason a pause stops them.

use std::time::Duration;

use tokio::time::Instant;

use super::memory::{Memory, Missing, is_blocked};
use super::{Error, Reconciler, Report, finding};
use crate::lifecycle::{Lifecycle, OperationResult};
use crate::model::{ErrorCode, OpSource, Outcome, Request};
use crate::sweeper::{Spare, Sweeper};

/// Records closed by one pass at most, and the time after which it begins with no further one, so that a pass ends soon.
const CLOSED_AT_ONCE: usize = 50;
const CLOSING_TIME: Duration = Duration::from_secs(60);

/// What a reconciler needs to close records.
#[derive(Clone)]
pub struct Closer {
    /// Runs policies.
    pub lifecycle: Lifecycle,
    /// Knows how many removals its breaker leaves.
    pub sweeper: Sweeper,
}

impl Reconciler {
    pub(super) async fn close_missing(&self, memory: &mut Memory, report: &mut Report) -> Result<(), Error> {
        let Some(closer) = &self.closer else { return Ok(()) };
        let (open, missing) = memory.closable(self.clock.monotonic(), self.options.close_after);
        if missing.is_empty() {
            return Ok(());
        }
        let spare = match closer.sweeper.spare(&self.name).await? {
            Ok(spare) => spare,
            Err(withheld) => {
                report.left_open = Some(format!("stopped records without a container stay open: {withheld}"));
                return Ok(());
            }
        };
        // Also those that are missed only since lately: of an engine that loses one after another, none is closed.
        if open as u64 > spare.removals {
            report.left_open = Some(left_to_sweeper(open, spare.removals));
            return Ok(());
        }
        self.close_all(closer, &spare, missing, memory, report).await
    }

    async fn close_all(
        &self,
        closer: &Closer,
        spare: &Spare,
        missing: Vec<Missing>,
        memory: &mut Memory,
        report: &mut Report,
    ) -> Result<(), Error> {
        let reference = format!("pass over {} at {}", self.name, self.clock.now());
        let now = self.clock.monotonic();
        let wanted = |missing: &Missing| {
            !spare.paused_tenants.contains(&missing.tenant) && !memory.backs_off(&missing.game, now)
        };
        let ready: Vec<_> = missing.into_iter().filter(wanted).take(CLOSED_AT_ONCE).collect();
        let began = Instant::now();
        for missing in &ready {
            if began.elapsed() > CLOSING_TIME {
                break;
            }
            let row = self.still_missing(missing).await?;
            if row.is_none_or(|row| is_blocked(&row, self.clock.now())) {
                memory.forget(&missing.game);
                continue;
            }
            let request = Request {
                game_id: missing.game.to_string(),
                op_source: OpSource::Reconciler.as_str().to_owned(),
                source_ref: reference.clone(),
                actor: None,
            };
            let result = closer.lifecycle.cleanup(request).await;
            if result.outcome == Outcome::Success {
                memory.closed(&missing.game);
                report.closed.push(finding(&missing.container, Some(&missing.game), "gone, so now removed"));
                continue;
            }
            memory.not_closed(&missing.game, self.clock.monotonic(), failure(&result));
            if result.error_code == Some(ErrorCode::SERVICE_UNAVAILABLE) {
                break;
            }
        }
        Ok(())
    }
}

fn failure(result: &OperationResult) -> String {
    let code = result.error_code.as_ref().map_or("no code", ErrorCode::as_str);
    format!("{code}: {}", result.message.as_deref().unwrap_or("no message"))
}

fn left_to_sweeper(missing: usize, allowed: u64) -> String {
    format!(
        "the containers of {missing} stopped records do not exist, and the breaker would allow {allowed} more removals \
         within the day; they are left to the sweeper. If the engine has lost its data, pause it"
    )
}
