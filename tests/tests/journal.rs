//! What a policy and its host said to each other, written down: typed, in order, within bounds, without secrets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "test code"
)]

use std::time::Duration;

use rtmanager::adapters::memory::{Call, Failure};
use rtmanager::lifecycle::ReviewResult;
use rtmanager::model::{
    BoundaryAnswer, BoundaryCall, BoundaryError, Container, ErrorCode, Hold, JournalBounds, LiveStatus, Outcome,
    PolicyWord, Removal, RunJournal, RunPhase,
};
use rtmanager::ports::Clock as _;
use rtmanager::runtime::Limits;
use rtmanager_tests::hostile::{hostile, hostile_review, review};
use rtmanager_tests::mock_host::{GAME, MockHost, container, labels};
use rtmanager_tests::recorded::Recorded;

fn calls(journal: &RunJournal) -> Vec<&'static str> {
    journal.exchanges.iter().map(|exchange| exchange.call.name()).collect()
}

fn answer_to<'j>(journal: &'j RunJournal, call: &str) -> &'j BoundaryAnswer {
    &journal.exchanges.iter().find(|exchange| exchange.call.name() == call).expect("the call was made").answer
}

#[tokio::test]
async fn a_cleanup_is_written_down_call_by_call_in_documented_json() {
    let host = MockHost::builder().build();
    host.stopped(GAME, &container(1)).await;
    let recorded = host.record_runs();
    assert_eq!(host.cleanup(GAME).await.outcome, Outcome::Success);
    insta::assert_json_snapshot!(recorded.last());
}

#[tokio::test]
async fn a_review_and_the_cleanup_that_follows_are_one_journal() {
    let host = MockHost::builder().setting("extra_retention_days", "0").build();
    host.stopped(GAME, &container(1)).await;
    let recorded = host.record_runs();
    review(&host, false).await;
    let journal = recorded.last();
    assert_eq!(recorded.journals().len(), 1);
    assert!(journal.offered.as_ref().is_some_and(|offer| offer.then_handle && offer.record.game_id.as_str() == GAME));
    let phases: Vec<_> = journal.exchanges.iter().map(|exchange| exchange.phase).collect();
    assert!(phases.contains(&RunPhase::Review) && phases.contains(&RunPhase::Handle));
    assert!(phases.is_sorted_by_key(|phase| *phase == RunPhase::Handle), "{phases:?}");
    assert_eq!(journal.end.removed_container, Some(container(1)));
}

#[tokio::test]
async fn a_review_that_keeps_is_a_journal_without_an_outcome() {
    let host = hostile_review("keep").build();
    host.stopped(GAME, &container(1)).await;
    let recorded = host.record_runs();
    review(&host, false).await;
    let end = recorded.last().end;
    assert_eq!((end.word, end.settled), (PolicyWord::Keep("kept on purpose".to_owned()), None));
}

#[tokio::test]
async fn what_a_rule_refused_is_written_down_by_the_rules_name() {
    let host = MockHost::builder().build();
    host.stopped(GAME, &container(1)).await;
    let hold = Hold { reason: "evidence".to_owned(), actor: "ann".to_owned(), until: None };
    host.store.records().set_hold(&GAME.parse().unwrap(), Some(&hold)).await.unwrap();
    let recorded = host.record_runs();
    host.cleanup(GAME).await;
    let journal = recorded.last();
    let refused = BoundaryAnswer::Error(BoundaryError::Denied("held".to_owned()));
    assert_eq!(*answer_to(&journal, "docker.remove"), refused);
    assert!(journal.exchanges.iter().any(|exchange| exchange.call == BoundaryCall::RecordsGet && exchange.host.held));
    assert_eq!(journal.end.settled.unwrap().error_code, Some(ErrorCode::CONFLICT));
}

