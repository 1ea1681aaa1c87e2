//! A whole host in memory, so that records can be closed.

use std::time::Duration;

use rtmanager::model::{ContainerId, LiveStatus, OperationEntry, Outcome, RuntimeRecord, Status, TrackedRuntime};
use rtmanager::ownership::Ownership;
use rtmanager::ports::Clock as _;
use rtmanager::reconciler::{Closer, Finding, Options, Reconciler, Report};
use rtmanager::sweeper::Sweeper;
use rtmanager_tests::mock_host::{ENGINE, IMAGE, MockHost, MockHostBuilder, container, labels};
use rtmanager_tests::sweeping::sweep_options;

pub const MINUTE: Duration = Duration::from_secs(60);

pub struct Site {
    pub host: MockHost,
    pub sweeper: Sweeper,
    pub reconciler: Reconciler,
}

impl Site {
    /// Where a platform writes the records.
    pub fn without_discovery() -> Self {
        Self::of(MockHost::builder(), false)
    }

    pub fn with_discovery() -> Self {
        Self::of(MockHost::builder(), true)
    }

    pub fn of(builder: MockHostBuilder, discovers: bool) -> Self {
        Self::closing_after(MINUTE, builder, discovers)
    }

    pub fn closing_after(close_after: Duration, builder: MockHostBuilder, discovers: bool) -> Self {
        let host = builder.build();
        let mut options = sweep_options();
        options.breaker.max_share = 0.2;
        let sweeper = host.sweeper(options);
        let options = Options { discovers, close_after, ..Options::new(Ownership::default()) };
        let engine = host.ports.engines[&ENGINE.parse().unwrap()].clone();
        let (records, clock) = (host.ports.records.clone(), host.ports.clock.clone());
        let reconciler = Reconciler::new(engine, ENGINE.parse().unwrap(), records, clock, options);
        let closer = Closer { lifecycle: host.lifecycle.clone(), sweeper: sweeper.clone() };
        let reconciler = reconciler.closing_by(closer).measured_by(host.metrics.clone());
        Self { host, sweeper, reconciler }
    }

    /// A pass, two minutes later.
    pub async fn pass(&self) -> Report {
        self.host.advance(MINUTE * 2);
        self.reconciler.run().await.unwrap()
    }

    /// A pass that misses what there is to miss, and the next one, by which that has been missing for long enough.
    pub async fn two_passes(&self) -> Report {
        self.pass().await;
        self.pass().await
    }

    /// A container of ours that runs, without a record.
    pub fn running(&self, n: u64, game: &str) -> ContainerId {
        self.running_with(n, labels(game))
    }

    /// A container without labels that runs.
    pub fn unlabelled(&self, n: u64) -> ContainerId {
        self.running_with(n, rtmanager::model::Labels::new())
    }

    fn running_with(&self, n: u64, labels: rtmanager::model::Labels) -> ContainerId {
        let id = container(n);
        self.host.engine.create(&id, IMAGE, labels);
        self.host.advance(Duration::from_secs(1));
        assert!(self.host.engine.start(&id));
        id
    }

    pub fn stop(&self, id: &ContainerId) {
        self.host.advance(Duration::from_secs(1));
        assert!(self.host.engine.stop(id, 0));
        self.host.advance(Duration::from_secs(1));
    }

    pub async fn register(&self, game: &str, status: LiveStatus, id: &ContainerId) -> RuntimeRecord {
        self.host.register(game, status, Some(id)).await
    }

    /// A stopped record whose container vanished.
    pub async fn missing(&self, n: u64, game: &str) -> ContainerId {
        let id = container(n);
        self.host.stopped(game, &id).await;
        assert!(self.host.engine.vanish(&id));
        id
    }

    pub async fn tracked(&self, game: &str) -> TrackedRuntime {
        self.host.record(game).await.expect("a record")
    }

    pub async fn status(&self, game: &str) -> Status {
        self.tracked(game).await.record.status
    }

    /// Game, source and outcome of each entry, oldest first.
    pub fn entries(&self) -> Vec<(String, String, Outcome)> {
        let told = |entry: OperationEntry| (entry.game_id, entry.op_source, entry.outcome);
        self.host.entries().into_iter().map(|logged| told(logged.entry)).collect()
    }

    pub fn now(&self) -> rtmanager::model::Timestamp {
        self.host.clock.now()
    }
}

pub fn games(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.game.as_ref().map_or("-", |game| game.as_str())).collect()
}
