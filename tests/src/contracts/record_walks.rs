//! The contract of `RecordStore`, as far as many records go: lists, the walk over due rows, what is
//! written beside them, and the counts.

use rtmanager::model::{Census, CleanupState, LiveStatus, Parked, Registration, Status, TrackedRuntime};
use rtmanager::ports::{Disposition, DueCursor, RecordFilter, StatusChange};

use super::Stores;
use super::fixture::{
    at, container, dispose, engine, game, generation, hold, park, register, removal, running, stopped, tenant, tracked,
    wait,
};

super::clauses! { $ record_walks, record_walks_contract:
    listed_in_byte_order_page_by_page,
    listed_by_tenant_engine_and_status,
    found_by_its_container_until_that_is_removed,
    due_are_stopped_rows_at_or_before_the_floor_oldest_first,
    due_are_neither_running_removed_parked_nor_waiting,
    due_is_a_held_row_too,
    due_rows_whose_wait_is_over_come_after_fresh_ones,
    due_pages_join_without_gap_or_overlap,
    due_walk_can_start_at_the_waits,
    a_disposition_is_not_written_over_a_changed_record,
    a_disposition_does_not_change_the_version_nor_the_hold,
    parking_ends_the_wait_and_clearing_ends_both,
    a_swap_ends_the_waits_of_the_tenants_older_generations_only,
    tenants_are_those_that_have_records,
    a_hold_is_set_and_lifted_and_ends_the_wait,
    unparking_forgets_the_failures,
    the_census_counts_one_engine,
    the_census_does_not_count_held_waiting_and_parked_rows_as_due,
    the_census_counts_removals_of_earlier_incarnations,
    the_store_answers_a_ping,
}

async fn due(stores: &Stores, floor: u64, now: u64) -> Vec<String> {
    names(stores.records.due(&engine("local"), at(floor), at(now), None, 100).await.unwrap().rows)
}

fn names(rows: Vec<TrackedRuntime>) -> Vec<String> {
    rows.into_iter().map(|row| row.record.game_id.to_string()).collect()
}

async fn listed_in_byte_order_page_by_page(stores: &Stores) {
    let sorted = ["A", "B", "a", "b", "ä", "日"];
    for (number, name) in sorted.iter().enumerate().rev() {
        register(stores, stopped(name, number as u64)).await;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = stores.records.list(&RecordFilter::default(), after.as_ref(), 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.record.game_id.clone());
        seen.extend(names(page));
    }
    assert_eq!(seen, sorted);
}

async fn listed_by_tenant_engine_and_status(stores: &Stores) {
    register(stores, stopped("a", 1)).await;
    register(stores, Registration { tenant: tenant("zeta"), ..stopped("b", 2) }).await;
    register(stores, Registration { engine: engine("other"), ..stopped("c", 3) }).await;
    register(stores, running("d", 4)).await;
    let list = async |filter| names(stores.records.list(&filter, None, 10).await.unwrap());
    let by_tenant = RecordFilter { tenant: Some(tenant("acme")), ..Default::default() };
    assert_eq!(list(by_tenant.clone()).await, ["a", "c", "d"]);
    let by_engine = RecordFilter { engine: Some(engine("local")), ..by_tenant };
    assert_eq!(list(by_engine.clone()).await, ["a", "d"]);
    let by_status = RecordFilter { status: Some(Status::Stopped), ..by_engine };
    assert_eq!(list(by_status).await, ["a"]);
}

async fn found_by_its_container_until_that_is_removed(stores: &Stores) {
    let record = register(stores, stopped("g", 1)).await;
    assert_eq!(stores.records.by_container(&container(1)).await.unwrap(), Some(record));
    assert_eq!(stores.records.by_container(&container(2)).await.unwrap(), None);
    stores.records.compare_and_set(&removal("g", 1)).await.unwrap();
    assert_eq!(stores.records.by_container(&container(1)).await.unwrap(), None);
}

/// Rows `a`, `b`, … stopped at 1 s, 2 s, …
async fn stop_in_turn(stores: &Stores, count: u8) {
    for number in 1..=count {
        let name = char::from(b'a' + number - 1).to_string();
        let stopped_at = Some(at(u64::from(number)));
        register(stores, Registration { stopped_at, ..stopped(&name, u64::from(number)) }).await;
    }
}

async fn due_are_stopped_rows_at_or_before_the_floor_oldest_first(stores: &Stores) {
    stop_in_turn(stores, 4).await;
    register(stores, Registration { stopped_at: Some(at(1)), ..stopped("z", 99) }).await;
    assert_eq!(due(stores, 3, 100).await, ["a", "z", "b", "c"]);
}

