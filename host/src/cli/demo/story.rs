//! What happens in the demo, by the same code that `serve` runs: discovery makes the records, a sweep asks the policy
//! of each due one, and a run removes what is due.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::cast::{CAST, Part, Scene};
use super::stage::{Stage, StageError};
use crate::app::App;
use crate::model::{
    ContainerId, ContainerState, GameId, Hold, InvalidId, Labels, LiveStatus, LoggedOperation, Registration, Status,
};
use crate::ports::{EngineError, OperationFilter, RegisterError, StoreError};
use crate::reconciler::{self, Reconciler};
use crate::sweeper::{Observer, SweepItem, SweepReport, SweepRequest};

const TENANT: &str = "demo";
const LOGGED_AT_MOST: u32 = 100;

/// The story did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// A signal came.
    #[error("interrupted")]
    Interrupted,
    /// Containers could not be made.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Discovery failed.
    #[error(transparent)]
    Discovery(#[from] reconciler::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store refused a record.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A name that is none.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// Discovery did not find what was made.
    #[error("discovery found {found} of {made} containers")]
    Undiscovered {
        /// Records that it made.
        found: usize,
        /// Containers that were made.
        made: usize,
    },
}

/// A game, and what was seen of it.
pub(super) struct Seen {
    pub(super) part: &'static Part,
    pub(super) container: ContainerId,
    /// The container's state before the sweep; none if there was no container.
    pub(super) before: Option<ContainerState>,
    /// The same after it.
    pub(super) after: Option<ContainerState>,
    /// What the record says after it.
    pub(super) status: Option<Status>,
    /// What the sweep said; none if it was not offered.
    pub(super) item: Option<SweepItem>,
    /// Its entry in the operation log.
    pub(super) entry: Option<LoggedOperation>,
}

/// What was seen of the whole.
pub(super) struct Story {
    pub(super) games: Vec<Seen>,
    pub(super) dry_run: SweepReport,
    pub(super) sweep: SweepReport,
    pub(super) sweep_time: Duration,
    /// Entries that the dry run wrote: there must be none.
    pub(super) dry_entries: usize,
    pub(super) entries: usize,
}

pub(super) struct Play {
    pub(super) app: Arc<App>,
    pub(super) stage: Arc<Stage>,
    /// Looked at between any two steps, so that no request to the engine is left half way.
    pub(super) interrupted: CancellationToken,
}

impl Play {
    pub(super) async fn perform(&self) -> Result<Story, StoryError> {
        let made = self.make_containers().await?;
        self.discover(made.len()).await?;
        let containers = self.set_records(made).await?;
        let mut games = Vec::with_capacity(containers.len());
        for (part, container) in containers {
            let before = self.state(&container).await?;
            let seen = Seen { part, container, before, after: None, status: None, item: None, entry: None };
            games.push(seen);
        }
        let (dry_run, _) = self.sweep(true).await?;
        let dry_entries = self.log().await?.len();
        let began = self.app.ports.clock.monotonic();
        let (sweep, items) = self.sweep(false).await?;
        let sweep_time = self.app.ports.clock.monotonic().saturating_sub(began);
        let log = self.log().await?;
        for seen in &mut games {
            let game = seen.part.game;
            seen.after = self.state(&seen.container).await?;
            seen.status = self.app.ports.records.get(&game.parse()?).await?.map(|tracked| tracked.record.status);
            seen.item = items.iter().find(|item| item.game_id.as_str() == game).cloned();
            seen.entry = log.iter().find(|logged| logged.entry.game_id == game).cloned();
        }
        Ok(Story { games, dry_run, sweep, sweep_time, dry_entries, entries: log.len() })
    }

    fn check(&self) -> Result<(), StoryError> {
        if self.interrupted.is_cancelled() { Err(StoryError::Interrupted) } else { Ok(()) }
    }

    /// All but the one whose labels lie, which discovery would take at its word.
    async fn make_containers(&self) -> Result<Vec<(&'static Part, ContainerId)>, StoryError> {
        self.check()?;
        eprintln!("Making {} containers of a tiny image of our own, {}:", CAST.len(), self.stage.image());
        self.stage.make_image().await?;
        let mut made = Vec::with_capacity(CAST.len());
        for part in CAST.iter().filter(|part| part.scene != Scene::AnothersContainer) {
            self.check()?;
            let id = self.container(part, part.game).await?;
            if part.scene != Scene::NeverStarted {
                self.stage.start(&id).await?;
            }
            if matches!(part.scene, Scene::Stopped | Scene::Held | Scene::Vanished) {
                self.stage.stop(&id).await?;
            }
            let done = self.state(&id).await?.map_or_else(|| "gone".to_owned(), |state| state.to_string());
            eprintln!("  {:<8} {}  {done}", part.game, short(&id));
            made.push((part, id));
        }
        Ok(made)
    }

