//! The contract of `RecordStore`, as far as runs and claims go: intents, fences, and which walk gets a row.

use rtmanager::model::{Begun, Fence, OpenRun, RunId, Status};
use rtmanager::ports::{CasError, Claim, DueCursor, StatusChange};

use super::Stores;
use super::fixture::{
    at, container, dispose, engine, entry, intent, register, removal, run, running, stopped, tracked, wait,
};

super::clauses! { $ record_runs, record_runs_contract:
    a_run_begins_with_the_record_and_a_fence,
    a_game_without_a_record_begins_no_run,
    fences_grow_with_every_run_of_any_game,
    beginning_again_begins_anew,
    beginning_changes_neither_record_nor_version,
    a_run_that_has_begun_is_overdue_once_its_lease_has_ended,
    overdue_runs_come_by_the_end_of_their_lease_up_to_the_limit,
    a_change_is_noted_with_its_run,
    a_refused_change_is_not_noted,
    a_later_run_supersedes_an_earlier_one,
    a_later_run_is_not_stopped_by_giving_up_the_earlier_one,
    a_run_that_was_given_up_changes_nothing_any_more,
    giving_up_a_run_tells_the_change_that_it_has_made,
    giving_up_twice_says_the_same_twice,
    a_run_that_never_began_or_is_closed_cannot_be_given_up,
    an_entry_closes_its_run,
    an_entry_that_is_there_already_closes_its_run_too,
    of_a_change_and_giving_up_at_once_one_wins,
    of_many_runs_that_begin_at_once_each_has_its_own_fence,
    a_claimed_row_is_passed_over_by_other_walks_until_the_claim_ends,
    a_walk_comes_upon_its_own_claims_again,
    claims_come_in_the_order_of_the_walk,
    claims_neither_change_the_version_nor_what_a_reading_walk_finds,
    released_claims_are_free,
    what_became_of_a_row_ends_its_claim,
    claims_that_were_not_released_are_found_by_engine,
    a_census_counts_the_claims_of_others_and_the_removals_of_the_walk,
    of_many_walks_at_once_each_row_goes_to_one,
}

async fn begin(stores: &Stores, number: u128, name: &str) -> Begun {
    stores.records.begin_run(&intent(number, name)).await.unwrap().unwrap()
}

/// The change that run `number` makes of [`stopped`], under its fence.
fn change_of(number: u128, begun: &Begun) -> StatusChange {
    StatusChange { run_id: run(number), fence: begun.fence, ..removal("g", 1) }
}

async fn overdue(stores: &Stores, now: u64) -> Vec<RunId> {
    let runs = stores.records.overdue_runs(at(now), None, 100).await.unwrap();
    runs.into_iter().map(|run| run.intent.run_id).collect()
}

async fn a_run_begins_with_the_record_and_a_fence(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let begun = begin(stores, 1, "g").await;
    assert!(begun.fence > Fence(0));
    assert_eq!(begun.runtime, tracked(stores, "g").await);
    let open = stores.records.supersede_run(&run(1)).await.unwrap().unwrap();
    let expected = OpenRun {
        intent: intent(1, "g"),
        fence: begun.fence,
        tenant: Some(begun.runtime.record.tenant),
        engine: Some(begun.runtime.record.engine),
        container_id: Some(container(1)),
        image_ref: begun.runtime.record.image_ref,
        committed_at: None,
    };
    assert_eq!(open, expected);
}

async fn a_game_without_a_record_begins_no_run(stores: &Stores) {
    assert_eq!(stores.records.begin_run(&intent(1, "g")).await.unwrap(), None);
    assert_eq!(overdue(stores, 1_000).await, []);
}

async fn fences_grow_with_every_run_of_any_game(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    register(stores, stopped("h", 2)).await;
    let mut last = Fence(0);
    for (number, name) in [(1, "g"), (2, "h"), (3, "g"), (4, "g"), (5, "h")] {
        let fence = begin(stores, number, name).await.fence;
        assert!(fence > last, "{fence:?} after {last:?}");
        last = fence;
    }
}

async fn beginning_again_begins_anew(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let first = begin(stores, 1, "g").await;
    let again = begin(stores, 1, "g").await;
    assert!(again.fence > first.fence);
    assert_eq!(overdue(stores, 60).await, [run(1)]);
    let late = stores.records.compare_and_set(&change_of(1, &first)).await;
    assert!(matches!(late, Err(CasError::Superseded)), "{late:?}");
    stores.records.compare_and_set(&change_of(1, &again)).await.unwrap();
}

async fn beginning_changes_neither_record_nor_version(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    dispose(stores, "g", wait(50)).await;
    let before = tracked(stores, "g").await;
    begin(stores, 1, "g").await;
    assert_eq!(tracked(stores, "g").await, before);
}

