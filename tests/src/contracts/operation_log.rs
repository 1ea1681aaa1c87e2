//! The contract of `OperationLog`.

use rtmanager::model::{Author, EntryId, ErrorCode, Fault, OperationEntry, Outcome};
use rtmanager::ports::OperationFilter;

use super::Stores;
use super::fixture::{at, entry, tenant};

super::clauses! { $ operation_log, operation_log_contract:
    an_entry_is_read_back_as_it_was_written,
    ids_grow,
    a_run_that_has_an_entry_keeps_it,
    many_appends_of_one_run_at_once_make_one_entry,
    a_fault_stands_beside_the_account,
    the_first_fault_stands,
    a_fault_beside_no_entry_does_nothing,
    entries_are_listed_from_the_newest_to_the_oldest,
    pages_join_without_gap_or_overlap,
    listed_by_game_tenant_and_source,
    listed_by_outcome_where_a_fault_is_a_failure,
    listed_by_code_of_entry_or_fault,
    listed_by_time_of_finish,
    pruning_deletes_the_oldest_first_and_no_more_than_asked,
    ids_of_pruned_entries_are_not_used_again,
}

fn fault(code: ErrorCode) -> Fault {
    Fault { code, message: "guest time limit of 1s".to_owned() }
}

async fn numbers(stores: &Stores, filter: &OperationFilter) -> Vec<u64> {
    let listed = stores.log.list(filter, None, 100).await.unwrap();
    listed.into_iter().map(|logged| logged.entry.finished_at.as_micros() / 1_000_000 - 100_000).collect()
}

async fn append(stores: &Stores, entries: impl IntoIterator<Item = OperationEntry>) -> Vec<EntryId> {
    let mut ids = Vec::new();
    for entry in entries {
        ids.push(stores.log.append(&entry).await.unwrap());
    }
    ids
}

async fn an_entry_is_read_back_as_it_was_written(stores: &Stores) {
    let bare = OperationEntry {
        tenant: None,
        actor: None,
        image_ref: None,
        container_id: None,
        outcome: Outcome::Success,
        error_code: None,
        error_message: None,
        source_ref: String::new(),
        game_id: "  \n not a game id ".to_owned(),
        author: Author::Host,
        ..entry(1, "g")
    };
    let full = OperationEntry {
        error_code: ErrorCode::parse("a_policys_own"),
        fault: Some(fault(ErrorCode::POLICY_TRAP)),
        ..entry(2, "g")
    };
    append(stores, [bare.clone(), full.clone()]).await;
    let listed = stores.log.list(&OperationFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed.into_iter().map(|logged| logged.entry).collect::<Vec<_>>(), [full, bare]);
}

async fn ids_grow(stores: &Stores) {
    let ids = append(stores, (1..=4).map(|number| entry(number, "g"))).await;
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}

async fn a_run_that_has_an_entry_keeps_it(stores: &Stores) {
    let first = entry(1, "g");
    let again = OperationEntry { outcome: Outcome::Success, error_code: None, ..first.clone() };
    let ids = append(stores, [first.clone(), entry(2, "g"), again]).await;
    assert_eq!(ids[0], ids[2]);
    let listed = stores.log.list(&OperationFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1].entry, first);
}

async fn many_appends_of_one_run_at_once_make_one_entry(stores: &Stores) {
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let log = stores.log.clone();
            tokio::spawn(async move { log.append(&entry(1, "g")).await.unwrap() })
        })
        .collect();
    let mut ids = Vec::new();
    for task in tasks {
        ids.push(task.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(numbers(stores, &OperationFilter::default()).await, [1]);
}

async fn a_fault_stands_beside_the_account(stores: &Stores) {
    let ids = append(stores, [entry(1, "g")]).await;
    stores.log.note_fault(ids[0], &fault(ErrorCode::POLICY_CONTRADICTION)).await.unwrap();
    let listed = stores.log.list(&OperationFilter::default(), None, 10).await.unwrap();
    assert_eq!(
        listed[0].entry,
        OperationEntry { fault: Some(fault(ErrorCode::POLICY_CONTRADICTION)), ..entry(1, "g") }
    );
}

async fn the_first_fault_stands(stores: &Stores) {
    let ids = append(stores, [entry(1, "g")]).await;
    stores.log.note_fault(ids[0], &fault(ErrorCode::POLICY_TRAP)).await.unwrap();
    stores.log.note_fault(ids[0], &fault(ErrorCode::POLICY_STACK)).await.unwrap();
    let listed = stores.log.list(&OperationFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed[0].entry.fault, Some(fault(ErrorCode::POLICY_TRAP)));
}

async fn a_fault_beside_no_entry_does_nothing(stores: &Stores) {
    stores.log.note_fault(EntryId(77), &fault(ErrorCode::POLICY_TRAP)).await.unwrap();
    assert!(numbers(stores, &OperationFilter::default()).await.is_empty());
}

async fn entries_are_listed_from_the_newest_to_the_oldest(stores: &Stores) {
    append(stores, [3, 1, 2].map(|number| entry(number, "g"))).await;
    assert_eq!(numbers(stores, &OperationFilter::default()).await, [2, 1, 3], "by id, whatever their times say");
}

async fn pages_join_without_gap_or_overlap(stores: &Stores) {
    append(stores, (1..=7).map(|number| entry(number, "g"))).await;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = stores.log.list(&OperationFilter::default(), before, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.into_iter().map(|logged| logged.entry));
    }
    assert_eq!(seen, (1..=7).rev().map(|number| entry(number, "g")).collect::<Vec<_>>());
}

