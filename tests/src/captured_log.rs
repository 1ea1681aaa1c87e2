//! What the host logs, for tests that read it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once, PoisonError};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// The lines that were logged on this thread while the guard lived.
#[derive(Clone, Default)]
pub struct CapturedLog(Arc<Mutex<Vec<u8>>>);

/// Captures what this thread logs from now on. Runs of a current-thread runtime stay on their thread.
pub fn captured_log() -> (DefaultGuard, CapturedLog) {
    // While nobody listens, a line that another test logs first is switched off for all, and may stay so for a moment
    // after this one listens. So somebody always does.
    static SOMEBODY: Once = Once::new();
    SOMEBODY.call_once(|| {
        // A test that has set one of its own has somebody.
        let _set = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    });
    let log = CapturedLog::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    (tracing::subscriber::set_default(subscriber), log)
}

impl CapturedLog {
    /// The lines so far.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for CapturedLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for CapturedLog {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
