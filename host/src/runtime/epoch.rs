//! The heartbeat that ends runs which compute for too long. One thread for each engine, started with it and
//! ended with it, under no condition whatever: a ticker that somebody may forget to start is no limit.

use std::io;
use std::thread;
use std::time::Duration;

use wasmtime::EngineWeak;

/// How often a run that computes is looked at.
const TICK: Duration = Duration::from_millis(5);

/// Ticks for as long as anybody holds the engine, and so for as long as any of its policies can run.
pub(super) fn tick(engine: EngineWeak) -> io::Result<()> {
    let ticker = thread::Builder::new().name("epoch-ticker".to_owned());
    ticker.spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    })?;
    Ok(())
}
