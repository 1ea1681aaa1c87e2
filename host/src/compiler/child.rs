//! The compiler's side: into the cage, then read, compile, write.

use std::io::{self, Read as _, Write as _};
use std::num::NonZeroUsize;

use super::cage::{self, THREADS};
use super::order::{BROKEN, CompileOrder, REJECTED, UNCAGED};
use crate::runtime::{CompileEngine, LoadError, SandboxError};

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Cage(#[from] cage::CageError),
    #[error(transparent)]
    Engine(#[from] SandboxError),
    #[error("cannot start threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    #[error("cannot read the component or write its code: {0}")]
    Pipe(#[from] io::Error),
    #[error("the component has more than {0} bytes")]
    TooLarge(u64),
    /// The parent puts the start of the sentence.
    #[error("{0}")]
    Component(String),
}

impl Failure {
    fn status(&self) -> u8 {
        match self {
            Self::Cage(_) => UNCAGED,
            Self::TooLarge(_) | Self::Component(_) => REJECTED,
            Self::Engine(_) | Self::Threads(_) | Self::Pipe(_) => BROKEN,
        }
    }
}

/// Compiles what is on stdin to stdout; the exit status, after saying on stderr what is wrong.
pub(super) fn run(order: &CompileOrder) -> u8 {
    match compile(order) {
        Ok(()) => 0,
        Err(failure) => {
            // Nobody may be there to read it.
            let _ = write!(io::stderr(), "{failure}");
            failure.status()
        }
    }
}

fn compile(order: &CompileOrder) -> Result<(), Failure> {
    cage::enter(order)?;
    start_threads()?;
    let component = component(order.component_bytes)?;
    let engine = if order.repeatable { CompileEngine::repeatable()? } else { CompileEngine::new()? };
    let code = engine.compile(&component).map_err(|error| match error {
        LoadError::Invalid(cause) | LoadError::Misfit(cause) | LoadError::Code(cause) => {
            Failure::Component(format!("{cause:#}"))
        }
    })?;
    let mut output = io::stdout().lock();
    output.write_all(engine.fingerprint().as_bytes())?;
    output.write_all(code.as_bytes())?;
    Ok(output.flush()?)
}

fn start_threads() -> Result<(), rayon::ThreadPoolBuildError> {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = processors.min(usize::try_from(THREADS).unwrap_or(1));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()
}

fn component(most: u64) -> Result<Vec<u8>, Failure> {
    let mut component = Vec::new();
    io::stdin().lock().take(most.saturating_add(1)).read_to_end(&mut component)?;
    if u64::try_from(component.len()).unwrap_or(u64::MAX) > most {
        return Err(Failure::TooLarge(most));
    }
    Ok(component)
}
