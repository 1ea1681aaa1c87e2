//! Compiles policies in a process of their own: a compiler is large, its input comes from strangers, and what a hostile
//! component can make of it shall be the loss of that one process. The process is this very program, in a cage.
//!
//! What comes back is machine code, which is trusted as the compiler is. The cage bounds what a component can do *to*
//! it; that it compiles right is Cranelift's word.

use std::path::PathBuf;
use std::time::Duration;

use crate::runtime::{CompiledCode, EngineFingerprint};

mod cage;
mod child;
mod code_cache;
mod loader;
mod order;
mod places;
mod process;
mod room;

pub use code_cache::{CacheError, CodeCache, CodeCacheOptions};
pub use loader::{LoadFailure, PolicyLoader};
pub use order::CompileOrder;
use places::Places;

/// Where Linux keeps the program that runs, even when its file was replaced since: the compiler is always of our build.
const OURSELVES: &str = "/proc/self/exe";

/// How components are compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompilerOptions {
    /// The program whose subcommand compiles: this one.
    pub program: PathBuf,
    /// Wall-clock time for one component.
    pub time: Duration,
    /// Address space of the compiler, in bytes.
    pub memory_bytes: u64,
    /// Components compiled at the same time; further ones wait. Of two or more, one is kept for what is to serve; of one,
    /// it has another besides.
    pub concurrency: usize,
    /// The largest component, in bytes.
    pub component_bytes: u64,
    /// The largest code, in bytes.
    pub code_bytes: u64,
    /// For sandboxes whose runs repeat themselves, as simulations need.
    pub repeatable: bool,
}

impl Default for CompilerOptions {
    fn default() -> Self {
        Self {
            program: OURSELVES.into(),
            time: Duration::from_secs(120),
            memory_bytes: 2 << 30,
            concurrency: 2,
            component_bytes: 32 << 20,
            code_bytes: 256 << 20,
            repeatable: false,
        }
    }
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It is no component, or uses what the sandbox turns off.
    #[error("this is not a component that the sandbox accepts: {0}")]
    Rejected(String),
    /// It takes too long.
    #[error("compiling it takes longer than admission.compile_time ({} ms)", .0.as_millis())]
    TooSlow(Duration),
    /// It needs too much memory, or the compiler broke.
    #[error(
        "the compiler ended by {ended}, as it does when it needs more than admission.compile_memory_bytes ({memory_bytes})"
    )]
    Broke {
        /// Its signal or exit status, and what it said.
        ended: String,
        /// What it may use.
        memory_bytes: u64,
    },
    /// It makes too much code.
    #[error("its machine code is larger than {0} bytes, the most that is taken of one component")]
    TooMuchCode(u64),
    /// The compiler could not be started.
    #[error("cannot start the compiler {}", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The compiler could not be confined, and so compiled nothing.
    #[error("the compiler cannot be confined on this machine, so nothing is compiled: {0}")]
    Uncaged(String),
    /// The compiler is of another build, or another program.
    #[error("the compiler {} is not of this build", .0.display())]
    Foreign(PathBuf),
}

impl CompileError {
    /// Whether the component is to blame, and not this machine.
    pub fn is_of_component(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::TooSlow(_) | Self::Broke { .. } | Self::TooMuchCode(_))
    }
}

/// What a component is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It is bound and is to serve.
    Serving,
    /// Somebody uploads it, or asks what it is.
    Examination,
}

/// Compiles components, a few at a time.
pub struct Compiler {
    options: CompilerOptions,
    places: Places,
}

impl Compiler {
    /// Starts nothing yet.
    pub fn new(options: CompilerOptions) -> Self {
        let places = Places::new(options.concurrency);
        Self { options, places }
    }

    /// Compiles a component for engines of this fingerprint. Waits for a place first, without a limit: those before it
    /// have theirs. What is to serve waits for no examination.
    pub async fn compile(
        &self,
        component: &[u8],
        engine: EngineFingerprint,
        purpose: Purpose,
    ) -> Result<CompiledCode, CompileError> {
        let _place = self.places.take(purpose).await;
        let options = &self.options;
        let compiled = tokio::time::timeout(options.time, process::compile(options, component));
        let mut output = compiled.await.unwrap_or(Err(CompileError::TooSlow(options.time)))?;
        let written_for = output.first_chunk().copied().map(EngineFingerprint::from);
        if written_for != Some(engine) {
            return Err(CompileError::Foreign(options.program.clone()));
        }
        Ok(CompiledCode::vouched_for(output.split_off(EngineFingerprint::BYTES)))
    }
}
