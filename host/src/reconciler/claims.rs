//! Containers that carry our labels become records, and their starts and stops refresh them.

use std::collections::BTreeMap;

use super::claim::{self, Claim};
use super::{Error, Finding, Reconciler, Registered, Report, finding};
use crate::model::{Container, ContainerState, GameId, Registration, RuntimeRecord, Status, TrackedRuntime};
use crate::ports::{EngineError, RegisterError, StoreError};

/// What is to be done about one claim.
pub(super) enum Verdict {
    /// Make a record, or begin a new incarnation.
    Register(Registration),
    /// Change the record.
    Refresh(Registration),
    Unchanged,
    /// Report it, and keep the game from the sweeper if `protect`.
    Conflict {
        reason: String,
        protect: bool,
    },
}

impl Verdict {
    fn conflict(reason: impl Into<String>) -> Self {
        Self::Conflict { reason: reason.into(), protect: true }
    }

    fn foreign(reason: impl Into<String>) -> Self {
        Self::Conflict { reason: reason.into(), protect: false }
    }
}

impl Reconciler {
    /// Holds every labelled container against the record of the game that it names.
    pub(super) async fn hear_claims(&self, containers: &[Container], report: &mut Report) -> Result<(), Error> {
        for (game, claimants) in self.by_game(containers, report) {
            let Some(container) = claimants.first().map(|container| container.id.clone()) else { continue };
            if let Err(error) = self.settle(game.clone(), claimants, report).await {
                let reason = self.confined_to_one(error).await?;
                report.invalid.push(Finding { container, game: Some(game), reason });
            }
        }
        Ok(())
    }

    async fn settle(&self, game: GameId, claimants: Vec<Container>, report: &mut Report) -> Result<(), Error> {
        match <[Container; 1]>::try_from(claimants) {
            Ok([container]) => self.claim(game, container, report).await,
            Err(claimants) => Ok(self.contest(&game, &claimants, report).await?),
        }
    }

    /// Every container that names a game claims it, even if nothing else about it can be used.
    fn by_game(&self, containers: &[Container], report: &mut Report) -> BTreeMap<GameId, Vec<Container>> {
        let mut games = BTreeMap::<GameId, Vec<Container>>::new();
        for container in containers {
            // What is being removed claims nothing any more.
            if container.state == ContainerState::Removing {
                continue;
            }
            match claim::game(container, &self.options.ownership.labels) {
                Ok(game) => games.entry(game).or_default().push(container.clone()),
                Err(reason) => report.invalid.push(finding(&container.id, None, reason)),
            }
        }
        games
    }

    async fn contest(&self, game: &GameId, claimants: &[Container], report: &mut Report) -> Result<(), StoreError> {
        for container in claimants {
            let others = claimants.iter().filter(|other| other.id != container.id).map(|other| other.id.as_str());
            let reason =
                format!("game {game} is claimed by container {} too", others.collect::<Vec<_>>().join(" and "));
            report.conflicts.push(finding(&container.id, Some(game), reason));
        }
        let tenant = |container: &Container| container.labels.get(&self.options.ownership.labels.tenant).cloned();
        let concerns = |record: &RuntimeRecord, container: &Container| {
            record.container_id.as_ref() == Some(&container.id)
                || tenant(container).as_deref() == Some(record.tenant.as_str())
        };
        self.protect(game, |record| claimants.iter().any(|container| concerns(record, container))).await
    }

    async fn claim(&self, game: GameId, container: Container, report: &mut Report) -> Result<(), Error> {
        let finding = |reason: String| finding(&container.id, Some(&game), reason);
        let claim = match Claim::new(&game, &container, &self.name, &self.options.ownership.labels) {
            Ok(claim) => claim,
            Err(reason) => {
                report.invalid.push(finding(reason));
                return Ok(());
            }
        };
        let current = self.records.get(&game).await?;
        let verdict = match &current {
            None => Verdict::Register(claim.registration),
            Some(current) => self.judge(current, claim).await?,
        };
        let version = current.as_ref().map(|current| current.record.version);
        let stands = self.carry_out(verdict, &game, version, finding, report).await?;
        if let Some(current) = current.filter(|current| stands && super::protection::has_conflict(current)) {
            self.end_protection(&current).await?;
        }
        Ok(())
    }

    /// Carries out what was judged by the record of this version, none meaning that there was none. Answers whether
    /// the claim stands against nothing.
    async fn carry_out(
        &self,
        verdict: Verdict,
        game: &GameId,
        version: Option<u64>,
        finding: impl Fn(String) -> Finding,
        report: &mut Report,
    ) -> Result<bool, Error> {
        let (registration, written) = match verdict {
            Verdict::Register(registration) => (registration, &mut report.registered),
            Verdict::Refresh(registration) => (registration, &mut report.refreshed),
            Verdict::Unchanged => {
                report.unchanged = report.unchanged.saturating_add(1);
                return Ok(true);
            }
            Verdict::Conflict { reason, protect } => {
                report.conflicts.push(finding(reason));
                if protect {
                    self.protect(game, |_| true).await?;
                }
                return Ok(false);
            }
        };
        match self.register(version, &registration).await? {
            Registered::Written => written.push(finding(format!("now {}", Status::from(registration.status)))),
            Registered::Gone => {}
            Registered::Outrun => {
                report.unchanged = report.unchanged.saturating_add(1);
                return Ok(false);
            }
            Registered::Refused(reason) => {
                report.conflicts.push(finding(reason));
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Holds a claim against the record that the game has.
    async fn judge(&self, current: &TrackedRuntime, claim: Claim) -> Result<Verdict, EngineError> {
        let record = &current.record;
        if record.tenant != claim.registration.tenant {
            return Ok(Verdict::foreign(format!("the game's record belongs to tenant {}", record.tenant)));
        }
        match &record.status {
            Status::Removed => return Ok(Verdict::Register(claim.registration)),
            Status::Other(status) => {
                return Ok(Verdict::foreign(format!("the game's record has status {status:?}, the platform's own")));
            }
            Status::Running | Status::Stopped => {}
        }
        let Some(known) = &record.container_id else { return Ok(claim.against(record)) };
        if record.engine != self.name {
            return Ok(Verdict::conflict(format!(
                "the game's record has container {known} on engine {}",
                record.engine
            )));
        }
        if claim.registration.container_id.as_ref() == Some(known) {
            return Ok(claim.against(record));
        }
        // The record may name a container without labels, which then claims the game no less.
        match self.engine.inspect(known).await? {
            None => Ok(claim.against(record)),
            Some(other) if other.state == ContainerState::Removing => Ok(Verdict::Unchanged),
            Some(_) => Ok(Verdict::conflict(format!("the game's record has container {known}, which still exists"))),
        }
    }

    /// Writes what was judged by the record of this version, and never over a newer one.
    pub(super) async fn register(
        &self,
        version: Option<u64>,
        registration: &Registration,
    ) -> Result<Registered, Error> {
        match self.records.register_if(version, registration, self.clock.now()).await {
            Ok(Some(_)) => Ok(Registered::Written),
            Ok(None) => Ok(Registered::Outrun),
            Err(RegisterError::Store(error)) => Err(error.into()),
            // Cleaned up since it was listed; that it is gone is what was wanted.
            Err(RegisterError::ContainerRemoved(id)) if self.engine.inspect(&id).await?.is_none() => {
                Ok(Registered::Gone)
            }
            Err(refusal) => Ok(Registered::Refused(refusal.to_string())),
        }
    }
}
