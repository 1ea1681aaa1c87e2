//! The contract of `JournalStore`.

use rtmanager::model::{
    BoundaryAnswer, BoundaryCall, ErrorCode, Exchange, HostNote, JOURNAL_VERSION, JournalEnd, JournalRequest,
    PolicyDigest, PolicyWord, RunId, RunJournal, RunPhase,
};
use rtmanager::ports::{JournalFilter, KeptJournal};

use super::Stores;
use super::fixture::{at, tenant};

super::clauses! { $ journal_store, journal_store_contract:
    a_new_store_has_no_journals,
    a_journal_is_read_as_it_was_kept,
    of_two_journals_of_a_run_the_first_stays,
    journals_are_listed_newest_first_and_page_by_page,
    a_filter_passes_what_it_names,
    pruning_deletes_the_oldest_and_only_what_is_old,
    each_tenant_keeps_its_newest_within_the_bytes,
    what_a_database_cannot_hold_is_kept_all_the_same,
}

fn run_id(number: u64) -> RunId {
    RunId::from_bytes(u128::from(number).to_be_bytes())
}

fn journal(number: u64, of: Option<&str>) -> RunJournal {
    let message = "kept, \u{1f980} & \"so on\"".to_owned();
    let log = BoundaryCall::Log { level: "info".to_owned(), context: String::new(), message };
    let exchange = Exchange {
        at_us: 3,
        took_us: 1,
        phase: RunPhase::Handle,
        call: log,
        answer: BoundaryAnswer::Done,
        host: HostNote::default(),
    };
    RunJournal {
        version: JOURNAL_VERSION,
        run_id: run_id(number),
        tenant: of.map(tenant),
        generation: "*/3".parse().unwrap(),
        digest: PolicyDigest::of(b"policy"),
        started_at: at(number),
        request: JournalRequest {
            game_id: format!("game-{}", number % 3),
            op_source: "cli".to_owned(),
            source_ref: String::new(),
        },
        record: None,
        held: false,
        offered: None,
        exchanges: vec![exchange],
        omitted: 0,
        end: JournalEnd {
            after_us: 9,
            word: PolicyWord::Fault { code: ErrorCode::POLICY_TRAP, message: "unreachable".to_owned() },
            settled: None,
            removed_container: None,
            entry: None,
        },
    }
}

async fn keep(stores: &Stores, journals: &[RunJournal]) {
    for journal in journals {
        stores.journals.add(journal).await.unwrap();
    }
}

async fn kept(stores: &Stores, filter: &JournalFilter) -> Vec<RunId> {
    let listed = stores.journals.list(filter, None, 100).await.unwrap();
    listed.into_iter().map(|kept| kept.run_id).collect()
}

fn ids(numbers: &[u64]) -> Vec<RunId> {
    numbers.iter().copied().map(run_id).collect()
}

async fn a_new_store_has_no_journals(stores: &Stores) {
    assert_eq!(stores.journals.get(&run_id(1)).await.unwrap(), None);
    assert!(kept(stores, &JournalFilter::default()).await.is_empty());
    assert_eq!(stores.journals.prune(at(100), 10).await.unwrap(), 0);
    assert_eq!(stores.journals.shrink(0, 10).await.unwrap(), 0);
}

async fn a_journal_is_read_as_it_was_kept(stores: &Stores) {
    for journal in [journal(1, Some("acme")), journal(2, None)] {
        keep(stores, std::slice::from_ref(&journal)).await;
        let expected = KeptJournal { run_id: journal.run_id.clone(), journal: Some(journal.clone()) };
        assert_eq!(stores.journals.get(&journal.run_id).await.unwrap(), Some(expected));
    }
}

async fn of_two_journals_of_a_run_the_first_stays(stores: &Stores) {
    let first = journal(1, Some("acme"));
    keep(stores, &[first.clone(), RunJournal { omitted: 7, ..first.clone() }]).await;
    let read = stores.journals.get(&first.run_id).await.unwrap().unwrap();
    assert_eq!(read.journal, Some(first));
}

