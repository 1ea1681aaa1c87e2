//! How a stopped container is removed: lease, record, container, record, entry, in this order.
//!
//! Whatever happens on the way, a run writes one entry and then gives its lease back. Neither step can
//! change the outcome: if one fails, the host has seen it and logs it.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::ports::{Docker, Lease, OpLog, Records};
use crate::types::{Entry, Error, Outcome, Request, RuntimeRecord, Status, Verdict};

const OP_SOURCES: [&str; 4] = ["admin_rest", "auto_ttl", "cli", "reconciler"];

/// The longest part of an unknown op source that a message repeats, in characters.
const SHOWN_SOURCE: usize = 64;

/// Why a run failed.
#[derive(Debug)]
struct Failure {
    code: &'static str,
    message: String,
}

impl Failure {
    fn new<const N: usize>(code: &'static str, message: [&str; N]) -> Self {
        Self { code, message: message.concat() }
    }

    fn conflict<const N: usize>(message: [&str; N]) -> Self {
        Self::new("conflict", message)
    }

    fn not_found<const N: usize>(message: [&str; N]) -> Self {
        Self::new("not_found", message)
    }

    fn unavailable<const N: usize>(message: [&str; N]) -> Self {
        Self::new("service_unavailable", message)
    }

    fn internal<const N: usize>(message: [&str; N]) -> Self {
        Self::new("internal_error", message)
    }

    /// The same whichever call was refused: the game is held, or the lease is gone. None for other errors.
    fn refused(game: &str, error: &Error) -> Option<Self> {
        match error {
            Error::LeaseLost => Some(Self::conflict(["the lease of game ", game, " was lost; try again"])),
            Error::Denied(rule) if rule == "held" => Some(Self::conflict(["an operator holds game ", game])),
            _ => None,
        }
    }
}

/// How a run that did not fail ended.
#[derive(Debug, Clone, Copy)]
enum Done {
    /// This run removed the container, and said so in the record.
    Cleaned,
    /// The record says `removed`, by somebody else's doing or an earlier attempt's.
    AlreadyRemoved,
}

/// The container that the entry names: the record's own as it was first read.
#[derive(Debug, Default)]
struct Subject {
    container: Option<String>,
    image: Option<String>,
}

/// Cleans up this run's game.
pub fn handle<P: Records + Docker + OpLog>(ports: &P, request: &Request) -> Verdict {
    if let Err(failure) = validate(request) {
        return conclude(ports, Err(failure), Subject::default());
    }
    let game = request.game_id.as_str();
    let lease = match acquire(ports, game) {
        Ok(lease) => lease,
        Err(failure) => return conclude(ports, Err(failure), Subject::default()),
    };
    let mut subject = Subject::default();
    let result = run_under_lease(ports, &lease, game, &mut subject);
    let verdict = conclude(ports, result, subject);
    // The host logs a lease that it could not give back; it ends by its time to live.
    let _ = lease.release();
    verdict
}

fn validate(request: &Request) -> Result<(), Failure> {
    if request.game_id.trim().is_empty() {
        return Err(Failure::new("invalid_request", ["the game id is blank"]));
    }
    if !OP_SOURCES.contains(&request.op_source.as_str()) {
        let shown: String = request.op_source.chars().take(SHOWN_SOURCE).collect();
        let known = OP_SOURCES.join(", ");
        return Err(Failure::new("invalid_request", ["op source \"", &shown, "\" is not one of ", &known]));
    }
    Ok(())
}

fn acquire<P: Records>(ports: &P, game: &str) -> Result<P::Lease, Failure> {
    match ports.try_acquire() {
        Ok(Some(lease)) => Ok(lease),
        Ok(None) => Err(Failure::conflict(["another operation on game ", game, " is under way"])),
        Err(Error::Denied(rule)) if rule == "invalid-request" => Err(Failure::new(
            "invalid_request",
            ["the game id is not valid: 1 to 256 bytes, not blank, without control characters"],
        )),
        Err(error) => Err(Failure::refused(game, &error)
            .unwrap_or_else(|| Failure::unavailable(["no lease for game ", game, ": ", cause(&error)]))),
    }
}

fn run_under_lease<P: Records + Docker>(
    ports: &P,
    lease: &P::Lease,
    game: &str,
    subject: &mut Subject,
) -> Result<Done, Failure> {
    let RuntimeRecord { status, container_id, image_ref, .. } = ports.get().map_err(|error| unloaded(game, &error))?;
    if let Status::Other(status) = &status {
        return Err(Failure::internal(["runtime of game ", game, " has unknown status \"", status, "\""]));
    }
    *subject = Subject { container: container_id, image: image_ref };
    match status {
        Status::Removed => return Ok(Done::AlreadyRemoved),
        Status::Running => return Err(Failure::conflict(["runtime of game ", game, " is running; stop it first"])),
        Status::Stopped | Status::Other(_) => {}
    }
    let container = subject.container.as_deref();
    if let Some(container) = container
        && let Some(done) = remove(ports, lease, game, container)?
    {
        return Ok(done);
    }
    mark_removed(ports, lease, game, container)
}

