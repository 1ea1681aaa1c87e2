//! Runs in tasks of their own: they finish though nobody waits, and one that panics is reported and logged.

use std::sync::{Arc, OnceLock};

use tokio::task::JoinError;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{Inner, Lifecycle, Request};
use crate::metrics;
use crate::model::{ErrorCode, Fault, PolicyRef, RunId, TenantId, Timestamp};
use crate::session::{RunContext, Session};

/// What is known of a run even if it is lost.
pub(super) struct Begun {
    pub(super) run_id: RunId,
    pub(super) started_at: Timestamp,
    pub(super) request: Request,
    /// Set as soon as it is known.
    pub(super) chosen: Arc<OnceLock<Chosen>>,
}

/// Whose game a run is about, if it is known to have a record, and which policy was chosen for it.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) tenant: Option<TenantId>,
    pub(super) policy: PolicyRef,
}

impl Lifecycle {
    /// A run under lease finishes even if nobody waits for its answer, and its loss is noticed even then.
    pub(super) async fn detached<T: Send + 'static>(
        &self,
        begun: Begun,
        run: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let inner = self.0.clone();
        // Boxed, since it is large, and would be copied into each that holds it.
        let run = Box::pin(run.in_current_span());
        let watched = async move {
            let start = Instant::now();
            let answer = tokio::spawn(run).await;
            inner.ports.metrics.run_phase(metrics::Phase::Total, start.elapsed());
            match answer {
                Ok(answer) => Some(answer),
                Err(error) => {
                    inner.report_loss(begun, &error).await;
                    None
                }
            }
        };
        self.0.runs.spawn(watched.in_current_span()).await.ok().flatten()
    }
}

impl Inner {
    /// Logs first: what made the run panic may do the same to the attempt to write its entry.
    async fn report_loss(&self, begun: Begun, error: &JoinError) {
        let Begun { run_id, started_at, request, chosen } = begun;
        tracing::error!(
            %run_id, game_id = %request.game_id, op_source = %request.op_source, source_ref = %request.source_ref,
            %error, "the host failed during a run; its lease ends by its time to live"
        );
        // Recovery looks at what the run has done; here, nobody knows.
        if !matches!(self.ports.records.supersede_run(&run_id).await, Ok(None)) {
            return;
        }
        self.ports.metrics.entry_lost();
        let chosen = chosen.get().cloned();
        let nobodys = || Chosen { tenant: None, policy: self.registry.assign(None, None).reference().clone() };
        let Chosen { tenant, policy } = chosen.unwrap_or_else(nobodys);
        let run = RunContext { run_id, request, game: None, tenant, policy, started_at };
        let mut session = Session::new(self.ports.clone(), self.options.clone(), self.import_time, run, None);
        let message = "the host failed during this run; its log says how".to_owned();
        // An entry that the run has written already stays as it is.
        session.record_fault(&Fault { code: ErrorCode::INTERNAL_ERROR, message }).await;
    }
}