async fn a_run_that_has_begun_is_overdue_once_its_lease_has_ended(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    begin(stores, 1, "g").await;
    assert_eq!(overdue(stores, 59).await, []);
    assert_eq!(overdue(stores, 60).await, [run(1)]);
}

async fn overdue_runs_come_by_the_end_of_their_lease_up_to_the_limit(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    for (number, expires) in [(1, 30), (2, 10), (3, 20), (4, 40)] {
        let intent = rtmanager::model::Intent { expires_at: at(expires), ..intent(number, "g") };
        stores.records.begin_run(&intent).await.unwrap().unwrap();
    }
    assert_eq!(overdue(stores, 30).await, [run(2), run(3), run(1)]);
    let two = stores.records.overdue_runs(at(30), None, 2).await.unwrap();
    assert_eq!(two.iter().map(|open| open.intent.run_id.clone()).collect::<Vec<_>>(), [run(2), run(3)]);
    let after = Some((two[1].intent.expires_at, two[1].fence));
    let rest = stores.records.overdue_runs(at(40), after, 2).await.unwrap();
    assert_eq!(rest.iter().map(|open| open.intent.run_id.clone()).collect::<Vec<_>>(), [run(1), run(4)]);
}

async fn a_change_is_noted_with_its_run(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let begun = begin(stores, 1, "g").await;
    let record = stores.records.compare_and_set(&change_of(1, &begun)).await.unwrap();
    assert_eq!(record.status, Status::Removed);
    let open = stores.records.overdue_runs(at(60), None, 10).await.unwrap();
    assert_eq!((open.len(), open[0].committed_at), (1, Some(at(1_000))));
    assert_eq!(open[0].container_id, Some(container(1)), "as the run began");
}

async fn a_refused_change_is_not_noted(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let begun = begin(stores, 1, "g").await;
    let wrong = StatusChange { expected_container: Some(container(2)), ..change_of(1, &begun) };
    assert!(matches!(stores.records.compare_and_set(&wrong).await, Err(CasError::Conflict)));
    assert_eq!(stores.records.supersede_run(&run(1)).await.unwrap().unwrap().committed_at, None);
}

async fn a_later_run_supersedes_an_earlier_one(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let paused = begin(stores, 1, "g").await;
    let later = begin(stores, 2, "g").await;
    let late = stores.records.compare_and_set(&change_of(1, &paused)).await;
    assert!(matches!(late, Err(CasError::Superseded)), "{late:?}");
    assert_eq!(tracked(stores, "g").await.record.status, Status::Stopped);
    stores.records.compare_and_set(&change_of(2, &later)).await.unwrap();
}

async fn a_later_run_is_not_stopped_by_giving_up_the_earlier_one(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    begin(stores, 1, "g").await;
    let later = begin(stores, 2, "g").await;
    stores.records.supersede_run(&run(1)).await.unwrap().unwrap();
    stores.records.compare_and_set(&change_of(2, &later)).await.unwrap();
}

async fn a_run_that_was_given_up_changes_nothing_any_more(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let begun = begin(stores, 1, "g").await;
    let open = stores.records.supersede_run(&run(1)).await.unwrap().unwrap();
    assert_eq!(open.committed_at, None);
    let late = stores.records.compare_and_set(&change_of(1, &begun)).await;
    assert!(matches!(late, Err(CasError::Superseded)), "{late:?}");
    let next = begin(stores, 2, "g").await;
    stores.records.compare_and_set(&change_of(2, &next)).await.unwrap();
}

async fn giving_up_a_run_tells_the_change_that_it_has_made(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let begun = begin(stores, 1, "g").await;
    stores.records.compare_and_set(&change_of(1, &begun)).await.unwrap();
    let open = stores.records.supersede_run(&run(1)).await.unwrap().unwrap();
    assert_eq!((open.fence, open.committed_at), (begun.fence, Some(at(1_000))));
}

async fn giving_up_twice_says_the_same_twice(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    begin(stores, 1, "g").await;
    let first = stores.records.supersede_run(&run(1)).await.unwrap();
    assert_eq!(stores.records.supersede_run(&run(1)).await.unwrap(), first);
}

async fn a_run_that_never_began_or_is_closed_cannot_be_given_up(stores: &Stores) {
    assert_eq!(stores.records.supersede_run(&run(1)).await.unwrap(), None);
    register(stores, stopped("g", 1)).await;
    begin(stores, 1, "g").await;
    stores.log.append(&entry(1, "g")).await.unwrap();
    assert_eq!(stores.records.supersede_run(&run(1)).await.unwrap(), None);
}

