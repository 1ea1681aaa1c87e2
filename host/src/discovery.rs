//! Containers that carry our labels become records, and their starts and stops refresh them.
//!
//! A pass looks at the engine and corrects the records; it never touches a container. What it cannot
//! tell for certain it reports and leaves alone. A record that says `running` of a container that has vanished becomes
//! `stopped`; the rest is left to cleanup, which proves the absence before the record says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Container, ContainerState, EngineName, GameId, Registration, RuntimeRecord, Status, Timestamp, TrackedRuntime,
};
use crate::ownership::Ownership;
use crate::ports::{
    Clock, ContainerEngine, Disposition, EngineError, PassedOver, RecordStore, RegisterError, StoreError,
};

mod claim;
mod report;
mod vanished;

use claim::Claim;
pub use report::{DiscoveryReport, Finding};

/// Stands as the reason of a wait while containers claim one game.
const CONFLICT: &str = "containers claim this game against each other; neither is touched";
/// Tries to protect a record that others write at the same time.
const PROTECTION_TRIES: u32 = 3;

/// What discovery goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryOptions {
    /// Whose containers are ours, and the labels that tell it.
    pub ownership: Ownership,
    /// How long a conflict keeps a record from the sweeper. Renewed by each pass that still sees the
    /// conflict, so it should span many passes.
    pub conflict_wait: Duration,
}

impl DiscoveryOptions {
    /// Conflicts keep a record for a day.
    pub fn new(ownership: Ownership) -> Self {
        Self { ownership, conflict_wait: Duration::from_secs(24 * 60 * 60) }
    }
}