#[tokio::test]
async fn what_only_the_host_knows_stands_beside_the_call() {
    let host = MockHost::builder().build();
    host.stopped(GAME, &container(1)).await;
    let recorded = host.record_runs();
    host.cleanup(GAME).await;
    let journal = recorded.last();
    let asked = journal.exchanges.iter().filter(|exchange| exchange.host.engine_asked).collect::<Vec<_>>();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].answer, BoundaryAnswer::Removal(Removal::Removed));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_runs_end_cut_off_stands_there_without_an_answer() {
    let limits = Limits { run_time: Duration::from_secs(1), ..Limits::default() };
    let host = MockHost::builder().limits(limits).build();
    host.stopped(GAME, &container(1)).await;
    host.script.plan().fail(Call::EngineInspect, 1, Failure::Hang);
    let recorded = host.record_runs();
    host.cleanup(GAME).await;
    let journal = recorded.last();
    let last = journal.exchanges.last().unwrap();
    assert_eq!((last.call.name(), &last.answer), ("docker.remove", &BoundaryAnswer::None));
    assert!(matches!(&journal.end.word, PolicyWord::Fault { code, .. } if *code == ErrorCode::POLICY_RUN_TIMEOUT));
}

#[tokio::test]
async fn journals_are_read_back_as_they_were_written_and_newer_ones_are_not_read() {
    for mode in ["honest", "claim-success", "no-entry", "trap-after-remove", "remove-another", "log-flood", "escapes"] {
        let host = hostile(mode).build();
        host.stopped(GAME, &container(1)).await;
        let recorded = host.record_runs();
        host.cleanup(GAME).await;
        let journal = recorded.last();
        let json = journal.to_json().unwrap();
        assert_eq!(RunJournal::from_json(&json).unwrap(), journal, "{mode}");
        let newer = json.replacen("\"version\":1", "\"version\":2", 1);
        let refused = RunJournal::from_json(&newer).unwrap_err().to_string();
        assert_eq!(refused, "this journal is of version 2; this program reads 1");
        assert!(RunJournal::from_json(&json[..json.len() / 2]).is_err());
    }
}

#[tokio::test]
async fn a_journal_keeps_to_its_bounds_whatever_the_policy_does() {
    let bounds = JournalBounds { exchanges: 40, bytes: 8 << 10 };
    for (mode, size) in
        [("call-flood", 1), ("log-flood", 45), ("giant-log", 900_000), ("lease-flood", 90), ("entry-flood", 90)]
    {
        let host = hostile(mode).setting("size", &size.to_string()).build();
        host.stopped(GAME, &container(1)).await;
        let recorded = Recorded::within(bounds);
        host.lifecycle.record_for(recorded.clone());
        host.cleanup(GAME).await;
        let journal = recorded.last();
        assert!(journal.exchanges.len() <= 40, "{mode}");
        assert!(serde_json::to_string(&journal.exchanges).unwrap().len() <= (8 << 10) + 42, "{mode}");
        // One is told no at its second call; of the other's log line most is gone: whole all the same.
        let whole = ["giant-log", "lease-flood"].contains(&mode);
        assert_eq!(journal.is_cut(), !whole, "{mode}: {:?}", calls(&journal));
        assert!(journal.end.settled.is_some(), "{mode}: the end is kept");
    }
}

#[tokio::test]
async fn labels_that_find_no_room_cut_the_journal_and_not_the_run() {
    let host = hostile_review("read").build();
    let mut labels = labels(GAME);
    labels.insert("note".to_owned(), "x".repeat(100_000));
    host.engine.create(&container(1), "image", labels);
    host.engine.start(&container(1));
    host.engine.stop(&container(1), 0);
    host.register(GAME, LiveStatus::Stopped, Some(&container(1))).await;
    let recorded = host.record_runs();
    assert_eq!(review(&host, false).await, ReviewResult::Keep("record ok, container ok".to_owned()));
    let journal = recorded.last();
    assert!(journal.is_cut());
    assert!(journal.to_json().unwrap().len() < 10_000);
}

const PLANTED: &str = "hunter2-planted";

fn assert_unseen(what: &str, journals: &[RunJournal]) {
    assert!(!journals.is_empty());
    for journal in journals {
        let json = journal.to_json().unwrap();
        assert!(!json.contains("hunter2"), "{what}: {json}");
    }
}

