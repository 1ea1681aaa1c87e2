//! The run's container: described, and removed when every precondition holds.

use std::sync::Arc;

use super::{Error, Kind, Rule, Session, TimedOut};
use crate::model::{Container, ContainerId, ErrorChain, Grant, OpSource, Removal};
use crate::ports::{ContainerEngine, EngineError};

/// A removal that the run has asked an engine for.
pub(super) struct SentRemoval {
    pub(super) container: ContainerId,
    /// Whether the engine answered that this removed it.
    pub(super) done: bool,
}

const NOT_IN_TIME: Error = Error::Unavailable("the container engine did not answer within limits.import_time");

impl Session {
    /// Describes the record's container. Any other, and one that is gone, is not found.
    pub async fn inspect(&mut self, container: &str) -> Result<Container, Error> {
        self.allowed(&Grant::DockerInspect)?;
        let found = self.inspect_own(container).await;
        self.blur_after(&found);
        found
    }

    async fn inspect_own(&mut self, container: &str) -> Result<Container, Error> {
        let Some(record) = self.read.as_ref().map(|tracked| &tracked.record) else { return Err(Error::NotFound) };
        let own = record.container_id.clone().filter(|id| id.as_str() == container);
        let id = own.ok_or(Error::NotFound)?;
        let engine = self.engine()?;
        self.look(engine, &id).await?.ok_or(Error::NotFound)
    }

    /// Removes the record's container and answers when it is gone.
    pub async fn remove(&mut self, container: &str) -> Result<Removal, Error> {
        self.allowed(&Grant::DockerRemove)?;
        let removal = self.remove_own(container).await;
        self.blur_after(&removal);
        removal
    }

    async fn remove_own(&mut self, container: &str) -> Result<Removal, Error> {
        self.acting()?;
        let record = self.stopped_record()?;
        let own = record.container_id.clone().filter(|id| id.as_str() == container);
        let id = own.ok_or(Error::Denied(Rule::NotTheRecordsContainer))?;
        // What the store knows of this run is that container.
        if self.begun()?.runtime.record.container_id.as_ref() != Some(&id) {
            return Err(Error::Conflict);
        }
        let engine = self.engine()?;
        self.live_lease().await?;
        let Some(found) = self.look(engine.clone(), &id).await? else { return Ok(Removal::AlreadyGone) };
        self.check_owner(&found)?;
        // The reconciler closes records whose container is gone. Should another have come meanwhile, it stays.
        if found.state.is_live() || self.run.request.op_source == OpSource::Reconciler.as_str() {
            return Err(Error::Conflict);
        }
        // Looking may have taken long.
        self.live_lease().await?;
        let confirmed = self.confirm_stopped(&id).await;
        // What was read just now is not what was read first.
        self.blur_if(confirmed.is_err());
        confirmed?;
        self.send_removal(engine, found).await
    }

    async fn send_removal(&mut self, engine: Arc<dyn ContainerEngine>, found: Container) -> Result<Removal, Error> {
        let (id, name) = (found.id.clone(), self.stopped_record()?.engine.clone());
        if self.removal.as_ref().is_some_and(|earlier| earlier.container != id) {
            return Err(Error::Conflict);
        }
        let done = self.removed_container().is_some();
        self.removal = Some(SentRemoval { container: id.clone(), done });
        self.note(|note| note.engine_asked = true);
        let (run_id, game_id, engine_name) = (self.run.run_id.clone(), self.run.request.game_id.clone(), name.clone());
        let dry_run = self.options.dry_run;
        if dry_run {
            tracing::info!(%run_id, %game_id, container_id = %id, engine = %name, dry_run, "would remove a container");
        } else {
            tracing::info!(%run_id, %game_id, container_id = %id, engine = %name, "removing a container");
        }
        // Logged inside the effect, so that one that outlives its run leaves a trace as well.
        let effect = async move {
            let answer = engine.remove_seen(&found).await;
            if let Ok(removal) = &answer
                && !dry_run
            {
                let removed = *removal == Removal::Removed;
                tracing::info!(%run_id, %game_id, container_id = %found.id, engine = %engine_name, removed, "container gone");
            }
            answer
        };
        let removal = match self.call(Kind::Effect, effect).await {
            Ok(Ok(removal)) => removal,
            Ok(Err(error)) => return Err(seen(&error)),
            Err(TimedOut) => return Err(Error::OutcomeUnknown),
        };
        if removal == Removal::Removed {
            self.removal = Some(SentRemoval { container: id.clone(), done: true });
        }
        self.gone.insert((name, id));
        Ok(removal)
    }

    /// Reads the record once more: since the policy read it, a hold, a new registration or a
    /// revocation of the policy may have been acknowledged.
    async fn confirm_stopped(&mut self, id: &ContainerId) -> Result<(), Error> {
        let engine = self.stopped_record()?.engine.clone();
        self.record_for_effect().await?;
        let record = self.stopped_record().map_err(|error| match error {
            Error::Denied(Rule::NotStopped) => Error::Conflict,
            other => other,
        })?;
        if record.container_id.as_ref() != Some(id) || record.engine != engine {
            return Err(Error::Conflict);
        }
        // Reading may have taken long, too; a renewal now would only make what was read older.
        self.lease_lasts()
    }

    /// Inspects, and remembers absence.
    async fn look(&mut self, engine: Arc<dyn ContainerEngine>, id: &ContainerId) -> Result<Option<Container>, Error> {
        let target = id.clone();
        let found = match self.call(Kind::Read, async move { engine.inspect(&target).await }).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(seen(&error)),
            Err(TimedOut) => return Err(NOT_IN_TIME),
        };
        self.note_look(id, found.as_ref());
        if found.is_none()
            && let Some(read) = &self.read
        {
            self.gone.insert((read.record.engine.clone(), id.clone()));
        }
        Ok(found)
    }

    fn check_owner(&self, found: &Container) -> Result<(), Error> {
        let record = self.stopped_record()?;
        let Some(label) = self.options.ownership.contradiction(&found.labels, record) else { return Ok(()) };
        tracing::warn!(
            run_id = %self.run.run_id, game_id = %record.game_id, container_id = %found.id, label,
            "the container's labels name another owner, tenant or game than the record"
        );
        Err(Error::Denied(Rule::OwnerMismatch))
    }

    fn engine(&self) -> Result<Arc<dyn ContainerEngine>, Error> {
        let name = self.read.as_ref().map(|tracked| &tracked.record.engine);
        let engine = name.and_then(|name| self.ports.engines.get(name));
        engine.cloned().ok_or(Error::Unavailable("the record's container engine is not configured"))
    }
}

fn seen(error: &EngineError) -> Error {
    match error {
        EngineError::Refused(_) => Error::Conflict,
        EngineError::Unavailable(_) => {
            tracing::warn!(error = %ErrorChain(error), "the container engine failed");
            Error::Unavailable("the container engine failed")
        }
        EngineError::Unknown(_) => {
            tracing::warn!(error = %ErrorChain(error), "the container engine's answer was lost");
            Error::OutcomeUnknown
        }
    }
}
