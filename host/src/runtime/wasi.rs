//! The WASI that policies get: it answers, since the runtimes of some languages ask at start, and it denies.
//! No files, no sockets, no names, no environment, no arguments, no standard streams; the host's clock.

use std::sync::Arc;
use std::time::Duration;

use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};

use crate::ports::Clock;
use crate::session::Session;

/// With `repeats`, what is random elsewhere follows from the run's id.
pub(super) fn deny_all(session: &Session, repeats: bool) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    if repeats {
        let seed = session.run().run_id.as_str().as_bytes().to_vec();
        builder
            .secure_random(Deterministic::new(seed.clone()))
            .insecure_random(Deterministic::new(seed))
            .insecure_random_seed(0);
    }
    builder
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(4096)
        .wall_clock(RunClock(session.clock()))
        .monotonic_clock(RunClock(session.clock()))
        .build()
}

struct RunClock(Arc<dyn Clock>);

impl HostWallClock for RunClock {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.0.now().as_micros())
    }
}

impl HostMonotonicClock for RunClock {
    fn resolution(&self) -> u64 {
        1_000
    }

    /// Never zero, which Go's runtime takes for a clock that does not work; in virtual time it begins there.
    fn now(&self) -> u64 {
        u64::try_from(self.0.monotonic().as_nanos()).unwrap_or(u64::MAX).saturating_add(1)
    }
}
