//! The engine in memory against the contract that the real one keeps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rtmanager::adapters::memory::{ManualClock, MemoryEngine};
use rtmanager::guarded::{GuardOptions, GuardedEngine};
use rtmanager::metrics::Metrics;
use rtmanager::model::{ContainerId, ContainerState, Labels};
use rtmanager::ports::ContainerEngine;
use rtmanager_tests::contracts::container_engine::Fixture;

struct MemoryFixture {
    clock: Arc<ManualClock>,
    engine: MemoryEngine,
    port: Arc<dyn ContainerEngine>,
    made: AtomicU64,
}

impl MemoryFixture {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let engine = MemoryEngine::new(clock.clone());
        engine.set_removal_time(Duration::from_millis(20));
        Self { clock, port: Arc::new(engine.clone()), engine, made: AtomicU64::new(0) }
    }

    /// The same under guard, one call at a time.
    fn guarded() -> Self {
        let plain = Self::new();
        let options = GuardOptions { max_concurrency: 1, ..GuardOptions::default() };
        let (name, metrics) = ("local".parse().unwrap(), Arc::new(Metrics::new().unwrap()));
        let guarded = GuardedEngine::new(name, plain.port, options, plain.clock.clone(), metrics);
        Self { port: Arc::new(guarded), ..plain }
    }

    fn create(&self, image: &str, labels: &Labels) -> ContainerId {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let id = format!("{number:064x}").parse().unwrap();
        self.engine.create(&id, image, labels.clone());
        self.clock.advance(Duration::from_secs(1));
        id
    }

    fn run(&self, id: &ContainerId) {
        self.engine.start(id);
        self.clock.advance(Duration::from_secs(1));
        self.engine.stop(id, 0);
    }
}

#[async_trait]
impl Fixture for MemoryFixture {
    fn engine(&self) -> Arc<dyn ContainerEngine> {
        self.port.clone()
    }

    fn unique(&self) -> String {
        format!("unique-{}", self.made.fetch_add(1, Ordering::Relaxed))
    }

    async fn created(&self, labels: &Labels) -> ContainerId {
        self.create("fixture:1", labels)
    }

    async fn exited(&self, labels: &Labels) -> ContainerId {
        let id = self.create("fixture:1", labels);
        self.run(&id);
        id
    }

    async fn running(&self, labels: &Labels) -> ContainerId {
        let id = self.create("fixture:1", labels);
        self.engine.start(&id);
        id
    }

    async fn paused(&self, labels: &Labels) -> ContainerId {
        let id = self.running(labels).await;
        self.engine.set_state(&id, ContainerState::Paused);
        id
    }

    async fn exited_of_labelled_image(&self, image_labels: &Labels, labels: &Labels) -> ContainerId {
        let image = self.unique();
        self.engine.set_image_labels(&image, image_labels.clone());
        let id = self.create(&image, labels);
        self.run(&id);
        id
    }

    async fn discard(&self, id: &ContainerId) {
        self.engine.vanish(id);
    }
}

rtmanager_tests::container_engine_contract!(MemoryFixture::new());

/// Whatever an engine does, it does under guard.
mod under_guard {
    use super::MemoryFixture;

    rtmanager_tests::container_engine_contract!(MemoryFixture::guarded());
}