async fn due_are_neither_running_removed_parked_nor_waiting(stores: &Stores) {
    stop_in_turn(stores, 5).await;
    register(stores, running("a", 1)).await;
    stores.records.compare_and_set(&removal("b", 2)).await.unwrap();
    dispose(stores, "c", park()).await;
    dispose(stores, "d", wait(101)).await;
    assert_eq!(due(stores, 50, 100).await, ["e"]);
}

async fn due_is_a_held_row_too(stores: &Stores) {
    stop_in_turn(stores, 1).await;
    stores.records.set_hold(&game("a"), Some(&hold(None))).await.unwrap();
    assert_eq!(due(stores, 50, 100).await, ["a"]);
}

async fn due_rows_whose_wait_is_over_come_after_fresh_ones(stores: &Stores) {
    stop_in_turn(stores, 5).await;
    for (name, until) in [("a", 100), ("b", 90), ("c", 101), ("e", 80)] {
        dispose(stores, name, wait(until)).await;
    }
    assert_eq!(due(stores, 4, 100).await, ["d", "b", "a"], "c waits, e stopped after the floor");
}

async fn due_pages_join_without_gap_or_overlap(stores: &Stores) {
    stop_in_turn(stores, 9).await;
    for (name, until) in [("b", 50), ("d", 40), ("f", 50), ("h", 30)] {
        dispose(stores, name, wait(until)).await;
    }
    for limit in 1..=10 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = stores.records.due(&engine("local"), at(50), at(100), after.as_ref(), limit).await.unwrap();
            assert!(page.rows.len() <= limit as usize);
            seen.extend(names(page.rows));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["a", "c", "e", "g", "i", "h", "d", "b", "f"], "pages of {limit}");
    }
}

async fn due_walk_can_start_at_the_waits(stores: &Stores) {
    stop_in_turn(stores, 2).await;
    dispose(stores, "a", wait(50)).await;
    let page = stores.records.due(&engine("local"), at(50), at(100), Some(&DueCursor::WaitedStart), 10).await.unwrap();
    assert_eq!((names(page.rows), page.next), (vec!["a".to_owned()], None));
}

async fn a_disposition_is_not_written_over_a_changed_record(stores: &Stores) {
    let version = register(stores, stopped("g", 1)).await.version;
    register(stores, stopped("g", 2)).await;
    assert!(!stores.records.dispose(&game("g"), version, &wait(500)).await.unwrap());
    assert_eq!(tracked(stores, "g").await.cleanup, CleanupState::default());
    assert!(!stores.records.dispose(&game("h"), 1, &wait(500)).await.unwrap());
}

async fn a_disposition_does_not_change_the_version_nor_the_hold(stores: &Stores) {
    let record = register(stores, stopped("g", 1)).await;
    stores.records.set_hold(&game("g"), Some(&hold(None))).await.unwrap();
    dispose(stores, "g", wait(500)).await;
    let expected = CleanupState {
        wait_until: Some(at(500)),
        wait_reason: Some("keep: évidence".to_owned()),
        wait_generation: Some(generation(7)),
        failed_attempts: 2,
        parked: None,
        hold: Some(hold(None)),
    };
    assert_eq!(tracked(stores, "g").await, TrackedRuntime { record, cleanup: expected });
}

async fn parking_ends_the_wait_and_clearing_ends_both(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    dispose(stores, "g", wait(500)).await;
    dispose(stores, "g", park()).await;
    let parked = Some(Parked { at: at(5), reason: "conflict: it runs".to_owned() });
    assert_eq!(tracked(stores, "g").await.cleanup, CleanupState { parked, failed_attempts: 5, ..Default::default() });
    dispose(stores, "g", Disposition::Clear).await;
    assert_eq!(tracked(stores, "g").await.cleanup, CleanupState::default());
}

async fn a_swap_ends_the_waits_of_the_tenants_older_generations_only(stores: &Stores) {
    for (number, name) in ["old", "new", "backoff"].iter().enumerate() {
        register(stores, stopped(name, number as u64)).await;
    }
    register(stores, Registration { tenant: tenant("zeta"), ..stopped("other", 9) }).await;
    for (name, number) in [("old", Some(7)), ("new", Some(8)), ("backoff", None), ("other", Some(7))] {
        let generation = number.map(generation);
        let disposition = Disposition::Wait { until: at(500), reason: "r".to_owned(), generation, failed_attempts: 1 };
        dispose(stores, name, disposition).await;
    }
    assert_eq!(stores.records.void_waits(&tenant("acme"), &[generation(8), generation(9)]).await.unwrap(), 1);
    let cleanup = tracked(stores, "old").await.cleanup;
    assert_eq!(cleanup, CleanupState { failed_attempts: 1, ..Default::default() });
    for name in ["new", "backoff", "other"] {
        assert_eq!(tracked(stores, name).await.cleanup.wait_until, Some(at(500)), "{name}");
    }
    assert_eq!(stores.records.void_waits(&tenant("acme"), &[generation(8)]).await.unwrap(), 0);
}

