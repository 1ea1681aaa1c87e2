//! The contract of `RecordStore`, as far as one record goes: reading, changing, registering.

use rtmanager::model::{CleanupState, Fence, Labels, Registration, RuntimeRecord, Status, TrackedRuntime};
use rtmanager::ports::{CasError, Disposition, RegisterError, StatusChange};

use super::Stores;
use super::fixture::{
    at, container, dispose, engine, game, generation, hold, park, register, removal, run, running, stopped, tenant,
    tracked, wait,
};

super::clauses! { $ record_store, record_store_contract:
    a_game_without_a_record_has_none,
    a_record_is_read_back_as_registered,
    removal_clears_the_container_and_dates_the_record,
    removal_clears_the_cleanup_state_but_no_expired_hold,
    other_changes_keep_the_container,
    conflict_when_the_status_differs,
    conflict_when_the_container_differs,
    conflict_when_a_container_is_there_and_none_is_expected,
    conflict_when_no_container_is_there_and_one_is_expected,
    a_record_without_a_container_is_removed_when_none_is_expected,
    not_found_when_there_is_no_record,
    superseded_when_a_later_fence_has_written,
    the_same_fence_may_write_again,
    held_while_a_hold_is_in_force,
    an_expired_hold_does_not_hold,
    refusals_come_in_the_order_state_fence_hold,
    a_refused_change_changes_nothing,
    one_of_many_changes_at_once_wins,
    registering_again_changes_nothing_but_the_last_operation,
    what_is_not_told_of_the_same_container_stays,
    a_stop_without_a_time_counts_from_registration,
    a_new_start_after_the_stop_without_a_stop_time_counts_from_registration,
    a_new_container_without_a_stop_time_counts_from_registration,
    starting_forgets_the_stop,
    a_change_of_labels_raises_the_version_and_voids_a_policys_wait_only,
    a_change_of_status_voids_wait_failures_and_parking_but_no_hold,
    a_change_of_container_voids_the_wait,
    a_game_never_changes_its_tenant,
    a_removed_container_cannot_be_registered_again,
    a_new_container_for_a_removed_game_starts_a_new_incarnation,
    a_container_of_another_game_cannot_be_registered,
    a_container_that_was_removed_under_another_game_cannot_be_registered,
    a_registration_on_the_version_that_was_judged_is_written,
    a_registration_on_another_version_writes_nothing_and_is_not_refused,
    a_registration_where_no_record_was_writes_nothing_once_there_is_one,
    a_registration_on_the_right_version_is_refused_like_any_other,
    one_of_many_registrations_on_one_version_at_once_is_written,
    one_of_many_first_registrations_at_once_is_written,
}

async fn a_game_without_a_record_has_none(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    assert_eq!(stores.records.get(&game("h")).await.unwrap(), None);
    assert_eq!(stores.records.get(&game(" g")).await.unwrap(), None, "ids are used as given");
}

async fn a_record_is_read_back_as_registered(stores: &Stores) {
    let registered = register(stores, stopped(" Straße 1 ", 1)).await;
    let expected = RuntimeRecord {
        game_id: game(" Straße 1 "),
        tenant: tenant("acme"),
        engine: engine("local"),
        status: Status::Stopped,
        container_id: Some(container(1)),
        image_ref: Some("registry.example/game:1".to_owned()),
        labels: Labels::from([("size".to_owned(), "ü \"large\"".to_owned())]),
        created_at: at(10),
        started_at: None,
        stopped_at: Some(at(0)),
        removed_at: None,
        last_op_at: at(10),
        version: 1,
    };
    assert_eq!(registered, expected);
    assert_eq!(
        tracked(stores, " Straße 1 ").await,
        TrackedRuntime { record: expected, cleanup: CleanupState::default() }
    );
}

async fn removal_clears_the_container_and_dates_the_record(stores: &Stores) {
    let before = register(stores, stopped("g", 1)).await;
    let after = stores.records.compare_and_set(&removal("g", 1)).await.unwrap();
    let expected = RuntimeRecord {
        status: Status::Removed,
        container_id: None,
        removed_at: Some(at(1_000)),
        last_op_at: at(1_000),
        version: 2,
        ..before
    };
    assert_eq!(after, expected);
    assert_eq!(tracked(stores, "g").await.record, expected);
}

