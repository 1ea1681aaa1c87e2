//! What a run keeps in its wasmtime store: the session, and what is left of its budgets.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::fault::Exceeded;
use super::stopwatch::Stopwatch;
use super::{Limits, Settings, wasi};
use crate::session::Session;

/// One run inside the sandbox.
pub(crate) struct RunState {
    pub(super) session: Session,
    pub(super) handles: ResourceTable,
    pub(super) settings: Arc<Settings>,
    wasi: Option<WasiCtx>,
    repeats: bool,
    limits: Arc<Limits>,
    pub(super) usage: Usage,
    pub(super) stopwatch: Arc<Stopwatch>,
}

/// What a run has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// By the run's stopwatch, like the time of the guest.
    host_time: Duration,
    calls: u32,
    bytes: u64,
    log_lines: u32,
    pub(super) memory_bytes: u64,
    /// How often a memory grew, beyond what it begins with.
    pub(super) growths: u32,
    pub(super) table_elements: u64,
    /// Set when the limiter refused a growth: a guest may survive that, or trap because of it.
    pub(super) refused: Option<Exceeded>,
}

/// A call of an import, and the stopwatch's time when it began.
pub(super) struct HostCall(Duration);

impl RunState {
    pub(super) fn new(session: Session, settings: Arc<Settings>, limits: Arc<Limits>) -> Self {
        let mut handles = ResourceTable::new();
        handles.set_max_capacity(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        Self {
            session,
            handles,
            settings,
            wasi: None,
            repeats: false,
            limits,
            usage: Usage::default(),
            stopwatch: Arc::new(Stopwatch::new()),
        }
    }

    /// Whether its WASI gives the same randomness when the run is repeated.
    pub(super) fn repeating(self, repeats: bool) -> Self {
        Self { repeats, ..self }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Begins a call of an import that was passed `bytes` of text. Fails when a budget is spent.
    pub(super) fn enter(&mut self, bytes: usize) -> wasmtime::Result<HostCall> {
        self.usage.calls = self.usage.calls.saturating_add(1);
        self.usage.bytes = self.usage.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.within_budget()?;
        Ok(HostCall(self.stopwatch.elapsed()))
    }

    /// Ends a call of an import: its time was not the guest's.
    pub(super) fn leave(&mut self, call: HostCall) {
        self.usage.host_time += self.stopwatch.elapsed().saturating_sub(call.0);
    }

    /// Checked at every call of an import, and at every epoch while the guest computes.
    pub(super) fn within_budget(&self) -> Result<(), Exceeded> {
        let usage = &self.usage;
        if usage.calls > self.limits.calls {
            return Err(Exceeded::Calls(self.limits.calls));
        }
        if usage.bytes > self.limits.bytes_per_run {
            return Err(Exceeded::BytesPerRun(self.limits.bytes_per_run));
        }
        let guest_time = self.stopwatch.elapsed().saturating_sub(usage.host_time);
        if guest_time > self.limits.guest_time {
            return Err(Exceeded::GuestTime(self.limits.guest_time));
        }
        Ok(())
    }

    /// Whether the policy may log one more line. The last one allowed says that the rest is dropped.
    pub(super) fn may_log(&mut self) -> bool {
        let used = self.usage.log_lines;
        self.usage.log_lines = used.saturating_add(1);
        if used == self.limits.log_lines {
            tracing::warn!(
                target: "policy", run_id = %self.session.run().run_id, limit = self.limits.log_lines,
                "the policy logs more lines than limits.log_lines allows; the rest is dropped"
            );
        }
        used < self.limits.log_lines
    }
}

impl WasiView for RunState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Every WASI call passes here; the budget is looked at when the next epoch ends.
        self.usage.calls = self.usage.calls.saturating_add(1);
        let ctx = self.wasi.get_or_insert_with(|| wasi::deny_all(&self.session, self.repeats));
        WasiCtxView { ctx, table: &mut self.handles }
    }
}