async fn tenants_are_those_that_have_records(stores: &Stores) {
    assert!(stores.records.tenants().await.unwrap().is_empty());
    register(stores, stopped("a", 1)).await;
    register(stores, stopped("b", 2)).await;
    register(stores, Registration { tenant: tenant("Beta"), ..stopped("c", 3) }).await;
    assert_eq!(stores.records.tenants().await.unwrap(), [tenant("Beta"), tenant("acme")]);
}

async fn a_hold_is_set_and_lifted_and_ends_the_wait(stores: &Stores) {
    assert!(!stores.records.set_hold(&game("g"), Some(&hold(None))).await.unwrap());
    let record = register(stores, stopped("g", 1)).await;
    for held in [Some(hold(Some(at(77)))), None] {
        dispose(stores, "g", wait(500)).await;
        assert!(stores.records.set_hold(&game("g"), held.as_ref()).await.unwrap());
        let cleanup = CleanupState { hold: held, failed_attempts: 2, ..Default::default() };
        assert_eq!(tracked(stores, "g").await, TrackedRuntime { record: record.clone(), cleanup });
    }
}

async fn unparking_forgets_the_failures(stores: &Stores) {
    assert!(!stores.records.unpark(&game("g")).await.unwrap());
    register(stores, stopped("g", 1)).await;
    dispose(stores, "g", wait(500)).await;
    assert!(!stores.records.unpark(&game("g")).await.unwrap(), "it waits, but is not parked");
    dispose(stores, "g", park()).await;
    assert!(stores.records.unpark(&game("g")).await.unwrap());
    assert_eq!(tracked(stores, "g").await.cleanup, CleanupState::default());
}

async fn the_census_counts_one_engine(stores: &Stores) {
    stop_in_turn(stores, 5).await;
    register(stores, running("x", 90)).await;
    register(stores, Registration { engine: engine("other"), ..stopped("y", 91) }).await;
    for (name, number) in [("a", 1), ("b", 2)] {
        let change = StatusChange { at: at(1_000 + number), ..removal(name, number) };
        stores.records.compare_and_set(&change).await.unwrap();
    }
    let census = stores.records.census(&engine("local"), at(4), at(1_100), at(1_002), "").await.unwrap();
    assert_eq!(
        census,
        Census { not_removed: 4, due: 2, removed_recently: 1, allowance: 0, removed_by_walk: 0, claimed: 0 }
    );
    let ahead = stores.records.census(&engine("local"), at(4), at(1_001), at(0), "").await.unwrap();
    assert_eq!(ahead.removed_recently, 1, "b was removed while the clock was ahead");
    let nowhere = stores.records.census(&engine("nowhere"), at(4), at(100), at(0), "").await.unwrap();
    assert_eq!(nowhere, Census::default());
}

async fn the_census_does_not_count_held_waiting_and_parked_rows_as_due(stores: &Stores) {
    stop_in_turn(stores, 7).await;
    stores.records.set_hold(&game("a"), Some(&hold(None))).await.unwrap();
    stores.records.set_hold(&game("b"), Some(&hold(Some(at(100))))).await.unwrap();
    dispose(stores, "c", wait(101)).await;
    dispose(stores, "d", park()).await;
    dispose(stores, "e", wait(100)).await;
    stores.records.set_hold(&game("f"), Some(&hold(None))).await.unwrap();
    dispose(stores, "f", wait(50)).await;
    let census = stores.records.census(&engine("local"), at(50), at(100), at(0), "").await.unwrap();
    assert_eq!(census.due, 3, "b, whose hold has expired, e, whose wait is over, and g");
}

async fn the_census_counts_removals_of_earlier_incarnations(stores: &Stores) {
    for incarnation in 1..=3 {
        register(stores, stopped("g", incarnation)).await;
        stores.records.compare_and_set(&removal("g", incarnation)).await.unwrap();
    }
    register(stores, Registration { container_id: None, status: LiveStatus::Stopped, ..stopped("g", 0) }).await;
    stores.records.compare_and_set(&StatusChange { expected_container: None, ..removal("g", 0) }).await.unwrap();
    let census = stores.records.census(&engine("local"), at(0), at(1_000), at(1_000), "").await.unwrap();
    assert_eq!(census.removed_recently, 4);
}

async fn the_store_answers_a_ping(stores: &Stores) {
    stores.records.ping().await.unwrap();
}
