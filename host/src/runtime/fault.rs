//! Why a policy's run ended without an answer: one stable code for each way, and a message that names the limit.

use std::time::Duration;

use wasmtime::Trap;
use wasmtime::component::ResourceTableError;
use wasmtime_wasi::I32Exit;

use super::Limits;
use super::store::Usage;
use crate::model::{ErrorCode, Fault};

/// A limit that a run exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Exceeded {
    #[error("the policy computed for longer than limits.guest_time ({} ms)", .0.as_millis())]
    GuestTime(Duration),
    #[error("the policy computed for longer than {0} units of fuel, about an instruction each")]
    Fuel(u64),
    #[error("the run took longer than limits.run_time ({} ms)", .0.as_millis())]
    RunTime(Duration),
    #[error("the policy made more than limits.calls ({0}) calls")]
    Calls(u32),
    #[error("the policy passed more than limits.bytes_per_run ({0}) bytes to the host")]
    BytesPerRun(u64),
    #[error("the policy passed more than limits.bytes_per_call ({0}) bytes in one call")]
    BytesPerCall(u64),
    #[error("the policy needs more than limits.memory_bytes ({0})")]
    Memory(u64),
    #[error("the policy needs more than limits.table_elements ({0})")]
    TableElements(u64),
    #[error("the policy held more than limits.handles ({0}) handles")]
    Handles(u32),
    #[error("the policy needs more stack than limits.stack_bytes ({0})")]
    Stack(u64),
}

impl Exceeded {
    fn code(self) -> ErrorCode {
        match self {
            Self::GuestTime(_) | Self::Fuel(_) => ErrorCode::POLICY_DEADLINE,
            Self::RunTime(_) => ErrorCode::POLICY_RUN_TIMEOUT,
            Self::Calls(_) => ErrorCode::POLICY_CALLS,
            Self::BytesPerRun(_) | Self::BytesPerCall(_) => ErrorCode::POLICY_BYTES,
            Self::Memory(_) | Self::TableElements(_) => ErrorCode::POLICY_MEMORY,
            Self::Handles(_) => ErrorCode::POLICY_HANDLES,
            Self::Stack(_) => ErrorCode::POLICY_STACK,
        }
    }
}

impl From<Exceeded> for Fault {
    fn from(exceeded: Exceeded) -> Self {
        Self { code: exceeded.code(), message: exceeded.to_string() }
    }
}

/// The fault that ended a call into the guest.
pub(super) fn of_error(error: &wasmtime::Error, usage: &Usage, limits: &Limits) -> Fault {
    if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        return (*exceeded).into();
    }
    if is_hostcall_fuel(error) {
        return Exceeded::BytesPerCall(limits.bytes_per_call).into();
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return Exceeded::Handles(limits.handles).into();
    }
    if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
        let message = "all instances that limits allow are in use".to_owned();
        return Fault { code: ErrorCode::POLICY_UNAVAILABLE, message };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Exceeded::Stack(limits.stack_bytes).into(),
        // A guest that was refused memory usually aborts; the refusal is the cause.
        Some(trap) => usage.refused.map_or_else(|| trapped(trap.to_string()), Fault::from),
        None if error.downcast_ref::<I32Exit>().is_some() => trapped("the policy called exit".to_owned()),
        None => usage.refused.map_or_else(|| trapped(abi_message(error)), Fault::from),
    }
}

pub(super) fn is_out_of_fuel(error: &wasmtime::Error) -> bool {
    error.downcast_ref::<Trap>() == Some(&Trap::OutOfFuel)
}

/// No place among the concurrent runs came free.
pub(super) fn no_place(limits: &Limits) -> Fault {
    let waited = limits.run_time.as_millis();
    let message = format!("the run waited {waited} ms for a place among limits.concurrent_runs; try again later");
    Fault { code: ErrorCode::POLICY_UNAVAILABLE, message }
}

fn trapped(what: String) -> Fault {
    Fault { code: ErrorCode::POLICY_TRAP, message: format!("the policy trapped: {what}") }
}

/// The innermost cause: what broke the ABI, such as a bad pointer or an unknown handle. It is wasmtime's
/// text about the guest's own values, and goes to the platform only.
fn abi_message(error: &wasmtime::Error) -> String {
    crate::model::bounded_text(&error.root_cause().to_string(), 200)
}

/// wasmtime keeps the type of this error private, so its name is all there is to go by; the fixture
/// `giant_argument` fails when a new version renames it.
fn is_hostcall_fuel(error: &wasmtime::Error) -> bool {
    format!("{:?}", error.root_cause()) == "HostcallFuelExhausted"
}
