//! What a container says about itself by its labels and its state.

use super::claims::Verdict;
use crate::model::{
    Container, ContainerState, EngineName, GameId, LiveStatus, Registration, RuntimeRecord, Status, bounded_text,
};
use crate::ownership::LabelNames;

/// Longest part of a label's value in a reason: it is untrusted.
const SHOWN: usize = 80;

/// The one claim to a game, as the record that it would make.
pub(super) struct Claim {
    pub(super) registration: Registration,
}

/// The game that a container names.
pub(super) fn game(container: &Container, names: &LabelNames) -> Result<GameId, String> {
    label(container, &names.game)?.parse().map_err(|error| bounded_text(&format!("{error}"), SHOWN * 3))
}

fn label<'a>(container: &'a Container, name: &str) -> Result<&'a str, String> {
    container.labels.get(name).map(String::as_str).ok_or_else(|| format!("it has no label {name} of its own"))
}

impl Claim {
    pub(super) fn new(
        game: &GameId,
        container: &Container,
        engine: &EngineName,
        names: &LabelNames,
    ) -> Result<Self, String> {
        let tenant = label(container, &names.tenant)?;
        let tenant = tenant.parse().map_err(|error| bounded_text(&format!("{error}"), SHOWN * 3))?;
        let status = status(&container.state)?;
        let registration = Registration {
            game_id: game.clone(),
            tenant,
            engine: engine.clone(),
            status,
            container_id: Some(container.id.clone()),
            image_ref: Some(container.image.clone()).filter(|image| !image.is_empty()),
            labels: Some(container.labels.clone()),
            started_at: container.started_at,
            // One that never ran has been idle since it was made.
            stopped_at: match status {
                LiveStatus::Running => None,
                LiveStatus::Stopped => container.finished_at.or(container.created_at),
            },
        };
        Ok(Self { registration })
    }

    /// Whether the engine tells news about the record's container, or has another for it.
    pub(super) fn against(&self, record: &RuntimeRecord) -> Verdict {
        let mut told = self.registration.clone();
        if told.container_id != record.container_id {
            return Verdict::Refresh(told);
        }
        let both_stopped = told.status == LiveStatus::Stopped && record.status == Status::Stopped;
        if both_stopped && !self.ran_since(record) {
            // When it stopped is the platform's word, where there is one.
            told.stopped_at = record.stopped_at.or(told.stopped_at);
        }
        let same = Status::from(told.status) == record.status
            && told.engine == record.engine
            && told.image_ref == record.image_ref
            && told.labels.as_ref() == Some(&record.labels)
            && told.started_at.or(record.started_at) == record.started_at
            && told.stopped_at == record.stopped_at;
        if same { Verdict::Unchanged } else { Verdict::Refresh(told) }
    }

    /// Whether the container was started again after the record was last told.
    fn ran_since(&self, record: &RuntimeRecord) -> bool {
        match (self.registration.started_at, record.started_at) {
            (Some(started), Some(known)) => started > known,
            // The record cannot tell, so the later stop counts: it keeps the container for longer.
            (Some(_), None) => self.registration.stopped_at > record.stopped_at,
            (None, _) => false,
        }
    }
}

fn status(state: &ContainerState) -> Result<LiveStatus, String> {
    match state {
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting => Ok(LiveStatus::Running),
        ContainerState::Created | ContainerState::Exited | ContainerState::Dead => Ok(LiveStatus::Stopped),
        ContainerState::Removing | ContainerState::Other(_) => {
            Err(format!("its state {:?} is none of a runtime's", bounded_text(state.as_str(), SHOWN)))
        }
    }
}
