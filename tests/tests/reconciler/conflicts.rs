//! Containers that claim a game against each other, or against its record.

use rtmanager::model::{Labels, Parked, RuntimeRecord, Status};
use rtmanager::ports::{Clock as _, Disposition};

use super::world::{DAY, World, game_id, id, reasons};

#[tokio::test]
async fn two_containers_that_claim_one_game_are_reported_and_neither_is_registered() {
    let world = World::new();
    world.exited("a", "t", "g");
    world.exited("b", "u", "g");
    let report = world.pass().await;
    let claimed_by = |digit: &str| format!("game g is claimed by container {} too", id(digit));
    assert_eq!(reasons(&report.conflicts), [("a", claimed_by("b").as_str()), ("b", claimed_by("a").as_str())]);
    assert_eq!(world.store.records().get(&game_id("g")).await.unwrap(), None);
}

#[tokio::test]
async fn a_record_stays_as_it_is_and_is_kept_from_the_sweeper_while_two_claim_its_game() {
    let world = World::new();
    let first = world.exited("a", "t", "g");
    world.pass().await;
    assert!(world.is_offered("g").await);
    let before = world.record("g").await;
    let second = world.exited("b", "t", "g");
    world.engine.start(&first);
    for _ in 0..3 {
        assert_eq!(world.pass().await.conflicts.len(), 2);
        assert_eq!(world.record("g").await, before);
        assert!(!world.is_offered("g").await);
        world.clock.advance(DAY / 2);
    }
    world.engine.stop(&first, 0);
    world.engine.vanish(&second);
    assert_eq!(world.pass().await.conflicts, []);
    assert!(world.is_offered("g").await);
}

#[tokio::test]
async fn a_conflict_that_ends_without_news_gives_the_game_back_and_keeps_its_failures() {
    let world = World::new();
    world.exited("a", "t", "g");
    world.pass().await;
    let backoff = Disposition::Wait {
        until: world.clock.now(),
        reason: "service_unavailable".to_owned(),
        generation: None,
        failed_attempts: 2,
    };
    let version = world.record("g").await.version;
    assert!(world.store.records().dispose(&game_id("g"), version, &backoff).await.unwrap());
    let second = world.exited("b", "t", "g");
    world.pass().await;
    assert!(!world.is_offered("g").await);
    world.engine.vanish(&second);
    assert_eq!(world.pass().await.unchanged, 1);
    assert!(world.is_offered("g").await);
    assert_eq!(world.tracked("g").await.cleanup.failed_attempts, 2);
}

#[tokio::test]
async fn a_conflict_shortens_no_wait_and_unparks_nothing() {
    let world = World::new();
    world.exited("a", "t", "g");
    world.pass().await;
    let version = world.record("g").await.version;
    let until = world.clock.now().saturating_add(DAY * 30);
    let wait = Disposition::Wait {
        until,
        reason: "policy".to_owned(),
        generation: Some("acme/1".parse().unwrap()),
        failed_attempts: 0,
    };
    world.store.records().dispose(&game_id("g"), version, &wait).await.unwrap();
    world.exited("b", "t", "g");
    world.pass().await;
    assert_eq!(world.tracked("g").await.cleanup.wait_until, Some(until));
    let parked = Parked { at: world.clock.now(), reason: "failed".to_owned() };
    let park = Disposition::Park { parked: parked.clone(), failed_attempts: 9 };
    world.store.records().dispose(&game_id("g"), version, &park).await.unwrap();
    world.pass().await;
    assert_eq!(world.tracked("g").await.cleanup.parked, Some(parked));
}

#[tokio::test]
async fn an_unlabelled_container_of_the_record_claims_the_game_no_less() {
    let world = World::new();
    world.engine.create(&id("a"), "web:1", Labels::new());
    world.register(|registration| registration.container_id = Some(id("a"))).await;
    world.exited("b", "t", "g");
    let report = world.pass().await;
    let reason = format!("the game's record has container {}, which still exists", id("a"));
    assert_eq!(reasons(&report.conflicts), [("b", reason.as_str())]);
    assert_eq!(world.record("g").await.container_id, Some(id("a")));
    assert!(!world.is_offered("g").await);
}

#[tokio::test]
async fn a_record_of_another_tenant_is_reported_and_neither_overwritten_nor_kept() {
    let world = World::new();
    let before = world.register(|registration| registration.tenant = "u".parse().unwrap()).await;
    world.exited("a", "t", "g");
    let report = world.pass().await;
    assert_eq!(reasons(&report.conflicts), [("a", "the game's record belongs to tenant u")]);
    assert_eq!(world.record("g").await, before);
    assert!(world.is_offered("g").await, "a claim by another tenant must not keep a game from its cleanup");
}

#[tokio::test]
async fn a_conflict_among_other_tenants_keeps_no_game() {
    let world = World::new();
    world.register(|registration| registration.tenant = "u".parse().unwrap()).await;
    world.exited("a", "t", "g");
    world.exited("b", "t", "g");
    assert_eq!(world.pass().await.conflicts.len(), 2);
    assert!(world.is_offered("g").await);
}

#[tokio::test]
async fn a_record_with_a_container_on_another_engine_is_reported_and_kept() {
    let world = World::new();
    world
        .register(|registration| {
            registration.engine = "other".parse().unwrap();
            registration.container_id = Some(id("a"));
        })
        .await;
    world.exited("b", "t", "g");
    let report = world.pass().await;
    let reason = format!("the game's record has container {} on engine other", id("a"));
    assert_eq!(reasons(&report.conflicts), [("b", reason.as_str())]);
    assert!(!world.is_offered("g").await);
}

#[tokio::test]
async fn a_status_of_the_platforms_own_is_left_alone() {
    let world = World::new();
    let registered = world.register(|_| ()).await;
    world.store.write_directly(RuntimeRecord { status: Status::from_text("migrating"), ..registered });
    world.exited("a", "t", "g");
    let report = world.pass().await;
    assert_eq!(reasons(&report.conflicts), [("a", "the game's record has status \"migrating\", the platform's own")]);
    assert_eq!(world.record("g").await.status, Status::from_text("migrating"));
}

#[tokio::test]
async fn a_container_that_was_removed_by_the_record_and_exists_is_reported() {
    let world = World::new();
    world.exited("a", "t", "g");
    world.pass().await;
    world.set_removed("g").await;
    let report = world.pass().await;
    let reason = format!("container {} of this game was removed; register the container of a new incarnation", id("a"));
    assert_eq!(reasons(&report.conflicts), [("a", reason.as_str())]);
    assert_eq!(world.record("g").await.status, Status::Removed);
}

#[tokio::test]
async fn a_container_that_is_another_games_is_reported() {
    let world = World::new();
    world
        .register(|registration| {
            registration.game_id = game_id("other");
            registration.container_id = Some(id("a"));
        })
        .await;
    world.exited("a", "t", "g");
    let report = world.pass().await;
    let reason = format!("container {} belongs to game other", id("a"));
    assert_eq!(reasons(&report.conflicts), [("a", reason.as_str())]);
}
