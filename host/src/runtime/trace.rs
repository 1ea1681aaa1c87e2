//! How a run ended, for the author of its policy: what it used up, and the functions in which it trapped. The platform is
//! told a code and a sentence only, since functions are the author's.

use wasmtime::{FrameInfo, Store, WasmBacktrace};

use super::store::RunState;
use crate::session::{Ending, Frame};

/// Tells whoever stands beside the run.
pub(super) fn tell(store: &Store<RunState>, fuel: Option<u64>, error: Option<&wasmtime::Error>) {
    let Some(onlooker) = store.data().session.onlooker() else { return };
    let left = store.get_fuel().ok();
    let backtrace = error.and_then(|error| error.downcast_ref::<WasmBacktrace>());
    onlooker.ended(Ending {
        fuel: fuel.zip(left).map(|(given, left)| given.saturating_sub(left)),
        memory_bytes: store.data().usage.memory_bytes,
        frames: backtrace.map(|trace| trace.frames().iter().map(frame).collect()).unwrap_or_default(),
    });
}

fn frame(info: &FrameInfo) -> Frame {
    Frame {
        // Without the hash that a compiler adds.
        function: info.func_name().map(|name| format!("{:#}", rustc_demangle::demangle(name))),
        module: info.module().name().map(ToOwned::to_owned),
        offset: info.module_offset(),
    }
}
