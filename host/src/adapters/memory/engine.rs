//! A container engine in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use tokio::sync::{Notify, mpsc};

use crate::model::{Container, ContainerId, ContainerState, Labels, Removal};
use crate::ports::{Clock, ContainerEngine, EngineError, Hints, Listing, PassedOver};

/// Containers and images by hand, with the rules of a real engine: a live container is not removed,
/// a removal that has begun goes on when its caller hangs up, and ids are never names. Clones share it.
#[derive(Clone)]
pub struct MemoryEngine {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    world: Mutex<World>,
    /// Tells those who wait, in the order in which they came, whenever a container is gone.
    departures: Notify,
}

#[derive(Default)]
struct World {
    containers: BTreeMap<ContainerId, Container>,
    images: HashMap<String, Labels>,
    removal_time: Duration,
    watchers: Vec<Watcher>,
}

struct Watcher {
    labels: Vec<(String, String)>,
    hints: mpsc::UnboundedSender<ContainerId>,
}

impl MemoryEngine {
    /// An engine without containers that dates what happens by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let shared = Shared { clock, world: Mutex::default(), departures: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Every removal takes this long (in tokio's time), during which the container is `removing`.
    pub fn set_removal_time(&self, time: Duration) {
        self.lock().removal_time = time;
    }

    /// Sets the labels of an image. They are added to those of containers made from it later.
    pub fn set_image_labels(&self, image: &str, labels: Labels) {
        self.lock().images.insert(image.to_owned(), labels);
    }

    /// Makes a container, not started, with `labels` over those of its image.
    pub fn create(&self, id: &ContainerId, image: &str, labels: Labels) {
        let now = self.shared.clock.now();
        let mut world = self.lock();
        let mut all = world.images.get(image).cloned().unwrap_or_default();
        all.extend(labels);
        let container = Container {
            id: id.clone(),
            name: String::new(),
            state: ContainerState::Created,
            exit_code: None,
            created_at: Some(now),
            started_at: None,
            finished_at: None,
            image: image.to_owned(),
            labels: all,
        };
        world.hint(&container);
        world.containers.insert(id.clone(), container);
    }

    /// Puts a container there exactly as described.
    pub fn put(&self, container: Container) {
        self.lock().containers.insert(container.id.clone(), container);
    }

    /// Starts a container. Answers whether there is one.
    pub fn start(&self, id: &ContainerId) -> bool {
        let now = self.shared.clock.now();
        self.change(id, |container| {
            container.state = ContainerState::Running;
            container.started_at = Some(now);
        })
    }

    /// Ends a container's run. Answers whether there is one.
    pub fn stop(&self, id: &ContainerId, exit_code: i64) -> bool {
        let now = self.shared.clock.now();
        self.change(id, |container| {
            container.state = ContainerState::Exited;
            container.exit_code = Some(exit_code);
            container.finished_at = Some(now);
        })
    }

    /// Gives a container any state; `Removing` is a removal by somebody else, which [`MemoryEngine::vanish`]
    /// ends. Answers whether there is one.
    pub fn set_state(&self, id: &ContainerId, state: ContainerState) -> bool {
        self.change(id, |container| container.state = state)
    }

    /// Makes a container go away, whatever it is doing. Answers whether there was one.
    pub fn vanish(&self, id: &ContainerId) -> bool {
        let mut world = self.lock();
        let gone = world.containers.remove(id);
        gone.iter().for_each(|gone| world.hint(gone));
        let existed = gone.is_some();
        drop(world);
        self.shared.departures.notify_waiters();
        existed
    }

    /// The container as it is.
    pub fn container(&self, id: &ContainerId) -> Option<Container> {
        self.lock().containers.get(id).cloned()
    }

    /// The ids of all containers, in order.
    pub fn containers(&self) -> Vec<ContainerId> {
        self.lock().containers.keys().cloned().collect()
    }

    /// Ends every stream of hints, as a restart of the engine does.
    pub fn cut_watchers(&self) {
        self.lock().watchers.clear();
    }