async fn removal_clears_the_cleanup_state_but_no_expired_hold(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let expired = hold(Some(at(1_000)));
    stores.records.set_hold(&game("g"), Some(&expired)).await.unwrap();
    dispose(stores, "g", wait(500)).await;
    stores.records.compare_and_set(&removal("g", 1)).await.unwrap();
    assert_eq!(tracked(stores, "g").await.cleanup, CleanupState { hold: Some(expired), ..Default::default() });
}

async fn other_changes_keep_the_container(stores: &Stores) {
    register(stores, running("g", 1)).await;
    let stop = StatusChange { expected_status: Status::Running, new_status: Status::Stopped, ..removal("g", 1) };
    let after = stores.records.compare_and_set(&stop).await.unwrap();
    assert_eq!(after.status, Status::Stopped);
    assert_eq!(after.container_id, Some(container(1)));
    assert_eq!(after.stopped_at, Some(at(1_000)));
    assert_eq!(after.removed_at, None);
    let odd = StatusChange {
        expected_status: Status::Stopped,
        new_status: Status::Other("migrating".to_owned()),
        ..removal("g", 1)
    };
    assert_eq!(stores.records.compare_and_set(&odd).await.unwrap().status, Status::Other("migrating".to_owned()));
}

async fn conflict_when_the_status_differs(stores: &Stores) {
    register(stores, running("g", 1)).await;
    assert!(matches!(stores.records.compare_and_set(&removal("g", 1)).await, Err(CasError::Conflict)));
}

async fn conflict_when_the_container_differs(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    assert!(matches!(stores.records.compare_and_set(&removal("g", 2)).await, Err(CasError::Conflict)));
}

async fn conflict_when_a_container_is_there_and_none_is_expected(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let change = StatusChange { expected_container: None, ..removal("g", 1) };
    assert!(matches!(stores.records.compare_and_set(&change).await, Err(CasError::Conflict)));
}

async fn conflict_when_no_container_is_there_and_one_is_expected(stores: &Stores) {
    register(stores, Registration { container_id: None, ..stopped("g", 1) }).await;
    assert!(matches!(stores.records.compare_and_set(&removal("g", 1)).await, Err(CasError::Conflict)));
}

async fn a_record_without_a_container_is_removed_when_none_is_expected(stores: &Stores) {
    register(stores, Registration { container_id: None, ..stopped("g", 1) }).await;
    let change = StatusChange { expected_container: None, ..removal("g", 1) };
    assert_eq!(stores.records.compare_and_set(&change).await.unwrap().status, Status::Removed);
}

async fn not_found_when_there_is_no_record(stores: &Stores) {
    assert!(matches!(stores.records.compare_and_set(&removal("g", 1)).await, Err(CasError::NotFound)));
}

/// Puts fence 5 on the record and leaves it stopped.
async fn write_under_fence_5(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let to_same = StatusChange { new_status: Status::Stopped, fence: Fence(5), ..removal("g", 1) };
    stores.records.compare_and_set(&to_same).await.unwrap();
}

async fn superseded_when_a_later_fence_has_written(stores: &Stores) {
    write_under_fence_5(stores).await;
    let late = StatusChange { fence: Fence(4), ..removal("g", 1) };
    assert!(matches!(stores.records.compare_and_set(&late).await, Err(CasError::Superseded)));
}

async fn the_same_fence_may_write_again(stores: &Stores) {
    write_under_fence_5(stores).await;
    let same = StatusChange { fence: Fence(5), ..removal("g", 1) };
    assert!(stores.records.compare_and_set(&same).await.is_ok());
}

async fn held_while_a_hold_is_in_force(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    for until in [None, Some(at(1_001))] {
        stores.records.set_hold(&game("g"), Some(&hold(until))).await.unwrap();
        assert!(matches!(stores.records.compare_and_set(&removal("g", 1)).await, Err(CasError::Held)));
    }
    stores.records.set_hold(&game("g"), None).await.unwrap();
    assert!(stores.records.compare_and_set(&removal("g", 1)).await.is_ok());
}