async fn journals_are_listed_newest_first_and_page_by_page(stores: &Stores) {
    let journals: Vec<_> = [3, 1, 5, 2, 4].map(|number| journal(number, Some("acme"))).into();
    keep(stores, &journals).await;
    let page = async |before: Option<RunId>| {
        let listed = stores.journals.list(&JournalFilter::default(), before.as_ref(), 2).await.unwrap();
        listed.into_iter().map(|kept| kept.run_id).collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, ids(&[5, 4]));
    assert_eq!(page(Some(run_id(4))).await, ids(&[3, 2]));
    assert_eq!(page(Some(run_id(2))).await, ids(&[1]));
    assert!(page(Some(run_id(1))).await.is_empty());
}

async fn a_filter_passes_what_it_names(stores: &Stores) {
    keep(stores, &[1, 2, 3, 4].map(|number| journal(number, Some(["acme", "zeta"][number as usize % 2])))).await;
    keep(stores, &[journal(5, None)]).await;
    let everything = JournalFilter::default();
    assert_eq!(kept(stores, &everything).await, ids(&[5, 4, 3, 2, 1]));
    let of_acme = JournalFilter { tenant: Some(tenant("acme")), ..everything.clone() };
    assert_eq!(kept(stores, &of_acme).await, ids(&[4, 2]));
    let of_game = JournalFilter { game: Some("game-1".to_owned()), ..everything.clone() };
    assert_eq!(kept(stores, &of_game).await, ids(&[4, 1]));
    let recent = JournalFilter { since: Some(at(4)), ..everything };
    assert_eq!(kept(stores, &recent).await, ids(&[5, 4]));
    let all = JournalFilter { since: Some(at(4)), ..of_acme };
    assert_eq!(kept(stores, &all).await, ids(&[4]));
}

async fn pruning_deletes_the_oldest_and_only_what_is_old(stores: &Stores) {
    keep(stores, &[1, 2, 3, 4, 5].map(|number| journal(number, Some("acme")))).await;
    assert_eq!(stores.journals.prune(at(4), 2).await.unwrap(), 2);
    assert_eq!(kept(stores, &JournalFilter::default()).await, ids(&[5, 4, 3]));
    assert_eq!(stores.journals.prune(at(4), 100).await.unwrap(), 1);
    assert_eq!(stores.journals.prune(at(4), 100).await.unwrap(), 0);
    assert_eq!(kept(stores, &JournalFilter::default()).await, ids(&[5, 4]));
}

async fn each_tenant_keeps_its_newest_within_the_bytes(stores: &Stores) {
    keep(stores, &[1, 2, 3, 4].map(|number| journal(number, Some("acme")))).await;
    keep(stores, &[5, 6].map(|number| journal(number, None))).await;
    keep(stores, &[journal(7, Some("zeta"))]).await;
    let each = journal(1, Some("acme")).to_json().unwrap().len() as u64;
    assert_eq!(stores.journals.shrink(each * 10, 100).await.unwrap(), 0);
    // Two and a half: of four, two go, the oldest first.
    assert_eq!(stores.journals.shrink(each * 5 / 2, 1).await.unwrap(), 1);
    assert_eq!(kept(stores, &JournalFilter::default()).await, ids(&[7, 6, 5, 4, 3, 2]));
    assert_eq!(stores.journals.shrink(each * 5 / 2, 100).await.unwrap(), 1);
    assert_eq!(kept(stores, &JournalFilter::default()).await, ids(&[7, 6, 5, 4, 3]));
    assert_eq!(stores.journals.shrink(each * 3 / 2, 100).await.unwrap(), 2);
    assert_eq!(kept(stores, &JournalFilter::default()).await, ids(&[7, 6, 4]));
}

async fn what_a_database_cannot_hold_is_kept_all_the_same(stores: &Stores) {
    let mut odd = journal(1, Some("acme"));
    odd.request.source_ref = "a\0b".to_owned();
    keep(stores, &[odd.clone()]).await;
    assert_eq!(stores.journals.get(&odd.run_id).await.unwrap().unwrap().journal, Some(odd));
}