async fn an_entry_closes_its_run(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    begin(stores, 1, "g").await;
    begin(stores, 2, "g").await;
    stores.log.append(&entry(1, "g")).await.unwrap();
    assert_eq!(overdue(stores, 60).await, [run(2)], "and no other");
}

async fn an_entry_that_is_there_already_closes_its_run_too(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let first = stores.log.append(&entry(1, "g")).await.unwrap();
    begin(stores, 1, "g").await;
    assert_eq!(stores.log.append(&entry(1, "g")).await.unwrap(), first);
    assert_eq!(overdue(stores, 60).await, []);
}

async fn of_a_change_and_giving_up_at_once_one_wins(stores: &Stores) {
    for round in 1..=20_u64 {
        let (name, number) = (format!("g{round}"), u128::from(round));
        register(stores, stopped(&name, round)).await;
        let begun = begin(stores, number, &name).await;
        let change = StatusChange { run_id: run(number), fence: begun.fence, ..removal(&name, round) };
        let (records, other) = (stores.records.clone(), stores.records.clone());
        let changing = tokio::spawn(async move { records.compare_and_set(&change).await.is_ok() });
        let giving_up = tokio::spawn(async move { other.supersede_run(&run(number)).await.unwrap().unwrap() });
        let (changed, given_up) = (changing.await.unwrap(), giving_up.await.unwrap());
        assert_eq!(changed, given_up.committed_at.is_some(), "round {round}");
        let status = tracked(stores, &name).await.record.status;
        assert_eq!(changed, status == Status::Removed, "round {round}");
    }
}

async fn of_many_runs_that_begin_at_once_each_has_its_own_fence(stores: &Stores) {
    register(stores, stopped("g", 1)).await;
    let tasks = (1..=16_u128).map(|number| {
        let records = stores.records.clone();
        tokio::spawn(async move { (records.begin_run(&intent(number, "g")).await.unwrap().unwrap(), number) })
    });
    let mut begun = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        begun.push(task.await.unwrap());
    }
    begun.sort_by_key(|(begun, _)| begun.fence);
    assert!(begun.windows(2).all(|two| two[0].0.fence < two[1].0.fence));
    let (last, number) = begun.pop().unwrap();
    for (earlier, number) in &begun {
        let late = stores.records.compare_and_set(&change_of(*number, earlier)).await;
        assert!(matches!(late, Err(CasError::Superseded)), "{late:?}");
    }
    stores.records.compare_and_set(&change_of(number, &last)).await.unwrap();
}

fn claim(walk: &str, until: u64) -> Claim {
    Claim { walk: walk.to_owned(), until: at(until) }
}

async fn claimed(stores: &Stores, now: u64, limit: u32, claim: &Claim) -> Vec<String> {
    let page = stores.records.claim_due(&engine("local"), at(10), at(now), None, limit, claim).await.unwrap();
    page.rows.into_iter().map(|row| row.record.game_id.to_string()).collect()
}

async fn three_due(stores: &Stores) {
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        register(stores, stopped(name, number as u64)).await;
    }
}

async fn a_claimed_row_is_passed_over_by_other_walks_until_the_claim_ends(stores: &Stores) {
    three_due(stores).await;
    assert_eq!(claimed(stores, 20, 2, &claim("one", 80)).await, ["a", "b"]);
    assert_eq!(claimed(stores, 20, 2, &claim("two", 90)).await, ["c"]);
    assert_eq!(claimed(stores, 79, 9, &claim("three", 139)).await, Vec::<String>::new());
    assert_eq!(claimed(stores, 80, 9, &claim("three", 140)).await, ["a", "b"]);
    assert_eq!(claimed(stores, 90, 9, &claim("four", 150)).await, ["c"]);
}

async fn a_walk_comes_upon_its_own_claims_again(stores: &Stores) {
    three_due(stores).await;
    assert_eq!(claimed(stores, 20, 2, &claim("one", 80)).await, ["a", "b"]);
    assert_eq!(claimed(stores, 20, 9, &claim("one", 80)).await, ["a", "b", "c"]);
}

