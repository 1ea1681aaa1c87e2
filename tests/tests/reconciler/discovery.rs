//! Containers become records.

use rtmanager::model::{ContainerState, Hold, Labels, LiveStatus, RuntimeRecord, Status, Timestamp};
use rtmanager::ports::{Clock as _, ContainerEngine as _};
use rtmanager::reconciler::Report;
use rtmanager_tests::dockerd::labels;

use super::world::{World, game_id, id, ours, reasons};

#[tokio::test]
async fn an_ended_container_becomes_a_stopped_record() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    let report = world.pass().await;
    assert_eq!(reasons(&report.registered), [("a", "now stopped")]);
    let engines = world.engine.inspect(&container).await.unwrap().unwrap();
    let record = world.record("g").await;
    assert_eq!((record.tenant.as_str(), record.engine.as_str()), ("t", "main"));
    assert_eq!((record.status, record.container_id), (Status::Stopped, Some(container)));
    assert_eq!((record.started_at, record.stopped_at), (engines.started_at, engines.finished_at));
    assert_eq!((record.image_ref.as_deref(), record.labels), (Some("web:1"), ours("t", "g")));
}

#[tokio::test]
async fn live_states_are_running_and_dead_is_stopped() {
    for (state, status) in [
        (ContainerState::Running, Status::Running),
        (ContainerState::Paused, Status::Running),
        (ContainerState::Restarting, Status::Running),
        (ContainerState::Dead, Status::Stopped),
    ] {
        let world = World::new();
        let container = world.exited("a", "t", "g");
        world.engine.set_state(&container, state.clone());
        world.pass().await;
        assert_eq!(world.record("g").await.status, status, "{state}");
    }
}

#[tokio::test]
async fn a_container_that_never_ran_is_stopped_since_it_was_made() {
    let world = World::new();
    let container = world.create("a", "t", "g");
    world.pass().await;
    let created_at = world.engine.inspect(&container).await.unwrap().unwrap().created_at;
    let record = world.record("g").await;
    assert_eq!((record.status, record.stopped_at), (Status::Stopped, created_at));
}

#[tokio::test]
async fn starts_and_stops_refresh_the_record() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.pass().await;
    world.engine.start(&container);
    let report = world.pass().await;
    assert_eq!(reasons(&report.refreshed), [("a", "now running")]);
    let running = world.record("g").await;
    assert_eq!((running.status, running.stopped_at), (Status::Running, None));
    world.engine.stop(&container, 1);
    assert_eq!(reasons(&world.pass().await.refreshed), [("a", "now stopped")]);
    let finished_at = world.engine.inspect(&container).await.unwrap().unwrap().finished_at;
    assert_eq!(world.record("g").await.stopped_at, finished_at);
}

#[tokio::test]
async fn nothing_new_writes_nothing() {
    let world = World::new();
    world.exited("a", "t", "g");
    world.pass().await;
    let before = world.tracked("g").await;
    let report = world.pass().await;
    assert_eq!(report, Report { unchanged: 1, ..Report::default() });
    assert_eq!(world.tracked("g").await, before);
}

#[tokio::test]
async fn the_platforms_stop_time_stands_until_the_container_runs_again() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.pass().await;
    let told: Timestamp = "2025-06-01T00:00:00Z".parse().unwrap();
    let known = world.record("g").await;
    world.store.write_directly(RuntimeRecord { stopped_at: Some(told), ..known });
    assert_eq!(world.pass().await.unchanged, 1);
    assert_eq!(world.record("g").await.stopped_at, Some(told));
    world.rerun(&container);
    assert_eq!(world.pass().await.refreshed.len(), 1);
    assert!(world.record("g").await.stopped_at.unwrap() > told);
}

#[tokio::test]
async fn without_a_closer_a_container_that_vanished_is_reported_and_left_to_cleanup() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.pass().await;
    let before = world.tracked("g").await;
    world.engine.vanish(&container);
    let report = world.pass().await;
    assert_eq!(reasons(&report.orphans.stopped_records), [("a", "its container does not exist")]);
    assert_eq!(report, Report { orphans: report.orphans.clone(), ..Report::default() });
    assert_eq!(world.tracked("g").await, before);
}

#[tokio::test]
async fn a_container_that_is_being_removed_is_ignored() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.engine.set_state(&container, ContainerState::Removing);
    assert_eq!(world.pass().await, Report::default());
    assert_eq!(world.store.records().get(&game_id("g")).await.unwrap(), None);
}

#[tokio::test]
async fn containers_of_other_owners_are_not_looked_at() {
    let world = World::new();
    let mut theirs = ours("t", "g");
    theirs.insert("rtmanager.owner".to_owned(), "them".to_owned());
    world.engine.create(&id("a"), "web:1", theirs);
    world.engine.create(&id("b"), "web:1", Labels::new());
    assert_eq!(world.pass().await, Report::default());
}