    async fn container(&self, part: &Part, labelled: &str) -> Result<ContainerId, StoryError> {
        let names = &self.app.config.session.ownership.labels;
        let labels =
            Labels::from([(names.tenant.clone(), TENANT.to_owned()), (names.game.clone(), labelled.to_owned())]);
        Ok(self.stage.create(&format!("{}-{}", self.stage.image(), part.game), labels).await?)
    }

    async fn discover(&self, made: usize) -> Result<(), StoryError> {
        self.check()?;
        let ports = &self.app.ports;
        let options = reconciler::Options::new(self.app.config.session.ownership.clone());
        let (engine, name) = (self.stage.engine.clone(), self.stage.name.clone());
        let report = Reconciler::new(engine, name, ports.records.clone(), ports.clock.clone(), options).run().await?;
        let found = report.registered.len();
        eprintln!("Discovery made {found} records of their labels.");
        if found == made { Ok(()) } else { Err(StoryError::Undiscovered { found, made }) }
    }

    /// Turns back the records' clocks, and plays the operator and those who go behind our back.
    async fn set_records(
        &self,
        mut made: Vec<(&'static Part, ContainerId)>,
    ) -> Result<Vec<(&'static Part, ContainerId)>, StoryError> {
        for part in CAST.iter().filter(|part| part.scene == Scene::AnothersContainer) {
            self.check()?;
            let id = self.container(part, "somebody-elses").await?;
            self.stage.start(&id).await?;
            self.stage.stop(&id).await?;
            eprintln!("  {:<8} {}  exited, its label names another game", part.game, short(&id));
            made.push((part, id));
        }
        for (part, id) in &made {
            self.check()?;
            let game: GameId = part.game.parse()?;
            if let Some(stopped_for) = part.stopped_for {
                self.turn_back(&game, id, stopped_for).await?;
            }
            match part.scene {
                Scene::Held => {
                    let hold =
                        Hold { reason: "evidence, case 7".to_owned(), actor: "an operator".to_owned(), until: None };
                    self.app.ports.records.set_hold(&game, Some(&hold)).await?;
                }
                Scene::Vanished => self.stage.discard(id).await?,
                _ => {}
            }
        }
        Ok(made)
    }

    async fn turn_back(&self, game: &GameId, id: &ContainerId, span: Duration) -> Result<(), StoryError> {
        let now = self.app.ports.clock.now();
        let registration = Registration {
            game_id: game.clone(),
            tenant: TENANT.parse()?,
            engine: self.stage.name.clone(),
            status: LiveStatus::Stopped,
            container_id: Some(id.clone()),
            image_ref: Some(self.stage.image().to_owned()),
            labels: None,
            started_at: None,
            stopped_at: Some(now.saturating_sub(span)),
        };
        self.app.ports.records.register(&registration, now).await?;
        Ok(())
    }

    async fn sweep(&self, dry_run: bool) -> Result<(SweepReport, Vec<SweepItem>), StoryError> {
        self.check()?;
        eprintln!("{}", if dry_run { "Sweeping, dry …" } else { "Sweeping …" });
        let items = Arc::new(Mutex::new(Vec::new()));
        let seen = items.clone();
        let observer: Observer =
            Arc::new(move |item: &SweepItem| seen.lock().unwrap_or_else(PoisonError::into_inner).push(item.clone()));
        let report = self.app.sweeper.sweep(&SweepRequest { dry_run, ..SweepRequest::default() }, observer).await?;
        let items = std::mem::take(&mut *items.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((report, items))
    }

    async fn state(&self, id: &ContainerId) -> Result<Option<ContainerState>, StoryError> {
        Ok(self.stage.engine.inspect(id).await?.map(|container| container.state))
    }

    async fn log(&self) -> Result<Vec<LoggedOperation>, StoryError> {
        Ok(self.app.ports.operations.list(&OperationFilter::default(), None, LOGGED_AT_MOST).await?)
    }
}

/// Enough of an id to find a container by.
pub(super) fn short(id: &ContainerId) -> String {
    id.as_str().chars().take(12).collect()
}
