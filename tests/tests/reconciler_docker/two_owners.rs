//! Two managers with different owner labels on one engine.

use std::time::Duration;

use rtmanager::model::{ContainerId, LiveStatus, Status};
use rtmanager::ports::RecordFilter;
use rtmanager::sweeper::{Decision, SweepRequest};
use rtmanager_tests::dockerd::Dockerd;
use rtmanager_tests::sweeping::{Swept, sweep_options};

use super::site::Site;

/// A manager with containers of its own: some have ended, one runs.
struct Manager {
    site: Site,
    ended: Vec<ContainerId>,
    live: ContainerId,
}

impl Manager {
    async fn new(dockerd: &Dockerd) -> Self {
        let site = Site::new(dockerd).await;
        let games = (0..4).map(|n| site.labels(&format!("game-{n}")));
        let ended = dockerd.exited_many(games).await;
        let live = dockerd.running(&site.labels("live")).await;
        Self { site, ended, live }
    }

    async fn reconcile(&self) -> usize {
        let reconciler = super::reconciler(&self.site, true, sweep_options());
        let report = reconciler.run().await.unwrap();
        assert_eq!((report.conflicts, report.invalid), (vec![], vec![]));
        report.registered.len()
    }

    /// With no retention at all.
    async fn sweep(&self) -> Swept {
        let options = rtmanager::sweeper::SweepOptions { retention: Duration::ZERO, ..sweep_options() };
        Swept::by(&self.site.sweeper(options), &SweepRequest::default()).await
    }

    async fn recorded(&self) -> Vec<String> {
        let rows = self.site.ports.records.list(&RecordFilter::default(), None, 100).await.unwrap();
        rows.into_iter().map(|row| row.record.game_id.to_string()).collect()
    }

    async fn still_there(&self, dockerd: &Dockerd) -> usize {
        let mut count = 0;
        for id in self.ended.iter().chain([&self.live]) {
            count += usize::from(dockerd.has(id).await);
        }
        count
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_managers_on_one_engine_never_touch_each_others_containers() {
    let dockerd = Dockerd::shared().await;
    // Games of the same names, so that only the owner tells them apart.
    let (ours, theirs) = (Manager::new(&dockerd).await, Manager::new(&dockerd).await);
    let (first, second) = tokio::join!(ours.reconcile(), theirs.reconcile());
    assert_eq!((first, second), (5, 5), "each records its own");
    for manager in [&ours, &theirs] {
        assert_eq!(manager.recorded().await, ["game-0", "game-1", "game-2", "game-3", "live"]);
        assert_eq!(manager.site.record("live").await.record.container_id, Some(manager.live.clone()));
    }

    let swept = ours.sweep().await;
    assert_eq!(swept.games(Decision::Removed), ["game-0", "game-1", "game-2", "game-3"]);
    assert_eq!((ours.still_there(&dockerd).await, theirs.still_there(&dockerd).await), (1, 5));
    assert_eq!(theirs.reconcile().await, 0);
    assert_eq!(theirs.site.record("game-0").await.record.status, Status::Stopped);
    assert_eq!(theirs.sweep().await.games(Decision::Removed).len(), 4);
    assert_eq!((ours.still_there(&dockerd).await, theirs.still_there(&dockerd).await), (1, 1), "both live ones run on");
    for manager in [ours, theirs] {
        dockerd.discard(&manager.live).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_names_anothers_container_gets_nobody_to_touch_it() {
    let dockerd = Dockerd::shared().await;
    let (ours, theirs) = (Site::new(&dockerd).await, Site::new(&dockerd).await);
    let id = dockerd.exited(&theirs.labels("g")).await;
    for (game, status) in [("says-stopped", LiveStatus::Stopped), ("says-running", LiveStatus::Running)] {
        let own = if game == "says-stopped" { Some(&id) } else { None };
        ours.register(game, status, own, Duration::from_secs(86_400)).await;
    }
    let reconciler = super::reconciler(&ours, false, sweep_options());
    let report = reconciler.run().await.unwrap();
    assert_eq!((report.conflicts.len(), report.refreshed.len(), report.closed.len()), (1, 0, 0), "{report:?}");
    let options = rtmanager::sweeper::SweepOptions { retention: Duration::ZERO, ..sweep_options() };
    let swept = Swept::by(&ours.sweeper(options), &SweepRequest::default()).await;
    assert_eq!(swept.games(Decision::Failed), ["says-stopped"]);
    assert!(dockerd.has(&id).await);
    dockerd.discard(&id).await;
}