    /// How many follow this engine.
    pub fn watchers(&self) -> usize {
        let mut world = self.lock();
        world.watchers.retain(|watcher| !watcher.hints.is_closed());
        world.watchers.len()
    }

    fn change(&self, id: &ContainerId, change: impl FnOnce(&mut Container)) -> bool {
        let mut world = self.lock();
        let Some(container) = world.containers.get_mut(id) else { return false };
        change(container);
        let changed = container.clone();
        world.hint(&changed);
        true
    }

    /// Begins a removal as far as the container's state allows one.
    fn begin_removal(&self, id: &ContainerId) -> Result<Begun, EngineError> {
        let mut world = self.lock();
        let removal_time = world.removal_time;
        let Some(container) = world.containers.get_mut(id) else {
            return Ok(Begun::Gone);
        };
        match &container.state {
            ContainerState::Created | ContainerState::Exited | ContainerState::Dead => {
                container.state = ContainerState::Removing;
                Ok(Begun::Ours(removal_time))
            }
            ContainerState::Removing => Ok(Begun::Others),
            other => Err(EngineError::Refused(other.clone())),
        }
    }

    /// A real engine ends what it began, even if nobody waits for it any more.
    fn end_removal(&self, id: &ContainerId, after: Duration) {
        if after.is_zero() {
            self.vanish(id);
            return;
        }
        let (engine, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            engine.vanish(&id);
        });
    }

    async fn until_gone(&self, id: &ContainerId) {
        loop {
            let mut departure = std::pin::pin!(self.shared.departures.notified());
            // Whatever goes from here on is told.
            departure.as_mut().enable();
            if !self.lock().containers.contains_key(id) {
                return;
            }
            departure.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn hint(&mut self, about: &Container) {
        let wanted = |watcher: &Watcher| carries(about, &watcher.labels);
        // Whoever does not listen any more is forgotten.
        self.watchers.retain(|watcher| !wanted(watcher) || watcher.hints.send(about.id.clone()).is_ok());
    }
}

fn carries(container: &Container, labels: &[(String, String)]) -> bool {
    labels.iter().all(|(name, value)| container.labels.get(name) == Some(value))
}

/// What a removal found.
enum Begun {
    Gone,
    Ours(Duration),
    Others,
}

#[async_trait]
impl ContainerEngine for MemoryEngine {
    async fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        Ok(self.lock().containers.get(id).cloned())
    }

    async fn remove(&self, id: &ContainerId) -> Result<Removal, EngineError> {
        let removal = match self.begin_removal(id)? {
            Begun::Gone => return Ok(Removal::AlreadyGone),
            Begun::Others => Removal::AlreadyGone,
            Begun::Ours(removal_time) => {
                self.end_removal(id, removal_time);
                Removal::Removed
            }
        };
        self.until_gone(id).await;
        Ok(removal)
    }

    async fn list_labelled(&self, labels: &[(String, String)]) -> Result<Listing, EngineError> {
        let world = self.lock();
        let with_own_labels = |container: &Container| {
            let mut own = container.clone();
            let of_image = world.images.get(&own.image);
            own.labels.retain(|name, value| of_image.and_then(|labels| labels.get(name)) != Some(value));
            own
        };
        let wanted = |found: &Container| carries(found, labels);
        let listed = world.containers.values().filter(|found| wanted(found)).map(with_own_labels);
        let (containers, of_images): (Vec<_>, Vec<_>) = listed.partition(wanted);
        let passed_over = of_images.into_iter().map(|spoofed| PassedOver::by_image(spoofed.id)).collect();
        Ok(Listing { containers, passed_over })
    }

    async fn watch(&self, labels: &[(String, String)]) -> Result<Option<Hints>, EngineError> {
        let (hints, heard) = mpsc::unbounded_channel();
        self.lock().watchers.push(Watcher { labels: labels.to_vec(), hints });
        Ok(Some(stream::unfold(heard, async |mut heard| Some((heard.recv().await?, heard))).boxed()))
    }

    async fn ping(&self) -> Result<(), EngineError> {
        Ok(())
    }
}
