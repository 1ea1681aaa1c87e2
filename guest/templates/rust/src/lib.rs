//! {{name}}: keeps containers that failed for longer than others, so that somebody can look at them.
//!
//! | setting | value | effect |
//! |---|---|---|
//! | `keep_failed_days` | whole days; 7 if it is not set | a container with an exit code other than 0 is kept this long after it stopped |
//!
//! A policy answers two questions. *When* is a stopped container due? That is [`Policy::review`], in this file: change
//! it to your liking. *How* is it removed? That is [`Policy::handle`], in `cleanup.rs`: it can stay as it is.
//!
//! What all the types and functions mean stands in `wit/`.

wit_bindgen::generate!({ path: "wit", world: "lifecycle-policy", generate_all });

use exports::galaxy::rtmanager::cleanup::{Guest as Cleanup, Request, Verdict};
use exports::galaxy::rtmanager::retention::{Advice, Candidate, Guest as Retention};
use galaxy::rtmanager::types::{Error, Timestamp};
use galaxy::rtmanager::{clock, docker};
use wasi::config::store;

mod cleanup;
mod panics;

const MICROS_PER_DAY: u64 = 86_400_000_000;

/// Nothing is kept between two runs, so there is nothing in it.
struct Policy;

export!(Policy);

impl Retention for Policy {
    /// Is it due? The platform's own retention is over already: a policy can only keep longer.
    fn review(candidate: Candidate) -> Advice {
        panics::tell();
        match due_at(&candidate) {
            Ok(due_at) if due_at > clock::now() => Advice::WaitUntil(due_at),
            Ok(_) => Advice::Due,
            Err(reason) => Advice::Keep(reason),
        }
    }
}

impl Cleanup for Policy {
    fn handle(request: Request) -> Verdict {
        panics::tell();
        cleanup::handle(&request)
    }
}

/// When it is due, or a reason to keep it. Removing cannot be undone, so what is unclear is kept.
fn due_at(candidate: &Candidate) -> Result<Timestamp, String> {
    let days = keep_failed_days()?;
    let stopped_at = candidate.runtime.stopped_at.unwrap_or(candidate.floor_passed_at);
    let Some(container) = &candidate.runtime.container_id else {
        return Ok(candidate.floor_passed_at);
    };
    match docker::inspect(container) {
        Ok(container) if container.exit_code.is_some_and(|code| code != 0) => Ok(stopped_at + days * MICROS_PER_DAY),
        Ok(_) | Err(Error::NotFound) => Ok(candidate.floor_passed_at),
        Err(_) => Err("the engine does not tell how the container ended".to_owned()),
    }
}

/// What the tenant's binding sets.
fn keep_failed_days() -> Result<u64, String> {
    let setting = store::get("keep_failed_days").map_err(|_| "the settings cannot be read".to_owned())?;
    let Some(days) = setting else { return Ok(7) };
    let days: u16 = days.parse().map_err(|_| format!("keep_failed_days is \"{days}\", not a number of days"))?;
    Ok(days.into())
}
