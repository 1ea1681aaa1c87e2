//! One file for each WIT interface: convert, ask the session, convert back. The rules are the session's.

use wasmtime::component::{HasSelf, Linker};

use super::bindings::galaxy::rtmanager as wit;
use super::bindings::wasi::config::store as wasi_config;
use super::bindings::wasi::logging::logging as wasi_logging;
use super::store::RunState;
use crate::model::BoundaryError;

mod clock;
mod config;
mod docker;
pub(crate) mod leases;
mod logging;
mod op_log;
mod records;
mod told;

/// An answer for the policy, or the end of its run.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum ImportError {
    /// A case of WIT's `error`.
    Guest(wit::types::Error),
    /// The run is over: a budget is spent, or a handle was forged.
    Trap(wasmtime::Error),
}

impl From<BoundaryError> for ImportError {
    fn from(error: BoundaryError) -> Self {
        Self::Guest(match error {
            BoundaryError::NotFound => wit::types::Error::NotFound,
            BoundaryError::Conflict => wit::types::Error::Conflict,
            BoundaryError::Denied(rule) => wit::types::Error::Denied(rule),
            BoundaryError::LeaseLost => wit::types::Error::LeaseLost,
            BoundaryError::Unavailable(message) => wit::types::Error::Unavailable(message),
            BoundaryError::OutcomeUnknown => wit::types::Error::OutcomeUnknown,
            BoundaryError::Internal(message) => wit::types::Error::Internal(message),
        })
    }
}

impl From<wasmtime::Error> for ImportError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

impl wit::types::Host for RunState {
    fn convert_error(&mut self, error: ImportError) -> wasmtime::Result<wit::types::Error> {
        match error {
            ImportError::Guest(error) => {
                if let wit::types::Error::Denied(rule) = &error {
                    self.session.note_denied(rule);
                }
                Ok(error)
            }
            ImportError::Trap(error) => Err(error),
        }
    }
}

/// Links everything that a policy may import: the contract, its settings and log, and a WASI that answers and denies.
pub(super) fn link(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    wit::types::add_to_linker::<_, HasSelf<RunState>>(linker, |state| state)?;
    wit::clock::add_to_linker::<_, HasSelf<RunState>>(linker, |state| state)?;
    wit::leases::add_to_linker::<_, HasSelf<RunState>>(linker, |state| state)?;
    wit::records::add_to_linker::<_, HasSelf<RunState>>(linker, |state| state)?;
    wit::docker::add_to_linker::<_, HasSelf<RunState>>(linker, |state| state)?;
    wit::op_log::add_to_linker::<_, HasSelf<RunState>>(linker, |state| state)?;
    wasi_logging::add_to_linker::<_, HasSelf<RunState>>(linker, |state| state)?;
    wasi_config::add_to_linker::<_, HasSelf<RunState>>(linker, |state| state)?;
    wasmtime_wasi::p2::add_to_linker_async(linker)
}