async fn an_expired_hold_does_not_hold(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    stores.records.set_hold(&game("g"), Some(&hold(Some(at(1_000))))).await.unwrap();
    assert!(stores.records.compare_and_set(&removal("g", 1)).await.is_ok());
}

async fn refusals_come_in_the_order_state_fence_hold(stores: &Stores) {
    write_under_fence_5(stores).await;
    stores.records.set_hold(&game("g"), Some(&hold(None))).await.unwrap();
    let late = StatusChange { fence: Fence(4), ..removal("g", 1) };
    let wrong = StatusChange { expected_container: Some(container(2)), ..late.clone() };
    assert!(matches!(stores.records.compare_and_set(&wrong).await, Err(CasError::Conflict)));
    assert!(matches!(stores.records.compare_and_set(&late).await, Err(CasError::Superseded)));
    let in_time = StatusChange { fence: Fence(5), ..late };
    assert!(matches!(stores.records.compare_and_set(&in_time).await, Err(CasError::Held)));
}

async fn a_refused_change_changes_nothing(stores: &Stores) {
    write_under_fence_5(stores).await;
    stores.records.set_hold(&game("g"), Some(&hold(None))).await.unwrap();
    let before = tracked(stores, "g").await;
    for fence in [4, 5] {
        let change = StatusChange { fence: Fence(fence), ..removal("g", 1) };
        assert!(stores.records.compare_and_set(&change).await.is_err());
    }
    assert!(stores.records.compare_and_set(&removal("g", 9)).await.is_err());
    assert_eq!(tracked(stores, "g").await, before);
}

