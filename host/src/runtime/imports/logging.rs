//! `wasi:logging/logging`: a policy's own remarks, bounded, escaped, and marked as the policy's.

use super::RunState;
use super::wasi_logging::{Host, Level};
use crate::model::{BoundaryAnswer, BoundaryCall, bounded_text};

const CONTEXT_BYTES: usize = 64;
const MESSAGE_BYTES: usize = 1024;

impl Host for RunState {
    fn log(&mut self, level: Level, context: String, message: String) -> wasmtime::Result<()> {
        let call = self.enter(context.len() + message.len())?;
        if self.may_log() {
            self.session.asked(|| said(level, &context, &message));
            let (context, message) = (bounded_text(&context, CONTEXT_BYTES), bounded_text(&message, MESSAGE_BYTES));
            if let Some(onlooker) = self.onlooker() {
                let context = if context.is_empty() { String::new() } else { format!("{context}: ") };
                onlooker.logged(name(level), format!("{context}{message}"));
            }
            let run_id = &self.session.run().run_id;
            match level {
                Level::Trace => tracing::trace!(target: "policy", %run_id, context, "{message}"),
                Level::Debug => tracing::debug!(target: "policy", %run_id, context, "{message}"),
                Level::Info => tracing::info!(target: "policy", %run_id, context, "{message}"),
                Level::Warn => tracing::warn!(target: "policy", %run_id, context, "{message}"),
                Level::Error | Level::Critical => tracing::error!(target: "policy", %run_id, context, "{message}"),
            }
            self.session.told_of(|| BoundaryAnswer::Done);
        }
        self.leave(call);
        Ok(())
    }
}

fn said(level: Level, context: &str, message: &str) -> BoundaryCall {
    BoundaryCall::Log { level: name(level).to_owned(), context: context.to_owned(), message: message.to_owned() }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
        Level::Critical => "critical",
    }
}
