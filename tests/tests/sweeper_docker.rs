//! The sweeper on a real Docker Engine, with the records in a file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bollard::models::ContainerStateStatusEnum;
use rtmanager::model::{ContainerId, Hold, LiveStatus, Outcome, Status};
use rtmanager::reconciler::{Options, Reconciler};
use rtmanager::sweeper::{Decision, SweepItem, SweepRequest};
use rtmanager_tests::dockerd::Dockerd;
use rtmanager_tests::sweeping::{DAY, RETENTION, Swept, sweep_options};

#[path = "sweeper_docker/site.rs"]
mod site;

use site::Site;

async fn state(dockerd: &Dockerd, id: &ContainerId) -> Option<ContainerStateStatusEnum> {
    dockerd.docker().inspect_container(id.as_str(), None).await.ok()?.state?.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_container_of_a_mixed_lot_gets_what_it_should() {
    let dockerd = Dockerd::shared().await;
    let site = Site::new(&dockerd).await;
    let mut lot = Lot::new(&site);
    for n in 0..4 {
        lot.add(&format!("exited-{n}"), Some(dockerd.exited(&site.labels(&format!("exited-{n}"))).await)).await;
    }
    lot.add("created", Some(dockerd.created(&site.labels("created")).await)).await;
    lot.add("running", Some(dockerd.running(&site.labels("running")).await)).await;
    lot.add("paused", Some(dockerd.paused(&site.labels("paused")).await)).await;
    lot.add("restarting", Some(dockerd.restarting(&site.labels("restarting")).await)).await;
    lot.add("no-container", None).await;
    lot.add("gone", Some(dockerd.exited(&site.labels("gone")).await)).await;
    dockerd.discard(lot.id("gone")).await;
    lot.add("others-game", Some(dockerd.exited(&site.labels("another-game")).await)).await;
    let mut foreign = site.labels("others-owner");
    foreign.insert("rtmanager.owner".to_owned(), "somebody-else".to_owned());
    lot.add("others-owner", Some(dockerd.exited(&foreign).await)).await;
    lot.add("held", Some(dockerd.exited(&site.labels("held")).await)).await;
    let hold = Hold { reason: "evidence".to_owned(), actor: "alice".to_owned(), until: None };
    assert!(site.ports.records.set_hold(&"held".parse().unwrap(), Some(&hold)).await.unwrap());
    let contested: Vec<_> = (0..6).map(|n| format!("contested-{n}")).collect();
    for (name, id) in contested.iter().zip(dockerd.exited_many(contested.iter().map(|name| site.labels(name))).await) {
        lot.add(name, Some(id)).await;
    }
    let young = dockerd.exited(&site.labels("young")).await;
    site.register("young", LiveStatus::Stopped, Some(&young), RETENTION - DAY).await;
    let live = dockerd.running(&site.labels("live")).await;
    site.register("live", LiveStatus::Running, Some(&live), RETENTION * 2).await;

    let sweeper = site.sweeper(sweep_options());
    let rivals = contested.iter().map(|name| {
        let (docker, id) = (dockerd.docker().clone(), lot.id(name).clone());
        // Which of the two comes first is the test's point, so that either may fail.
        tokio::spawn(async move { docker.remove_container(id.as_str(), None).await.is_ok() })
    });
    let rivals: Vec<_> = rivals.collect();
    let swept = Swept::by(&sweeper, &SweepRequest::default()).await;
    for rival in rivals {
        rival.await.unwrap();
    }

    let mut expected: BTreeMap<&str, Decision> =
        lot.ids.keys().map(|name| (name.as_str(), Decision::Removed)).collect();
    let stays = ["running", "paused", "restarting", "others-game", "others-owner"];
    expected.extend(stays.map(|name| (name, Decision::Failed)));
    expected.insert("held", Decision::Held);
    assert_eq!(swept.decisions(), expected.clone().into_iter().collect::<Vec<_>>(), "{:#?}", swept.items);
    for (name, decision) in &expected {
        let removed = *decision == Decision::Removed;
        let there = match &lot.ids[*name] {
            Some(id) => dockerd.has(id).await,
            None => false,
        };
        assert_eq!(there, !removed, "{name}");
        let record = site.record(name).await.record;
        assert_eq!(record.status, if removed { Status::Removed } else { Status::Stopped }, "{name}");
        let entries = site.entries(name).await;
        assert_eq!(entries.len(), usize::from(*decision != Decision::Held), "{name}: one entry for each run");
        for entry in entries {
            assert_eq!((entry.outcome == Outcome::Success, entry.fault), (removed, None), "{name}");
            assert_eq!(entry.container_id, lot.ids[*name], "{name}");
            assert_eq!((entry.op_source.as_str(), entry.source_ref.as_str()), ("auto_ttl", ""));
            assert_eq!(entry.error_code.map(|code| code.to_string()), (!removed).then(|| "conflict".to_owned()));
        }
        assert!(site.is_free(name).await, "{name} is still leased");
    }
    for (name, id) in [("young", &young), ("live", &live)] {
        assert!(dockerd.has(id).await && site.entries(name).await.is_empty(), "{name} was not to be touched");
    }
    assert_eq!(state(&dockerd, lot.id("running")).await, Some(ContainerStateStatusEnum::RUNNING));
    assert_eq!(state(&dockerd, lot.id("paused")).await, Some(ContainerStateStatusEnum::PAUSED));
    assert_eq!(state(&dockerd, &live).await, Some(ContainerStateStatusEnum::RUNNING));
    for id in stays.iter().chain(&["held"]).map(|name| lot.id(name)).chain([&young, &live]) {
        dockerd.discard(id).await;
    }
}

/// Games that are past the floor, by name.
struct Lot<'s> {
    site: &'s Site,
    ids: BTreeMap<String, Option<ContainerId>>,
}

