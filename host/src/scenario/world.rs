//! The world of one scenario: stores, engine and time, as they are found, and what is noted while it plays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::form::{ContainerForm, ContainerTable, LeaseWord, Runtime};
use super::seen::Noted;
use super::story::{Fault, Meanwhile, Story};
use crate::adapters::memory::{Call, Failure, MemoryEngine, MemoryStore};
use crate::model::{
    CleanupState, Container, ContainerId, ContainerState, EngineName, GameId, Hold, InvalidId, Labels, PolicyDigest,
    RuntimeRecord, Status, TenantId, Timestamp, TrackedRuntime,
};
use crate::ownership::Ownership;
use crate::ports::{Clock as _, LeaseToken, StoreError};
use crate::session::LeaseOptions;
use crate::simulation::{Life, VirtualClock};

const TENANT: &str = "tenant-a";
const ENGINE: &str = "local";
const IMAGE: &str = "registry.example/game:1";
/// Past the floor by so much, unless the scenario says when it stopped.
const PAST_FLOOR: Duration = Duration::from_secs(86_400);
/// A container ran for so long before it stopped.
const RAN: Duration = Duration::from_secs(3_600);
/// Another operation renews its lease so often.
const RENEWAL: Duration = Duration::from_secs(20);

/// The world could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A name is not valid.
    #[error(transparent)]
    Name(#[from] InvalidId),
    /// The store in memory failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything that a scenario's hosts and others work on.
pub(super) struct World {
    pub(super) store: MemoryStore,
    pub(super) engine: MemoryEngine,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) policy: PolicyDigest,
    /// The container that each game's record was found with.
    pub(super) containers: BTreeMap<GameId, ContainerId>,
    state: Mutex<State>,
}

/// What belongs to the step that is under way.
#[derive(Default)]
pub(super) struct State {
    pub(super) life: Arc<Life>,
    pub(super) faults: Vec<Fault>,
    pub(super) meanwhile: Vec<Meanwhile>,
    /// Calls of backends so far, for counting.
    pub(super) asked: BTreeMap<Call, u32>,
    /// How backends fail while the policy's call is under way.
    pub(super) armed: Vec<(Call, Failure)>,
    pub(super) noted: Noted,
}

