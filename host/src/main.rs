//! rtmanager's command line: parse, compose, run.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use rtmanager::cli::{self, Cli};
use rtmanager::config::Environment;

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    if let Some(order) = cli.compile_order() {
        return Ok(order.carry_out());
    }
    let environment = Environment::of_process();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // A policy that computes takes a thread, and timers need another.
    if std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1) {
        runtime.worker_threads(2);
    }
    let runtime = runtime.enable_all().build()?;
    let answer = match runtime.block_on(cli::run(cli, environment)) {
        Ok(answer) => answer,
        Err(error) => return Ok(cli::report(&error)),
    };
    // Whoever reads us may have read enough: `rtmanager operations | head`.
    match io::stdout().write_all(answer.text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::from(answer.status)),
    }
}