impl<'s> Lot<'s> {
    fn new(site: &'s Site) -> Self {
        Self { site, ids: BTreeMap::new() }
    }

    async fn add(&mut self, name: &str, id: Option<ContainerId>) {
        self.site.register(name, LiveStatus::Stopped, id.as_ref(), RETENTION + DAY).await;
        self.ids.insert(name.to_owned(), id);
    }

    fn id(&self, name: &str) -> &ContainerId {
        self.ids[name].as_ref().expect("a container")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_killed_and_restarted_during_a_sweep_loses_nothing() {
    const EXITED: usize = 40;
    // So that what runs goes on running while the engine is away.
    let arguments = ["--live-restore".to_owned()];
    let socket = |dir: &std::path::Path| rtmanager::adapters::docker::Endpoint::Unix(dir.join("socket"));
    let mut dockerd = Dockerd::start_with(&arguments, socket).await;
    let site = Site::new(&dockerd).await;
    let mut lot = Lot::new(&site);
    let names: Vec<_> = (0..EXITED).map(|n| format!("exited-{n:02}")).collect();
    for (name, id) in names.iter().zip(dockerd.exited_many(names.iter().map(|name| site.labels(name))).await) {
        lot.add(name, Some(id)).await;
    }
    lot.add("running", Some(dockerd.running(&site.labels("running")).await)).await;

    let mut options = sweep_options();
    options.concurrency = 4;
    options.retry.backoff_base = Duration::from_millis(10);
    options.retry.backoff_cap = Duration::from_millis(50);
    options.retry.park_after = 30;
    let sweeper = site.sweeper(options);
    let (dealt_with, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
    let (counted, told) = (dealt_with.clone(), enough.clone());
    let observer = Arc::new(move |_: &SweepItem| {
        if counted.fetch_add(1, Ordering::SeqCst) == EXITED / 4 {
            told.notify_one();
        }
    });
    let first = {
        let sweeper = sweeper.clone();
        tokio::spawn(async move { sweeper.sweep(&SweepRequest::default(), observer).await.unwrap() })
    };
    enough.notified().await;
    dockerd.kill();
    let first = first.await.unwrap();
    let on_engine = first.engines.values().next().unwrap();
    assert!(on_engine.removed >= EXITED as u64 / 4 && on_engine.failed > 0, "killed in the middle: {on_engine:?}");
    assert_eq!(on_engine.error.as_deref(), Some("cut short: the engine does not answer any more"));
    dockerd.restart().await;

    for _ in 0..60 {
        Swept::by(&sweeper, &SweepRequest::default()).await;
        if settled(&lot).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (name, id) in &lot.ids {
        let tracked = site.record(name).await;
        let id = id.as_ref().unwrap();
        assert!(site.is_free(name).await, "{name} is still leased");
        let won = site.entries(name).await.into_iter().filter(|entry| entry.outcome == Outcome::Success);
        if name == "running" {
            assert_eq!(state(&dockerd, id).await, Some(ContainerStateStatusEnum::RUNNING));
            assert_eq!(tracked.record.status, Status::Stopped);
            assert!(tracked.cleanup.parked.is_some_and(|parked| parked.reason.starts_with("conflict: ")));
        } else if tracked.cleanup.parked.is_none() {
            assert_eq!(tracked.record.status, Status::Removed, "{name}");
            assert!(!dockerd.has(id).await, "{name} is said to be removed, and is not");
            assert_eq!(won.count(), 1, "{name}: its one change is in the log");
        } else {
            assert!(dockerd.has(id).await, "{name} is parked, and gone");
        }
    }
    dockerd.discard(lot.id("running")).await;
}

/// Whether every game is removed or parked.
async fn settled(lot: &Lot<'_>) -> bool {
    for name in lot.ids.keys() {
        let tracked = lot.site.record(name).await;
        if tracked.record.status != Status::Removed && tracked.cleanup.parked.is_none() {
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovered_containers_are_swept_from_end_to_end() {
    const COUNT: usize = 60;
    let dockerd = Dockerd::shared().await;
    let site = Site::new(&dockerd).await;
    let names: Vec<_> = (0..COUNT).map(|n| format!("game-{n:02}")).collect();
    let ids = dockerd.exited_many(names.iter().map(|name| site.labels(name))).await;
    let live = dockerd.running(&site.labels("live")).await;
    let engine = site.ports.engines.values().next().unwrap().clone();
    let reconciler = Reconciler::new(
        engine,
        site::ENGINE.parse().unwrap(),
        site.ports.records.clone(),
        site.ports.clock.clone(),
        Options::new(site.ownership.clone()),
    );
    assert_eq!(reconciler.run().await.unwrap().registered.len(), COUNT + 1);

    let mut options = sweep_options();
    (options.page_size, options.concurrency) = (200, 8);
    let early = Swept::by(&site.sweeper(options.clone()), &SweepRequest::default()).await;
    assert!(early.items.is_empty(), "retention counts from the end of the container's run");
    options.retention = Duration::ZERO;
    let sweeper = site.sweeper(options);
    let began = Instant::now();
    let swept = Swept::by(&sweeper, &SweepRequest::default()).await;
    let took = began.elapsed();
    assert_eq!(swept.games(Decision::Removed), names, "{:#?}", swept.items);
    eprintln!("swept {COUNT} containers in {took:?}: {:.0} a second", COUNT as f64 / took.as_secs_f64());
    for id in &ids {
        assert!(!dockerd.has(id).await);
    }
    assert_eq!(state(&dockerd, &live).await, Some(ContainerStateStatusEnum::RUNNING));
    let again = reconciler.run().await.unwrap();
    assert_eq!((again.registered.len(), again.unchanged), (0, 1), "removed stays removed");
    dockerd.discard(&live).await;
    assert!(site.record("live").await.record.stopped_at.is_none());
}
