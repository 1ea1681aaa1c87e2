//! Where TOML is read that people write.

use std::thread;

/// Tables in one another, each under a key of many parts, are some 6,400 levels; each takes its place on the stack when it
/// is read and when it is let go. Only what is used is memory.
const STACK: usize = 256 << 20;

/// Nothing came of the work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    /// This system gives no thread.
    #[error("it cannot be read now: {0}")]
    Thread(#[from] std::io::Error),
    /// The work panicked.
    #[error("it cannot be read: its parser panicked")]
    Panicked,
}

/// Does the work where a document of whatever depth can be read. What overflows a stack ends the process.
pub(crate) fn on_a_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Unread> {
    thread::scope(|scope| {
        let working = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work)?;
        working.join().map_err(|_| Unread::Panicked)
    })
}