async fn one_of_many_changes_at_once_wins(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let records = stores.records.clone();
            let change = StatusChange { run_id: run(number), fence: Fence(3), ..removal("g", 1) };
            tokio::spawn(async move { records.compare_and_set(&change).await })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert!(matches!(error, CasError::Conflict), "{error:?}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(tracked(stores, "g").await.record.version, 2);
}

async fn registering_again_changes_nothing_but_the_last_operation(stores: &Stores) {
    for registration in [stopped("g", 1), running("h", 2)] {
        let first = stores.records.register(&registration, at(10)).await.unwrap();
        let again = stores.records.register(&registration, at(20)).await.unwrap();
        assert_eq!(again, RuntimeRecord { last_op_at: at(20), ..first });
        assert_eq!(stores.records.get(&registration.game_id).await.unwrap().unwrap().record, again);
    }
}

async fn what_is_not_told_of_the_same_container_stays(stores: &Stores) {
    let told = Registration { started_at: Some(at(1)), stopped_at: Some(at(2)), ..stopped("g", 1) };
    let first = register(stores, told.clone()).await;
    let untold = Registration { started_at: None, stopped_at: None, image_ref: None, labels: None, ..told };
    assert_eq!(register(stores, untold).await, first);
}

async fn a_stop_without_a_time_counts_from_registration(stores: &Stores) {
    register(stores, running("g", 1)).await;
    let untold = Registration { stopped_at: None, ..stopped("g", 1) };
    let record = stores.records.register(&untold, at(30)).await.unwrap();
    assert_eq!(record.stopped_at, Some(at(30)));
    assert_eq!(record.started_at, Some(at(0)));
    assert_eq!(register(stores, Registration { stopped_at: None, ..stopped("h", 2) }).await.stopped_at, Some(at(10)));
}

async fn a_new_start_after_the_stop_without_a_stop_time_counts_from_registration(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let earlier = Registration { started_at: Some(at(0)), stopped_at: None, ..stopped("g", 1) };
    assert_eq!(register(stores, earlier.clone()).await.stopped_at, Some(at(0)), "started before it stopped");
    let again = Registration { started_at: Some(at(5)), ..earlier };
    let record = stores.records.register(&again, at(30)).await.unwrap();
    assert_eq!((record.started_at, record.stopped_at), (Some(at(5)), Some(at(30))));
    assert_eq!(tracked(stores, "g").await.record, record);
}

async fn a_new_container_without_a_stop_time_counts_from_registration(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let untold = Registration { stopped_at: None, ..stopped("g", 2) };
    assert_eq!(stores.records.register(&untold, at(30)).await.unwrap().stopped_at, Some(at(30)));
    let told = Registration { stopped_at: Some(at(30)), ..stopped("g", 3) };
    register(stores, told).await;
    assert_eq!(tracked(stores, "g").await.record.stopped_at, Some(at(30)), "what is told stands");
}

async fn starting_forgets_the_stop(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let record = register(stores, running("g", 1)).await;
    assert_eq!((record.status, record.stopped_at, record.version), (Status::Running, None, 2));
}

async fn a_change_of_labels_raises_the_version_and_voids_a_policys_wait_only(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    for (name, generation) in [("one", None), ("two", Some(generation(7)))] {
        let of_policy = generation.is_some();
        let disposition = Disposition::Wait { until: at(500), reason: "r".to_owned(), generation, failed_attempts: 2 };
        dispose(stores, "g", disposition).await;
        let before = tracked(stores, "g").await;
        let labels = Labels::from([("name".to_owned(), name.to_owned())]);
        let relabelled = register(stores, Registration { labels: Some(labels), ..stopped("g", 1) }).await;
        assert_eq!(relabelled.version, before.record.version + 1);
        let voided = CleanupState { failed_attempts: 2, ..Default::default() };
        assert_eq!(tracked(stores, "g").await.cleanup, if of_policy { voided } else { before.cleanup });
    }
}

async fn a_change_of_status_voids_wait_failures_and_parking_but_no_hold(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    stores.records.set_hold(&game("g"), Some(&hold(None))).await.unwrap();
    let only_held = CleanupState { hold: Some(hold(None)), ..Default::default() };
    for (disposition, next) in [(wait(500), running("g", 1)), (park(), stopped("g", 1))] {
        dispose(stores, "g", disposition).await;
        assert_ne!(tracked(stores, "g").await.cleanup, only_held);
        register(stores, next).await;
        assert_eq!(tracked(stores, "g").await.cleanup, only_held);
    }
}

async fn a_change_of_container_voids_the_wait(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    dispose(stores, "g", wait(500)).await;
    register(stores, stopped("g", 2)).await;
    assert_eq!(tracked(stores, "g").await.cleanup, CleanupState::default());
}

async fn a_game_never_changes_its_tenant(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let other = Registration { tenant: tenant("zeta"), ..stopped("g", 1) };
    match stores.records.register(&other, at(20)).await {
        Err(RegisterError::OtherTenant(owner)) => assert_eq!(owner, tenant("acme")),
        other => panic!("{other:?}"),
    }
    stores.records.compare_and_set(&removal("g", 1)).await.unwrap();
    let incarnation = Registration { tenant: tenant("zeta"), ..stopped("g", 2) };
    assert!(matches!(stores.records.register(&incarnation, at(20)).await, Err(RegisterError::OtherTenant(_))));
}

async fn a_removed_container_cannot_be_registered_again(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    stores.records.compare_and_set(&removal("g", 1)).await.unwrap();
    let refused = |answer| matches!(answer, Err(RegisterError::ContainerRemoved(id)) if id == container(1));
    assert!(refused(stores.records.register(&running("g", 1), at(20)).await));
    register(stores, running("g", 2)).await;
    assert!(refused(stores.records.register(&running("g", 1), at(20)).await), "not in a later incarnation either");
}

async fn a_new_container_for_a_removed_game_starts_a_new_incarnation(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    stores.records.compare_and_set(&removal("g", 1)).await.unwrap();
    let anew = Registration { started_at: Some(at(1_500)), image_ref: None, ..running("g", 2) };
    let record = stores.records.register(&anew, at(2_000)).await.unwrap();
    assert_eq!(record.status, Status::Running);
    assert_eq!(record.created_at, at(2_000));
    assert_eq!(record.started_at, Some(at(1_500)));
    assert_eq!((record.stopped_at, record.removed_at), (None, None));
    assert_eq!((record.image_ref, record.version), (None, 3));
}

async fn a_container_of_another_game_cannot_be_registered(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    match stores.records.register(&stopped("h", 1), at(20)).await {
        Err(RegisterError::ContainerTaken { container: taken, game: owner }) => {
            assert_eq!((taken, owner), (container(1), game("g")));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(stores.records.get(&game("h")).await.unwrap(), None);
}

async fn a_container_that_was_removed_under_another_game_cannot_be_registered(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    stores.records.compare_and_set(&removal("g", 1)).await.unwrap();
    let answer = stores.records.register(&stopped("h", 1), at(20)).await;
    assert!(matches!(answer, Err(RegisterError::ContainerTaken { game: owner, .. }) if owner == game("g")));
}

async fn a_registration_on_the_version_that_was_judged_is_written(stores: &Stores) {
    let made = stores.records.register_if(None, &running("g", 1), at(10)).await.unwrap().unwrap();
    assert_eq!((&made.status, made.version), (&Status::Running, 1));
    let changed = stores.records.register_if(Some(1), &stopped("g", 1), at(20)).await.unwrap().unwrap();
    assert_eq!((&changed.status, changed.version, changed.last_op_at), (&Status::Stopped, 2, at(20)));
    assert_eq!(tracked(stores, "g").await.record, changed);
    let again = stores.records.register_if(Some(2), &stopped("g", 1), at(30)).await.unwrap();
    assert_eq!(again, Some(RuntimeRecord { last_op_at: at(30), ..changed }), "what stands there already");
}

async fn a_registration_on_another_version_writes_nothing_and_is_not_refused(stores: &Stores) {
    register(stores, running("g", 1)).await;
    register(stores, stopped("g", 1)).await;
    register(stores, stopped("h", 9)).await;
    let before = tracked(stores, "g").await;
    let others = Registration { tenant: tenant("zeta"), ..running("g", 1) };
    for registration in [running("g", 1), stopped("g", 1), running("g", 9), others] {
        for version in [Some(1), Some(3)] {
            let answer = stores.records.register_if(version, &registration, at(20)).await.unwrap();
            assert_eq!(answer, None, "{version:?} {registration:?}");
        }
    }
    assert_eq!(tracked(stores, "g").await, before);
    assert_eq!(stores.records.register_if(Some(1), &running("new", 3), at(20)).await.unwrap(), None, "no record");
    assert_eq!(stores.records.get(&game("new")).await.unwrap(), None);
}

async fn a_registration_where_no_record_was_writes_nothing_once_there_is_one(stores: &Stores) {
    register(stores, running("g", 1)).await;
    let before = tracked(stores, "g").await;
    assert_eq!(stores.records.register_if(None, &stopped("g", 2), at(20)).await.unwrap(), None);
    assert_eq!(tracked(stores, "g").await, before);
}

async fn a_registration_on_the_right_version_is_refused_like_any_other(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let taken = stores.records.register_if(None, &stopped("h", 1), at(20)).await;
    assert!(matches!(taken, Err(RegisterError::ContainerTaken { game: owner, .. }) if owner == game("g")));
    let others = Registration { tenant: tenant("zeta"), ..running("g", 1) };
    let foreign = stores.records.register_if(Some(1), &others, at(20)).await;
    assert!(matches!(foreign, Err(RegisterError::OtherTenant(_))), "{foreign:?}");
    stores.records.compare_and_set(&removal("g", 1)).await.unwrap();
    let removed = stores.records.register_if(Some(2), &running("g", 1), at(20)).await;
    assert!(matches!(removed, Err(RegisterError::ContainerRemoved(_))), "{removed:?}");
}

async fn one_of_many_registrations_on_one_version_at_once_is_written(stores: &Stores) {
    register(stores, running("g", 1)).await;
    assert_eq!(written_at_once(stores, Some(1)).await, 1);
    assert_eq!(tracked(stores, "g").await.record.version, 2);
}

async fn one_of_many_first_registrations_at_once_is_written(stores: &Stores) {
    assert_eq!(written_at_once(stores, None).await, 1);
    assert_eq!(tracked(stores, "g").await.record.version, 1);
}

/// How many of many registrations of a game, each with a container of its own, are written.
async fn written_at_once(stores: &Stores, version: Option<u64>) -> usize {
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let (records, registration) = (stores.records.clone(), stopped("g", 100 + number));
            tokio::spawn(async move { records.register_if(version, &registration, at(20)).await })
        })
        .collect();
    let mut written = 0;
    for task in tasks {
        written += usize::from(task.await.unwrap().unwrap().is_some());
    }
    written
}