fn unloaded(game: &str, error: &Error) -> Failure {
    match error {
        Error::NotFound => Failure::not_found(["game ", game, " has no runtime record"]),
        _ => Failure::internal(["runtime record of game ", game, " cannot be loaded: ", cause(error)]),
    }
}

/// None if the container is gone now; else how the cleanup has ended, since another one did its work.
fn remove<P: Docker + Records>(
    ports: &P,
    lease: &P::Lease,
    game: &str,
    container: &str,
) -> Result<Option<Done>, Failure> {
    let error = match ports.remove(lease, container) {
        Ok(_) => return Ok(None),
        Err(Error::NotFound) => return Err(vanished(game)),
        Err(error) => error,
    };
    if let Some(failure) = Failure::refused(game, &error) {
        return Err(failure);
    }
    Err(match &error {
        Error::Conflict if is_removed(ports) => return Ok(Some(Done::AlreadyRemoved)),
        Error::Conflict => Failure::conflict([
            "container ",
            container,
            " runs, restarts or is paused though the record says stopped, or the record changed; stop it first",
        ]),
        Error::Denied(rule) if rule == "owner-mismatch" => {
            Failure::conflict(["the labels of container ", container, " name another owner or game than the record"])
        }
        Error::Denied(rule) => Failure::internal(["the host refused to remove container ", container, ": ", rule]),
        _ => Failure::unavailable(["container ", container, " could not be removed: ", cause(&error)]),
    })
}

fn mark_removed<P: Records>(ports: &P, lease: &P::Lease, game: &str, container: Option<&str>) -> Result<Done, Failure> {
    let error = match ports.update_status(lease, &Status::Stopped, container, &Status::Removed) {
        Ok(()) => return Ok(Done::Cleaned),
        Err(error) => error,
    };
    if let Some(failure) = Failure::refused(game, &error) {
        return Err(failure);
    }
    match &error {
        Error::NotFound => Err(vanished(game)),
        Error::Conflict => after_conflict(ports, game),
        // Whose write it was cannot be told; the record says what matters.
        Error::OutcomeUnknown if is_removed(ports) => Ok(Done::AlreadyRemoved),
        Error::Denied(rule) => Err(Failure::internal(["the host refused to mark game ", game, " removed: ", rule])),
        _ => Err(Failure::internal(["runtime record of game ", game, " could not be updated: ", cause(&error)])),
    }
}

/// The record changed between reading and writing. That is a replay only if it changed to `removed`: in any
/// other state its container may be another one, and alive.
fn after_conflict<P: Records>(ports: &P, game: &str) -> Result<Done, Failure> {
    match ports.get() {
        Ok(RuntimeRecord { status: Status::Removed, .. }) => Ok(Done::AlreadyRemoved),
        Err(Error::NotFound) => Err(vanished(game)),
        _ => Err(Failure::conflict(["runtime of game ", game, " changed during its cleanup; look at it again"])),
    }
}

fn is_removed<P: Records>(ports: &P) -> bool {
    matches!(ports.get(), Ok(RuntimeRecord { status: Status::Removed, .. }))
}

fn vanished(game: &str) -> Failure {
    Failure::not_found(["runtime record of game ", game, " vanished during its cleanup"])
}

/// What the host said, for people.
fn cause(error: &Error) -> &str {
    match error {
        Error::NotFound => "not found",
        Error::Conflict => "its state is not the expected one",
        Error::LeaseLost => "the lease was lost",
        Error::OutcomeUnknown => "the answer was lost",
        Error::Denied(text) | Error::Unavailable(text) | Error::Internal(text) => text,
    }
}

fn conclude<P: OpLog>(ports: &P, result: Result<Done, Failure>, subject: Subject) -> Verdict {
    let (outcome, error_code, message) = match result {
        Ok(Done::Cleaned) => (Outcome::Success, None, None),
        Ok(Done::AlreadyRemoved) => (Outcome::Success, Some("replay_no_op"), None),
        Err(Failure { code, message }) => (Outcome::Failure, Some(code), Some(message)),
    };
    let error_code = error_code.map(ToOwned::to_owned);
    let Subject { container: container_id, image: image_ref } = subject;
    let entry = Entry { outcome, error_code, message, container_id, image_ref };
    // The host logs an entry that it could not store, with its fields.
    let _ = ports.append(&entry);
    Verdict { outcome, error_code: entry.error_code, message: entry.message }
}
