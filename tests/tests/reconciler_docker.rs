//! Records kept honest on a real Docker Engine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

#[path = "reconciler_docker/hints.rs"]
mod hints;
#[path = "sweeper_docker/site.rs"]
#[allow(dead_code, reason = "shared with the sweeper's suite")]
mod site;
#[path = "reconciler_docker/two_owners.rs"]
mod two_owners;

use std::sync::Arc;

use rtmanager::adapters::memory::{ManualClock, MemoryStore};
use rtmanager::model::{LiveStatus, Outcome, Status};
use rtmanager::ownership::Ownership;
use rtmanager::reconciler::{Closer, Options, Reconciler};
use rtmanager::sweeper::SweepOptions;
use rtmanager_tests::dockerd::{Dockerd, labels};
use rtmanager_tests::sweeping::sweep_options;

use site::{ENGINE, Site};

/// What reconciles a site, and closes its records by the second pass that misses their containers.
fn reconciler(site: &Site, discovers: bool, sweep: SweepOptions) -> Reconciler {
    let close_after = std::time::Duration::ZERO;
    let options = Options { discovers, close_after, ..Options::new(site.ownership.clone()) };
    let (engine, ports) = (site.ports.engines.values().next().unwrap().clone(), &site.ports);
    let name = ENGINE.parse().unwrap();
    let reconciler = Reconciler::new(engine, name, ports.records.clone(), ports.clock.clone(), options);
    reconciler.closing_by(Closer { lifecycle: site.lifecycle.clone(), sweeper: site.sweeper(sweep) })
}

#[tokio::test]
async fn containers_of_a_real_engine_become_records() {
    let dockerd = Dockerd::shared().await;
    let owner = format!("discovery-{}-{}", std::process::id(), std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos());
    let with_owner = |tenant: &str, game: &str| {
        labels(&[("rtmanager.owner", &owner), ("rtmanager.tenant", tenant), ("rtmanager.game", game)])
    };
    let running = dockerd.running(&with_owner("t", "runs")).await;
    let exited = dockerd.exited(&with_owner("t", "ended")).await;
    let created = dockerd.created(&with_owner("u", "made")).await;
    let image = dockerd.image_with_labels(&owner, &labels(&[("rtmanager.game", "spoofed")])).await;
    let spoofed = dockerd.exited_of(&image, &labels(&[("rtmanager.owner", &owner), ("rtmanager.tenant", "t")])).await;
    for _ in 0..2 {
        dockerd.created(&with_owner("t", "twice")).await;
    }

    let (store, clock) = (MemoryStore::default(), Arc::new(ManualClock::at("2030-01-01T00:00:00Z".parse().unwrap())));
    let ownership = Ownership { owner, ..Ownership::default() };
    let (engine, name) = (Arc::new(dockerd.engine()), "main".parse().unwrap());
    let reconciler = Reconciler::new(engine, name, store.records(), clock, Options::new(ownership));
    let report = reconciler.run().await;
    dockerd.discard(&running).await;
    let report = report.unwrap();

    assert_eq!((report.registered.len(), report.conflicts.len()), (3, 2));
    assert_eq!(report.invalid.iter().map(|finding| &finding.container).collect::<Vec<_>>(), [&spoofed]);
    let records = store.records();
    for (game, container, status) in
        [("runs", running, Status::Running), ("ended", exited, Status::Stopped), ("made", created, Status::Stopped)]
    {
        let record = records.get(&game.parse().unwrap()).await.unwrap().unwrap().record;
        assert_eq!((record.container_id, record.status), (Some(container), status));
        assert_eq!(record.stopped_at.is_some(), game != "runs");
    }
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_platform_are_kept_honest_without_labels_and_without_discovery() {
    let dockerd = Dockerd::shared().await;
    let site = Site::new(&dockerd).await;
    let bare = labels(&[]);
    let (ends, runs, goes) =
        (dockerd.exited(&bare).await, dockerd.running(&bare).await, dockerd.exited(&site.labels("goes")).await);
    let orphan = dockerd.exited(&site.labels("orphan")).await;
    site.register("ends", LiveStatus::Running, Some(&ends), std::time::Duration::ZERO).await;
    site.register("runs", LiveStatus::Running, Some(&runs), std::time::Duration::ZERO).await;
    site.register("goes", LiveStatus::Stopped, Some(&goes), std::time::Duration::ZERO).await;
    dockerd.discard(&goes).await;
    let reconciler = reconciler(&site, false, sweep_options());
    let report = reconciler.run().await.unwrap();
    assert_eq!((report.refreshed.len(), report.closed.len(), report.registered.len()), (1, 0, 0), "{report:?}");
    let report = reconciler.run().await.unwrap();
    assert_eq!((report.refreshed.len(), report.closed.len(), report.registered.len()), (0, 1, 0), "{report:?}");
    for (game, status) in [("ends", Status::Stopped), ("runs", Status::Running), ("goes", Status::Removed)] {
        assert_eq!(site.record(game).await.record.status, status, "{game}");
    }
    let entry = site.entries("goes").await.pop().unwrap();
    assert_eq!((entry.op_source.as_str(), entry.outcome), ("reconciler", Outcome::Success));
    assert!(dockerd.has(&ends).await && dockerd.has(&orphan).await, "it removes nothing");
    for id in [ends, runs, orphan] {
        dockerd.discard(&id).await;
    }
}
