//! Arguments of the commands, read.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use super::super::Error;
use crate::config::parse_span;
use crate::model::{LimitOverrides, RolloutMode};
use crate::signing::Envelope;

/// `NAME=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    if name.is_empty() { Err("write it as NAME=VALUE") } else { Ok((name.to_owned(), value.to_owned())) }
}

/// A span such as `90s`.
pub(super) fn span(text: &str) -> Result<Duration, &'static str> {
    parse_span(text).ok_or("write a number with its unit, such as 500ms, 90s or 1h30m")
}

/// A part of the games, such as `5%`.
pub(super) fn canary(text: &str) -> Result<RolloutMode, &'static str> {
    let percent = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    percent.and_then(RolloutMode::of_percent).ok_or("write it as 5%, from 0.01% to 100%")
}

/// One limit, such as `calls=100`.
#[derive(Debug, Clone)]
pub(super) struct LimitArg(LimitOverrides);

pub(super) fn limit(text: &str) -> Result<LimitArg, String> {
    let (name, value) = pair(text)?;
    let mut limits = LimitOverrides::default();
    let wrong = || format!("{name} takes a whole number");
    match name.as_str() {
        "memory_bytes" => limits.memory_bytes = Some(value.parse().map_err(|_| wrong())?),
        "bytes_per_run" => limits.bytes_per_run = Some(value.parse().map_err(|_| wrong())?),
        "calls" => limits.calls = Some(value.parse().map_err(|_| wrong())?),
        "log_lines" => limits.log_lines = Some(value.parse().map_err(|_| wrong())?),
        "guest_time" => limits.guest_time = Some(span(&value)?),
        "run_time" => limits.run_time = Some(span(&value)?),
        _ => {
            return Err("is one of memory_bytes, guest_time, run_time, calls, bytes_per_run and log_lines".to_owned());
        }
    }
    Ok(LimitArg(limits))
}

/// All that were given; of one that was given twice, the last.
pub(super) fn limits(given: Vec<LimitArg>) -> LimitOverrides {
    given.into_iter().fold(LimitOverrides::default(), |all, LimitArg(one)| LimitOverrides {
        memory_bytes: one.memory_bytes.or(all.memory_bytes),
        guest_time: one.guest_time.or(all.guest_time),
        run_time: one.run_time.or(all.run_time),
        calls: one.calls.or(all.calls),
        bytes_per_run: one.bytes_per_run.or(all.bytes_per_run),
        log_lines: one.log_lines.or(all.log_lines),
    })
}

/// A file's bytes, `most` of them.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(Error::Usage(format!("{} is larger than {most} bytes", path.display())));
    }
    Ok(bytes)
}

/// A signature's file.
pub(super) fn envelope(path: &Path) -> Result<Envelope, Error> {
    let bytes = read(path, u64::try_from(Envelope::LONGEST).unwrap_or(u64::MAX))?;
    Envelope::parse(&bytes).map_err(|source| Error::Envelope { path: path.to_owned(), source })
}

/// Words for a shell, as one.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '@' | ':');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
