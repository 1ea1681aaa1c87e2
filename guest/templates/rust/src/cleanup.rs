//! How a stopped container is removed: lease, record, container, record, entry, lease, in this order.
//!
//! The host checks every step and refuses what breaks its rules, so nothing here can harm another game or a container
//! that runs. Whatever happens, a run writes one entry and gives its lease back.

use crate::exports::galaxy::rtmanager::cleanup::{Request, Verdict};
use crate::galaxy::rtmanager::leases::{self, Lease};
use crate::galaxy::rtmanager::op_log::{self, Entry};
use crate::galaxy::rtmanager::records::{self, RuntimeRecord};
use crate::galaxy::rtmanager::types::{Error, Outcome, Status};
use crate::galaxy::rtmanager::docker;

const OP_SOURCES: [&str; 4] = ["admin_rest", "auto_ttl", "cli", "reconciler"];

/// How a run ended well.
enum Done {
    Removed,
    /// Somebody else, or an earlier attempt, had done the work.
    AlreadyRemoved,
}

/// Why it did not: a code for programs, a message for people.
struct Failure {
    code: &'static str,
    message: String,
}

type Ended = Result<Done, Failure>;

pub fn handle(request: &Request) -> Verdict {
    if !OP_SOURCES.contains(&request.op_source.as_str()) {
        return conclude(failed("invalid_request", "nobody known asks for it"), None);
    }
    let lease = match leases::try_acquire() {
        Ok(Some(lease)) => lease,
        Ok(None) => return conclude(failed("conflict", "another operation on the game is under way"), None),
        Err(error) => return conclude(because(&error, "service_unavailable", "no lease could be taken"), None),
    };
    let record = records::get();
    let ended = match &record {
        Ok(record) => clean_up(&lease, record),
        Err(error) => because(error, "internal_error", "the record could not be loaded"),
    };
    let verdict = conclude(ended, record.ok());
    // It ends by its time to live if the host cannot give it back.
    let _ = lease.release();
    verdict
}

fn clean_up(lease: &Lease, record: &RuntimeRecord) -> Ended {
    match record.status {
        Status::Stopped => {}
        Status::Removed => return Ok(Done::AlreadyRemoved),
        Status::Running => return failed("conflict", "the runtime is running; stop it first"),
        Status::Other(_) => return failed("internal_error", "the record has a status that this policy does not know"),
    }
    let container = record.container_id.as_deref();
    if let Some(container) = container
        && let Err(error) = docker::remove(lease, container)
    {
        return settled(&error, "service_unavailable", "the container was not removed");
    }
    match records::update_status(lease, &Status::Stopped, container, &Status::Removed) {
        Ok(()) => Ok(Done::Removed),
        Err(error) => settled(&error, "internal_error", "the record was not updated"),
    }
}

/// A call failed. If the record says `removed` now, the work was done all the same.
fn settled(error: &Error, otherwise: &'static str, message: &str) -> Ended {
    let changed = matches!(error, Error::Conflict | Error::OutcomeUnknown);
    match records::get() {
        Ok(RuntimeRecord { status: Status::Removed, .. }) if changed => Ok(Done::AlreadyRemoved),
        _ => because(error, otherwise, message),
    }
}

fn because(error: &Error, otherwise: &'static str, message: &str) -> Ended {
    match error {
        Error::NotFound => failed("not_found", message),
        Error::Conflict | Error::LeaseLost => failed("conflict", message),
        Error::Denied(rule) if rule == "held" => failed("conflict", "an operator holds the game"),
        Error::Denied(rule) if rule == "owner-mismatch" => failed("conflict", "the container's labels name another owner"),
        _ => failed(otherwise, message),
    }
}

fn failed(code: &'static str, message: &str) -> Ended {
    Err(Failure { code, message: message.to_owned() })
}

/// The run's last word, in the log and to the caller.
fn conclude(ended: Ended, record: Option<RuntimeRecord>) -> Verdict {
    let (outcome, error_code, message) = match ended {
        Ok(Done::Removed) => (Outcome::Success, None, None),
        Ok(Done::AlreadyRemoved) => (Outcome::Success, Some("replay_no_op".to_owned()), None),
        Err(Failure { code, message }) => (Outcome::Failure, Some(code.to_owned()), Some(message)),
    };
    let (container_id, image_ref) = record.map_or((None, None), |record| (record.container_id, record.image_ref));
    let entry = Entry { outcome, error_code, message, container_id, image_ref };
    // The host has seen it if this fails, and logs the entry itself.
    let _ = op_log::append(&entry);
    Verdict { outcome, error_code: entry.error_code, message: entry.message }
}
