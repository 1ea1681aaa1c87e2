//! Plants bugs, and prints which of them the simulation finds. With a file, writes the table there.

use std::process::ExitCode;

use rtmanager_tests::kill_table::{rows, table};

fn main() -> ExitCode {
    match run() {
        Ok(whole) => ExitCode::from(u8::from(!whole)),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every bug was found.
fn run() -> anyhow::Result<bool> {
    let rows = rows()?;
    let table = table(&rows);
    match std::env::args_os().nth(1) {
        Some(file) => std::fs::write(file, table)?,
        None => print!("{table}"),
    }
    Ok(rows.iter().all(|row| row.found.is_some()))
}
