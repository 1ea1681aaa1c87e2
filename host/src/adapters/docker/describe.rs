//! The engine's answers in our words. What an answer lacks or garbles is an error, never a default that
//! a decision could rest on.

use serde::Deserialize;

use crate::model::{Container, ContainerId, ContainerState, Labels, Timestamp};

/// Podman's word for a container whose process has ended and that it has not tidied up after.
const STOPPED: &str = "stopped";

/// The engine's description of a container, as far as it is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    id: Option<String>,
    name: Option<String>,
    created: Option<String>,
    image: Option<String>,
    state: Option<Run>,
    config: Option<Config>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Run {
    status: Option<String>,
    exit_code: Option<i64>,
    started_at: Option<String>,
    finished_at: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: Option<String>,
    labels: Option<Labels>,
}

/// A container in a listing. What it is doing is asked of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    id: Option<String>,
    labels: Option<Labels>,
}

/// An answer that lacks something, or says something else than was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine's answer has no usable {0}")]
pub(super) struct Malformed(&'static str);

/// A container, and the image whose labels are mixed into its own.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) container: Container,
    /// Immutable: the digest of the image's configuration.
    pub(super) image_id: String,
}

pub(super) fn container(asked: &ContainerId, answer: Inspected) -> Result<Described, Malformed> {
    // The engine would resolve a name or prefix; that it described the one asked for is checked, not assumed.
    let id = answer.id.and_then(|id| id.parse::<ContainerId>().ok()).filter(|id| id == asked);
    let id = id.ok_or(Malformed("container id"))?;
    let run = answer.state.ok_or(Malformed("state"))?;
    let state = run.status.as_deref().filter(|status| !status.is_empty()).map(state).ok_or(Malformed("status"))?;
    let finished_at = time(run.finished_at.as_deref(), "finish time")?;
    let config = answer.config.ok_or(Malformed("configuration"))?;
    let container = Container {
        id,
        name: answer.name.as_deref().map(|name| name.trim_start_matches('/')).unwrap_or_default().to_owned(),
        exit_code: exit_code(&run, &state, finished_at),
        state,
        created_at: time(answer.created.as_deref(), "creation time")?,
        started_at: time(run.started_at.as_deref(), "start time")?,
        finished_at,
        image: config.image.unwrap_or_default(),
        labels: config.labels.unwrap_or_default(),
    };
    Ok(Described { container, image_id: answer.image.ok_or(Malformed("image id"))? })
}

pub(super) fn listed(found: Listed) -> Result<(ContainerId, Labels), Malformed> {
    let id = found.id.and_then(|id| id.parse().ok()).ok_or(Malformed("container id"))?;
    Ok((id, found.labels.unwrap_or_default()))
}

fn state(status: &str) -> ContainerState {
    if status == STOPPED { ContainerState::Exited } else { ContainerState::from_text(status) }
}

/// The engine says 0 for containers that never ran or still do.
fn exit_code(run: &Run, state: &ContainerState, finished_at: Option<Timestamp>) -> Option<i64> {
    let ended = finished_at.is_some() && !matches!(state, ContainerState::Running | ContainerState::Paused);
    run.exit_code.filter(|_| ended)
}

/// The year 1 stands for "never".
fn time(text: Option<&str>, what: &'static str) -> Result<Option<Timestamp>, Malformed> {
    match text {
        None | Some("") => Ok(None),
        Some(text) if text.starts_with("0001-01-01T") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Malformed(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: &str) -> ContainerId {
        digit.repeat(64).parse().unwrap()
    }

    fn answer(state: &str, finished_at: &str) -> Inspected {
        serde_json::from_value(serde_json::json!({
            "Id": "a".repeat(64), "Name": "/web", "Created": "2026-01-31T12:00:00.123456789Z", "Image": "sha256:1",
            "State": { "Status": state, "ExitCode": 7, "StartedAt": "2026-01-31T12:00:01Z", "FinishedAt": finished_at },
            "Config": { "Image": "web:1", "Labels": { "z": "1", "a": "2" } },
        }))
        .unwrap()
    }

    #[test]
    fn an_exited_container_keeps_its_times_to_the_microsecond() {
        let found = container(&id("a"), answer("exited", "2026-01-31T12:00:02Z")).unwrap().container;
        assert_eq!(found.name, "web");
        assert_eq!(found.state, ContainerState::Exited);
        assert_eq!(found.exit_code, Some(7));
        assert_eq!(found.created_at.unwrap().to_string(), "2026-01-31T12:00:00.123456Z");
        assert_eq!(found.finished_at.unwrap().to_string(), "2026-01-31T12:00:02Z");
        assert_eq!(found.labels.keys().collect::<Vec<_>>(), ["a", "z"]);
    }

    #[test]
    fn a_container_that_podman_calls_stopped_has_ended_and_one_in_a_state_unheard_of_is_described_as_that() {
        let described = |status| container(&id("a"), answer(status, "2026-01-31T12:00:00Z")).unwrap().container;
        let stopped = described("stopped");
        assert_eq!((stopped.state, stopped.exit_code), (ContainerState::Exited, Some(7)));
        assert_eq!(described("initialized").state, ContainerState::Other("initialized".to_owned()));
    }

    #[test]
    fn year_one_means_never() {
        let found = container(&id("a"), answer("created", "0001-01-01T00:00:00Z")).unwrap().container;
        assert_eq!((found.finished_at, found.exit_code), (None, None));
    }

    #[test]
    fn a_running_container_has_no_exit_code_even_if_it_ended_before() {
        let found = container(&id("a"), answer("running", "2026-01-31T12:00:00Z")).unwrap().container;
        assert_eq!(found.exit_code, None);
    }

    #[test]
    fn another_container_than_the_one_asked_for_is_refused() {
        let error = container(&id("b"), answer("exited", "")).unwrap_err();
        assert_eq!(error, Malformed("container id"));
    }

    #[test]
    fn a_garbled_time_is_an_error_and_not_never() {
        let error = container(&id("a"), answer("exited", "yesterday")).unwrap_err();
        assert_eq!(error.to_string(), "the engine's answer has no usable finish time");
    }
}