async fn claims_come_in_the_order_of_the_walk(stores: &Stores) {
    for (name, stopped_at, waits) in [("d", 4, false), ("a", 6, false), ("c", 5, false), ("y", 1, true), ("x", 2, true)]
    {
        let number = stopped_at;
        let registration = rtmanager::model::Registration { stopped_at: Some(at(stopped_at)), ..stopped(name, number) };
        register(stores, registration).await;
        if waits {
            dispose(stores, name, wait(12 - stopped_at)).await;
        }
    }
    let (mut names, mut after): (Vec<String>, Option<DueCursor>) = (Vec::new(), None);
    loop {
        let (local, claim) = (engine("local"), claim("one", 80));
        let page = stores.records.claim_due(&local, at(10), at(20), after.as_ref(), 2, &claim).await.unwrap();
        names.extend(page.rows.iter().map(|row| row.record.game_id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(names, ["d", "c", "a", "x", "y"]);
}

async fn claims_neither_change_the_version_nor_what_a_reading_walk_finds(stores: &Stores) {
    three_due(stores).await;
    let local = engine("local");
    let read = || stores.records.due(&local, at(10), at(20), None, 9);
    let before = read().await.unwrap();
    claimed(stores, 20, 9, &claim("one", 80)).await;
    assert_eq!(read().await.unwrap(), before);
}

async fn released_claims_are_free(stores: &Stores) {
    three_due(stores).await;
    claimed(stores, 20, 2, &claim("one", 80)).await;
    claimed(stores, 20, 2, &claim("two", 80)).await;
    stores.records.release_claims("one").await.unwrap();
    assert_eq!(claimed(stores, 20, 9, &claim("three", 80)).await, ["a", "b"]);
}

async fn what_became_of_a_row_ends_its_claim(stores: &Stores) {
    three_due(stores).await;
    claimed(stores, 20, 9, &claim("one", 80)).await;
    dispose(stores, "a", wait(15)).await;
    stores.records.compare_and_set(&removal("b", 1)).await.unwrap();
    assert_eq!(claimed(stores, 20, 9, &claim("two", 80)).await, ["a"]);
    stores.records.release_claims("one").await.unwrap();
    stores.records.release_claims("two").await.unwrap();
    assert_eq!(stores.records.end_abandoned_claims(at(80)).await.unwrap(), []);
}

async fn claims_that_were_not_released_are_found_by_engine(stores: &Stores) {
    three_due(stores).await;
    let elsewhere = rtmanager::model::Registration { engine: engine("another"), ..stopped("z", 9) };
    register(stores, elsewhere).await;
    claimed(stores, 20, 9, &claim("one", 80)).await;
    assert_eq!(stores.records.end_abandoned_claims(at(79)).await.unwrap(), []);
    assert_eq!(stores.records.end_abandoned_claims(at(80)).await.unwrap(), [engine("local")]);
    assert_eq!(stores.records.end_abandoned_claims(at(80)).await.unwrap(), [], "one host is told, and once");
    claimed(stores, 80, 9, &claim("two", 90)).await;
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        register(stores, running(name, number as u64)).await;
    }
    assert_eq!(stores.records.end_abandoned_claims(at(90)).await.unwrap(), [], "nothing is left to be offered");
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        register(stores, stopped(name, number as u64)).await;
    }
    assert_eq!(stores.records.end_abandoned_claims(at(90)).await.unwrap(), [], "nor was a claim left");
}

async fn a_census_counts_the_claims_of_others_and_the_removals_of_the_walk(stores: &Stores) {
    three_due(stores).await;
    register(stores, stopped("d", 3)).await;
    assert_eq!(claimed(stores, 20, 2, &claim("one", 2_000)).await, ["a", "b"]);
    assert_eq!(claimed(stores, 20, 1, &claim("two", 2_000)).await, ["c"]);
    stores.records.compare_and_set(&removal("a", 0)).await.unwrap();
    stores.records.compare_and_set(&removal("d", 3)).await.unwrap();
    let local = engine("local");
    let census = |now, walk| stores.records.census(&local, at(10), at(now), at(0), walk);
    let counted = |census: rtmanager::model::Census| (census.removed_recently, census.removed_by_walk, census.claimed);
    assert_eq!(counted(census(1_000, "one").await.unwrap()), (2, 1, 1));
    assert_eq!(counted(census(1_000, "two").await.unwrap()), (2, 0, 1));
    assert_eq!(counted(census(1_000, "").await.unwrap()), (2, 0, 2));
    assert_eq!(counted(census(2_000, "").await.unwrap()), (2, 0, 0), "claims that have ended");
}

async fn of_many_walks_at_once_each_row_goes_to_one(stores: &Stores) {
    for number in 0..40 {
        register(stores, stopped(&format!("g{number:02}"), number)).await;
    }
    let walks = (0..8).map(|walk| {
        let (records, claim) = (stores.records.clone(), claim(&format!("walk-{walk}"), 80));
        tokio::spawn(async move {
            let page = records.claim_due(&engine("local"), at(10), at(20), None, 7, &claim).await.unwrap();
            page.rows.into_iter().map(|row| row.record.game_id.to_string()).collect::<Vec<_>>()
        })
    });
    let mut got = Vec::new();
    for walk in walks.collect::<Vec<_>>() {
        got.extend(walk.await.unwrap());
    }
    let (all, mut once) = (got.len(), got);
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), all, "a row went to two walks");
    assert!(all >= 35, "of 40 rows, 8 walks of 7 got {all}");
}