async fn listed_by_game_tenant_and_source(stores: &Stores) {
    let other_tenant = OperationEntry { tenant: Some(tenant("zeta")), ..entry(2, "g") };
    let other_source = OperationEntry { op_source: "cli".to_owned(), ..entry(3, "g") };
    append(stores, [entry(1, "g"), other_tenant, other_source, entry(4, "h")]).await;
    let by_game = OperationFilter { game: Some("g".to_owned()), ..Default::default() };
    assert_eq!(numbers(stores, &by_game).await, [3, 2, 1]);
    let by_tenant = OperationFilter { tenant: Some(tenant("acme")), ..by_game };
    assert_eq!(numbers(stores, &by_tenant).await, [3, 1]);
    let by_source = OperationFilter { op_source: Some("cli".to_owned()), ..by_tenant };
    assert_eq!(numbers(stores, &by_source).await, [3]);
}

async fn listed_by_outcome_where_a_fault_is_a_failure(stores: &Stores) {
    let success = |number| OperationEntry { outcome: Outcome::Success, error_code: None, ..entry(number, "g") };
    let contradicted = OperationEntry { fault: Some(fault(ErrorCode::POLICY_TRAP)), ..success(3) };
    append(stores, [entry(1, "g"), success(2), contradicted]).await;
    let by = |outcome| OperationFilter { outcome: Some(outcome), ..Default::default() };
    assert_eq!(numbers(stores, &by(Outcome::Failure)).await, [3, 1]);
    assert_eq!(numbers(stores, &by(Outcome::Success)).await, [2]);
}

async fn listed_by_code_of_entry_or_fault(stores: &Stores) {
    let faulted = OperationEntry { fault: Some(fault(ErrorCode::POLICY_TRAP)), ..entry(2, "g") };
    let plain = OperationEntry { error_code: None, outcome: Outcome::Success, ..entry(3, "g") };
    append(stores, [entry(1, "g"), faulted, plain]).await;
    let by = |code: &str| OperationFilter { error_code: Some(code.to_owned()), ..Default::default() };
    assert_eq!(numbers(stores, &by("conflict")).await, [2, 1]);
    assert_eq!(numbers(stores, &by("policy_trap")).await, [2]);
    assert!(numbers(stores, &by("not_found")).await.is_empty());
}

async fn listed_by_time_of_finish(stores: &Stores) {
    append(stores, (1..=5).map(|number| entry(number, "g"))).await;
    let filter = OperationFilter { since: Some(at(2)), until: Some(at(4)), ..Default::default() };
    assert_eq!(numbers(stores, &filter).await, [3, 2]);
}

async fn pruning_deletes_the_oldest_first_and_no_more_than_asked(stores: &Stores) {
    append(stores, [5, 1, 4, 2, 3].map(|number| entry(number, "g"))).await;
    assert_eq!(stores.log.prune(at(4), 2).await.unwrap(), 2);
    assert_eq!(numbers(stores, &OperationFilter::default()).await, [3, 4, 5]);
    assert_eq!(stores.log.prune(at(4), 2).await.unwrap(), 1);
    assert_eq!(stores.log.prune(at(4), 2).await.unwrap(), 0);
    assert_eq!(numbers(stores, &OperationFilter::default()).await, [4, 5]);
}

async fn ids_of_pruned_entries_are_not_used_again(stores: &Stores) {
    let first = append(stores, [entry(1, "g")]).await;
    stores.log.prune(at(100), 10).await.unwrap();
    let second = append(stores, [entry(2, "g")]).await;
    assert!(second[0] > first[0]);
}