impl World {
    /// The world as the story finds it.
    pub(super) async fn new(story: &Story, policy: PolicyDigest) -> Result<Self, SetupError> {
        let clock = Arc::new(VirtualClock::showing(Instant::now(), story.now));
        let mut world = Self {
            store: MemoryStore::default(),
            engine: MemoryEngine::new(clock.clone()),
            clock,
            policy,
            containers: BTreeMap::new(),
            state: Mutex::default(),
        };
        for (index, runtime) in story.runtimes.iter().enumerate() {
            world.put(index, runtime, story.retention).await?;
        }
        Ok(world)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn put(&mut self, index: usize, given: &Runtime, retention: Duration) -> Result<(), SetupError> {
        let game = given.game.0.clone();
        let status = Status::from_text(given.status.as_deref().unwrap_or("stopped"));
        let found = Found {
            tenant: given.tenant.as_ref().map_or_else(|| TENANT.parse(), |tenant| Ok(tenant.0.clone()))?,
            stopped_at: self.stopped_at(given, retention),
            id: container_id(given, index)?,
            image: given.image.clone().unwrap_or_else(|| IMAGE.to_owned()),
        };
        let container = found.container(given, &status, &game);
        if let Some(container) = container {
            self.engine.put(container);
        }
        if names_container(given, &status) {
            self.containers.insert(game.clone(), found.id.clone());
        }
        if status.as_str() != "none" {
            self.store.put(found.tracked(given, status, ENGINE.parse()?));
        }
        if given.lease == Some(LeaseWord::Held) {
            self.lease_to_another(&game).await?;
        }
        Ok(())
    }

    /// Another operation takes the game's lease and keeps it, until somebody takes it away.
    async fn lease_to_another(&self, game: &GameId) -> Result<(), SetupError> {
        let (store, leases, game) = (self.store.clone(), self.store.leases(self.clock.clone()), game.clone());
        let (token, ttl) = (LeaseToken::from_bytes([9; 32]), LeaseOptions::default().ttl);
        leases.try_acquire(&game, &token, ttl).await?;
        tokio::spawn(async move {
            // When time passes in a leap it comes too late, and nobody has been there in the meantime.
            while store.lease(&game).is_some_and(|(holder, _)| holder == token) {
                leases.try_acquire(&game, &token, ttl).await.unwrap_or_default();
                leases.renew(&game, &token, ttl).await.unwrap_or_default();
                tokio::time::sleep(RENEWAL).await;
            }
        });
        Ok(())
    }

    fn stopped_at(&self, given: &Runtime, retention: Duration) -> Timestamp {
        let ago = given.stopped_ago.map_or_else(|| retention.saturating_add(PAST_FLOOR), |span| span.0);
        given.stopped_at.as_ref().map_or_else(|| self.clock.now().saturating_sub(ago), |at| at.0)
    }

    /// The game's container as it is now; none if it is gone, or never was.
    pub(super) fn container_of(&self, game: &GameId) -> Option<Container> {
        self.containers.get(game).and_then(|id| self.engine.container(id))
    }
}

/// A runtime as it is found.
struct Found {
    tenant: TenantId,
    stopped_at: Timestamp,
    id: ContainerId,
    image: String,
}

fn container_id(given: &Runtime, index: usize) -> Result<ContainerId, InvalidId> {
    match &given.container {
        Some(ContainerForm::There(table)) => match &table.id {
            Some(id) => Ok(id.0.clone()),
            None => numbered(index),
        },
        _ => numbered(index),
    }
}

/// The containers of a scenario's games are numbered from 1.
fn numbered(index: usize) -> Result<ContainerId, InvalidId> {
    format!("{:064x}", index.saturating_add(1)).parse()
}

fn names_container(given: &Runtime, status: &Status) -> bool {
    match &given.container {
        Some(ContainerForm::None) => false,
        Some(ContainerForm::Gone | ContainerForm::There(_)) => true,
        // What is removed has none.
        None => *status != Status::Removed,
    }
}

impl Found {
    fn container(&self, given: &Runtime, status: &Status, game: &GameId) -> Option<Container> {
        let usual = ContainerTable::default();
        let table = match &given.container {
            Some(ContainerForm::None | ContainerForm::Gone) => return None,
            None if *status == Status::Removed => return None,
            Some(ContainerForm::There(table)) => table,
            None => &usual,
        };
        let usual_state = if *status == Status::Running { "running" } else { "exited" };
        let state = ContainerState::from_text(table.state.as_deref().unwrap_or(usual_state));
        let ended = !state.is_live() && state != ContainerState::Created;
        let mut labels = own_labels(&self.tenant, game);
        labels.extend(table.labels.clone());
        let started = Some(self.stopped_at.saturating_sub(RAN));
        Some(Container {
            id: self.id.clone(),
            name: String::new(),
            exit_code: Some(table.exit_code.unwrap_or(0)).filter(|_| ended),
            created_at: started,
            started_at: started.filter(|_| state != ContainerState::Created),
            finished_at: Some(self.stopped_at).filter(|_| ended),
            image: table.image.clone().unwrap_or_else(|| self.image.clone()),
            labels,
            state,
        })
    }

    fn tracked(&self, given: &Runtime, status: Status, engine: EngineName) -> TrackedRuntime {
        let started = self.stopped_at.saturating_sub(RAN);
        let has_stopped = matches!(status, Status::Stopped | Status::Removed);
        let removed = status == Status::Removed;
        let record = RuntimeRecord {
            game_id: given.game.0.clone(),
            tenant: self.tenant.clone(),
            engine,
            container_id: Some(self.id.clone()).filter(|_| names_container(given, &status)),
            image_ref: Some(self.image.clone()),
            labels: given.labels.clone(),
            created_at: started,
            started_at: Some(started),
            stopped_at: Some(self.stopped_at).filter(|_| has_stopped),
            removed_at: Some(self.stopped_at).filter(|_| removed),
            last_op_at: if has_stopped { self.stopped_at } else { started },
            version: 1,
            status,
        };
        let hold = given.hold.clone().map(|reason| Hold { reason, actor: "operator".to_owned(), until: None });
        let cleanup = CleanupState { failed_attempts: given.failed_attempts, hold, ..CleanupState::default() };
        TrackedRuntime { record, cleanup }
    }
}

/// The labels of a container of ours.
pub(super) fn own_labels(tenant: &TenantId, game: &GameId) -> Labels {
    let Ownership { owner, labels } = Ownership::default();
    Labels::from([(labels.owner, owner), (labels.tenant, tenant.to_string()), (labels.game, game.to_string())])
}
