//! Removing a container: inspect, ask, and then go by the status and by inspecting again, never by a text.

use tokio::time::{Instant, sleep_until, timeout_at};

use super::client::{CallError, Client};
use super::{RemovalOptions, unavailable};
use crate::model::{ContainerId, ContainerState, Removal};
use crate::ports::EngineError;

/// The container is still there after all that could be done.
#[derive(Debug, thiserror::Error)]
#[error("the container is still there: {state}")]
struct StillThere {
    state: ContainerState,
    #[source]
    answer: Option<CallError>,
}

/// The engine could not be asked again before the time for it was over.
#[derive(Debug, thiserror::Error)]
#[error("the removal could not be followed to its end")]
struct NotFollowed(#[source] Option<CallError>);

/// What following a removal came to.
enum Found {
    Gone,
    Here(ContainerState),
    Unreadable(Option<CallError>),
}

pub(super) async fn remove(
    client: &Client,
    id: &ContainerId,
    options: &RemovalOptions,
) -> Result<Removal, EngineError> {
    let Some(found) = client.inspect(id).await.map_err(unavailable)? else { return Ok(Removal::AlreadyGone) };
    remove_from(client, id, options, found.container.state).await
}

/// Removes a container that was just seen in `state`.
pub(super) async fn remove_from(
    client: &Client,
    id: &ContainerId,
    options: &RemovalOptions,
    mut state: ContainerState,
) -> Result<Removal, EngineError> {
    if state == ContainerState::Removing {
        // Somebody else's removal. Should it fail, the container is dead and ours to remove again.
        match follow(client, id, options, being_removed).await {
            Found::Gone => return Ok(Removal::AlreadyGone),
            Found::Here(ContainerState::Removing) => return Err(still_there(ContainerState::Removing, None)),
            Found::Here(settled) => state = settled,
            Found::Unreadable(error) => return Err(EngineError::Unavailable(Box::new(NotFollowed(error)))),
        }
    }
    if !is_removable(&state) {
        return Err(EngineError::Refused(state));
    }
    match client.delete(id, options.anonymous_volumes).await {
        Ok(()) => Ok(Removal::Removed),
        Err(CallError::Absent) => Ok(Removal::AlreadyGone),
        Err(error) => after_failure(client, id, options, error).await,
    }
}

async fn after_failure(
    client: &Client,
    id: &ContainerId,
    options: &RemovalOptions,
    error: CallError,
) -> Result<Removal, EngineError> {
    let (found, if_gone) = match &error {
        CallError::Absent | CallError::NotSent(_) => return Err(unavailable(error)),
        // Refused, so if it goes now, it is by somebody else's removal.
        CallError::Answered { status: 400..=499, .. } => {
            (follow(client, id, options, being_removed).await, Removal::AlreadyGone)
        }
        // Failed, but perhaps not before the effect.
        CallError::Answered { .. } => (follow(client, id, options, being_removed).await, Removal::Removed),
        // The engine may still get to it: a hang-up does not cancel a removal.
        CallError::Lost(_) => (follow(client, id, options, not_live).await, Removal::Removed),
    };
    match found {
        Found::Gone => Ok(if_gone),
        Found::Here(state) if is_removable(&state) || being_removed(&state) => Err(still_there(state, Some(error))),
        Found::Here(state) => Err(EngineError::Refused(state)),
        Found::Unreadable(_) => Err(EngineError::Unknown(Box::new(NotFollowed(Some(error))))),
    }
}

/// Looks until the container is gone, or in a state that is not worth waiting in, or time is up. An
/// engine that does not answer may be restarting, so it is asked again until then.
///
/// Not by the engine's own wait for removal, which may answer before the container is gone.
async fn follow(
    client: &Client,
    id: &ContainerId,
    options: &RemovalOptions,
    worth_waiting: fn(&ContainerState) -> bool,
) -> Found {
    let deadline = Instant::now() + options.deadline;
    let longest_pause = options.poll * 16;
    let mut pause = options.poll;
    loop {
        let found = match timeout_at(deadline, client.inspect(id)).await {
            Ok(Ok(None)) => return Found::Gone,
            Ok(Ok(Some(found))) if !worth_waiting(&found.container.state) => return Found::Here(found.container.state),
            Ok(Ok(Some(found))) => Found::Here(found.container.state),
            Ok(Err(error)) => Found::Unreadable(Some(error)),
            Err(_) => return Found::Unreadable(None),
        };
        if Instant::now() + pause >= deadline {
            return found;
        }
        sleep_until(Instant::now() + pause).await;
        pause = (pause * 2).min(longest_pause);
    }
}

/// States in which removing kills nothing. One without a name here is not among them.
fn is_removable(state: &ContainerState) -> bool {
    matches!(state, ContainerState::Created | ContainerState::Exited | ContainerState::Dead)
}

fn being_removed(state: &ContainerState) -> bool {
    *state == ContainerState::Removing
}

fn not_live(state: &ContainerState) -> bool {
    is_removable(state) || being_removed(state)
}

fn still_there(state: ContainerState, answer: Option<CallError>) -> EngineError {
    EngineError::Unavailable(Box::new(StillThere { state, answer }))
}
