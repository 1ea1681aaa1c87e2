//! When a stopped container is due: at once when the platform's floor has passed, unless the settings of the
//! tenant's binding keep it longer.
//!
//! | setting | value | effect |
//! |---|---|---|
//! | `extra_retention_days` | whole days, 0 to 65535 | waits this long after the floor has passed |
//! | `keep_failed_days` | whole days, 0 to 65535 | a container with an exit code other than 0 waits until this long after it stopped |
//! | `protect_label` | `name=value` | a runtime with this label on its record is kept |
//!
//! Removing cannot be undone, so doubt keeps: a setting that is misspelt or has no such value, settings that
//! cannot be read and an exit code that cannot be learned all keep the container, with a reason that says so.

use alloc::string::String;

use crate::ports::{Clock, Docker, Settings};
use crate::types::{Advice, Candidate, Error, Timestamp};

const EXTRA_RETENTION: &str = "extra_retention_days";
const KEEP_FAILED: &str = "keep_failed_days";
const PROTECT_LABEL: &str = "protect_label";

const MICROS_PER_DAY: u64 = 86_400_000_000;

/// Whole days. Small enough that no sum of a timestamp and a span overflows.
#[derive(Debug, Default, Clone, Copy)]
struct Days(u16);

impl Days {
    fn after(self, start: Timestamp) -> Timestamp {
        start.saturating_add(u64::from(self.0) * MICROS_PER_DAY)
    }
}

/// A reason to keep.
type Reason = String;

#[derive(Debug, Default)]
struct Rules {
    extra_retention: Days,
    keep_failed: Days,
    protect_label: Option<(String, String)>,
}

/// Decides about one candidate.
pub fn review<P: Docker + Settings + Clock>(ports: &P, candidate: &Candidate) -> Advice {
    match decide(ports, candidate) {
        Ok(due_at) if due_at > ports.now() => Advice::WaitUntil(due_at),
        Ok(_) => Advice::Due,
        Err(reason) => Advice::Keep(reason),
    }
}

fn decide<P: Docker + Settings + Clock>(ports: &P, candidate: &Candidate) -> Result<Timestamp, Reason> {
    let rules = Rules::read(ports)?;
    if let Some((name, value)) = &rules.protect_label
        && candidate.runtime.labels.iter().any(|label| label.0 == *name && label.1 == *value)
    {
        return Err(["label ", name, "=", value, " protects it"].concat());
    }
    let due_at = rules.extra_retention.after(candidate.floor_passed_at);
    Ok(due_at.max(failed_until(ports, candidate, rules.keep_failed)?))
}

/// Until when the container is kept because it failed. Asks the engine only if the answer matters.
fn failed_until<P: Docker + Clock>(ports: &P, candidate: &Candidate, keep: Days) -> Result<Timestamp, Reason> {
    let stopped_at = candidate.runtime.stopped_at.unwrap_or(candidate.floor_passed_at);
    let until = keep.after(stopped_at);
    let Some(container) = &candidate.runtime.container_id else { return Ok(stopped_at) };
    if keep.0 == 0 || until <= ports.now() {
        return Ok(stopped_at);
    }
    match ports.inspect(container) {
        Ok(container) if container.exit_code.is_some_and(|code| code != 0) => Ok(until),
        Ok(_) | Err(Error::NotFound) => Ok(stopped_at),
        Err(_) => Err("keep_failed_days is set and the engine does not tell the exit code".into()),
    }
}

impl Rules {
    fn read<P: Settings>(ports: &P) -> Result<Self, Reason> {
        let settings = ports.all().map_err(|_| "the policy's settings cannot be read")?;
        let mut rules = Self::default();
        for (name, value) in &settings {
            match name.as_str() {
                EXTRA_RETENTION => rules.extra_retention = days(name, value)?,
                KEEP_FAILED => rules.keep_failed = days(name, value)?,
                PROTECT_LABEL => rules.protect_label = Some(label(name, value)?),
                _ => return Err(unknown(name)),
            }
        }
        Ok(rules)
    }
}

fn days(name: &str, value: &str) -> Result<Days, Reason> {
    let days = value.parse().map_err(|_| malformed(name, value, "whole days from 0 to 65535, such as 7"))?;
    Ok(Days(days))
}

fn label(name: &str, value: &str) -> Result<(String, String), Reason> {
    match value.split_once('=') {
        Some((label, expected)) if !label.is_empty() => Ok((label.into(), expected.into())),
        _ => Err(malformed(name, value, "name=value, such as env=prod")),
    }
}

fn malformed(name: &str, value: &str, right: &str) -> Reason {
    ["setting ", name, " must be ", right, "; it is \"", value, "\""].concat()
}

fn unknown(name: &str) -> Reason {
    ["known settings are ", EXTRA_RETENTION, ", ", KEEP_FAILED, " and ", PROTECT_LABEL, "; not ", name].concat()
}
