//! What the parent tells its compiler on the command line, and how the compiler tells by its exit status how it went.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::CompilerOptions;
use super::cage::THREADS;

/// The subcommand; hidden, since nobody has a use for it but the parent.
pub(super) const SUBCOMMAND: &str = "compile-policy";

/// The component is at fault; stderr says how.
pub(super) const REJECTED: u8 = 10;
/// The cage could not be closed; nothing was read.
pub(super) const UNCAGED: u8 = 11;
/// The parent's end of a pipe is gone, or the like.
pub(super) const BROKEN: u8 = 12;

/// Compiles the component on stdin, in a cage.
#[derive(Debug, Clone, Args)]
pub struct CompileOrder {
    /// Address space
    #[arg(long)]
    pub(super) memory_bytes: u64,
    /// CPU time, of all threads
    #[arg(long)]
    pub(super) cpu_seconds: u64,
    /// The largest component
    #[arg(long)]
    pub(super) component_bytes: u64,
    /// For runs that repeat themselves
    #[arg(long)]
    pub(super) repeatable: bool,
}

impl CompileOrder {
    pub(super) fn arguments(options: &CompilerOptions) -> impl Iterator<Item = String> {
        // The wall clock is the parent's to watch; this ends a compiler whose parent is gone.
        let time = options.time.saturating_mul(THREADS).saturating_add(Duration::from_secs(1));
        let arguments = [
            SUBCOMMAND.to_owned(),
            format!("--memory-bytes={}", options.memory_bytes),
            format!("--cpu-seconds={}", time.as_secs()),
            format!("--component-bytes={}", options.component_bytes),
        ];
        arguments.into_iter().chain(options.repeatable.then(|| "--repeatable".to_owned()))
    }

    /// Compiles, and ends with a status that the parent knows. To be called in a process of one thread: the cage holds
    /// this thread, and those that it starts.
    pub fn carry_out(&self) -> ExitCode {
        ExitCode::from(super::child::run(self))
    }
}