#[tokio::test]
async fn an_image_cannot_claim_a_game_nor_a_tenant_nor_an_owner() {
    for spoofed in ["rtmanager.owner", "rtmanager.tenant", "rtmanager.game"] {
        let world = World::new();
        let mut own = ours("t", "g");
        let value = own.remove(spoofed).unwrap();
        world.engine.set_image_labels("evil:1", labels(&[(spoofed, &value)]));
        world.engine.create(&id("a"), "evil:1", own);
        let report = world.pass().await;
        assert_eq!(report.registered, [], "{spoofed}");
        assert_eq!(report.invalid.len(), 1, "{spoofed}: hidden without a word");
        assert_eq!(world.store.records().get(&game_id("g")).await.unwrap(), None, "{spoofed}");
    }
}

#[tokio::test]
async fn labels_that_cannot_be_used_are_reported() {
    let world = World::new();
    world.create("a", "t", " ");
    world.create("b", "not a tenant", "g");
    world.engine.create(&id("c"), "web:1", labels(&[("rtmanager.owner", "us"), ("rtmanager.tenant", "t")]));
    world.engine.create(&id("d"), "web:1", labels(&[("rtmanager.owner", "us"), ("rtmanager.game", "h")]));
    let odd = world.create("e", "t", "i");
    world.engine.set_state(&odd, ContainerState::Other("hibernating".to_owned()));
    let report = world.pass().await;
    let mut invalid = reasons(&report.invalid);
    invalid.sort_unstable();
    assert_eq!(
        invalid,
        [
            (
                "a",
                "game id \" \" is not valid: 1 to 256 bytes, not blank, without control characters, line separators and direction marks"
            ),
            (
                "b",
                "tenant \"not a tenant\" is not valid: 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-', starting with a \
                 letter or digit"
            ),
            ("c", "it has no label rtmanager.game of its own"),
            ("d", "it has no label rtmanager.tenant of its own"),
            ("e", "its state \"hibernating\" is none of a runtime's"),
        ]
    );
    assert_eq!(report, Report { invalid: report.invalid.clone(), ..Report::default() });
}

#[tokio::test]
async fn a_new_container_takes_the_place_of_one_that_is_gone() {
    let world = World::new();
    world.register(|registration| registration.container_id = Some(id("a"))).await;
    let container = world.exited("b", "t", "g");
    assert_eq!(reasons(&world.pass().await.refreshed), [("b", "now stopped")]);
    assert_eq!(world.record("g").await.container_id, Some(container));
}

#[tokio::test]
async fn a_removed_game_begins_anew_with_a_new_container() {
    let world = World::new();
    let first = world.exited("a", "t", "g");
    world.pass().await;
    world.engine.vanish(&first);
    world.set_removed("g").await;
    let second = world.exited("b", "t", "g");
    assert_eq!(reasons(&world.pass().await.registered), [("b", "now stopped")]);
    let record = world.record("g").await;
    assert_eq!((record.status, record.container_id, record.removed_at), (Status::Stopped, Some(second), None));
}

#[tokio::test]
async fn a_hold_survives_all_of_it() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.pass().await;
    let hold = Hold { reason: "evidence".to_owned(), actor: "ann".to_owned(), until: None };
    world.store.records().set_hold(&game_id("g"), Some(&hold)).await.unwrap();
    world.rerun(&container);
    world.pass().await;
    world.exited("b", "t", "g");
    world.pass().await;
    assert_eq!(world.tracked("g").await.cleanup.hold, Some(hold));
}

#[tokio::test]
async fn a_running_container_that_vanished_leaves_a_stopped_record() {
    let world = World::new();
    let container = world.exited("a", "t", "g");
    world.engine.start(&container);
    world.engine.create(&id("b"), "web:1", Labels::new());
    world
        .register(|unlabelled| {
            (unlabelled.game_id, unlabelled.status) = (game_id("still-there"), LiveStatus::Running);
            unlabelled.container_id = Some(id("b"));
        })
        .await;
    world.pass().await;
    assert_eq!(world.record("g").await.status, Status::Running);
    world.engine.vanish(&container);
    assert_eq!(reasons(&world.pass().await.refreshed), [("a", "gone, so now stopped")]);
    let record = world.record("g").await;
    assert_eq!((record.status, record.container_id), (Status::Stopped, Some(container)));
    assert_eq!((record.stopped_at, record.labels), (Some(world.clock.now()), ours("t", "g")));
    assert!(world.is_offered("g").await);
    assert_eq!(world.record("still-there").await.status, Status::Running);
    let report = world.pass().await;
    assert_eq!(report, Report { orphans: report.orphans.clone(), ..Report::default() });
}