/// Why a pass ended early. What it had done by then stands.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The engine failed.
    #[error("discovery could not look at the engine")]
    Engine(#[from] EngineError),
    /// The records failed.
    #[error("discovery could not read or write the records")]
    Store(#[from] StoreError),
}

/// Discovers the containers of one engine.
pub struct Discovery {
    engine: Arc<dyn ContainerEngine>,
    name: EngineName,
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    options: DiscoveryOptions,
    /// Held by the pass under way: two at a time would judge by what the other has just changed.
    pass: tokio::sync::Mutex<()>,
}

/// What is to be done about one claim.
enum Verdict {
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

    fn writes(&self) -> bool {
        matches!(self, Self::Register(_) | Self::Refresh(_))
    }

    fn foreign(reason: impl Into<String>) -> Self {
        Self::Conflict { reason: reason.into(), protect: false }
    }
}

impl Discovery {
    /// Discovers on `engine`, known by `name` in the records.
    pub fn new(
        engine: Arc<dyn ContainerEngine>,
        name: EngineName,
        records: Arc<dyn RecordStore>,
        clock: Arc<dyn Clock>,
        options: DiscoveryOptions,
    ) -> Self {
        Self { engine, name, records, clock, options, pass: tokio::sync::Mutex::default() }
    }

    /// One pass over all containers of ours, after any other that is under way.
    pub async fn run(&self) -> Result<DiscoveryReport, DiscoveryError> {
        let _pass = self.pass.lock().await;
        let owner = (self.options.ownership.labels.owner.clone(), self.options.ownership.owner.clone());
        let listing = self.engine.list_labelled(&[owner]).await?;
        let passed_over = listing.passed_over.into_iter();
        let invalid = passed_over.map(|PassedOver { id, reason }| Finding { container: id, game: None, reason });
        let listed = listing.containers.iter().map(|container| container.id.clone()).collect();
        let mut report = DiscoveryReport { invalid: invalid.collect(), ..DiscoveryReport::default() };
        for (game, claimants) in self.by_game(listing.containers, &mut report) {
            let Some(container) = claimants.first().map(|container| container.id.clone()) else { continue };
            if let Err(error) = self.settle(game.clone(), claimants, &mut report).await {
                let reason = self.confined_to_one(error).await?;
                report.invalid.push(Finding { container, game: Some(game), reason });
            }
        }
        self.stop_vanished(&listed, &mut report).await?;
        report.log(&self.name);
        Ok(report)
    }

    async fn settle(
        &self,
        game: GameId,
        claimants: Vec<Container>,
        report: &mut DiscoveryReport,
    ) -> Result<(), DiscoveryError> {
        match <[Container; 1]>::try_from(claimants) {
            Ok([container]) => self.claim(game, container, report).await,
            Err(claimants) => Ok(self.contest(&game, &claimants, report).await?),
        }
    }

    /// What to say of an error that concerns one game or container only: a row that is corrupt, or a container that
    /// its engine cannot describe though it answers. Any other ends the pass.
    async fn confined_to_one(&self, error: DiscoveryError) -> Result<String, DiscoveryError> {
        match &error {
            DiscoveryError::Store(store) if !store.is_retryable() => Ok(store.to_string()),
            DiscoveryError::Engine(_) if self.engine.ping().await.is_ok() => {
                Ok("the engine does not describe the container of the game's record".to_owned())
            }
            DiscoveryError::Store(_) | DiscoveryError::Engine(_) => Err(error),
        }
    }

    /// Every container that names a game claims it, even if nothing else about it can be used.
    fn by_game(&self, containers: Vec<Container>, report: &mut DiscoveryReport) -> BTreeMap<GameId, Vec<Container>> {
        let mut games = BTreeMap::<GameId, Vec<Container>>::new();
        for container in containers {
            // What is being removed claims nothing any more.
            if container.state == ContainerState::Removing {
                continue;
            }
            match claim::game(&container, &self.options.ownership.labels) {
                Ok(game) => games.entry(game).or_default().push(container),
                Err(reason) => report.invalid.push(Finding { container: container.id, game: None, reason }),
            }
        }
        games
    }

    async fn contest(
        &self,
        game: &GameId,
        claimants: &[Container],
        report: &mut DiscoveryReport,
    ) -> Result<(), StoreError> {
        for container in claimants {
            let others = claimants.iter().filter(|other| other.id != container.id).map(|other| other.id.as_str());
            let reason =
                format!("game {game} is claimed by container {} too", others.collect::<Vec<_>>().join(" and "));
            report.conflicts.push(Finding { container: container.id.clone(), game: Some(game.clone()), reason });
        }
        let tenant = |container: &Container| container.labels.get(&self.options.ownership.labels.tenant).cloned();
        let concerns = |record: &RuntimeRecord, container: &Container| {
            record.container_id.as_ref() == Some(&container.id)
                || tenant(container).as_deref() == Some(record.tenant.as_str())
        };
        self.protect(game, |record| claimants.iter().any(|container| concerns(record, container))).await
    }

    async fn claim(
        &self,
        game: GameId,
        container: Container,
        report: &mut DiscoveryReport,
    ) -> Result<(), DiscoveryError> {
        let finding = |reason: String| Finding { container: container.id.clone(), game: Some(game.clone()), reason };
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
        if verdict.writes() && self.has_changed(&game, current.as_ref()).await? {
            report.unchanged = report.unchanged.saturating_add(1);
            return Ok(());
        }
        let stands = self.carry_out(verdict, &game, finding, report).await?;
        if let Some(current) = current.filter(|current| stands && has_conflict(current)) {
            self.end_protection(&current).await?;
        }
        Ok(())
    }

    /// Whether the record was written since it was judged. The next pass then judges anew.
    async fn has_changed(&self, game: &GameId, judged: Option<&TrackedRuntime>) -> Result<bool, StoreError> {
        let version = |tracked: &TrackedRuntime| tracked.record.version;
        Ok(self.records.get(game).await?.as_ref().map(version) != judged.map(version))
    }

    /// Answers whether the claim stands against nothing.
    async fn carry_out(
        &self,
        verdict: Verdict,
        game: &GameId,
        finding: impl Fn(String) -> Finding,
        report: &mut DiscoveryReport,
    ) -> Result<bool, DiscoveryError> {
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
        match self.register(&registration).await? {
            Registered::Written => written.push(finding(format!("now {}", Status::from(registration.status)))),
            Registered::Gone => {}
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

    async fn register(&self, registration: &Registration) -> Result<Registered, DiscoveryError> {
        match self.records.register(registration, self.clock.now()).await {
            Ok(_) => Ok(Registered::Written),
            Err(RegisterError::Store(error)) => Err(error.into()),
            // Cleaned up since it was listed; that it is gone is what was wanted.
            Err(RegisterError::ContainerRemoved(id)) if self.engine.inspect(&id).await?.is_none() => {
                Ok(Registered::Gone)
            }
            Err(refusal) => Ok(Registered::Refused(refusal.to_string())),
        }
    }

    /// Keeps the sweeper from the game's record while the conflict lasts, if it concerns the record: what only
    /// other tenants claim does not. A parked record is kept already.
    async fn protect(&self, game: &GameId, concerns: impl Fn(&RuntimeRecord) -> bool) -> Result<(), StoreError> {
        let now = self.clock.now();
        for _ in 0..PROTECTION_TRIES {
            let Some(current) = self.records.get(game).await? else { return Ok(()) };
            let kept = current.record.status == Status::Removed || current.cleanup.parked.is_some();
            if kept || !concerns(&current.record) {
                return Ok(());
            }
            let until =
                now.saturating_add(self.options.conflict_wait).max(current.cleanup.wait_until.unwrap_or_default());
            if self.is_protected(&current, now) || self.wait(&current, until, CONFLICT).await? {
                return Ok(());
            }
        }
        tracing::warn!(%game, "a game with a conflict is not protected: its record keeps changing");
        Ok(())
    }

    fn is_protected(&self, current: &TrackedRuntime, now: Timestamp) -> bool {
        let soon = now.saturating_add(self.options.conflict_wait / 2);
        has_conflict(current) && current.cleanup.wait_until.is_some_and(|until| until > soon)
    }

    /// Gives the game back to the sweeper once nothing contradicts its container any more. Should the
    /// record have changed in between, its change has ended the wait.
    async fn end_protection(&self, current: &TrackedRuntime) -> Result<(), StoreError> {
        self.wait(current, self.clock.now(), "the conflict about this game is over").await.map(|_| ())
    }

    async fn wait(&self, current: &TrackedRuntime, until: Timestamp, reason: &str) -> Result<bool, StoreError> {
        let disposition = Disposition::Wait {
            until,
            reason: reason.to_owned(),
            generation: None,
            failed_attempts: current.cleanup.failed_attempts,
        };
        self.records.dispose(&current.record.game_id, current.record.version, &disposition).await
    }
}

/// What became of a registration.
enum Registered {
    Written,
    Gone,
    Refused(String),
}

fn has_conflict(current: &TrackedRuntime) -> bool {
    current.cleanup.wait_reason.as_deref() == Some(CONFLICT)
}
