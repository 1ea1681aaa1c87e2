//! A real engine's events: what is done by hand is in the records long before the next look, also after the engine
//! was gone.

use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::StopContainerOptions;
use rtmanager::model::{ContainerId, Status};
use rtmanager::reconciler::{Orphans, Reconciler};
use rtmanager_tests::dockerd::Dockerd;
use rtmanager_tests::sweeping::sweep_options;
use tokio::task::JoinHandle;

use super::site::Site;

/// The next look by itself comes far later than any test waits.
const INTERVAL: Duration = Duration::from_secs(3_600);

struct Watching<'s> {
    site: &'s Site,
    reconciler: Arc<Reconciler>,
    passes: JoinHandle<()>,
}

impl<'s> Watching<'s> {
    fn begin(site: &'s Site) -> Self {
        let reconciler = Arc::new(super::reconciler(site, true, sweep_options()));
        let runner = reconciler.clone();
        Self { site, reconciler, passes: tokio::spawn(async move { runner.run_for_ever(|| INTERVAL).await }) }
    }

    async fn status(&self, game: &str) -> Option<Status> {
        let found = self.site.ports.records.get(&game.parse().unwrap()).await.unwrap();
        found.map(|row| row.record.status)
    }

    /// An event has brought a pass that misses the game's container, long before the next look; the pass after it
    /// closes the record.
    async fn closes(&self, game: &str) {
        let misses = |orphans: &Orphans| {
            let mut missed = orphans.stopped_records.iter().filter_map(|found| found.game.as_ref());
            missed.any(|missed| missed.as_str() == game)
        };
        for _ in 0..1_200 {
            let is_missed = self.reconciler.standing().findings.is_some_and(|(_, report)| misses(&report.orphans));
            // Another event may have brought that next pass already.
            if is_missed || self.status(game).await == Some(Status::Removed) {
                self.reconciler.run().await.unwrap();
                assert_eq!(self.status(game).await, Some(Status::Removed));
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no pass misses the container of {game} after 60 s: {:?}", self.reconciler.standing());
    }

    async fn until(&self, game: &str, wanted: Option<Status>) {
        let mut last = None;
        for _ in 0..1_200 {
            last = self.status(game).await;
            if last == wanted {
                return;
            }
            assert!(!self.passes.is_finished());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the record of {game} says {last:?} and not {wanted:?} after 60 s");
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.passes.abort();
    }
}

async fn stop(dockerd: &Dockerd, id: &ContainerId) {
    let at_once = StopContainerOptions { t: Some(0), ..StopContainerOptions::default() };
    dockerd.docker().stop_container(id.as_str(), Some(at_once)).await.unwrap();
}

/// By the first container it is known that the stream is open: what comes later is told by events alone.
async fn opened(watching: &Watching<'_>, dockerd: &Dockerd, name: &str) -> ContainerId {
    let id = dockerd.created(&watching.site.labels(name)).await;
    watching.until(name, Some(Status::Stopped)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_a_stop_and_a_removal_by_hand_are_in_the_record_long_before_the_next_look() {
    let dockerd = Dockerd::shared().await;
    let site = Site::new(&dockerd).await;
    let watching = Watching::begin(&site);
    let first = opened(&watching, &dockerd, "first").await;
    let id = dockerd.running(&site.labels("by-hand")).await;
    watching.until("by-hand", Some(Status::Running)).await;
    stop(&dockerd, &id).await;
    watching.until("by-hand", Some(Status::Stopped)).await;
    dockerd.start_container(&id).await;
    watching.until("by-hand", Some(Status::Running)).await;
    dockerd.discard(&id).await;
    watching.closes("by-hand").await;
    let entries = site.entries("by-hand").await;
    assert_eq!(entries.iter().map(|entry| entry.op_source.as_str()).collect::<Vec<_>>(), ["reconciler"]);
    dockerd.discard(&first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_was_killed_and_restarted_is_followed_again() {
    let mut dockerd = Dockerd::start().await;
    let site = Site::new(&dockerd).await;
    let watching = Watching::begin(&site);
    let first = opened(&watching, &dockerd, "first").await;
    dockerd.kill();
    dockerd.restart().await;
    // The pass that makes up for what was missed comes with the new stream; events follow.
    let second = opened(&watching, &dockerd, "second").await;
    for (name, id) in [("first", &first), ("second", &second)] {
        dockerd.discard(id).await;
        watching.closes(name).await;
    }
}