#[tokio::test]
async fn no_value_of_a_setting_is_written_down_wherever_the_policy_puts_it() {
    let host = hostile("honest").setting("says", PLANTED).build();
    host.stopped(GAME, &container(1)).await;
    let recorded = host.record_runs();
    host.cleanup(GAME).await;
    assert!(host.entries()[0].entry.error_message.as_deref() == Some(PLANTED), "the policy did put it there");
    assert_unseen("an entry", &recorded.journals());
    let read =
        recorded.last().exchanges.into_iter().find(|it| it.call == BoundaryCall::Setting { name: "says".into() });
    assert_eq!(read.unwrap().answer, BoundaryAnswer::Setting(true));

    let host = hostile(PLANTED).build();
    host.stopped(GAME, &container(1)).await;
    let recorded = host.record_runs();
    let told = host.cleanup(GAME).await;
    assert!(told.message.unwrap().contains(PLANTED), "the policy did put it there");
    assert_unseen("a verdict", &recorded.journals());

    let host = hostile_review(PLANTED).build();
    host.stopped(GAME, &container(1)).await;
    let recorded = host.record_runs();
    assert!(format!("{:?}", review(&host, false).await).contains(PLANTED), "the policy did put it there");
    assert_unseen("a reason", &recorded.journals());
}

#[tokio::test]
async fn names_of_containers_and_passwords_in_labels_and_images_are_not_written_down() {
    let host = MockHost::builder().setting("keep_failed_days", "30").build();
    let mut labels = labels(GAME);
    labels.insert("callback".to_owned(), format!("https://joe:{PLANTED}@example.org/done"));
    host.engine.create(&container(1), &format!("https://u:{PLANTED}@registry/image"), labels);
    host.engine.start(&container(1));
    host.engine.stop(&container(1), 3);
    let named = Container { name: format!("game-{PLANTED}"), ..host.engine.container(&container(1)).unwrap() };
    host.engine.put(named);
    host.register(GAME, LiveStatus::Stopped, Some(&container(1))).await;
    let recorded = host.record_runs();
    host.advance(Duration::from_secs(86_400 * 9));
    review(&host, false).await;
    let journals = recorded.journals();
    assert!(calls(&journals[0]).contains(&"docker.inspect"), "{:?}", calls(&journals[0]));
    assert_unseen("labels", &journals);
}

#[tokio::test]
async fn a_run_goes_as_it_goes_whether_or_not_it_is_written_down() {
    for mode in ["honest", "proper", "remove-another", "claim-success", "log-flood", "two-entries"] {
        let plain = hostile(mode).build();
        let written = hostile(mode).build();
        let recorded = written.record_runs();
        for host in [&plain, &written] {
            host.stopped(GAME, &container(1)).await;
        }
        assert_eq!(plain.cleanup(GAME).await, written.cleanup(GAME).await, "{mode}");
        assert_eq!(plain.entries(), written.entries(), "{mode}");
        assert_eq!(plain.script.journal().entries(), written.script.journal().entries(), "{mode}");
        assert_eq!(recorded.journals().len(), 1, "{mode}");
        assert_eq!(written.clock.now(), plain.clock.now());
    }
}

#[tokio::test]
async fn what_a_backend_said_is_not_written_down() {
    for (call, failure) in [
        (Call::EngineInspect, Failure::Unavailable),
        (Call::EngineRemove, Failure::LoseRequest),
        (Call::RecordBeginRun, Failure::Corrupt),
        (Call::RecordCompareAndSet, Failure::Unavailable),
        (Call::LeaseTryAcquire, Failure::Unavailable),
        (Call::LogAppend, Failure::Corrupt),
    ] {
        let host = MockHost::builder().build();
        host.stopped(GAME, &container(1)).await;
        host.script.plan().fail_always(call, failure);
        let recorded = host.record_runs();
        host.cleanup(GAME).await;
        let json = recorded.last().to_json().unwrap();
        assert!(json.contains("\"error\""), "{call}: it met the failure: {json}");
        assert!(!json.contains("injected"), "{call}: {json}");
    }
}
