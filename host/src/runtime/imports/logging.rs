//! `wasi:logging/logging`: a policy's own remarks, bounded, escaped, and marked as the policy's.

use super::RunState;
use super::wasi_logging::{Host, Level};
use crate::model::bounded_text;

const CONTEXT_BYTES: usize = 64;
const MESSAGE_BYTES: usize = 1024;

impl Host for RunState {
    fn log(&mut self, level: Level, context: String, message: String) -> wasmtime::Result<()> {
        let call = self.enter(context.len() + message.len())?;
        if self.may_log() {
            let (context, message) = (bounded_text(&context, CONTEXT_BYTES), bounded_text(&message, MESSAGE_BYTES));
            let run_id = &self.session.run().run_id;
            match level {
                Level::Trace => tracing::trace!(target: "policy", %run_id, context, "{message}"),
                Level::Debug => tracing::debug!(target: "policy", %run_id, context, "{message}"),
                Level::Info => tracing::info!(target: "policy", %run_id, context, "{message}"),
                Level::Warn => tracing::warn!(target: "policy", %run_id, context, "{message}"),
                Level::Error | Level::Critical => tracing::error!(target: "policy", %run_id, context, "{message}"),
            }
        }
        self.leave(call);
        Ok(())
    }
}
